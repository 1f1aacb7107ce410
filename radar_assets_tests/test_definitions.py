"""The definitions as Dagster loads them: in a fresh interpreter, complete, and enabled."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from radar_assets.definitions import build_defs
from radar_assets.settings import Settings
from radar_assets.tables import TABLES

GOLDEN = Path(__file__).parent / "golden" / "specs.json"


@pytest.fixture
def defs(settings: Settings) -> dg.Definitions:
    return build_defs(settings)


def spec_of(defs: dg.Definitions) -> dict[str, object]:
    """The properties of a spec that should not change unintentionally."""
    graph = defs.resolve_asset_graph()
    specs: dict[str, object] = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        specs[key.to_user_string()] = {
            "group": node.group_name,
            "parents": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": type(node.partitions_def).__name__,
            "backfill": node.backfill_policy.policy_type.value if node.backfill_policy else None,
            "owners": list(node.owners),
            "kinds": sorted(node.kinds),
            "checks": sorted(check.name for check in node.check_keys),
        }
    specs["sensors"] = sorted(s.name for s in defs.sensors or [] if s.default_status == dg.DefaultSensorStatus.RUNNING)
    specs["schedules"] = {s.name: s.cron_schedule for s in defs.schedules or []}  # pyright: ignore[reportAttributeAccessIssue]
    return specs


def test_specs_equal_the_golden_file(defs: dg.Definitions) -> None:
    """To accept a change, write the output of this test to the golden file."""
    found = json.dumps(spec_of(defs), indent=2, sort_keys=True)
    assert json.loads(GOLDEN.read_text()) == json.loads(found), found


def test_assets_are_the_tables_their_maintenance_the_deliveries_and_the_health(defs: dg.Definitions) -> None:
    assets = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    databases = ("dagster_storage", "operational_store")
    maintained = {f"maintenance/{name}" for name in (*TABLES, "caches", "landing_zone", *databases)}
    assert assets == {*TABLES, *maintained, "alert_deliveries", "health"}


def test_definitions_load_in_a_fresh_interpreter_without_the_heavy_libraries(settings: Settings) -> None:
    """Process start is most of a tick, so modules that only assets need are imported inside assets."""
    build_defs(settings)  # derives the column lineage, once in a home
    script = """
import sys
from radar_assets.definitions import defs
import dagster as dg
dg.Definitions.validate_loadable(defs())
print([name for name in ("duckdb", "pandas", "pyarrow", "pyiceberg", "sqlglot", "ua_parser", "rich") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_an_invalid_setting_is_named_and_stops_the_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_MEMORY", "plenty")
    script = "from radar_assets.definitions import defs; defs()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RADAR_MEMORY=plenty: not a size" in done.stderr
