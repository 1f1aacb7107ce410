"""Metadata of assets and of their materializations: schema, lineage and sizes."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from radar_assets.access.projects import ensure_projects
from radar_assets.definitions import build_defs
from radar_assets.lakehouse.table import Table
from radar_assets.orchestration.automation import INCREMENTAL
from radar_assets.settings import Settings
from radar_assets.store.models import Project
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
def test_a_materialization_has_sizes(table: Table, metadata: dict[str, dict[str, Any]]) -> None:
    values = metadata[table.name]
    assert values["dagster/partition_row_count"].value == 0, "the latest partition of the range is empty"
    commit = values["commit"].value
    assert values["dagster/row_count"].value == commit["rows"] > 0
    assert commit["files"] >= (2 if table.grid == "day" else 1), "days without events have a file too"
    assert commit["bytes"] > 0


def test_an_asset_has_schema_and_lineage_and_its_materializations_have_none(
    settings: Settings, metadata: dict[str, dict[str, Any]]
) -> None:
    """Each run would store them again, and the page of an asset shows those of its definition too."""
    specs = {spec.key.to_user_string(): spec for spec in build_defs(settings).resolve_all_asset_specs()}
    for table in TABLES.values():
        of_asset = specs[table.name].metadata
        schema, lineage = (of_asset[f"dagster/column_{what}"] for what in ("schema", "lineage"))
        assert [column.name for column in schema.columns] == list(table.column_names)
        derived = {name: deps for name, deps in lineage.deps_by_column.items() if deps}
        assert bool(derived) is (table.name not in ("raw_events", "alerts"))
        for column in schema.columns:
            for dep in derived.get(column.name, []):
                assert f"{dep.asset_key.to_user_string()}.{dep.column_name}" in column.description
        assert not {*of_asset} & {*metadata[table.name]}


def test_a_day_says_which_hours_it_has(tmp_path: Path, metadata: dict[str, dict[str, Any]]) -> None:
    assert metadata["daily_metrics"]["hours_utc"].value == "2026-03-11 00:00 to 2026-03-12 00:00"
    assert "hours_utc" not in metadata["hourly_metrics"]
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(Settings(home=tmp_path).prepare(), instance, zones={"crm": "America/New_York"})
        platform.rebuild("daily_job", "2026-03-10", "2026-03-10")
        latest = instance.get_latest_materialization_event(dg.AssetKey("sessions"))
    assert latest is not None and latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["hours_utc"].value == "2026-03-10 00:00 to 2026-03-11 04:00"


HEADLINES: dict[str, dict[str, object]] = {
    "raw_events": {"accepted": 3, "rejected": 1},
    "rejected_events": {"rejected": 1, "rejected: not_json": 1},
    "events": {"events": 3, "events: shop": 2, "events: blog": 1},
    "sessions": {"sessions": 2, "bounce rate": 0.5, "median duration (s)": 30, "sessions: shop": 1},
    "hourly_metrics": {"visitors": 2, "page views": 2, "conversions": 1, "revenue": 2.5, "visitors: shop": 1},
    "daily_metrics": {
        "visitors": 2,
        "page views": 2,
        "sessions": 2,
        "conversions": 1,
        "revenue": 2.5,
        "revenue: shop": 2.5,
    },
    "daily_breakdowns": {},
    "alerts": {"alerts": 1, "firing": 1},
}


@pytest.fixture(scope="module")
def by_partition(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """Metadata by table and partition, after runs over ranges whose second partition is empty."""
    later, folder = MIDNIGHT + timedelta(minutes=1), tmp_path_factory.mktemp("radar")
    lines = [
        event("1", MIDNIGHT),
        event("2", later, event="purchase", properties={"url": "https://shop.example/", "revenue": 2.5}),
        event("3", MIDNIGHT, project_id="blog"),
        b"no event\n",
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(Settings(home=folder).prepare(), instance)
        platform.land(MIDNIGHT, lines, "a")
        platform.rebuild("hourly_job", "2026-03-10-00:00", "2026-03-10-01:00")
        platform.rebuild("daily_job", "2026-03-10", "2026-03-11")
        note(platform.store, rule(), {0: 50}, MIDNIGHT)
        platform.rebuild("alerts_job", "2026-03-10-00:00", "2026-03-10-01:00")
        return {name: shown_metadata(instance, name) for name in TABLES}


def shown_metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, dict[str, Any]]:
    """Metadata of the latest materialization of each partition."""
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset)), limit=100).records
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        made = record.asset_materialization
        assert made and made.partition
        found.setdefault(made.partition, dict(made.metadata))
    return found


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_headline_comes_first_and_is_of_the_partition(
    table: Table, by_partition: dict[str, dict[str, dict[str, Any]]]
) -> None:
    busy, empty = (by_partition[table.name][key] for key in sorted(by_partition[table.name]))
    expected = HEADLINES[table.name]
    assert {key: busy[key].value for key in expected} == expected
    assert all(isinstance(busy[key], dg.IntMetadataValue | dg.FloatMetadataValue) for key in expected)
    assert {key: empty[key].value for key in expected if key in empty} == {
        key: 0 for key in expected if ":" not in key and key not in ("bounce rate", "median duration (s)")
    }
    headline = list(busy)[: list(busy).index("dagster/partition_row_count")]
    assert {*expected} <= {*headline}
    numbers = [key for key, value in busy.items() if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)]
    assert {*numbers} <= {*headline, "dagster/partition_row_count", "dagster/row_count"}, "these are plotted"


def test_the_headline_has_tables(by_partition: dict[str, dict[str, dict[str, Any]]]) -> None:
    day = "2026-03-10"
    assert by_partition["daily_metrics"][day]["by project"].value.splitlines() == [
        "| project | visitors | page views | sessions | conversions | revenue | events |",
        "| --- | --: | --: | --: | --: | --: | --: |",
        "| blog | 1 | 1 | 1 | 0 | 0.00 | 1 |",
        "| shop | 1 | 1 | 1 | 1 | 2.50 | 2 |",
    ]
    assert "| blog | 1 | 100.0% | 0 |" in by_partition["sessions"][day]["by project"].value
    assert "| / | 2 | 2 |" in by_partition["daily_breakdowns"][day]["by page"].value


def test_the_headline_of_a_day_shows_the_time_zones_of_projects(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(Settings(home=tmp_path).prepare(), instance, zones={"shop": "America/New_York"})
        noon = MIDNIGHT + timedelta(hours=12)
        platform.land(noon, [event("1", noon, project_id="blog"), event("2", noon)], "a")
        platform.rebuild("hourly_job", "2026-03-10-12:00", "2026-03-10-12:00")
        platform.rebuild("daily_job", "2026-03-10", "2026-03-10")
        of_day = shown_metadata(instance, "daily_metrics")["2026-03-10"]["by project"].value.splitlines()
        of_hour = shown_metadata(instance, "hourly_metrics")["2026-03-10-12:00"]["by project"].value
    assert [row.split(" | ")[-1] for row in of_day] == ["time zone |", "--: |", "UTC |", "America/New_York |"]
    assert "time zone" not in of_hour


def test_only_the_largest_projects_have_plots_and_rows(tmp_path: Path) -> None:
    projects = [f"p{place:02}" for place in range(60)]
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(Settings(home=tmp_path).prepare(), instance)
        ensure_projects(platform.store, [Project(id=name) for name in projects])
        lines = [
            event(f"{name}-{place}", MIDNIGHT, project_id=name, anonymous_id=f"v{place}")
            for rank, name in enumerate(projects)
            for place in range(1 + rank // 10)
        ]
        platform.land(MIDNIGHT, lines, "a")
        platform.rebuild("hourly_job", "2026-03-10-00:00", "2026-03-10-00:00")
        shown = shown_metadata(instance, "hourly_metrics")["2026-03-10-00:00"]
    plotted = [key for key in shown if key.startswith("visitors: ")]
    assert plotted == [f"visitors: p{place}" for place in range(50, 60)]
    table = shown["by project"].value.splitlines()
    assert len(table) == 2 + 50 + 2
    assert table[-1] == "and 10 more"
    stored = len(dg.serialize_value({key: value for key, value in shown.items() if not key.startswith("dagster/")}))
    assert stored < 8_000


def test_partitions_that_an_incremental_run_leaves_alone_keep_their_headline(tmp_path: Path) -> None:
    two = MIDNIGHT + timedelta(hours=2)
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(Settings(home=tmp_path).prepare(), instance)
        platform.land(MIDNIGHT, [event("1", MIDNIGHT)], "a")
        platform.land(two, [event("2", two)], "a")
        platform.rebuild("hourly_job", "2026-03-10-00:00", "2026-03-10-02:00")
        platform.land(two, [event("3", two)], "b")
        platform.rebuild("hourly_job", "2026-03-10-00:00", "2026-03-10-02:00", tags=INCREMENTAL)
        for table, key in (("events", "events"), ("hourly_metrics", "page views"), ("raw_events", "accepted")):
            shown = shown_metadata(instance, table)
            assert [shown[hour][key].value for hour in sorted(shown)] == [1, 0, 2]
            assert shown["2026-03-10-00:00"]["dagster/partition_row_count"].value > 0


def test_the_headline_shows_custom_counts_and_sums(settings: Settings) -> None:
    settings.config_file.write_text(
        "metrics:\n"
        "  - {name: searches, expression: count(*) filter (where event = 'search')}\n"
        "  - {name: share, expression: count(*) filter (where event = 'search') / count(*)}\n"
    )
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(settings, instance)
        platform.land(MIDNIGHT, [event("1", MIDNIGHT), event("2", MIDNIGHT, event="search")], "a")
        platform.rebuild("hourly_job", "2026-03-10-00:00", "2026-03-10-00:00")
        shown = shown_metadata(instance, "hourly_metrics")["2026-03-10-00:00"]
    assert shown["searches"].value == shown["searches: shop"].value == 1
    assert "share" not in shown
