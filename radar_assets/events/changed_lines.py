"""The landed lines behind the rows that differ between two snapshots of a table.

Each data file records the state of its input that it was built from. Following this from table to table leads to the two states of
`raw_events` that the rows come from, whenever those lines landed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from radar_assets.events.tables import LAYER, RAW_EVENTS, SESSIONS
from radar_assets.lakehouse.diff import Difference, files_beyond
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.table import Table
from radar_assets.windows import DAY, Window


@dataclass(frozen=True)
class ChangedLine:
    """A line that was loaded (`added`), dropped (`removed`), or judged differently (`changed`).

    Attributes:
        received_hour, segment, line_number: the line, as in `raw_events`.
        reason: why the contract rejects it; None if it is accepted.
    """

    change: str
    received_hour: datetime
    segment: str
    line_number: int
    event_id: str | None
    project_id: str | None
    event: str | None
    event_time: datetime | None
    reason: str | None


def has_lines(table: Table) -> bool:
    """Whether a table is built from landed lines."""
    return RAW_EVENTS in (table, *table.origins)


def changed_lines(
    lakehouse: Lakehouse, before: Snapshot, after: Snapshot, differences: Iterable[Difference]
) -> list[ChangedLine]:
    """The lines of the same projects in the windows of rows that differ, from before to after, in the order of their events.

    Where a window of a table built from visits has none, the lines of the days around it are returned: visits cross midnight.

    Args:
        before, after: snapshots of the table that the rows are in.

    Raises:
        SnapshotExpiredError: the history of a table in between does not reach back far enough.
    """
    table = after.table
    calendar = lakehouse.calendar()
    projects: dict[Window, set[Any]] = defaultdict(set)
    for difference in differences:
        row = {**(difference.after or difference.before or {}), **difference.key}
        for window in difference.windows(table):
            projects[window].add(row.get("project_id"))
    numbered = cache(lakehouse.catalog.snapshot_numbered)
    found: dict[tuple[datetime, str, int], ChangedLine] = {}
    for window in sorted(projects):
        hours = calendar.hours_of(window) if table.grid == "day" else window
        old, new = (_source(snapshot, window, hours, numbered) for snapshot in (before, after))
        own = {each: calendar.bounds(each, window) if table.grid == "day" else window for each in projects[window]}
        lines = _lines(lakehouse, table, old, new, own)
        missing = own.keys() - {line.project_id for line in lines}
        if missing and SESSIONS in (table, *table.origins):
            lines += _lines(lakehouse, table, old, new, {each: own[each].widen(DAY) for each in missing})
        found |= {(line.received_hour, line.segment, line.line_number): line for line in lines}
    return sorted(
        found.values(), key=lambda line: (line.event_time or line.received_hour, line.segment, line.line_number)
    )


def _source(
    snapshot: Snapshot, window: Window, hours: Window, numbered: Callable[[str, int], Snapshot]
) -> Snapshot | None:
    """The state of `raw_events` that the rows of a window were built from; None if the window was not built.

    Args:
        hours: those of the window, if it is a day.
    """
    while snapshot.table.inputs:
        present = snapshot.files(window if snapshot.table.grid == "day" else hours)
        built_from = max((ref.built_from for ref in present), default=0)
        if not built_from:
            return None
        snapshot = numbered(snapshot.table.inputs[0].name, built_from)
    return snapshot


def _lines(
    lakehouse: Lakehouse,
    table: Table,
    before: Snapshot | None,
    after: Snapshot | None,
    windows: Mapping[Any, Window],
) -> list[ChangedLine]:
    """The lines that differ, in a window of each project."""
    import pyarrow as pa

    chain = (table, *table.origins)
    index = chain[-2].time_field(RAW_EVENTS) if len(chain) > 1 else 0
    span = Window(min(each.start for each in windows.values()), max(each.end for each in windows.values()))
    limits = [*([None] * index), span]
    schema = pa.schema(
        [("project_id", pa.string()), ("starts_at", pa.timestamp("us")), ("ends_at", pa.timestamp("us"))]
    )
    wanted = [{"project_id": each, "starts_at": own.start, "ends_at": own.end} for each, own in windows.items()]
    relations: Mapping[str, Any] = {
        "lines_before": files_beyond(before, after, *limits) if before else Files(RAW_EVENTS, []),
        "lines_after": files_beyond(after, before, *limits) if after else Files(RAW_EVENTS, []),
        "wanted": pa.Table.from_pylist(wanted, schema),
    }
    model = load_model(LAYER, "changed_lines").with_fragments(time_column=RAW_EVENTS.partition_by[index][0])
    return [ChangedLine(**row) for row in lakehouse.engine.query(model, relations).to_pylist()]
