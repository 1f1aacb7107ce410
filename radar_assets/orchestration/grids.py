"""The partition grids of a home: where they start, and which days they hold besides those of UTC."""

from collections.abc import Sequence
from datetime import datetime

from radar_assets.access.time_zones import known_calendar
from radar_assets.home import HomeSettings
from radar_assets.store.first_day import first_day
from radar_assets.windows import Grids, Window, utc_now


def load_grids(settings: HomeSettings, hours: Sequence[datetime] | None = None) -> Grids:
    """The grids of a home. Definitions that are loaded already keep theirs until they are reloaded, which the UI does.

    Args:
        hours: the only hours of the hourly grid, in order. Default: all.
    """
    start, calendar = first_day(settings), known_calendar(settings.database)
    first_hour = Window.of_hour(Window.of_day(start).start)
    return Grids(
        start,
        None if hours is None else tuple(hours),
        days_before=(start - calendar.days(first_hour)[0]).days,
        days_ahead=int(calendar.is_ahead(utc_now())),
    )
