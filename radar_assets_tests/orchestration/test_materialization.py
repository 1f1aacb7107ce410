"""Metadata of materializations: schema, lineage and sizes."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from radar_assets.lakehouse.table import Table
from radar_assets.settings import Settings
from radar_assets.tables import TABLES
from radar_assets_tests.alerts.records import note, rule
from radar_assets_tests.platform import Platform, event

MIDNIGHT = datetime(2026, 3, 10)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Metadata of the latest materialization of each table, after runs over two hours and over two days."""
    folder = tmp_path_factory.mktemp("radar")
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(Settings(home=folder).prepare(), instance)
        platform.land(MIDNIGHT, [event("1", MIDNIGHT), event("2", MIDNIGHT + timedelta(minutes=1)), b"no event\n"], "a")
        platform.rebuild("hourly_job", "2026-03-10-00:00", "2026-03-10-01:00")
        platform.rebuild("daily_job", "2026-03-10", "2026-03-11")
        note(platform.store, rule(), {0: 50}, MIDNIGHT + timedelta(hours=1))
        platform.rebuild("alerts_job", "2026-03-10-00:00", "2026-03-10-01:00")
        latest = {name: instance.get_latest_materialization_event(dg.AssetKey(name)) for name in TABLES}
    return {
        name: dict(entry.asset_materialization.metadata)
        for name, entry in latest.items()
        if entry and entry.asset_materialization
    }


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_materialization_has_schema_lineage_and_sizes(table: Table, metadata: dict[str, dict[str, Any]]) -> None:
    values = metadata[table.name]
    schema, lineage = values["dagster/column_schema"].value, values["dagster/column_lineage"].value
    assert [column.name for column in schema.columns] == list(table.column_names)
    assert values["dagster/partition_row_count"].value == 0, "the latest partition of the range is empty"
    assert values["dagster/row_count"].value == values["rows_written"].value > 0
    assert values["files_written"].value >= 2
    assert values["bytes_written"].value > 0
    derived = {name: deps for name, deps in lineage.deps_by_column.items() if deps}
    assert bool(derived) is (table.name not in ("raw_events", "alerts"))
    for column in schema.columns:
        for dep in derived.get(column.name, []):
            assert f"{dep.asset_key.to_user_string()}.{dep.column_name}" in column.description
