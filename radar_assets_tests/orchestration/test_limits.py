"""Limits of runs under a real daemon: of a pool, of all runs, and of backfills."""

import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from radar_assets.orchestration.job_kinds import AGGREGATION, KIND_TAG, KINDS
from radar_assets.orchestration.runtime.instance import instance_yaml
from radar_assets.settings import Settings, load_settings
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.patience import eventually
from radar_assets_tests.platform import Platform, instance_of

LOCATION = {"module_name": "radar_assets_tests.waiting_assets"}
STEADY_S = 5
"""How long the number of runs is watched. The daemon looks at the queue every second."""


def test_the_largest_pool_of_two_cores_is_within_the_limit_of_all_runs(settings: Settings) -> None:
    pools = yaml.safe_load(instance_yaml().read_text())["storage"]["custom"]["config"]["pools"]
    assert {kind.pool for kind in KINDS.values() if kind.pool} <= set(pools)
    with instance_of(settings) as instance:
        queue = instance.get_concurrency_config().run_queue_config
    assert queue
    # Aggregation is limited by the cores, and a run of the pool of deliveries sends many messages.
    assert queue.max_concurrent_runs == settings.max_runs > max(pools["ai"], pools["reports"])
    assert queue.tag_concurrency_limits == [{"key": "dagster/backfill", "limit": settings.max_runs // 2}]


def test_each_job_declares_its_kind_and_each_table_the_pool(settings: Settings) -> None:
    with instance_of(settings) as instance:
        defs = Platform(settings, instance).defs
        jobs = {job.name: job.tags[KIND_TAG] for job in defs.resolve_all_job_defs() if KIND_TAG in job.tags}
        tables = defs.resolve_job_def("hourly_job").graph.node_defs
    assert jobs == {
        **dict.fromkeys(("hourly_job", "daily_job", "alerts_job"), "aggregation"),
        "deliver_alerts_job": "notifications",
        "maintenance_job": "maintenance",
        "health_job": "monitors",
    }
    pools = {node.name: node.pool for node in tables if isinstance(node, dg.OpDefinition)}
    assert pools["events"] == pools["hourly_metrics"] == AGGREGATION.pool
    retries = {kind.name: kind.retries for kind in KINDS.values() if kind.name != "test"}
    others = {"monitors": 1, "maintenance": 1}
    assert retries == {"aggregation": 3, "ai": 2, "reports": 3, "notifications": 3, "feedback": 2, **others}


@pytest.mark.parametrize(("kind", "max_runs", "limit"), [("pool", 7, 5), ("any", 3, 3)])
def test_of_one_run_too_many_exactly_the_limit_runs_at_once(
    kind: str, max_runs: int, limit: int, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_MAX_RUNS", str(max_runs))
    for number in range(limit + 1):
        (tmp_path / f"ask-{kind}-{number}").touch()
    with monitored_instance(load_settings()) as instance, daemon(instance, tmp_path, [LOCATION]):

        def runs(status: dg.DagsterRunStatus) -> int:
            return instance.get_runs_count(dg.RunsFilter(statuses=[status]))

        if kind == "pool":
            assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}["ai"] == limit
        try:
            eventually(lambda: runs(dg.DagsterRunStatus.STARTED) == limit)
            until = time.monotonic() + STEADY_S
            while time.monotonic() < until:
                assert (runs(dg.DagsterRunStatus.STARTED), runs(dg.DagsterRunStatus.QUEUED)) == (limit, 1)
                time.sleep(0.5)
        finally:
            (tmp_path / "go").touch()
        eventually(lambda: runs(dg.DagsterRunStatus.SUCCESS) == limit + 1)
