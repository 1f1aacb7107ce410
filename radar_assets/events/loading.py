"""Loads segments into `raw_events`: finds those missing in a window and adds them in one commit.

Each segment is in the table completely or not at all, and once: loaded segments are read from the rows of the same table state that
the commit is based on.
"""

import functools
import itertools
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from radar_assets.events.contract_sql import raw_events_model
from radar_assets.events.landing import Segment, list_segments, read_lines
from radar_assets.events.related_rows import affected_hours
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.commits import Build, Commit, discard
from radar_assets.lakehouse.files import NewFile, Origin, PartitionKey, from_unit, to_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import HOUR, Window, contiguous

if TYPE_CHECKING:
    import pyarrow as pa

LAYER = "radar_assets.events"
HOURS_A_PART = 24
BYTES_A_PART = 256 * 2**20
"""Limits of one part of a load. A part ends with the received hour that reaches either."""


def missing_segments(lakehouse: Lakehouse, raw_events: Snapshot, hours: list[datetime]) -> list[Segment]:
    """Segments in these received hours of the landing zone that are not in the table."""
    landed = [segment for hour in hours for segment in list_segments(lakehouse.settings.landing_zone, hour)]
    if not landed:
        return []
    loaded = loaded_segments(lakehouse, raw_events, hours)
    return [segment for segment in landed if (segment.received_hour, segment.name) not in loaded]


def loaded_segments(lakehouse: Lakehouse, raw_events: Snapshot, hours: list[datetime]) -> set[tuple[datetime, str]]:
    """Received hour and name of the segments in the table, for these hours."""
    paths = [path for window in contiguous(hours, HOUR, len(hours)) for path in raw_events.paths(window)]
    if not paths:
        return set()
    inputs = {"raw_events": Files(RAW_EVENTS, paths, raw_events.evolved)}
    rows = lakehouse.engine.query(load_model(LAYER, "loaded_segments"), inputs)
    return set(zip(rows["received_hour"].to_pylist(), rows["segment"].to_pylist(), strict=True))


def gone_segments(lakehouse: Lakehouse, window: Window) -> list[tuple[datetime, str]]:
    """Received hour and name of the loaded segments that are no longer in the landing zone, in order."""
    hours = window.hours()
    # The table first, because a segment may be removed from the landing zone at any time.
    loaded = loaded_segments(lakehouse, lakehouse.snapshot(RAW_EVENTS.name), hours)
    landed = (segment for hour in hours for segment in list_segments(lakehouse.settings.landing_zone, hour))
    return sorted(loaded.difference((segment.received_hour, segment.name) for segment in landed))


def load_raw_events(
    lakehouse: Lakehouse,
    projects: list[str],
    window: Window,
    *,
    only_missing: bool,
    is_pruned: bool = False,
    hours: Sequence[datetime] | None = None,
) -> tuple[Commit, int]:
    """Load the landing zone's segments of a window of received hours.

    Args:
        projects: ids of the known projects; events of others are rejected.
        hours: the hours of the window to load, in order. Default: all.
        only_missing: add only missing segments; otherwise rebuild the window from the landing zone.
        is_pruned: whether a rebuild drops the lines of segments that are no longer in the landing zone. By default it keeps them,
            because the landing zone may be archived or cleared once it is loaded.

    Returns:
        The commit, and the number of loaded segments that are no longer in the landing zone.
    """
    import pyarrow as pa

    chosen = window.hours() if hours is None else list(hours)
    known = pa.table({"project_id": pa.array(projects, pa.string())})
    parameters = {"start_date": lakehouse.settings.start_date}
    added: list[NewFile] = []
    gone: set[tuple[datetime, str]] = set()

    def build(base: Snapshot) -> Build:
        hours = chosen
        if only_missing:
            segments = missing_segments(lakehouse, base, hours)
            hours = sorted({segment.received_hour for segment in segments})
        else:
            # Before the landing zone, because a segment may be removed from it at any time.
            loaded = loaded_segments(lakehouse, base, hours)
            segments = [segment for hour in hours for segment in list_segments(lakehouse.settings.landing_zone, hour)]
            gone.clear()
            gone.update(loaded.difference((segment.received_hour, segment.name) for segment in segments))
        files: list[NewFile] = []
        try:
            if not is_pruned:
                files += _kept_lines(lakehouse, base, gone)
            for part in _parts(segments):
                files += lakehouse.engine.write(
                    raw_events_model(),
                    {"lines": functools.partial(_stream, part), "projects": known},
                    parameters,
                    RAW_EVENTS,
                    lakehouse.catalog.data_folder(RAW_EVENTS),
                )
        except BaseException:
            discard(files)
            raise
        added[:] = files
        return Build(files, dict.fromkeys(contiguous(hours, HOUR, len(hours)), Origin()), recorded=())

    def affected(head: Snapshot) -> frozenset[PartitionKey]:
        changed = [*added, *([] if only_missing else head.files(window))]
        unit = to_unit(window.start, "hour")
        return frozenset((unit, hour) for hour in affected_hours(lakehouse, head, changed))

    return lakehouse.catalog.commit("raw_events", build, replace=not only_missing, touch=affected), len(gone)


def touched_hours(commit: Commit) -> list[datetime]:
    """The event hours that a load changed."""
    return [from_unit(hour, "hour") for hour in sorted({key[1] for key in commit.partitions if key[1] is not None})]


def _kept_lines(lakehouse: Lakehouse, base: Snapshot, gone: Collection[tuple[datetime, str]]) -> Iterator[NewFile]:
    """Write the lines of segments of the table again."""
    import pyarrow as pa

    hours = sorted({hour for hour, _ in gone})
    for first in range(0, len(hours), HOURS_A_PART):
        part = hours[first : first + HOURS_A_PART]
        segments = [
            {"received_hour": hour, "segment": name} for hour, name in sorted(gone) if part[0] <= hour <= part[-1]
        ]
        schema = pa.schema({"received_hour": pa.timestamp("us"), "segment": pa.string()})
        inputs = {
            "raw_events": Files.within(base, [Window.of_hour(hour) for hour in part]),
            "gone": pa.Table.from_pylist(segments, schema),
        }
        folder = lakehouse.catalog.data_folder(RAW_EVENTS)
        yield from lakehouse.engine.write(load_model(LAYER, "kept_lines"), inputs, {}, RAW_EVENTS, folder)


def _parts(segments: list[Segment]) -> Iterator[list[Segment]]:
    """Split segments into parts with few partitions each. Late lines add a partition for each hour that they are late."""
    part: list[Segment] = []
    hours: set[datetime] = set()
    size_bytes = 0
    for segment in segments:
        if segment.received_hour not in hours and (len(hours) == HOURS_A_PART or size_bytes >= BYTES_A_PART):
            yield part
            part, hours, size_bytes = [], set(), 0
        part.append(segment)
        hours.add(segment.received_hour)
        size_bytes += segment.size_bytes
    if part:
        yield part


def _stream(segments: list[Segment]) -> "pa.RecordBatchReader":
    import pyarrow as pa

    batches = read_lines(segments)
    first = next(batches)
    return pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
