"""The jobs page: every schedule, sensor and job with its recent runs, and a form to start a job, which asks for confirmation.

It is read from the workspace and the instance of the Dagster UI, in this process.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from dagster import DagsterInstance, RunsFilter
from dagster._core.remote_representation.external import RemoteSchedule
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.workspace.context import BaseWorkspaceRequestContext
from dagster._utils.schedules import schedule_execution_time_iterator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from radar_assets.access.roles import Role
from radar_assets.api.actions import note
from radar_assets.api.cron_words import cron_words
from radar_assets.api.pages import page
from radar_assets.api.problems import ProblemError
from radar_assets.api.routing import RadarRoute, form_field, signed_in
from radar_assets.api.run_history import RunView, failed_runs, recent_runs, span_words, time_words, usual_duration
from radar_assets.api.trigger_tags import trigger_tags
from radar_assets.api.workspace import (
    Automation,
    Job,
    LaunchError,
    RadarWorkspace,
    find_job,
    launch,
    list_automations,
    list_jobs,
    partition_tags,
    unloaded,
)

_TICKS = {
    TickStatus.SUCCESS: "requested runs",
    TickStatus.SKIPPED: "nothing to do",
    TickStatus.FAILURE: "failed",
    TickStatus.STARTED: "in progress",
}


HEIGHTS = 10


@dataclass(frozen=True)
class Item:
    """A schedule, sensor or job on the page.

    Attributes:
        facts: label and value, for what it has besides its runs.
        problem: why its last evaluation failed.
        job: its name, if it can be started.
    """

    name: str
    path: str
    description: str
    facts: list[tuple[str, str]]
    runs: list[RunView]
    problem: str = ""
    job: str = ""

    @property
    def longest(self) -> str:
        """The duration of the longest of its runs, in words; empty if none has started."""
        return span_words(self._longest) if self._longest else ""

    def height(self, run: RunView) -> int:
        """The height of the bar of a run, from 1 to 10, by its duration."""
        return max(1, round(HEIGHTS * (run.took or timedelta(0)) / self._longest)) if self._longest else 1

    @cached_property
    def _longest(self) -> timedelta:
        return max((run.took for run in self.runs if run.took), default=timedelta(0))


def jobs_routes(workspace: RadarWorkspace) -> list[RadarRoute]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        values = await asyncio.to_thread(_overview, workspace.create_request_context())
        return page(request, "jobs.html", signed_in(request), refreshes=True, title="Jobs", **values)

    async def confirm(request: Request) -> Response:
        return await _confirmation(request, await _job(request, workspace))

    async def run(request: Request) -> Response:
        job, identity = await _job(request, workspace), signed_in(request)
        partition, end = await form_field(request, "partition"), await form_field(request, "partition_end")
        # The page chose the id, so that a form that is sent twice starts one run.
        run_id = await form_field(request, "run_id")
        try:
            uuid.UUID(run_id)
            tags = await asyncio.to_thread(partition_tags, job, partition or None, end or None)
        except LaunchError as error:
            return await _confirmation(request, job, partition, end, str(error), 422)
        except ValueError:
            return await _confirmation(request, job, partition, end, "The form is incomplete. Try again.", 400)
        tags = {**tags, **trigger_tags(identity.principal, "jobs page")}
        record = request.app.state.record
        await note(record, request, identity.principal, "run", job.name, run_id=run_id, partition=partition, end=end)
        await asyncio.to_thread(launch, workspace.create_request_context(), job, run_id, tags)
        return RedirectResponse(f"/runs/{run_id}", 303)

    return [
        RadarRoute("GET", "/radar/jobs", show, Role.VIEWER),
        RadarRoute("GET", "/radar/jobs/{name}/run", confirm, Role.OPERATOR),
        RadarRoute("POST", "/radar/jobs/{name}/run", run, Role.OPERATOR),
    ]


async def _job(request: Request, workspace: RadarWorkspace) -> Job:
    name = request.path_params["name"]
    job = await asyncio.to_thread(find_job, workspace.create_request_context(), name)
    if job is None:
        raise ProblemError(404, f"There is no job {name[:60]!r}.", field="name")
    return job


async def _confirmation(
    request: Request, job: Job, partition: str | None = None, end: str = "", problem: str = "", status: int = 200
) -> Response:
    if partition is None:
        partition = await asyncio.to_thread(job.last_partition)
    return page(
        request,
        "run_job.html",
        signed_in(request),
        status,
        title=f"Run {job.name}",
        job=job,
        partition=partition,
        end=end,
        problem=problem,
        run_id=str(uuid.uuid4()),
    )


def _overview(workspace: BaseWorkspaceRequestContext) -> dict[str, Any]:
    """What the page shows."""
    instance = workspace.instance
    automations = list_automations(workspace)
    items = [(each, _automation(instance, each)) for each in automations]
    return {
        "jobs": list(_jobs(workspace)),
        "schedules": [item for each, item in items if isinstance(each.remote, RemoteSchedule)],
        "sensors": [item for each, item in items if not isinstance(each.remote, RemoteSchedule)],
        "failed": failed_runs(instance),
        "unloaded": unloaded(workspace),
        "now": time_words(datetime.now(UTC)),
    }


def _jobs(workspace: BaseWorkspaceRequestContext) -> Iterator[Item]:
    for job in list_jobs(workspace):
        runs = recent_runs(workspace.instance, RunsFilter(job_name=job.name))
        if job.can_run:
            facts = [("Newest partition", job.last_partition())] if job.partitions else []
            if takes := usual_duration(workspace.instance, job.name):
                facts.append(("Duration", takes))
            yield Item(job.name, job.path, job.description, facts, runs, job=job.name)
        elif runs:
            yield Item("Chosen assets", "/assets", "Materializations of single assets from the Dagster UI.", [], runs)


def _automation(instance: DagsterInstance, automation: Automation) -> Item:
    remote, now = automation.remote, time.time()
    state = instance.get_instigator_state(remote.get_remote_origin_id(), remote.selector_id)
    is_on = remote.get_current_instigator_state(state).is_running
    ticks = instance.get_ticks(remote.get_remote_origin_id(), remote.selector_id, limit=1)
    last = ticks[0].tick_data if ticks else None
    tag = "dagster/sensor_name"
    if isinstance(remote, RemoteSchedule):
        tag, zone = "dagster/schedule_name", remote.execution_timezone
        when, following = cron_words(remote.cron_schedule, zone), _next(remote, now)
    else:
        when = f"every {span_words(timedelta(seconds=remote.min_interval_seconds))}"
        due = max(now, last.timestamp + remote.min_interval_seconds if last else now)
        following = datetime.fromtimestamp(due, UTC)
    facts = [("Runs" if tag == "dagster/schedule_name" else "Looks", when if is_on else f"{when}; it is off")]
    if is_on:
        facts.append(("Next", f"{time_words(following)}, in {span_words(following - datetime.now(UTC))}"))
    if last:
        facts.append(
            ("Last evaluation", f"{time_words(_moment(last))}, {_TICKS.get(last.status, last.status.value.lower())}")
        )
    problem = " ".join(last.error.message.split())[:300] if last and last.error else ""
    runs = recent_runs(instance, RunsFilter(tags={tag: remote.name}))
    return Item(remote.name, automation.path, remote.description or "", facts, runs, problem)


def _next(schedule: RemoteSchedule, now: float) -> datetime:
    times = schedule_execution_time_iterator(now, schedule.cron_schedule, schedule.execution_timezone)
    return next(times).astimezone(UTC)


def _moment(tick: TickData) -> datetime:
    return datetime.fromtimestamp(tick.timestamp, UTC)
