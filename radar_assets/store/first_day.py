"""The first day of a home, on which its partitions start."""

from datetime import date

import sqlalchemy as sa

from radar_assets.settings import Settings
from radar_assets.store.database import existing_store
from radar_assets.store.models import HomeStart
from radar_assets.windows import utc_now


def first_day(settings: Settings) -> date:
    """The first day of the partition grids: RADAR_START_DATE if it is set, else the day recorded in the store.

    Definitions load before anything is made, so there may be no store yet, or one of an older schema.
    """
    if "start_date" in settings.model_fields_set:
        return settings.start_date
    store = existing_store(settings.database)
    if store is None:
        return max(utc_now().date(), settings.start_date)
    try:
        recorded = store.first_day() if sa.inspect(store.engine).has_table(HomeStart.__tablename__) else None
    finally:
        store.close()
    return settings.start_date if recorded is None else max(recorded, settings.start_date)
