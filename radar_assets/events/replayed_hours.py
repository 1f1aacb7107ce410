"""The received hours that a replay of the landing zone has to rebuild. The others have nothing to rebuild."""

from datetime import datetime

from radar_assets.events.landing import list_hours
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.orchestration.automation import grid_tables
from radar_assets.windows import Window


def hours_with_data(lakehouse: Lakehouse, window: Window) -> list[datetime]:
    """The hours of a window with landed lines or files in a table, and those between them on the same day.

    An hour in between costs less than another run.
    """
    found = {hour for hour in list_hours(lakehouse.settings.landing_zone) if window.start <= hour < window.end}
    for table in grid_tables(lakehouse.tables, "hour"):
        # Late lines are in the hour in which they were received, and in that of their event.
        for index in range(len(table.partition_by)):
            changed = lakehouse.snapshot(table.name).changes(*[None] * index, window, index=index)
            found |= {from_unit(unit, "hour") for unit in changed}
    first = {hour.date(): hour for hour in sorted(found, reverse=True)}
    last = {hour.date(): hour for hour in sorted(found)}
    return [hour for hour in window.hours() if hour.date() in first and first[hour.date()] <= hour <= last[hour.date()]]
