"""The assets of operations: the maintenance of each table, one asset per table, without partitions."""

from collections.abc import Iterable

import dagster as dg

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.table import Table
from radar_assets.operations.settings import OperationsSettings
from radar_assets.orchestration.factory import OWNERS

GROUP = "maintenance"
POOL = "cleanup"
"""One run at a time, see `dagster.yaml`."""


def build_assets(tables: Iterable[Table], settings: OperationsSettings) -> list[dg.AssetsDefinition]:
    """The maintenance of tables."""
    return [_maintenance(table, settings) for table in tables]


def _maintenance(table: Table, settings: OperationsSettings) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        key_prefix=GROUP,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"iceberg"},
        pool=POOL,
        description=f"Maintenance of `{table.name}`: merges small files, and deletes files that nothing refers to any more.",
    )
    def maintenance(lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        files = lakehouse.snapshot(table.name).files()
        return dg.MaterializeResult(
            metadata={"live files": len(files), "live bytes": sum(file.size_bytes for file in files)}
        )

    return maintenance  # pyright: ignore[reportReturnType] - the decorator makes it a definition
