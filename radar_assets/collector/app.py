"""The collector as an ASGI application: its routes, and the way between HTTP and the doors.

Built from the list of doors; what happens to a request in between is in `intake.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from radar_assets.collector.addresses import kept_address
from radar_assets.collector.bodies import Bodies, BusyError, DisconnectedError, SlowError, TooLargeError
from radar_assets.collector.door import Answer, Door, Outcome, Request, Sender
from radar_assets.collector.doors import DOORS
from radar_assets.collector.intake import RETRY_S, Intake, Verdict
from radar_assets.collector.journal import Journal, open_journal
from radar_assets.collector.keys import KeyRing
from radar_assets.collector.limits import Limits
from radar_assets.collector.salts import Salts
from radar_assets.collector.telemetry import Telemetry
from radar_assets.partitions import utc_now
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import Store, open_store

LINGER_S = 2.0
"""How long a refused body is still read, and thrown away: most senders read no answer before they have sent all."""
PROBE_S = 5.0
"""After a failure of the journal, when to ask for traffic again: only requests can show that it works."""


class Worker:
    """What one worker process holds between its start and its end."""

    def __init__(self, settings: Settings, store: Store, journal: Journal) -> None:
        self.settings, self.journal = settings, journal
        self.keys, self.limits, self.salts = KeyRing(store), Limits(settings, store), Salts(store)
        self.telemetry = Telemetry()
        self.bodies = Bodies(settings.body_timeout_s)
        self.intake = Intake(settings, self.keys, self.limits, journal, self.telemetry)
        self.failed_at = float("-inf")

    def problem(self) -> str | None:
        """Why requests had better go to another; `None` if there is no reason."""
        if self.journal.failure and time.monotonic() - self.failed_at < PROBE_S:
            return "nothing can be stored at present"
        return self.keys.failure


def create_app() -> Starlette:
    """The application with the settings of the environment, as each worker of `radar collect` makes it."""
    return make_app(load_settings())


def make_app(settings: Settings, doors: Sequence[Door] = DOORS) -> Starlette:
    """The application. It opens store and journal when it starts, and closes them, all lines durable, when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            store = open_store(settings.database)
            stack.callback(store.close)
            worker = Worker(settings, store, await stack.enter_async_context(open_journal(settings)))
            stack.callback(worker.intake.close)
            await worker.keys.refresh()
            await worker.salts.refresh()
            for part in (worker.keys, worker.limits, worker.salts):
                stack.push_async_callback(_cancel, asyncio.create_task(part.keep_fresh()))
            app.state.worker = worker
            yield

    routes = [Endpoint(door, path, method).route() for door in doors for method, path in door.routes]
    own = [Route("/healthz", _health), Route("/readyz", _ready), Route("/metrics", _metrics)]
    # Any page may ask; what its key is for is looked at with the request. There are no cookies that could be misused.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    app = Starlette(routes=[*routes, *own], middleware=[cors], lifespan=lifespan)
    # Senders lose the body of a request on the way that a redirect shows them.
    app.router.redirect_slashes = False
    return app


class Endpoint:
    """One route of a door, as an ASGI application: Starlette's own requests and responses cost as much as the whole rest."""

    def __init__(self, door: Door, path: str, method: str) -> None:
        self._door, self._path, self._method = door, path, method

    def route(self) -> Route:
        """The route for it. A HEAD is no GET here, since that would count an event."""
        route = Route(self._path, self, methods=[self._method])
        route.methods = {self._method}
        return route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request in, and answer it."""
        began = time.perf_counter()
        worker: Worker = scope["app"].state.worker
        request = _request(scope, worker)
        with worker.bodies.held() as body:
            try:
                sent = await worker.bodies.read(body, receive, _declared_bytes(request))
            except DisconnectedError:
                return
            except (TooLargeError, BusyError, SlowError) as error:
                verdict, size, unread = _refusal(error), 0, True
            else:
                verdict, size, unread = await worker.intake.take(self._door, request, sent), len(sent), False
        if verdict.outcome is Outcome.UNAVAILABLE:
            worker.failed_at = time.monotonic()
        answer = self._door.answer(request, verdict.outcome, verdict.detail)
        duration_s = time.perf_counter() - began
        worker.telemetry.answered(self._door.name, verdict.outcome.value, duration_s, size, verdict.events)
        await _send(answer, verdict, send, more=unread)
        if unread:
            await _linger(request, receive, send)


def _request(scope: Scope, worker: Worker) -> Request:
    """A request without its body."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"]
    address = scope["client"][0] if scope["client"] else ""
    received_at = utc_now()
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {},
        headers=headers,
        body=b"",
        received_at=received_at,
        sender=Sender(worker.salts.of(received_at.date()), address, headers.get("user-agent", "")),
        address=kept_address(address, worker.settings.client_address),
    )


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and declared.isascii() else 0


def _refusal(error: Exception) -> Verdict:
    if isinstance(error, TooLargeError):
        return Verdict(Outcome.TOO_LARGE, str(error))
    if isinstance(error, SlowError):
        return Verdict(Outcome.UNAVAILABLE, "the body did not arrive in time", retry_after_s=RETRY_S)
    return Verdict(Outcome.UNAVAILABLE, "there are too many large requests", retry_after_s=1)


async def _send(answer: Answer, verdict: Verdict, send: Send, *, more: bool) -> None:
    headers = [(b"content-type", answer.content_type.encode()), (b"content-length", str(len(answer.body)).encode())]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if verdict.retry_after_s is not None:
        headers.append((b"retry-after", str(verdict.retry_after_s).encode()))
    if more:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": more})


async def _linger(request: Request, receive: Receive, send: Send) -> None:
    """Read on for a moment what nobody wants: a sender whose connection is cut while it sends doesn't see its answer."""
    if "expect" not in request.headers:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                    pass
    await send({"type": "http.response.body", "body": b""})


async def _health(_request: HttpRequest) -> Response:
    """Whether the process answers at all."""
    return JSONResponse({"status": "ok"})


async def _ready(request: HttpRequest) -> Response:
    """Whether requests are likely to be taken in."""
    problem = request.app.state.worker.problem()
    return JSONResponse({"status": problem or "ok"}, status_code=503 if problem else 200)


async def _metrics(request: HttpRequest) -> Response:
    text, content_type = await asyncio.to_thread(request.app.state.worker.telemetry.page)
    return Response(text, media_type=content_type)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
