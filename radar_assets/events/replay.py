"""Rejected lines, landed again when the contract accepts them now: a rule was mended, or their project is known since.

They land byte for byte, as a segment of the present hour, unless an event of their id was accepted already. Where they first
landed they stay rejected until that hour is rebuilt, which accepts them there; either way they count once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from radar_assets.events.landing import Landing, Segment, list_hours, list_segments, write_segment
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import HOUR, Window, utc_now

LAYER = "radar_assets.events"
LINES_AT_ONCE = 1000

Outcome = Literal["rejected", "copy", "accepted"]
"""Of a rejected line: it still is; it would be accepted, but an event of its id was before; it is accepted now."""


@dataclass(frozen=True)
class Replay:
    """What became of rejected lines.

    Attributes:
        counts: lines by the reason that they were rejected for, and by outcome.
        segment: the accepted ones, landed; None if there are none, or if nothing was to be written.
        is_new: whether this replay wrote the segment, rather than an earlier one of the same lines.
    """

    counts: dict[tuple[str, Outcome], int]
    segment: Segment | None = None
    is_new: bool = False


def replay_rejected(
    lakehouse: Lakehouse,
    projects: list[str],
    *,
    reason: str | None = None,
    project: str | None = None,
    since: datetime | None = None,
    dry_run: bool = False,
) -> Replay:
    """Land again the rejected lines that the contract accepts now.

    Args:
        projects: ids of the known projects.
        reason: only lines that were rejected for this reason.
        project: only lines that name this project.
        since: only lines received in this hour or later (naive, UTC).
        dry_run: count them, but write nothing.

    Raises:
        OSError: the landing zone can't be written to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    engine = lakehouse.engine
    rejected = {"rejected_events": Files.of(lakehouse.snapshot("rejected_events"))}
    chosen = {"since": since or datetime(1970, 1, 1), "reason": reason, "project": project}
    known = pa.table({"project_id": pa.array(projects, pa.string())})
    start = {"start_date": lakehouse.settings.start_date}
    with (
        engine.staged(load_model(LAYER, "replay_candidates"), rejected, chosen) as candidates,
        engine.staged(load_model(LAYER, "raw_events"), {"lines": candidates, "projects": known}, start) as verdicts,
        engine.staged(
            load_model(LAYER, "replayed_lines"),
            {"candidates": candidates, "verdicts": verdicts, "raw_events": _events_of_the_time(lakehouse, verdicts)},
            {},
        ) as replayed,
    ):
        counted = pq.read_table(replayed, columns=["rejected_for", "outcome"]).group_by(["rejected_for", "outcome"])
        rows = counted.aggregate([([], "count_all")]).to_pylist()
        counts: dict[tuple[str, Outcome], int] = {
            (row["rejected_for"], row["outcome"]): row["count_all"] for row in rows
        }
        if dry_run or not any(outcome == "accepted" for _, outcome in counts):
            return Replay(counts)
        return _land(lakehouse.settings.landing_zone, replayed, counts)


def _events_of_the_time(lakehouse: Lakehouse, verdicts: Path) -> "Files":
    """The files of raw events that may hold copies of lines accepted now: an event and its copies are of one time."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    raw_events = lakehouse.snapshot("raw_events")
    times = pc.call_function("min_max", [pq.read_table(verdicts, columns=["event_time"])["event_time"]]).as_py()
    if times["min"] is None:
        return Files(raw_events.table, [])
    return Files.of(raw_events, None, Window(times["min"], times["max"]).widen(HOUR))


def _land(landing: Landing, replayed: Path, counts: dict[tuple[str, Outcome], int]) -> Replay:
    """Land the accepted lines under a name made from them, unless an earlier replay has."""
    digest = hashlib.sha256()
    for line in _accepted_lines(replayed):
        digest.update(line)
    name = f"replay-{digest.hexdigest()[:32]}"
    for hour in list_hours(landing):
        for segment in list_segments(landing, hour):
            if segment.name == name:
                return Replay(counts, segment)
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    return Replay(counts, write_segment(landing, now, name, _accepted_lines(replayed)), is_new=True)


def _accepted_lines(replayed: Path) -> Iterator[bytes]:
    """The accepted lines, each with its line feed, in the order in which they were received."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(replayed).iter_batches(LINES_AT_ONCE, columns=["line", "outcome"]):
        for line, outcome in zip(batch["line"].to_pylist(), batch["outcome"].to_pylist(), strict=True):
            if outcome == "accepted":
                yield line + b"\n"
