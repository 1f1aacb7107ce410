"""The assets of operations: the maintenance of each table, of the caches and of the databases, without partitions."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.table import Table
from radar_assets.operations import databases
from radar_assets.operations.settings import OperationsSettings
from radar_assets.orchestration.factory import OWNERS
from radar_assets.windows import utc_now

GROUP = "maintenance"
POOL = "cleanup"
"""One run at a time, see `dagster.yaml`."""
OPTIONS: dict[str, Any] = {"key_prefix": GROUP, "group_name": GROUP, "owners": OWNERS, "pool": POOL}


def build_assets(tables: Iterable[Table], settings: OperationsSettings) -> list[dg.AssetsDefinition]:
    """The maintenance of tables, caches and databases."""

    @dg.asset(
        **OPTIONS,
        description="Deletes old files in the cache of the home, and temporary files of killed processes.",
    )
    def caches(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        from radar_assets.operations.maintenance import clear_caches

        cleared = clear_caches(lakehouse, utc_now())
        return dg.MaterializeResult(metadata={"deleted files": cleared.files, "deleted bytes": cleared.size_bytes})

    maintained = [_maintenance(table, settings) for table in tables]
    return [*maintained, caches, *databases.build_assets(settings, OPTIONS)]  # pyright: ignore[reportReturnType] - the decorator makes it a definition


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
