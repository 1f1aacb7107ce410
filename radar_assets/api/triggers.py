"""The trigger API: jobs, their runs, and starting and canceling them. Its errors are in `problems.py`."""

import asyncio
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from dagster import RunsFilter
from starlette.requests import Request
from starlette.responses import Response

from radar_assets.access.roles import Role
from radar_assets.api.actions import note
from radar_assets.api.idempotency import KeyReusedError, Keys, StillLaunchingError
from radar_assets.api.problems import ProblemError
from radar_assets.api.routing import Description, RadarRoute, signed_in
from radar_assets.api.run_history import RunView, find_run, first_error, recent_runs
from radar_assets.api.trigger_tags import trigger_tags
from radar_assets.api.workspace import (
    LaunchError,
    RadarWorkspace,
    find_job,
    launch,
    list_jobs,
    partition_tags,
    unloaded,
)
from radar_assets.store.database import Store

MAX_BODY_BYTES = 64_000
KEY_HEADER = "Idempotency-Key"
BODY_PROBLEMS = {
    **dict.fromkeys((400, 413), "The body is too large, or is no JSON of this schema."),
    415: "The body is not application/json.",
}
"""Statuses of requests whose body is wrong, and what they mean."""
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_PATH = re.compile(r" - at `\$\.?([^`]*)`")
Body = TypeVar("Body")


class Run(msgspec.Struct, omit_defaults=True):
    """A run of a job.

    Attributes:
        state: queued, started, success, failure or canceled.
        error: first line of the error of a failed run.
        url: path of its page.
    """

    id: str
    job: str
    state: str
    created_at: datetime
    url: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    partition: str = ""
    triggered_by: str = ""
    error: str = ""


class Job(msgspec.Struct, omit_defaults=True):
    """A job.

    Attributes:
        newest_partition: of a partitioned job.
        last_run: its latest run.
    """

    name: str
    description: str
    is_partitioned: bool
    newest_partition: str = ""
    last_run: Run | None = None


class Jobs(msgspec.Struct):
    """All jobs.

    Attributes:
        problems: why definitions are missing.
    """

    jobs: list[Job]
    problems: list[str]


class RunRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to run.

    Attributes:
        partition: the partition, or the first one of a range.
        partition_end: the last one of a range.
    """

    partition: str | None = None
    partition_end: str | None = None


def trigger_routes(workspace: RadarWorkspace, store: Store) -> list[RadarRoute]:
    """The routes of the API."""

    async def jobs(_request: Request) -> Response:
        return to_response(await asyncio.to_thread(_jobs, workspace))

    async def start(request: Request) -> Response:
        identity, name = signed_in(request), request.path_params["name"]
        job = await asyncio.to_thread(find_job, workspace.create_request_context(), name)
        if job is None:
            raise ProblemError(404, f"There is no job {name[:60]!r}; GET /v1/jobs lists them.", field="name")
        key = key_of(request)
        wanted = await read_body(request, RunRequest)
        try:
            tags = await asyncio.to_thread(partition_tags, job, wanted.partition, wanted.partition_end)
        except LaunchError as error:
            raise ProblemError(422, str(error), field=error.field) from error
        tags = {**tags, **trigger_tags(identity.principal, "api")}
        record = request.app.state.record

        def launch_run(run_id: str) -> object:
            return launch(workspace.create_request_context(), job, run_id, tags)

        await note(record, request, identity.principal, "run", job.name, key=key, **msgspec.to_builtins(wanted))
        run_id, is_new = await launch_once(request, store, key, (name, wanted), launch_run)
        run = await _run(run_id, workspace)
        return to_response(run, 201 if is_new else 200, {"Location": f"/v1/runs/{run_id}"})

    async def show(request: Request) -> Response:
        return to_response(await _run(request.path_params["id"], workspace))

    async def cancel(request: Request) -> Response:
        run_id = request.path_params["id"]
        run = await _run(run_id, workspace)
        if run.state not in ("queued", "started"):
            raise ProblemError(409, f"The run has ended: {run.state}.", field="id")
        record, principal = request.app.state.record, signed_in(request).principal
        await note(record, request, principal, "cancel", run.job, run_id=run_id)
        coordinator = workspace.instance.run_coordinator
        if not await asyncio.to_thread(coordinator.cancel_run, run_id):
            await note(record, request, principal, "cancel", run.job, result="failed", run_id=run_id)
            raise ProblemError(
                409, "The run can't be canceled now: it is starting, ending, or its process is gone.", field="id"
            )
        return to_response(await _run(run_id, workspace), 202)

    absent = {404: "There is no such run."}
    return [
        RadarRoute("GET", "/v1/jobs", jobs, Role.VIEWER, Description("list_jobs", "List jobs", (200, Jobs))),
        RadarRoute(
            "POST",
            "/v1/jobs/{name}/runs",
            start,
            Role.OPERATOR,
            Description(
                "start_run",
                "Start a run. With an Idempotency-Key, the request can be repeated: the same run is returned, with status 200",
                (201, Run),
                RunRequest,
                headers={KEY_HEADER: "Names the request, in 1 to 200 visible ASCII characters."},
                problems={
                    **BODY_PROBLEMS,
                    404: "There is no such job.",
                    422: "A partition doesn't exist, or the key was used for another request.",
                    503: "The run of this key is still being launched; retry.",
                },
            ),
        ),
        RadarRoute(
            "GET", "/v1/runs/{id}", show, Role.VIEWER, Description("get_run", "Show a run", (200, Run), problems=absent)
        ),
        RadarRoute(
            "POST",
            "/v1/runs/{id}/cancel",
            cancel,
            Role.OPERATOR,
            Description(
                "cancel_run",
                "Cancel a run",
                (202, Run),
                problems={
                    **absent,
                    415: "The request is not application/json.",
                    409: "The run has ended or can't be canceled now.",
                },
            ),
        ),
    ]


def fingerprint(*parts: str | msgspec.Struct) -> str:
    """What distinguishes requests with the same key."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


