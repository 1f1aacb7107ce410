"""Salts: the daily secret for visitor ids of protocols that name no visitor.

All workers share it. It is deleted two days later, after which no id can be traced back to an address.
"""

import asyncio
import logging
import secrets
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from radar_assets.store.database import Store
from radar_assets.store.dialects import insert
from radar_assets.store.models import DailySalt
from radar_assets.windows import utc_now

_LOG = logging.getLogger(__name__)

SALT_BYTES = 32
LOOK_S = 600
"""How often the salts of today and tomorrow are checked."""


class Salts:
    """The salts of yesterday, today and tomorrow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._salts: dict[date, bytes] = {}

    def of(self, day: date) -> bytes:
        """The salt of a day; a salt of this process alone if the store was unavailable for a whole day."""
        return self._salts.get(day) or self._salts.setdefault(day, secrets.token_bytes(SALT_BYTES))

    async def refresh(self) -> None:
        """Ensure salts for today and tomorrow, and delete old ones; if the store is unavailable, the next call retries."""
        try:
            self._salts = await asyncio.to_thread(_exchange, self._store, utc_now().date())
        except SQLAlchemyError as error:
            _LOG.warning("salts can't be read: %s", type(error).__name__)

    async def keep_fresh(self) -> None:
        """Refresh periodically until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(LOOK_S)


def _exchange(store: Store, today: date) -> dict[date, bytes]:
    rows = [{"day": today + timedelta(days=ahead), "salt": secrets.token_bytes(SALT_BYTES)} for ahead in range(2)]
    with store.session() as session:
        session.execute(sa.delete(DailySalt).where(DailySalt.day < today - timedelta(days=1)))
        session.execute(insert(session, DailySalt).on_conflict_do_nothing(), rows)
        return {salt.day: salt.salt for salt in session.scalars(sa.select(DailySalt))}
