"""Results of health checks in the operational store."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import sqlalchemy as sa

from radar_assets.operations.health.probes import Result
from radar_assets.store.database import Store
from radar_assets.store.models import HealthResult

KEPT_FOR = timedelta(days=7)


def record(store: Store, results: Sequence[Result]) -> None:
    """Add results, and remove those that are older than a week."""
    if not results:
        return
    newest = max(result.checked_at for result in results)
    with store.session() as session:
        session.execute(sa.insert(HealthResult), [asdict(result) for result in results])
        session.execute(sa.delete(HealthResult).where(HealthResult.checked_at < newest - KEPT_FOR))


def latest(store: Store) -> list[HealthResult]:
    """The results of the last round of checks, by component."""
    newest = sa.select(sa.func.max(HealthResult.checked_at)).scalar_subquery()
    with store.session(read_only=True) as session:
        last = session.scalar(sa.select(newest))
        if last is None:
            return []
        # The checks of a round begin within moments of each other.
        since = HealthResult.checked_at > last - timedelta(minutes=1)
        return list(session.scalars(sa.select(HealthResult).where(since).order_by(HealthResult.component)))


def free_history(store: Store, component: str, since: datetime) -> list[tuple[datetime, int]]:
    """Free bytes of a disk by time, the oldest first."""
    columns = sa.select(HealthResult.checked_at, HealthResult.free_bytes)
    of_disk = HealthResult.component == component, HealthResult.free_bytes.is_not(None)
    query = columns.where(*of_disk, HealthResult.checked_at >= since).order_by(HealthResult.checked_at)
    with store.session(read_only=True) as session:
        return [(at, free) for at, free in session.execute(query)]
