"""The store's alerts and deliveries as relations, for the table `alerts` and for queries."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from radar_assets.alerts.tables import ALERTS
from radar_assets.lakehouse.commits import Build, Commit
from radar_assets.lakehouse.files import STEP, Origin, from_unit, to_unit, unit_range
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import Lineage, load_model
from radar_assets.store.database import Store
from radar_assets.store.models import Alert, AlertBreach, AlertHour, Delivery
from radar_assets.windows import Window, contiguous

if TYPE_CHECKING:
    import pyarrow as pa

LAYER = "radar_assets.alerts"
_TYPES = {"string": "string", "long": "int64", "double": "float64", "timestamp": "timestamp[us]"}
DELIVERIES = {
    "delivery_id": "string",
    "channel": "string",
    "severity": "string",
    "state": "string",
    "notices": "long",
    "attempts": "long",
    "created_at": "timestamp",
    "next_attempt_at": "timestamp",
    "delivered_at": "timestamp",
    "error": "string",
}
"""Columns of the outbox as they can be queried, and their types."""


def last_version(store: Store) -> int:
    """The version of the last change of an alert."""
    with store.session(read_only=True) as session:
        return session.scalar(sa.select(sa.func.max(AlertHour.version))) or 0


def stale_hours(store: Store, alerts: Snapshot, *, newer_than: int = 0) -> tuple[dict[int, int], int]:
    """The hours whose alerts have changed since the table was built from them.

    Args:
        newer_than: look only at changes after this version.

    Returns:
        The version of the last change by hour since 1970, and the version of the last change of all.
    """
    with store.session(read_only=True) as session:
        latest = session.scalar(sa.select(sa.func.max(AlertHour.version))) or 0
        rows = session.execute(sa.select(AlertHour.hour, AlertHour.version).where(AlertHour.version > newer_than))
        changed = {to_unit(hour, "hour"): version for hour, version in rows}
    if not changed:
        return {}, latest
    span = Window(from_unit(min(changed), "hour"), from_unit(max(changed), "hour") + STEP["hour"])
    built: dict[int, int] = {}
    for ref in alerts.files(span):
        unit = ref.partition[0]
        if unit is not None:
            # The table is ahead of the store if that was restored from a backup.
            number = ref.built_from if ref.built_from <= latest else 0
            built[unit] = min(number, built.get(unit, number))
    return {unit: version for unit, version in changed.items() if version > built.get(unit, 0)}, latest


def kept_windows(store: Store, alerts: Snapshot, window: Window) -> list[Window]:
    """The hours of a window, without those whose alerts only the table has because the store has removed them."""
    # Hours whose alerts late data have cleared are stale.
    stale, _ = stale_hours(store, alerts)
    with store.session(read_only=True) as session:
        fired = session.scalars(
            sa.select(Alert.fired_at).where(Alert.fired_at >= window.start, Alert.fired_at < window.end)
        )
        stored = {to_unit(Window.of_hour(at).start, "hour") for at in fired}
    only_in_table = {ref.partition[0] for ref in alerts.files(window) if ref.rows}.difference(stored, stale)
    chosen = [from_unit(unit, "hour") for unit in range(*unit_range(ALERTS, window)) if unit not in only_in_table]
    return contiguous(chosen, STEP["hour"], len(chosen))


def rebuild_alerts(lakehouse: Lakehouse, store: Store, windows: Sequence[Window]) -> Commit:
    """Replace windows of the table `alerts` with the current alerts of the store."""
    model = load_model(LAYER, "alerts")

    def build(_: Snapshot) -> Build:
        version, relation = stored_alerts(store, windows)
        span = {"start": min(window.start for window in windows), "end": max(window.end for window in windows)}
        folder = lakehouse.catalog.data_folder(ALERTS)
        files = lakehouse.engine.write(model, {"stored_alerts": relation}, span, ALERTS, folder, Origin(version))
        return Build(files, dict.fromkeys(windows, Origin(version)), recorded=_changed_hours(store))

    return lakehouse.catalog.commit("alerts", build)


def _changed_hours(store: Store) -> set[int]:
    """The hours whose alerts have ever changed, since 1970."""
    with store.session(read_only=True) as session:
        return {to_unit(hour, "hour") for hour in session.scalars(sa.select(AlertHour.hour))}


def alerts_lineage(lakehouse: Lakehouse) -> Lineage:
    """Lineage of the table `alerts`: its columns come from the store, and so from no other table."""
    return lakehouse.lineage(load_model(LAYER, "alerts"), stored_alerts=ALERTS.column_names)


def stored_alerts(store: Store, windows: Sequence[Window]) -> "tuple[int, pa.Table]":
    """The alerts that fired in some windows, with the columns of the table, and the version that they include at least."""
    windows_of = sa.select(sa.func.count()).where(AlertBreach.alert_id == Alert.id).correlate(Alert).scalar_subquery()
    rows = []
    with store.session(read_only=True) as session:
        # Read before the alerts: a change in between makes the hour stale again.
        version = session.scalar(sa.select(sa.func.max(AlertHour.version))) or 0
        for window in windows:
            fired = sa.select(Alert, windows_of).where(Alert.fired_at >= window.start, Alert.fired_at < window.end)
            for alert, count in session.execute(fired):
                numbers = {"value": alert.details.get("value"), "threshold": alert.details.get("threshold") or 0.0}
                row = {name: getattr(alert, name, None) for name in ALERTS.column_names}
                rows.append({**row, "alert_id": alert.id, "windows": count, **numbers})
    return version, _relation({column.name: column.type for column in ALERTS.columns}, rows)


def deliveries(store: Store) -> "pa.Table":
    """The outbox, without the contents of the messages."""
    with store.session(read_only=True) as session:
        stored = session.execute(
            sa.select(
                Delivery.id,
                Delivery.channel,
                Delivery.priority,
                Delivery.state,
                Delivery.contents,
                Delivery.attempts,
                Delivery.created_at,
                Delivery.next_attempt_at,
                Delivery.delivered_at,
                Delivery.error,
            ).order_by(Delivery.created_at)
        )
        rows = [{**dict(zip(DELIVERIES, row, strict=True)), "notices": len(row.contents)} for row in stored]
    return _relation(DELIVERIES, rows)


def _relation(types: dict[str, str], rows: list[dict[str, object]]) -> "pa.Table":
    import pyarrow as pa

    schema = pa.schema([pa.field(name, pa.type_for_alias(_TYPES[kind])) for name, kind in types.items()])
    return pa.Table.from_pylist(rows, schema)
