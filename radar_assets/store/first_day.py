"""The first day of a home, on which its partitions start."""

from datetime import date

import sqlalchemy as sa

from radar_assets.home import HomeSettings
from radar_assets.store.database import Store, existing_store
from radar_assets.store.models import HomeStart
from radar_assets.windows import utc_now


def first_day(settings: HomeSettings) -> date:
    """The first day of the partition grids: RADAR_START_DATE if it is set, else the day recorded in the store.

    Definitions load before anything is made, so there may be no store yet, or one of an older schema.
    """
    if "start_date" in settings.model_fields_set:
        return settings.start_date
    store = existing_store(settings.database)
    if store is None:
        return max(utc_now().date(), settings.start_date)
    try:
        recorded = recorded_first_day(store) if sa.inspect(store.engine).has_table(HomeStart.__tablename__) else None
    finally:
        store.close()
    return settings.start_date if recorded is None else max(recorded, settings.start_date)


def recorded_first_day(store: Store) -> date | None:
    """The recorded first day of the home; None for homes from before it was recorded."""
    with store.session(read_only=True) as session:
        return session.scalar(sa.select(HomeStart.first_day))


def begin_by(store: Store, day: date) -> bool:
    """Move the recorded first day back to a day, if it is later. Returns whether it has moved.

    Definitions that are loaded already keep their partitions until they are reloaded, which the UI does.
    """
    recorded = recorded_first_day(store)
    if recorded is None or recorded <= day:
        return False
    with store.session() as session:
        session.execute(sa.update(HomeStart).where(HomeStart.first_day > day).values(first_day=day))
    return True
