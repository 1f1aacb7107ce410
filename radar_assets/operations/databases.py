"""The maintenance of the databases: Dagster's storage and the operational store, one asset each."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from radar_assets.access import audit, browser_sessions
from radar_assets.alerts import records
from radar_assets.messaging import outbox
from radar_assets.operations.settings import OperationsSettings
from radar_assets.store.database import Store, shrink
from radar_assets.windows import utc_now


def build_assets(settings: OperationsSettings, options: dict[str, Any]) -> list[dg.AssetsDefinition]:
    """The assets of both databases.

    Args:
        options: arguments of `dagster.asset` that all maintenance has in common.
    """

    @dg.asset(
        **options,
        description="Removes the logs of old successful runs, old runs and ended backfills from Dagster's storage. The latest "
        "materialization of each partition and the latest result of each check stay.",
    )
    def dagster_storage(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from radar_assets.orchestration.runtime.pruning import DagsterDatabase

        database = DagsterDatabase(context.instance)
        before = asdict(database.size())
        database.prune(settings, utc_now())
        database.vacuum()
        after = asdict(database.size())
        return dg.MaterializeResult(
            metadata={
                f"{name} {when}": size[name] for name in before for when, size in (("before", before), ("after", after))
            }
        )

    @dg.asset(
        **options,
        description="Removes old alerts that ended, old messages that are finished, sessions of browsers that ended, and old entries "
        "of the audit log from the store. Open alerts and undelivered messages stay. Fails if the audit log is not intact.",
    )
    def operational_store(store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        now = utc_now()
        removed = {
            "alerts": records.remove_old(store, now - timedelta(days=settings.alerts_days)),
            "messages": outbox.remove_old(store, now - timedelta(days=settings.deliveries_days)),
            "sessions": browser_sessions.delete_ended(store),
        }
        key = audit.signing_key(settings.home)
        try:
            removed["audit entries"] = audit.expire(store, now - timedelta(days=settings.audit_days), key)
        finally:
            if store.engine.dialect.name == "sqlite":
                shrink(store.engine.url.database or "")
        return dg.MaterializeResult(metadata={f"removed {what}": count for what, count in removed.items()})

    return [dagster_storage, operational_store]  # pyright: ignore[reportReturnType] - the decorator makes them definitions