async def launch_once(
    request: Request,
    store: Store,
    key: str | None,
    parts: Sequence[str | msgspec.Struct],
    launch: Callable[[str], object],
) -> tuple[str, bool]:
    """Launch what a request asks for, unless an earlier request with its key did. Returns the id, and whether it was launched now.

    Args:
        key: as `key_of` found it.
        parts: what distinguishes requests with the same key.
        launch: launches what has an id, a UUID. Called again for an id whose launch was interrupted.

    Raises:
        ProblemError: the key was used for another request, or its run is still being launched.
    """
    if key is None:
        run_id = str(uuid.uuid4())
        await asyncio.to_thread(launch, run_id)
        return run_id, True
    principal = signed_in(request).principal
    try:
        keys = Keys(store, f"{principal.kind}:{principal.id}")
        return await keys.launch_once(key, fingerprint(*parts), launch)
    except KeyReusedError as error:
        raise ProblemError(422, "The key was used for another request.", field=KEY_HEADER) from error
    except StillLaunchingError as error:
        reason = "The run of this key is still being launched."
        raise ProblemError(503, reason, field=KEY_HEADER, headers={"Retry-After": "5"}) from error


async def read_body(request: Request, type: type[Body]) -> Body:
    """The JSON body of a request. An empty body is an empty object.

    Raises:
        ProblemError: it is not of the type; names the field.
    """
    parts = b""
    async for part in request.stream():
        parts += part
        if len(parts) > MAX_BODY_BYTES:
            raise ProblemError(413, f"The body has more than {MAX_BODY_BYTES:,} bytes.")
    try:
        return msgspec.json.decode(parts or b"{}", type=type)
    except msgspec.ValidationError as error:
        where = _PATH.search(str(error))
        text = _PATH.sub("", str(error))
        unknown = re.search(r"unknown field `([^`]*)`", text)
        raise ProblemError(400, f"{text}.", field=unknown[1] if unknown else where[1] if where else "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "The body is not JSON.", field="body") from error


def key_of(request: Request) -> str | None:
    """The Idempotency-Key of a request.

    Raises:
        ProblemError: it is invalid.
    """
    keys = request.headers.getlist(KEY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise ProblemError(400, "A key has 1 to 200 visible ASCII characters.", field=KEY_HEADER)
    return keys[0]


def _jobs(workspace: RadarWorkspace) -> Jobs:
    context = workspace.create_request_context()
    found = []
    for job in list_jobs(context):
        if job.can_run:
            runs = recent_runs(context.instance, RunsFilter(job_name=job.name), limit=1)
            last = _run_of(runs[0]) if runs else None
            found.append(Job(job.name, job.description, job.partitions is not None, job.last_partition(), last))
    return Jobs(found, unloaded(context))


async def _run(run_id: str, workspace: RadarWorkspace) -> Run:
    instance = workspace.instance
    found = await asyncio.to_thread(find_run, instance, run_id) if _is_id(run_id) else None
    if found is None:
        raise ProblemError(404, "There is no such run.", field="id")
    error = await asyncio.to_thread(first_error, instance, run_id) if found.state == "failure" else ""
    return _run_of(found, error)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _run_of(view: RunView, error: str = "") -> Run:
    return Run(
        id=view.id,
        job=view.job,
        state=view.state,
        created_at=view.created_at,
        url=view.path,
        started_at=view.started_at,
        ended_at=view.ended_at,
        partition=view.partition,
        triggered_by=view.triggered_by,
        error=error,
    )


def to_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of the API."""
    return Response(
        msgspec.json.encode(value), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )
