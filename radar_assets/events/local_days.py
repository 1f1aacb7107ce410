"""The days of projects as inputs of models: events with their dates, for tables whose partitions are local days."""

from collections.abc import Mapping, Sequence

from radar_assets.calendar import Calendar
from radar_assets.events.tables import LAYER
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import Window

DAY_RELATIONS = {
    "utc_offsets": ("project_id", "starts_at", "ends_at", "utc_offset"),
    "dated_events": load_model(LAYER, "dated_events"),
}
"""Relations that models of local days read besides the tables: their columns, or the query."""


def dated_events(events: Files, calendar: Calendar, hours: Window) -> Inputs:
    """Events, and the same with their dates as `dated_events`.

    Args:
        hours: the window of UTC that holds the events.
    """
    return {
        "events": events,
        "utc_offsets": calendar.relation(hours),
        "dated_events": load_model(LAYER, "dated_events"),
    }


def local_days(tables: Mapping[str, Snapshot], days: Sequence[Window], calendar: Calendar) -> Inputs:
    """The files of tables that hold some days, and of `events` those of the hours of these days."""
    hours = [calendar.hours_of(window) for window in days]
    of_days = {name: Files.within(table, days) for name, table in tables.items() if table.table.grid == "day"}
    span = Window(min(window.start for window in hours), max(window.end for window in hours))
    return {**of_days, **dated_events(Files.within(tables["events"], hours), calendar, span)}
