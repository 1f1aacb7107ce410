"""Salts: the secret of each date for visitor ids of protocols that name no visitor.

All workers share it. Depending on the time zone, a date begins up to 14 hours before midnight UTC and ends up to 12 hours after it.
Its salt is made before it begins anywhere. It is deleted within ten minutes once the date has ended everywhere and the next date has
ended in all projects: 24 hours after the end of the date with projects in UTC, at most 36. Then no id can be traced
back to an address.
"""

import asyncio
import logging
import secrets
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from radar_assets.access.keys import KeyRing
from radar_assets.access.time_zones import read_calendar
from radar_assets.collector.door import DaySalts
from radar_assets.store.database import Store
from radar_assets.store.dialects import insert
from radar_assets.store.models import DailySalt
from radar_assets.windows import DAY, Window, utc_now

_LOG = logging.getLogger(__name__)

SALT_BYTES = 32
LOOK_S = 600
"""How often the salts of present and coming dates are checked."""
AHEAD, BEHIND = timedelta(hours=14), timedelta(hours=12)
"""Offsets of the first and the last time zone in which a date begins."""


class Salts:
    """The salts of the dates of all time zones. Each project uses those of its own date.

    Args:
        keys: knows the projects of keys and their days.
    """

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store, self._keys = store, keys
        self._salts: dict[date, bytes] = {}
        self._days: dict[tuple[str, str], tuple[Window, date]] = {}

    def of(self, at: datetime, key: str) -> DaySalts:
        """The salts of the project of a key, at a time in UTC.

        If the store was unavailable for a whole day, they are salts of this process alone. For an unknown key, days are those of UTC.
        """
        grant = self._keys.known(key)
        hours, day = self._day(grant.project_id, at) if grant else (Window.of_day(at), at.date())
        return DaySalts(self._salt(day), self._salt(day - DAY), hours.end)

    def _day(self, project_id: str, at: datetime) -> tuple[Window, date]:
        """The day of a project and its hours, which are looked up once a day: requests are frequent."""
        calendar = self._keys.calendar
        key = calendar.revision, project_id
        found = self._days.get(key)
        if found is None or not found[0].start <= at < found[0].end:
            day = calendar.date_of(project_id, at)
            found = self._days[key] = calendar.bounds(project_id, Window.of_day(day)), day
        return found

    def _salt(self, day: date) -> bytes:
        return self._salts.get(day) or self._salts.setdefault(day, secrets.token_bytes(SALT_BYTES))

    async def refresh(self) -> None:
        """Ensure the salts of present and coming dates, and delete old ones; if the store is unavailable, the next call retries."""
        try:
            self._salts = await asyncio.to_thread(_exchange, self._store, utc_now())
        except SQLAlchemyError as error:
            _LOG.warning("salts can't be read: %s", type(error).__name__)

    async def keep_fresh(self) -> None:
        """Refresh periodically until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(LOOK_S)


def _exchange(store: Store, now: datetime) -> dict[date, bytes]:
    # The last date that has ended in all projects is still needed for visits across midnight.
    oldest = min(read_calendar(store).last_ended(now), (now - BEHIND).date())
    # One more than have begun somewhere, in case the store is unavailable when it begins.
    dates = Window(Window.of_day(oldest).start, now + AHEAD + DAY).days()
    rows = [{"day": day, "salt": secrets.token_bytes(SALT_BYTES)} for day in dates]
    with store.session() as session:
        session.execute(sa.delete(DailySalt).where(DailySalt.day < oldest))
        session.execute(insert(session, DailySalt).on_conflict_do_nothing(), rows)
        return {salt.day: salt.salt for salt in session.scalars(sa.select(DailySalt))}
