"""The nightly job and `radar maintain`: what they do to all tables, and what they report."""

import json
import os
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import yaml

from radar_assets.calendar import Calendar
from radar_assets.cli import main
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.staleness import unbuilt
from radar_assets.operations.maintenance import clear_caches, grace_period
from radar_assets.operations.settings import OperationsSettings
from radar_assets.orchestration.job_kinds import MAINTENANCE
from radar_assets.orchestration.runtime.instance import instance_yaml
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window, utc_now
from radar_assets_tests.operations.small_files import load_days
from radar_assets_tests.platform import Platform, instance_of

PER_HOUR = 6


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    """A day of small files, with temporary files and caches of long ago."""
    lakehouse = open_lakehouse(settings)
    load_days(lakehouse, Window.of_day(utc_now().date()).start - timedelta(days=2), 1, PER_HOUR)
    cache = settings.home / "cache" / "lineage-events-0123456789abcdef.json"
    cache.parent.mkdir(exist_ok=True)
    for path in (cache, cache.with_name("lineage-sessions-0123456789abcdef.json")):
        path.write_text("{}")
    os.utime(cache, (0, 0))
    (settings.scratch / "engine-left").mkdir()
    return lakehouse


def test_the_job_maintains_all_tables_and_plots_their_files(settings: Settings, lakehouse: Lakehouse) -> None:
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        job = platform.defs.resolve_job_def("maintenance_job")
        assert {node.pool for node in job.graph.node_defs if isinstance(node, dg.OpDefinition)} == {MAINTENANCE.pool}
        result = job.execute_in_process(instance=instance)
    found: dict[str, dict[str, Any]] = {
        materialization.asset_key.path[-1]: {name: value.value for name, value in materialization.metadata.items()}
        for node in (*lakehouse.tables, "caches")
        for materialization in result.asset_materializations_for_node(f"maintenance__{node}")
    }
    assert set(found) == {*lakehouse.tables, "caches"}
    assert found["raw_events"]["merged files"] == 24 * PER_HOUR
    table = lakehouse.snapshot("raw_events")
    assert len(table.files()) == 24
    # Beside the data: the metadata, its manifest list and the manifests.
    assert found["raw_events"]["live files"] == 24 + 2 + len(table.manifests())
    assert found["raw_events"]["kept files"] > 24 * PER_HOUR
    assert {name for name, value in found["raw_events"].items() if isinstance(value, int)} == set(found["raw_events"])
    assert unbuilt(table, lakehouse.snapshot("events"), Calendar({}), utc_now().date()) == {}
    assert found["caches"]["deleted files"] == 1
    assert [path.name for path in settings.scratch.iterdir() if path.name == "engine-left"] == []


def test_radar_maintain_says_what_it_would_do_and_does_it(
    lakehouse: Lakehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*options: str) -> dict[str, dict[str, object]]:
        with pytest.raises(SystemExit) as exit:
            main(["maintain", "--format", "json", *options])
        assert exit.value.code == 0
        return {row["table"]: row for row in json.loads(capsys.readouterr().out)}

    planned = run("--dry-run")
    assert planned["raw_events"]["merged_files"] == 24 * PER_HOUR
    assert len(lakehouse.snapshot("raw_events").files()) == 24 * PER_HOUR
    assert clear_caches(lakehouse, utc_now(), dry_run=True).files == 1
    done = run("--grace", "4")
    assert done["raw_events"]["merged_files"] == 24 * PER_HOUR
    assert len(lakehouse.snapshot("raw_events").files()) == 24
    assert run()["raw_events"]["merged_files"] == 0
    with pytest.raises(SystemExit) as exit:
        main(["maintain", "--grace", "3"])
    assert exit.value.code == 2


def test_the_grace_period_is_never_shorter_than_a_run(settings: Settings) -> None:
    longest = yaml.safe_load(instance_yaml().read_text())["run_monitoring"]["max_runtime_seconds"]
    assert timedelta(seconds=longest) <= timedelta(hours=OperationsSettings(sweep_grace_h=4).sweep_grace_h)
    with instance_of(settings) as instance:
        assert grace_period(OperationsSettings(), instance) == timedelta(hours=24)
        instance.get_settings("run_monitoring")["max_runtime_seconds"] = 2 * 86_400
        assert grace_period(OperationsSettings(), instance) == timedelta(hours=48)
