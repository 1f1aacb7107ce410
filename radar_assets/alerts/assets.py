"""The assets of the alerts layer: the table of alerts, and the deliveries of messages about them."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from radar_assets.alerts.export import alerts_lineage, kept_windows, rebuild_alerts, stale_hours
from radar_assets.alerts.settings import AlertSettings
from radar_assets.alerts.tables import ALERTS, LAYER
from radar_assets.lakehouse.files import from_unit, unit_range
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.messaging import outbox
from radar_assets.metrics.registry import Metric
from radar_assets.orchestration.checks import EXAMPLES, checks_of
from radar_assets.orchestration.factory import OWNERS, table_options
from radar_assets.orchestration.job_kinds import NOTIFICATIONS
from radar_assets.orchestration.materialization import INCREMENTAL_TAG, materialized, partition_window
from radar_assets.store.database import Store
from radar_assets.store.models import Delivery
from radar_assets.windows import HOUR, Grids, contiguous, utc_now

if TYPE_CHECKING:
    from radar_assets.messaging.deliverer import PassResult

logger = logging.getLogger(__name__)

REPORTED_FOR = timedelta(days=30)
"""How long an undelivered message fails the check, unless it is retried or dropped."""


def build_assets(
    grids: Grids, metrics: Sequence[Metric], settings: AlertSettings, lakehouse: Lakehouse
) -> list[dg.AssetsDefinition]:
    """The assets of the layer, on the given grids."""

    # Built from the store, but shown after the metrics that its rules are about.
    options = {**table_options(ALERTS, LAYER, grids, alerts_lineage(lakehouse)), "deps": ["hourly_metrics"]}

    @dg.asset(**options, output_required=False)
    def alerts(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> Iterator[dg.MaterializeResult]:
        window, snapshot = partition_window(context), lakehouse.snapshot("alerts")
        if INCREMENTAL_TAG in context.run.tags:
            stale, _ = stale_hours(store, snapshot)
            inside = [from_unit(unit, "hour") for unit in stale if unit in range(*unit_range(ALERTS, window))]
            windows = contiguous(inside, HOUR, len(inside))
        else:
            windows = kept_windows(store, snapshot, window)
        if windows:
            yield materialized(context, lakehouse, rebuild_alerts(lakehouse, store, windows))

    @dg.asset(
        group_name="alerts",
        owners=OWNERS,
        deps=["alerts"],
        kinds={"email", "webhook"},
        # It limits runs; `outbox.MAX_IN_FLIGHT` limits how many messages are sent at once.
        pool=NOTIFICATIONS.pool,
        description="Sends messages about alerts: one pass over the outbox. Delivery is at least once; retries reuse the id.",
    )
    def alert_deliveries(
        lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult:
        done = deliver_due(lakehouse, store, metrics, settings)
        return dg.MaterializeResult(
            metadata={
                "sent": done.count("sent"),
                "failed": done.count("failed"),
                "dead": done.count("dead"),
                "dropped": done.dropped,
                "suppressed": done.count("suppressed"),
                "waiting": outbox.count_waiting(store),
                "latest": _shown(outbox.latest(store, limit=EXAMPLES)),
            }
        )

    return [alerts, alert_deliveries]  # pyright: ignore[reportReturnType] - the decorator makes them definitions


def build_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the layer's own assets; those of rules are in `checks.py`."""

    @dg.asset_check(
        asset="alert_deliveries",
        description="No message of the last 30 days was given up. `radar deliveries` lists, retries and drops them.",
    )
    def every_delivery_arrived(store: dg.ResourceParam[Store]) -> dg.AssetCheckResult:
        since = utc_now() - REPORTED_FOR
        dead = [row for row in outbox.latest(store, ["dead"], limit=1000) if row.created_at >= since]
        metadata: dict[str, Any] = {"dead": len(dead)}
        if dead:
            metadata["faults"] = _shown(dead[:EXAMPLES])
        return dg.AssetCheckResult(passed=not dead, severity=dg.AssetCheckSeverity.ERROR, metadata=metadata)

    return [checks_of(ALERTS, []), every_delivery_arrived]


def deliver_due(lakehouse: Lakehouse, store: Store, metrics: Sequence[Metric], settings: AlertSettings) -> "PassResult":
    """Send due messages, in one pass of the deliverer over the channels that were applied."""
    from radar_assets.alerts import run_events
    from radar_assets.alerts.links import links_of
    from radar_assets.alerts.measuring import history
    from radar_assets.alerts.notices import KIND, Notice
    from radar_assets.alerts.rendering import renderer
    from radar_assets.messaging.channel import Transport
    from radar_assets.messaging.channels import load_channels
    from radar_assets.messaging.deliverer import deliver, rendering
    from radar_assets.messaging.suppression import suppressed

    def values(notice: Notice) -> Sequence[tuple[datetime, float]]:
        try:
            return history(lakehouse, notice, metrics)
        except Exception:
            # The message is worth sending without its chart.
            logger.exception("The values around the breach of %s could not be read", notice.rule)
            return ()

    transport = Transport.of(settings, partial(suppressed, store))
    alerts = renderer(values, links_of(settings.ui_url, settings.home))
    renderers = {KIND: alerts, run_events.KIND: run_events.render}
    return deliver(store, load_channels(store), rendering(renderers, transport))


def _shown(rows: Sequence[Delivery]) -> dg.TableMetadataValue:
    """Deliveries as a table, without their contents."""
    records = [
        dg.TableRecord(
            {
                "delivery": row.id,
                "channel": row.channel,
                "state": row.state,
                "notices": len(row.contents),
                "attempts": row.attempts,
                "created_at": f"{row.created_at:%Y-%m-%d %H:%M:%S}",
                "error": row.error or "",
            }
        )
        for row in rows
    ]
    columns = {"delivery": "string", "channel": "string", "state": "string", "notices": "int", "attempts": "int"}
    columns |= {"created_at": "string", "error": "string"}
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table(records, schema=schema)
