"""The asset of the platform's health, and its check."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.operations.health.probes import Result
from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.operations.settings import OperationsSettings
from radar_assets.orchestration.factory import OWNERS
from radar_assets.store.database import Store

CHECK = "platform_is_healthy"


def build_asset(settings: OperationsSettings, urls: Sequence[WatchedUrl]) -> dg.AssetsDefinition:
    """The asset `health`."""

    @dg.asset(
        group_name="operations",
        owners=OWNERS,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK, asset="health", description="Each component did what it is for when it was last checked."
            )
        ],
        description="Checks each part that Radar needs, and keeps the results for a week. Rules that watch health alert on them.",
    )
    def health(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult:
        from radar_assets.operations.health.components import check_components
        from radar_assets.operations.health.probes import Found, Probe, run_probes
        from radar_assets.operations.health.results import record

        results = check_components(settings, lakehouse, store, context.instance, urls)
        # Within a time limit too, so that Dagster has the results even while the database is down.
        (recording,) = run_probes([Probe("history of health", lambda: Found(str(record(store, results))))])
        if not recording.ok:
            results.append(recording)
        return dg.MaterializeResult(metadata=_metadata(results), check_results=[_verdict(results)])

    return health  # pyright: ignore[reportReturnType] - the decorator makes it a definition


def _metadata(results: Sequence[Result]) -> dict[str, Any]:
    """Numbers that Dagster plots, then the table."""
    unhealthy = [result for result in results if not result.ok]
    latencies = {f"latency of {result.component} (ms)": result.latency_ms for result in results}
    return {"components": len(results), "unhealthy": len(unhealthy), "results": _table(results), **latencies}


def _verdict(results: Sequence[Result]) -> dg.AssetCheckResult:
    unhealthy = [result for result in results if not result.ok]
    shown = "; ".join(f"{result.component}: {result.detail}" for result in unhealthy)
    return dg.AssetCheckResult(
        asset_key="health",
        check_name=CHECK,
        passed=not unhealthy,
        severity=dg.AssetCheckSeverity.ERROR,
        description=shown or "All components are healthy.",
        metadata={"unhealthy": len(unhealthy), **({"faults": _table(unhealthy)} if unhealthy else {})},
    )


def _table(results: Sequence[Result]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord(
            {
                "component": result.component,
                "ok": result.ok,
                "latency_ms": result.latency_ms,
                "detail": result.detail,
                "checked_at": f"{result.checked_at:%Y-%m-%d %H:%M:%S}",
            }
        )
        for result in results
    ]
    columns = {"component": "string", "ok": "bool", "latency_ms": "float", "detail": "string", "checked_at": "string"}
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table(records, schema=schema)
