"""Which windows can be judged yet: everything that landed for them has to be in the tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from radar_assets.alerts.measuring import TABLE
from radar_assets.alerts.rules import WindowName
from radar_assets.calendar import Zones, bounds_of
from radar_assets.events.contract import CLOCK_TOLERANCE
from radar_assets.events.landing import COLLECTED
from radar_assets.events.loading import missing_segments
from radar_assets.lakehouse.files import EPOCH, from_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.staleness import changed_hours, stale
from radar_assets.windows import DAY, HOUR, Window, contiguous

MAX_CLOCK_CHANGE = timedelta(hours=2)
"""Clock changes make a day longer or shorter by at most this. A day on which a project changes its time zone may have 1 or 47 hours,
and would look like an outage or a rush.
"""


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
    """Starts of the hours or five minutes with landed events that are not in the tables yet."""
    spans = contiguous(starts, step, len(starts))
    late = _late_hours(lakehouse, tables, spans, now)
    return {start for start in starts if any(Window(start, start + step).overlaps(stretch) for stretch in late)}


def unsettled_days(
    lakehouse: Lakehouse,
    tables: Mapping[str, Snapshot],
    starts: set[datetime],
    now: datetime,
    zones: Mapping[str, Zones],
) -> dict[str, set[datetime]]:
    """The days that can't be judged yet, or never, by key of time zones.

    For the projects in these time zones, they have not ended, events of theirs have landed that are not in the tables yet, or they
    have too few or too many hours to compare.
    """
    calendar = lakehouse.calendar()
    spans = contiguous(starts, DAY, len(starts))
    late = _late_hours(lakehouse, tables, [calendar.hours_of(span) for span in spans], now)
    late_days: set[datetime] = set()
    changed: dict[datetime, list[Window]] = {}
    for child, parent in zip(tables.values(), list(tables.values())[1:], strict=False):
        for span in spans if child.table.grid == "day" else ():
            if child.table.has_days_of_hours:
                found = changed_hours(parent, child, calendar, span)
                changed |= {from_unit(number, "day"): hours for number, hours in found.items()}
            else:
                late_days |= {from_unit(number, "day") for number in stale(parent, child, calendar, within=span)}

    def is_settled(start: datetime, own: Zones) -> bool:
        hours = bounds_of(own, Window(start, start + DAY))
        return (
            hours is not None
            and hours.end <= now - settling_time(lakehouse)
            and abs(hours.end - hours.start - DAY) <= MAX_CLOCK_CHANGE
            and start not in late_days
            and not any(hours.overlaps(stretch) for stretch in (*late, *changed.get(start, ())))
        )

    return {key: {start for start in starts if not is_settled(start, own)} for key, own in zones.items()}


def _late_hours(
    lakehouse: Lakehouse, tables: Mapping[str, Snapshot], spans: Sequence[Window], now: datetime
) -> list[Window]:
    """The stretches of time around some spans with landed events that are not in the hourly tables yet."""
    late = _pending(lakehouse, tables["raw_events"], spans, now)
    calendar = lakehouse.calendar()
    for child, parent in zip(tables.values(), list(tables.values())[1:], strict=False):
        for span in spans if child.table.grid == "hour" else ():
            found = stale(parent, child, calendar, within=span.widen(HOUR))
            late += [Window.of_hour(from_unit(number, "hour")) for number in found]
    return late


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
