"""The collector over loopback against a bare loop that appends and syncs the same bytes in the same group sizes.

One process loads another, which has one or two workers; on two cores the three share them.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from radar_assets.windows import utc_now
from radar_assets_tests.benchmarks.measurement import Figure, measure
from radar_assets_tests.collector.processes import CollectorProcess, collecting

SECONDS = 10.0
BATCHES = (1, 20, 100)
"""Events per request."""
WORKERS = (1, 2)
CONNECTIONS = {1: 64, 20: 16, 100: 8}
"""By events per request: just enough to keep the workers busy, since each request waits for those before it."""
LEAST_REQUESTS, LEAST_EVENTS = 2_000, 50_000
LEAST_SHARE = 0.5
MAX_MS = 100
MEMORY_EVENTS = 1_000_000
MAX_GROWTH_MB = 32
_POOL_EVENTS = 2_000


class Run(NamedTuple):
    """A period of load.

    Attributes:
        events: number of acknowledged events.
        group_bytes, group_events: means of the journal's groups.
    """

    events: int
    requests_per_s: float
    events_per_s: float
    p50_ms: float
    p99_ms: float
    group_bytes: float
    group_events: float


def run(folder: Path, scale: float) -> list[Figure]:
    """Throughput, latency and memory.

    Args:
        scale: share of the ten seconds per figure, and of the million events.
    """
    figures: list[Figure] = []
    best_requests = best_events = 0.0
    for workers in WORKERS:
        with collecting(folder / f"workers-{workers}", workers) as collector:
            for batch in BATCHES:
                load = _Load(folder, collector, batch)
                load.run(1, 0)  # objects that are created at first use
                full = load.run(SECONDS * scale, 0)
                half = load.run(SECONDS * scale, full.requests_per_s / 2)
                best_requests = max(best_requests, full.requests_per_s)
                best_events = max(best_events, full.events_per_s)
                floor = bare_events_per_s(folder, full, SECONDS * scale / 2)
                name = f"{batch} events a request, {workers} {'worker' if workers == 1 else 'workers'}"
                figures += _figures(name, batch, full, half, floor)
    figures += [
        Figure("collect", "most requests", best_requests, "requests/s", at_least=LEAST_REQUESTS),
        Figure("collect", "most events", best_events, "events/s", at_least=LEAST_EVENTS),
    ]
    return [*figures, _memory(folder, scale)]


def _figures(name: str, batch: int, full: Run, half: Run, floor: float) -> list[Figure]:
    at_least = LEAST_SHARE * floor if batch == max(BATCHES) else None
    return [
        Figure("collect", name, full.events_per_s, "events/s", floor, at_least=at_least),
        Figure("collect", f"{name}: requests", full.requests_per_s, "requests/s"),
        Figure("collect", f"{name}: bytes that share a sync", full.group_bytes / 1000, "kB"),
        Figure("collect", f"{name}: p50 at full load", full.p50_ms, "ms"),
        Figure("collect", f"{name}: p99 at full load", full.p99_ms, "ms"),
        Figure("collect", f"{name}: p50 at half load", half.p50_ms, "ms"),
        Figure("collect", f"{name}: p99 at half load", half.p99_ms, "ms", at_most=MAX_MS),
    ]


class _Load:
    """Load on a collector, of requests with a fixed number of events."""

    def __init__(self, folder: Path, collector: CollectorProcess, batch: int) -> None:
        self._folder, self._collector, self._batch = folder, collector, batch
        self._requests = folder / f"requests-{batch}"
        with self._requests.open("wb") as file:
            for request in _requests(collector, batch):
                file.write(len(request).to_bytes(4) + request)

    def run(self, seconds: float, rate: float) -> Run:
        """Send load for a time, with a number of requests per second or, at 0, as many as get responses."""
        before = self._journal()
        arguments = (self._collector.port, self._requests, CONNECTIONS[self._batch], seconds, rate)
        result = measure("load", *arguments, environment={}, log=self._folder / "load.log").result
        groups, size_bytes = (after - first for after, first in zip(self._journal(), before, strict=True))
        requests_per_s = result["requests"] / result["took_s"]
        events = result["requests"] * self._batch
        return Run(
            events=events,
            requests_per_s=requests_per_s,
            events_per_s=requests_per_s * self._batch,
            p50_ms=result["p50_ms"],
            p99_ms=result["p99_ms"],
            group_bytes=size_bytes / groups,
            group_events=events / groups,
        )

    def _journal(self) -> tuple[float, float]:
        text = self._collector.request("GET", "/metrics").body.decode()
        found = dict(re.findall(r"^radar_journal_(groups|bytes)_total (\S+)$", text, re.MULTILINE))
        return float(found.get("groups", 0)), float(found.get("bytes", 0))


def _requests(collector: CollectorProcess, batch: int) -> Iterator[bytes]:
    """Requests of the simulator's events, as an SDK would send them."""
    from radar_assets.simulator.delivery import NO_ODDITIES
    from radar_assets.simulator.traffic import simulate

    day = utc_now().date() - timedelta(days=1)
    segments = simulate(day, 1, projects=1, events=_POOL_EVENTS, oddities=NO_ODDITIES)
    lines = b"".join(segment.lines for segment in segments).splitlines()
    made_by_collector = {"project_id", "received_at", "protocol"}
    events = [
        {name: value for name, value in json.loads(line).items() if name not in made_by_collector} for line in lines
    ]
    for start in range(0, len(events) - batch + 1, batch):
        body = json.dumps(events[start : start + batch], separators=(",", ":")).encode()
        head = [
            "POST /v1/events HTTP/1.1",
            f"Host: 127.0.0.1:{collector.port}",
            f"Authorization: Bearer {collector.keys['shop']}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        yield "\r\n".join([*head, "", ""]).encode() + body


def bare_events_per_s(folder: Path, full: Run, seconds: float) -> float:
    """Events per second that a loop makes durable by appending and syncing groups of the same size."""
    group = b"x" * round(full.group_bytes)
    path = folder / "bare"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began, groups = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.write(handle, group)
        os.fdatasync(handle)
        groups += 1
    took = time.perf_counter() - began
    os.close(handle)
    path.unlink()
    return groups / took * full.group_events


def _memory(folder: Path, scale: float) -> Figure:
    """Growth of a worker's memory while it receives a million events, after the first tenth."""
    with collecting(folder / "memory") as collector:
        load = _Load(folder, collector, max(BATCHES))
        events, first_mb = 0, 0.0
        while events < MEMORY_EVENTS * scale:
            events += load.run(1, 0).events
            if not first_mb and events >= MEMORY_EVENTS * scale / 10:
                first_mb = collector.peak_mb()
        grown_mb = collector.peak_mb() - first_mb
    name = f"peak memory at {events:,} events above that at a tenth of them, {first_mb:.0f} MB"
    return Figure("collect", name, grown_mb, "MB", at_most=MAX_GROWTH_MB)
