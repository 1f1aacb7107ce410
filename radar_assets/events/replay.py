"""Replays rejected lines that the contract now accepts, after a contract fix or once the project exists.

They land unchanged, in a segment of the current hour, unless an event with the same id was accepted before. In their original hour
they stay rejected until it is rebuilt, which accepts them there. Either way they count once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from radar_assets.events.contract_sql import raw_events_model
from radar_assets.events.landing import Landing, Segment, list_hours, list_segments, write_segment
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import HOUR, Window, utc_now

LAYER = "radar_assets.events"
LINES_AT_ONCE = 1000

Outcome = Literal["rejected", "copy", "accepted"]
"""Result for a rejected line: still rejected; a copy of an event that was accepted before; or accepted."""


@dataclass(frozen=True)
class Replay:
    """Result of a replay.

    Attributes:
        counts: lines by their reason of rejection and by outcome.
        segment: segment of the accepted lines; None if there are none, or for a dry run.
        is_new: whether this replay wrote the segment, and not an earlier replay of the same lines.
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
    """Land the rejected lines again that the contract now accepts.

    Args:
        projects: ids of the known projects.
        reason: replay only lines rejected for this reason.
        project: replay only lines of this project.
        since: replay only lines received in this hour or later (naive, UTC).
        dry_run: count the lines, but write nothing.

    Raises:
        OSError: the landing zone is not writable.
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
        engine.staged(raw_events_model(), {"lines": candidates, "projects": known}, start) as verdicts,
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
    """The files of raw events that may hold copies of the accepted lines. An event and its copies have about the same time."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    raw_events = lakehouse.snapshot("raw_events")
    times = pc.call_function("min_max", [pq.read_table(verdicts, columns=["event_time"])["event_time"]]).as_py()
    if times["min"] is None:
        return Files(raw_events.table, [])
    return Files.of(raw_events, None, Window(times["min"], times["max"]).widen(HOUR))


def _land(landing: Landing, replayed: Path, counts: dict[tuple[str, Outcome], int]) -> Replay:
    """Land the accepted lines in a segment named by their hash, unless an earlier replay did."""
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
    """The accepted lines with line feeds, in order of receipt."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(replayed).iter_batches(LINES_AT_ONCE, columns=["line", "outcome"]):
        for line, outcome in zip(batch["line"].to_pylist(), batch["outcome"].to_pylist(), strict=True):
            if outcome == "accepted":
                yield line + b"\n"
