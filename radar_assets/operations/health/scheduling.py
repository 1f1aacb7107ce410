"""Health checks of what does the work: the daemon, and the queues of runs and messages."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from radar_assets.alerts.watchers import daemon_seen
from radar_assets.operations.health.probes import Found, Probe, Unhealthy
from radar_assets.store.database import Store
from radar_assets.store.models import Delivery
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from dagster import DagsterInstance

MAX_HEARTBEAT_AGE = timedelta(minutes=5)
MAX_QUEUED = timedelta(hours=1)
"""How long a run may wait to start, unless it is part of a backfill, which may take a night."""
MAX_UNSENT = timedelta(minutes=30)
"""How long a message that is due may wait to be sent."""


def scheduling_probes(instance: "DagsterInstance", store: Store) -> Iterator[Probe]:
    """The checks of the daemon and the queues."""
    yield Probe("daemon", partial(_check_daemon, instance))
    yield Probe("queue of runs", partial(_check_runs, instance))
    yield Probe("queue of messages", partial(_check_messages, store))


def _check_daemon(instance: "DagsterInstance") -> Found:
    """Check the heartbeats of all required parts of the daemon."""
    seen = daemon_seen(instance)
    if seen is None:
        return Found("has not run yet")
    part, last = seen
    if utc_now() - last > MAX_HEARTBEAT_AGE:
        raise Unhealthy(f"{part} has sent no heartbeat since {last:%Y-%m-%d %H:%M} UTC; restart the daemon")
    return Found("all parts send heartbeats")


def _check_runs(instance: "DagsterInstance") -> Found:
    """Check how long runs wait to start."""
    from dagster import DagsterRunStatus, RunsFilter

    queued = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.QUEUED]), ascending=True)
    waiting = [record for record in queued if "dagster/backfill" not in record.dagster_run.tags]
    if not waiting:
        return Found(f"{len(queued):,} runs of backfills wait" if queued else "empty")
    since = waiting[0].create_timestamp
    since = since if since.tzinfo else since.replace(tzinfo=UTC)
    text = f"{_counted(len(waiting), 'run')} waiting, the first since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if datetime.now(UTC) - since > MAX_QUEUED:
        raise Unhealthy(f"{text}; look for runs that take their slots")
    return Found(text)


def _check_messages(store: Store) -> Found:
    """Check how long messages wait that are due."""
    now = utc_now()
    due = sa.and_(Delivery.state == "pending", Delivery.next_attempt_at <= now)
    columns = sa.select(sa.func.count(), sa.func.min(Delivery.next_attempt_at))
    with store.session(read_only=True) as session:
        count, since = session.execute(columns.where(due)).one()
    if not count:
        return Found("nothing is due")
    text = f"{_counted(count, 'message')} due, the first since {since:%Y-%m-%d %H:%M} UTC"
    if now - since > MAX_UNSENT:
        raise Unhealthy(f"{text}; check that the daemon runs deliver_alerts_job")
    return Found(text)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
