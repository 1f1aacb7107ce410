"""A file of NDJSON to segments of the landing zone, against writing the same bytes once."""

import json
import os
import time
from pathlib import Path

from radar_assets_tests.benchmarks import traffic
from radar_assets_tests.benchmarks.measurement import Figure, Measured, measure

EVENTS = 1_000_000
THREADS = 2
LEAST_PER_S = 100_000
MAPPED = {"id": "event_id", "project": "project_id", "user": "user_id", "time": "timestamp"}
"""Renamed columns of the file, by field."""


def run(folder: Path, scale: float) -> list[Figure]:
    """Events per second: for canonical events, and for columns that are mapped."""
    file, renamed = folder / "events.ndjson", folder / "renamed.ndjson"
    lines = traffic.write_file(file, traffic.DAY, days=2, events=round(EVENTS * scale))
    _rename(file, renamed)
    copied_s = _copy(file, folder / "copy.ndjson")
    figures = [Figure("import", "writing the bytes once, durably", lines / copied_s, "events/s")]
    for name, source, mapping, least in (
        ("canonical NDJSON", file, {}, LEAST_PER_S),
        ("NDJSON with four columns mapped", renamed, {field: column for column, field in MAPPED.items()}, None),
    ):
        home = folder / source.stem
        environment = traffic.environment_of(home, home / "landing", threads=THREADS)
        done = measure("importing", source, json.dumps(mapping), environment=environment, log=folder / "import.log")
        figures += _figures(name, done, lines, lines / copied_s, least)
    return figures


def _figures(name: str, done: Measured, lines: int, floor: float, least: float | None) -> list[Figure]:
    return [
        Figure("import", name, lines / done.result["import_s"], "events/s", floor, at_least=least),
        Figure("import", f"{name}: processor time for a million", done.cpu_s * 1e6 / lines, "CPU s"),
        Figure("import", f"{name}: peak memory", done.peak_mb, "MB"),
    ]


def _rename(file: Path, renamed: Path) -> None:
    """Write the same events with renamed columns."""
    with file.open("rb") as source, renamed.open("wb") as target:
        for line in source:
            for column, field in MAPPED.items():
                line = line.replace(f'"{field}":'.encode(), f'"{column}":'.encode(), 1)  # noqa: PLW2901
            target.write(line)


def _copy(file: Path, target: Path) -> float:
    """Seconds to write a file's bytes and sync them."""
    began = time.monotonic()
    with file.open("rb") as source, target.open("wb") as copy:
        while chunk := source.read(2**20):
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return time.monotonic() - began
