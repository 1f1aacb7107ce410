"""Traces with OpenTelemetry: spans of requests, runs, steps, commits and deliveries, under one trace id where one causes the other.

Off, and nothing of OpenTelemetry is imported, unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a
collector. What crosses processes is a `traceparent` as W3C Trace Context defines it: in headers of HTTP, in a tag of runs, and in a
column of the outbox.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from radar_assets.environment import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
RUN_TAG = "radar/traceparent"
"""Tag of runs: the span that caused them."""
HEADER = "traceparent"
TIMEOUT_S = 5
"""How long the end of a process or run waits for a collector that doesn't answer."""
Kind = Literal["internal", "server", "producer", "consumer"]


def is_on() -> bool:
    """Whether spans are exported."""
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_disabled and any(os.environ.get(name) for name in ENDPOINTS)


@contextmanager
def span(
    name: str, *, parent: str | None = None, kind: Kind = "internal", attributes: Mapping[str, Any] | None = None
) -> "Iterator[Span | None]":
    """A span that lasts as long as the block, and fails if that raises. None if tracing is off.

    Args:
        parent: `traceparent` of what caused it in another process; the span then has its trace id, and is linked with the span that
            it is within, if any. Default: the span that it is within.
    """
    if not is_on():
        yield None
        return
    from opentelemetry import trace

    context = _context(parent) if parent else None
    within = trace.get_current_span().get_span_context()
    links = [trace.Link(within)] if context is not None and within.is_valid else []
    kinds = trace.SpanKind[kind.upper()]
    with (
        _provider(os.getpid())
        .get_tracer("radar")
        .start_as_current_span(name, context, kinds, dict(attributes or {}), links) as begun
    ):
        yield begun


def fail(of: "Span | None") -> None:
    """Mark a span as failed, where no exception passes through it."""
    if of is not None:
        from opentelemetry.trace import Status, StatusCode

        of.set_status(Status(StatusCode.ERROR))


def traceparent() -> str | None:
    """The span that the caller is within, for another process; None if there is none."""
    if not is_on():
        return None
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get(HEADER)


def trace_id() -> str:
    """The id of the trace that the caller is within, in hexadecimal digits; empty if there is none."""
    return (traceparent() or "").partition("-")[2][:32]


def flush() -> None:
    """Export the spans that have ended, before a process ends without running its exit handlers."""
    if is_on():
        _provider(os.getpid()).force_flush(TIMEOUT_S * 1000)


def name_trace_in_logs() -> None:
    """Make log records of this process end with the id of the trace that they were logged in. JSON logs have it as a field."""
    if not is_on() or getattr(logging.getLogRecordFactory(), "names_trace", False):
        return
    make = logging.getLogRecordFactory()

    def made(*args: Any, **fields: Any) -> logging.LogRecord:
        record = make(*args, **fields)
        # Dagster makes records without a name to learn what they have, and logs those of runs a second time.
        if record.name and not record.name.startswith(("opentelemetry", "urllib3")) and (found := trace_id()):
            suffix = f" trace_id={found}"
            message = record.getMessage()
            if not message.endswith(suffix):
                record.msg, record.args = message + suffix, None
        return record

    made.names_trace = True  # pyright: ignore[reportFunctionMemberAccess]
    logging.setLogRecordFactory(made)


class TracedRequests:
    """An ASGI application whose requests have spans. Responses have the id of the trace in the header X-Trace-Id."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = next((value.decode("latin-1") for name, value in scope["headers"] if name == HEADER.encode()), None)
        # Two parts of the path: what follows may be an id, and names of spans should be few.
        path = "/".join(scope["path"].split("/")[:3])
        about = {"http.request.method": scope["method"], "url.path": scope["path"]}
        with span(f"{scope['method']} {path}", parent=parent, kind="server", attributes=about) as begun:
            own = trace_id().encode()

            async def answer(message: "Message") -> None:
                if message["type"] == "http.response.start" and begun is not None:
                    message = {**message, "headers": [*message.get("headers", ()), (b"x-trace-id", own)]}
                    begun.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        fail(begun)
                await send(message)

            await self._app(scope, receive, answer)


def _context(parent: str) -> Any:
    """The context of a `traceparent`; None if it is invalid."""
    from opentelemetry import trace
    from opentelemetry.propagate import extract

    context = extract({HEADER: parent})
    return context if trace.get_current_span(context).get_span_context().is_valid else None


@cache
def _provider(process: int) -> "TracerProvider":
    """The exporter of a process. Its thread does not survive a fork, so each process has its own.

    Raises:
        SettingsError: the packages are missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(f"{ENDPOINTS[1]}: needs packages; install radar-assets[tracing]") from error
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override it.
    resource = Resource({"service.name": "radar", "process.pid": process}).merge(Resource.create())
    if resource.attributes.get("service.name", "").startswith("unknown_service"):  # pyright: ignore
        resource = resource.merge(Resource({"service.name": "radar"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=TIMEOUT_S)))
    return provider
