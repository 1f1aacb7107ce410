"""The results of health checks, as rules that watch health judge them. The checks themselves belong to operations."""

from collections import defaultdict
from datetime import datetime

import sqlalchemy as sa

from radar_assets.store.database import Store
from radar_assets.store.models import HealthResult


def results_by_component(store: Store, since: datetime, until: datetime) -> dict[str, list[tuple[datetime, bool, str]]]:
    """The results of each component's checks in a span, in order: when, whether it passed, and what was found."""
    columns = sa.select(HealthResult.component, HealthResult.checked_at, HealthResult.ok, HealthResult.detail)
    query = columns.where(HealthResult.checked_at >= since, HealthResult.checked_at < until)
    found: dict[str, list[tuple[datetime, bool, str]]] = defaultdict(list)
    with store.session(read_only=True) as session:
        for component, at, ok, detail in session.execute(query.order_by(HealthResult.checked_at)):
            found[component].append((at, ok, detail))
    return found
