"""Which windows can be judged yet: everything that landed for them has to be in the tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from radar_assets.alerts.measuring import TABLE
from radar_assets.alerts.rules import WindowName
from radar_assets.events.contract import CLOCK_TOLERANCE
from radar_assets.events.landing import COLLECTED
from radar_assets.events.loading import missing_segments
from radar_assets.lakehouse.files import EPOCH, STEP, from_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.staleness import stale
from radar_assets.windows import DAY, Window, contiguous


def settling_time(lakehouse: Lakehouse) -> timedelta:
    """How long after its end a window can't be judged, because its last lines are in a segment that the collector has yet to close."""
    return timedelta(seconds=lakehouse.settings.segment_age_s + 20)


def tables_of(lakehouse: Lakehouse, window: WindowName) -> dict[str, Snapshot]:
    """The table that holds the windows and its inputs, each read before its input, so that commits in between show as staleness."""
    table = lakehouse.tables[TABLE[window]]
    return {each.name: lakehouse.snapshot(each.name) for each in (table, *table.origins)}


def unsettled_windows(
    lakehouse: Lakehouse, tables: Mapping[str, Snapshot], starts: set[datetime], step: timedelta, now: datetime
) -> set[datetime]:
    """Starts of the windows with landed events that are not in the tables yet."""
    calendar = lakehouse.calendar()

    def hours_of(window: Window) -> Window:
        return calendar.hours_of(window) if step == DAY else window

    spans = contiguous(starts, step, len(starts))
    late: dict[str, list[Window]] = {"hour": _pending(lakehouse, tables["raw_events"], list(map(hours_of, spans)), now)}
    for child, parent in zip(tables, list(tables)[1:], strict=False):
        unit = tables[child].table.grid
        for span in spans:
            within = (span if unit == "day" else hours_of(span)).widen(STEP[unit])
            late.setdefault(unit, []).extend(
                Window(from_unit(number, unit), from_unit(number, unit) + STEP[unit])
                for number in stale(tables[parent], tables[child], calendar, within=within)
            )
    return {
        window.start
        for window in (Window(start, start + step) for start in starts)
        if any(hours_of(window).overlaps(stretch) for stretch in late["hour"])
        or any(window.overlaps(stretch) for stretch in late.get("day", ()))
    }


def _pending(lakehouse: Lakehouse, raw_events: Snapshot, spans: Sequence[Window], now: datetime) -> list[Window]:
    """For each segment that is not loaded, the span of time that its events may belong to.

    Senders' clocks may be ahead by the tolerance of the contract. Older events are late, and their windows are judged again. A segment
    that can't be loaded only holds up the windows of its hour.
    """
    begin = lakehouse.settings.start_date
    first = datetime(begin.year, begin.month, begin.day)
    hours = {hour for span in spans for hour in span.widen(CLOCK_TOLERANCE, timedelta(0)).hours()}
    on_grid = sorted(hour for hour in hours if first <= hour <= now)
    age = timedelta(seconds=lakehouse.settings.segment_age_s)
    stretches = []
    for segment in missing_segments(lakehouse, raw_events, on_grid) if on_grid else []:
        received = Window.of_hour(segment.received_hour)
        # The collector opened its segment at most this long before closing it. A segment from elsewhere may hold any line of its hour.
        opened = EPOCH + timedelta(microseconds=segment.modified_ns // 1000) - age
        is_collected = segment.name.startswith(COLLECTED) and received.start < opened < received.end
        start = opened if is_collected else received.start
        stretches.append(Window(start, received.end + CLOCK_TOLERANCE))
    return stretches
