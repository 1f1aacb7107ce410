"""The collector as an ASGI application: routes, and the translation between HTTP and doors.

It is built from the list of doors. What happens to a request is in `intake.py`.
"""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from radar_assets import tracing
from radar_assets.collector.addresses import kept_address
from radar_assets.collector.bodies import BusyError, DisconnectedError, SlowError, TooLargeError
from radar_assets.collector.door import Answer, Door, Outcome, Request, Sender
from radar_assets.collector.doors import DOORS
from radar_assets.collector.intake import RETRY_S, Verdict, asks_not_to_be_tracked
from radar_assets.collector.operator_routes import PRIVATE, operator_routes
from radar_assets.collector.settings import CollectorSettings
from radar_assets.collector.unknown_paths import unknown_path
from radar_assets.collector.worker import Worker, open_worker
from radar_assets.events.declarations import Declarations, nothing_declared
from radar_assets.windows import utc_now

LINGER_S = 2.0
"""How long a refused body is still read and discarded: most clients read the response only after sending everything."""


def create_app(settings: CollectorSettings, declared: Callable[[], Declarations]) -> Starlette:
    """The application as each worker of `radar collect` makes it; see `make_app`."""
    _end_with_parent()
    app = make_app(settings, declared)
    # Imported modules are never garbage. Without them, each collection blocks requests some milliseconds less.
    gc.freeze()
    return app


def make_app(
    settings: CollectorSettings,
    declared: Callable[[], Declarations] = nothing_declared,
    doors: Sequence[Door] = DOORS,
) -> Starlette:
    """The application. Its lifespan opens the store and the journal, and closes them once all lines are durable.

    Args:
        declared: returns what the team declares at present.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_worker(settings, declared) as worker:
            app.state.worker = worker
            yield

    endpoints = [Endpoint(door, path, method).route() for door in doors for method, path in door.routes]
    # Any page may send events and read live numbers with a key. Cookies give access to nothing.
    cors = Middleware(
        _DoorsCors,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    app = Starlette(
        routes=[*endpoints, *operator_routes(doors)],
        middleware=[*([Middleware(tracing.TracedRequests)] if tracing.is_on() else []), cors, Middleware(_Guard)],
        exception_handlers={404: unknown_path, 405: unknown_path},
        lifespan=lifespan,
    )
    # Clients drop the body when they follow a redirect.
    app.router.redirect_slashes = False
    return app


class _DoorsCors(CORSMiddleware):
    """CORS for the routes that pages use, and none for operators' routes, which pages must not read from inside a network."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_private = scope["type"] == "http" and scope["path"] in PRIVATE
        await (self.app if is_private else super().__call__)(scope, receive, send)


class _Guard:
    """Answers requests that fail unexpectedly with a short 500, and counts the error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            scope["app"].state.worker.telemetry.failed("other", error)
            # Fails if a response has begun; the server then closes the connection.
            with suppress(RuntimeError):
                await JSONResponse({"error": "unexpected"}, status_code=500)(scope, receive, send)


class Endpoint:
    """One route of a door, as an ASGI application: Starlette's requests and responses would double the cost of a request."""

    def __init__(self, door: Door, path: str, method: str) -> None:
        self._door, self._path, self._method = door, path, method

    def route(self) -> Route:
        """The route. HEAD is not handled like GET, since that would count an event."""
        route = Route(self._path, self, methods=[self._method])
        route.methods = {self._method}
        return route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process a request and respond."""
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
            worker.refused()
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
    is_untracked = worker.settings.respect_do_not_track and asks_not_to_be_tracked(headers)
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {},
        headers=headers,
        body=b"",
        received_at=received_at,
        sender=Sender(
            salts=partial(worker.salts.of, received_at),
            address=address,
            user_agent=headers.get("user-agent", ""),
            received_at=received_at,
            recent=None if is_untracked else worker.recent,
        ),
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
    return Verdict(Outcome.UNAVAILABLE, "too many large requests at once", retry_after_s=1)


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
    """Read and discard the body for a moment: a client whose connection is cut while it sends doesn't see the response."""
    if "expect" not in request.headers:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                    pass
    await send({"type": "http.response.body", "body": b""})


def _end_with_parent() -> None:
    """Shut down when the parent process is killed, since nothing else would stop its workers."""
    parent = multiprocessing.parent_process()
    if parent:

        def wait() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, daemon=True).start()
