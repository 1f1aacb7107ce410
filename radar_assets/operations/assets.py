"""The assets of operations: the maintenance of tables, landing zone, caches and databases, without partitions."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import dagster as dg

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.table import Table
from radar_assets.operations import databases
from radar_assets.operations.settings import OperationsSettings
from radar_assets.orchestration.factory import OWNERS
from radar_assets.orchestration.job_kinds import MAINTENANCE
from radar_assets.windows import utc_now

GROUP = "maintenance"
OPTIONS: dict[str, Any] = {"key_prefix": GROUP, "group_name": GROUP, "owners": OWNERS, "pool": MAINTENANCE.pool}


def build_assets(tables: Iterable[Table], settings: OperationsSettings) -> list[dg.AssetsDefinition]:
    """The maintenance of tables, landing zone, caches and databases."""

    @dg.asset(
        **OPTIONS,
        description="Deletes old files in the cache of the home, and temporary files of killed processes.",
    )
    def caches(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        from radar_assets.operations.maintenance import clear_caches

        cleared = clear_caches(lakehouse, utc_now())
        return dg.MaterializeResult(metadata={"deleted files": cleared.files, "deleted bytes": cleared.size_bytes})

    @dg.asset(
        **OPTIONS,
        description="Packs the landing zone: the segments of each hour that is over and loaded become one compressed file.",
    )
    def landing_zone(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        from radar_assets.events.packing import pack
        from radar_assets.operations.maintenance import grace_period

        done = pack(lakehouse, utc_now(), grace_period(settings, context.instance))
        return dg.MaterializeResult(metadata={name.replace("_", " "): value for name, value in asdict(done).items()})

    maintained = [_maintenance(table, settings) for table in tables]
    others = [caches, landing_zone, *databases.build_assets(settings, OPTIONS)]
    return [*maintained, *others]  # pyright: ignore[reportReturnType] - the decorator makes it a definition


def _maintenance(table: Table, settings: OperationsSettings) -> dg.AssetsDefinition:
    @dg.asset(
        **OPTIONS,
        name=table.name,
        kinds={"iceberg"},
        description=f"Merges the small files of `{table.name}`, and deletes files that no snapshot reaches.",
    )
    def maintenance(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        from radar_assets.operations.maintenance import grace_period, maintain

        done = maintain(lakehouse, table.name, utc_now(), grace_period(settings, context.instance))
        metadata = {
            "snapshots": done.swept.snapshots,
            "manifests": done.swept.manifests,
            "merged files": done.compacted.merged,
        }
        for state in ("live", "kept", "unreached", "deleted"):
            usage = getattr(done.swept, state)
            metadata |= {f"{state} files": usage.files, f"{state} bytes": usage.size_bytes}
        return dg.MaterializeResult(metadata=metadata)

    return maintenance  # pyright: ignore[reportReturnType] - the decorator makes it a definition
