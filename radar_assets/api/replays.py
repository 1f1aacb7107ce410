"""Replays by API: rebuild received hours from the landing zone, as `radar backfill hourly_job` does, and show the progress."""

import asyncio
import uuid
from datetime import datetime, timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from radar_assets.access.roles import Role
from radar_assets.api.actions import note
from radar_assets.api.problems import ProblemError
from radar_assets.api.routing import Description, RadarRoute, signed_in
from radar_assets.api.trigger_tags import trigger_tags
from radar_assets.api.triggers import BODY_PROBLEMS, KEY_HEADER, key_of, launch_once, read_body, to_response
from radar_assets.api.workspace import Job, RadarWorkspace, find_job
from radar_assets.events.replayed_hours import hours_with_data
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.orchestration.automation import HOURLY_JOB
from radar_assets.orchestration.runtime.backfills import progress, queue_runs
from radar_assets.store.database import Store
from radar_assets.windows import HOUR, Window, hour_key, to_window, utc_now

MAX_SPAN = timedelta(days=31)
"""Maximum span of a replay. Its runs are queued before the response."""


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to replay.

    Attributes:
        since: first received hour or day in UTC, such as 2026-11-01-05:00 or 2026-11-01.
        until: last received hour or day. Default: the current hour.
    """

    since: str | None = None
    until: str | None = None


class Replay(msgspec.Struct, omit_defaults=True):
    """A replay of received hours.

    Attributes:
        hours: how many hours with data are rebuilt.
        done, failed: how many of them have been rebuilt or have failed for good.
        seconds_left: estimate of the time left, once a first run has ended.
        url: path of its page.
    """

    id: str
    job: str
    hours: int
    done: int
    failed: int
    is_over: bool
    url: str
    seconds_left: int | None = None


def replay_routes(workspace: RadarWorkspace, store: Store, lakehouse: Lakehouse) -> list[RadarRoute]:
    """The routes of replays."""

    async def start(request: Request) -> Response:
        identity = signed_in(request)
        job = await asyncio.to_thread(find_job, workspace.create_request_context(), HOURLY_JOB)
        if job is None:
            raise ProblemError(404, f"The job {HOURLY_JOB} is not loaded; GET /v1/jobs says why.")
        key = key_of(request)
        wanted = await read_body(request, ReplayRequest)
        first, last = _hour(wanted.since, "since"), _hour(wanted.until, "until", is_end=True)
        tags = trigger_tags(identity.principal, "api")

        def queue(run_id: str) -> None:
            window = _window(lakehouse, first, last, utc_now())
            _queue(workspace, job, hours_with_data(lakehouse, window), window, tags, _id(run_id))

        record = request.app.state.record
        await note(record, request, identity.principal, "replay", HOURLY_JOB, key=key, **msgspec.to_builtins(wanted))
        try:
            run_id, is_new = await launch_once(request, store, key, ("/v1/replays", wanted), queue)
        except ProblemError:
            await note(record, request, identity.principal, "replay", HOURLY_JOB, result="failed", key=key)
            raise
        id = _id(run_id)
        return to_response(await _replay(workspace, id), 201 if is_new else 200, {"Location": f"/v1/replays/{id}"})

    async def show(request: Request) -> Response:
        return to_response(await _replay(workspace, request.path_params["id"]))

    return [
        RadarRoute(
            "POST",
            "/v1/replays",
            start,
            Role.OPERATOR,
            Description(
                "start_replay",
                "Replay received hours. With an Idempotency-Key, the request can be repeated: the same replay is returned, "
                "with status 200",
                (201, Replay),
                ReplayRequest,
                headers={KEY_HEADER: "Names the request, in 1 to 200 visible ASCII characters."},
                problems={
                    **BODY_PROBLEMS,
                    404: f"The job {HOURLY_JOB} is not loaded.",
                    422: "The range is invalid or has no data, or the key was used for another request.",
                    503: "The replay of this key is still being queued; retry.",
                },
            ),
        ),
        RadarRoute(
            "GET",
            "/v1/replays/{id}",
            show,
            Role.VIEWER,
            Description("get_replay", "Show a replay", (200, Replay), problems={404: "There is no such replay."}),
        ),
    ]


def _hour(given: str | None, field: str, *, is_end: bool = False) -> datetime | None:
    """The first hour of a partition key, or the end of it."""
    if given is None:
        return None
    try:
        window = to_window(given)
    except (ValueError, OverflowError) as error:
        raise ProblemError(
            422, "Write a day such as 2026-11-01 or an hour such as 2026-11-01-05:00.", field=field
        ) from error
    return window.end if is_end else window.start


def _window(lakehouse: Lakehouse, first: datetime | None, end: datetime | None, now: datetime) -> Window:
    """The hours to look at: those of the request that the tables have.

    Raises:
        ProblemError: there are none, or too many; names the field.
    """
    start = lakehouse.settings.start_date
    if first is None:
        raise ProblemError(422, "since is required, e.g. 2026-11-01.", field="since")
    if first > now:
        raise ProblemError(422, f"since is in the future; the newest hour is {hour_key(now)}.", field="since")
    if end is not None and end <= first:
        raise ProblemError(422, "until is before since.", field="until")
    first = max(first, datetime(start.year, start.month, start.day))
    end = min(end or now, Window.of_hour(now).end)
    if first >= end:
        raise ProblemError(422, f"The first hour of the tables is {start}-00:00.", field="until")
    window = Window(first, end)
    if window.end - window.start > MAX_SPAN:
        reason = f"A replay has at most {MAX_SPAN.days} days; for more, send several, or use radar backfill."
        raise ProblemError(422, reason, field="until")
    return window


def _queue(
    workspace: RadarWorkspace, job: Job, hours: list[datetime], window: Window, tags: dict[str, str], id: str
) -> None:
    if not hours:
        span = f"{hour_key(window.start)} to {hour_key(window.end - HOUR)}"
        raise ProblemError(422, f"No hour from {span} has landed lines or events.", field="since")
    queue_runs(workspace.create_request_context(), job.location, job.name, hours, "hour", tags, id)


async def _replay(workspace: RadarWorkspace, id: str) -> Replay:
    found = await asyncio.to_thread(progress, workspace.instance, id) if len(id) <= 32 else None
    if found is None or found.job != HOURLY_JOB:
        raise ProblemError(404, "There is no such replay.", field="id")
    return Replay(
        id=found.id,
        job=found.job,
        hours=found.total,
        done=found.done,
        failed=found.failed,
        is_over=found.is_over,
        url=f"/runs/b/{found.id}",
        seconds_left=None if found.left is None else round(found.left.total_seconds()),
    )


def _id(run_id: str) -> str:
    """Dagster's ids of backfills have at most 32 characters."""
    return uuid.UUID(run_id).hex
