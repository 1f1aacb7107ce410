"""Metrics for Prometheus and structured logs of the collector. Neither contains keys or bodies."""

import json
import logging
import os
import time
import traceback
from collections import Counter as Tally
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from radar_assets import tracing

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the folder in which workers share their metrics. The Prometheus client reads it when it is imported."""
_LOG = logging.getLogger("radar.requests")
_RARELY_S = 60
_MAX_CALLS = 8
"""Number of the innermost calls of an error that are logged."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Telemetry:
    """The metrics of one worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "radar_requests", "Requests answered.", ("protocol", "outcome"), registry=self._registry
        )
        self.events = Counter("radar_events", "Events made durable.", ("protocol",), registry=self._registry)
        self.dropped = Counter(
            "radar_dropped_events", "Events that were not accepted.", ("protocol", "reason"), registry=self._registry
        )
        self.body_bytes = Counter(
            "radar_body_bytes", "Bytes of bodies, as sent.", ("protocol",), registry=self._registry
        )
        self.seconds = Histogram(
            "radar_request_seconds",
            "Time until the response.",
            ("protocol",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.journal_seconds = Histogram(
            "radar_journal_seconds", "Time until lines are durable.", buckets=_SECONDS, registry=self._registry
        )
        self.journal_groups = Counter(
            "radar_journal_groups",
            "Writes to the disk or the object store; each holds the lines of many requests.",
            registry=self._registry,
        )
        self.journal_bytes = Counter("radar_journal_bytes", "Bytes of lines made durable.", registry=self._registry)
        self.unexpected_errors = Counter(
            "radar_unexpected_errors", "Unexpected errors.", ("protocol",), registry=self._registry
        )
        self.unknown_paths = Counter(
            "radar_unknown_paths",
            "Requests for unknown paths or in another product's format, by the product whose SDK probably sent them.",
            ("protocol",),
            registry=self._registry,
        )
        self._logged_at: dict[tuple[str, ...], float] = {}
        self._unlogged: Tally[tuple[str, ...]] = Tally()

    def answered(self, protocol: str, outcome: str, duration_s: float, body_bytes: int, events: int) -> None:
        """Count a request. Refused ones are logged, each kind at most once a second."""
        self.requests.labels(protocol, outcome).inc()
        self.seconds.labels(protocol).observe(duration_s)
        self.body_bytes.labels(protocol).inc(body_bytes)
        if outcome == "accepted":
            return
        fields = {"protocol": protocol, "outcome": outcome, "duration_ms": round(duration_s * 1000, 1)}
        more = {"body_bytes": body_bytes, "events": events}
        self._log(logging.WARNING, "request refused", (protocol, outcome), 1, {**fields, **more})

    def failed(self, protocol: str, error: Exception) -> None:
        """Count an unexpected error. Each kind is logged at most once a minute, without its message, which may quote a body."""
        self.unexpected_errors.labels(protocol).inc()
        kind = type(error).__name__
        frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        calls = [f"{Path(code.co_filename).name}:{line} {code.co_name}" for code, line in frames[-_MAX_CALLS:]]
        fields = {"protocol": protocol, "error": kind, "calls": calls}
        self._log(logging.ERROR, "unexpected error", ("failed", protocol, kind), _RARELY_S, fields)

    def path_unknown(self, protocol: str) -> None:
        """Count a request for an unknown path; each protocol is logged at most once a minute."""
        self.unknown_paths.labels(protocol).inc()
        self._log(logging.WARNING, "unknown path", ("unknown", protocol), _RARELY_S, {"protocol": protocol})

    def _log(self, level: int, message: str, kind: tuple[str, ...], pause_s: float, fields: dict[str, Any]) -> None:
        """Log a line, unless one of its kind was logged less than `pause_s` ago."""
        now = time.monotonic()
        if now - self._logged_at.get(kind, float("-inf")) < pause_s:
            self._unlogged[kind] += 1
            return
        self._logged_at[kind] = now
        _LOG.log(level, message, extra={"fields": {**fields, "unlogged_before": self._unlogged.pop(kind, 0)}})

    def stored(self, size_bytes: int) -> None:
        """Count a durable group of lines."""
        self.journal_groups.inc()
        self.journal_bytes.inc(size_bytes)

    def page(self) -> tuple[bytes, str]:
        """The metrics of all workers in Prometheus' text format, and its content type."""
        registry = self._registry
        if MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST


class JsonFormatter(logging.Formatter):
    """Formats a log record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **getattr(record, "fields", {}),
        }
        if trace := tracing.trace_id():
            line["trace_id"] = trace
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"alembic": {"level": "WARNING"}},
}
"""Uvicorn's own log of requests is left out: it has query strings, and those have keys."""
