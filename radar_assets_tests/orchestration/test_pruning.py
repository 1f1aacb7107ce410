"""Old runs leave Dagster's storage, and what its pages, the sensors and the watchers read stays."""

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.event_log.schema import AssetEventTagsTable
from dagster._core.utils import make_new_run_id

from radar_assets.orchestration.attempts import latest_attempts
from radar_assets.orchestration.runtime.instance import dagster_home
from radar_assets.orchestration.runtime.pruning import DagsterDatabase, StorageSize
from radar_assets.settings import Settings, load_settings
from radar_assets.windows import utc_now
from radar_assets_tests.platform import instance_of

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b", "c", "d"])
FAILING, EMPTY = "c", "d"
LOGS_OLD, RUNS_OLD = timedelta(days=4), timedelta(days=91)


@dg.asset(partitions_def=PARTITIONS, check_specs=[dg.AssetCheckSpec("is_fine", asset="numbers")], output_required=False)
def numbers(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """An asset that fails for one partition, and has nothing to build for another one."""
    if context.partition_key == FAILING and "works" not in context.run.tags:
        raise dg.Failure("no numbers", allow_retries=False)
    if context.partition_key != EMPTY:
        yield dg.MaterializeResult(metadata={"rows": 3})
    yield dg.AssetCheckResult(passed=True, check_name="is_fine")


@dg.asset
def total() -> dg.MaterializeResult:
    """An asset without partitions."""
    return dg.MaterializeResult(metadata={"rows": 1})


def run(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, partition: str | None = None, **tags: str) -> str:
    """Materialize a partition. Returns the id of the run."""
    result = dg.materialize([asset], instance=instance, partition_key=partition, tags=tags, raise_on_error=False)
    return result.run_id


def log(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.dagster_event.event_type_value for entry in instance.all_logs(run_id) if entry.dagster_event]


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What pages, sensors and watchers read about assets and checks."""
    log = instance.event_log_storage
    latest = log.get_latest_asset_check_execution_by_key([dg.AssetCheckKey(numbers.key, "is_fine")])
    event = instance.get_latest_materialization_event(total.key)
    return {
        "partitions": instance.get_materialized_partitions(numbers.key),
        "records": log.get_latest_storage_id_by_partition(numbers.key, dg.DagsterEventType.ASSET_MATERIALIZATION),
        "versions": log.get_latest_tags_by_partition(
            numbers.key, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
        ),
        "total": event and event.run_id,
        "rows": [
            record.asset_materialization and record.asset_materialization.metadata["rows"].value
            for record in instance.fetch_materializations(
                dg.AssetRecordsFilter(numbers.key, asset_partitions=["a", "b"]), limit=2
            ).records
        ],
        "checks": {key: (record.id, record.status) for key, record in latest.items()},
    }


@dataclass
class Storage:
    """An instance with runs, and what prunes it."""

    instance: dg.DagsterInstance
    settings: Settings

    def prune(self, later: timedelta) -> StorageSize:
        """Prune as if some time had passed since. Returns what is left."""
        DagsterDatabase(self.instance).prune(self.settings, utc_now() + later)
        return DagsterDatabase(self.instance).size()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    if request.param == "postgres":
        monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
        settings = load_settings()
    with instance_of(settings) as instance:
        yield Storage(instance, settings)


def test_logs_of_successful_runs_go_and_the_state_of_assets_and_checks_stays(storage: Storage) -> None:
    instance = storage.instance
    replaced, current, _, failed, empty, unpartitioned = (
        run(instance, numbers, "a"),
        run(instance, numbers, "b"),
        run(instance, numbers, "a"),
        run(instance, numbers, FAILING),
        run(instance, numbers, EMPTY),
        run(instance, total),
    )
    job = dg.Definitions([total], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
    waiting = instance.create_run_for_job(job)
    before, kept = shown(instance), log(instance, failed)
    attempt = latest_attempts(instance, "numbers", [*PARTITIONS.get_partition_keys()])
    assert set(attempt) == {FAILING}
    assert storage.prune(timedelta()).events > 60, "nothing is old yet"

    storage.prune(LOGS_OLD)
    assert shown(instance) == before
    assert latest_attempts(instance, "numbers", [*PARTITIONS.get_partition_keys()]) == attempt
    assert log(instance, replaced) == []
    assert log(instance, current) == ["ASSET_MATERIALIZATION"]
    assert log(instance, empty) == ["ASSET_MATERIALIZATION_PLANNED"]
    assert log(instance, failed) == kept
    assert "ASSET_MATERIALIZATION_PLANNED" in log(instance, waiting.run_id)
    assert len(instance.get_runs()) == 7
    with instance.event_log_storage.index_connection() as connection:  # pyright: ignore[reportAttributeAccessIssue]
        tagged = connection.scalars(sa.select(AssetEventTagsTable.c.event_id).distinct()).all()
    assert {*before["records"].values()} <= {*tagged}
    assert len(tagged) == 3

    assert storage.prune(RUNS_OLD).runs == 1, "only the run that waits"
    assert shown(instance) == before
    assert log(instance, failed) == ["ASSET_MATERIALIZATION_PLANNED"]
    assert latest_attempts(instance, "numbers", [FAILING]) == {}
    assert "ASSET_MATERIALIZATION_PLANNED" in log(instance, waiting.run_id)
    assert instance.get_run_by_id(unpartitioned) is None


def test_a_failed_attempt_does_not_come_back_when_the_log_of_a_later_run_goes(storage: Storage) -> None:
    instance = storage.instance
    run(instance, numbers, FAILING)
    run(instance, numbers, FAILING, works="yes")
    run(instance, total)
    assert storage.prune(LOGS_OLD)
    assert latest_attempts(instance, "numbers", [FAILING]) == {}
    assert instance.get_materialized_partitions(numbers.key) == {FAILING}


def test_ids_of_removed_events_are_never_given_again(storage: Storage) -> None:
    """Sensors keep the id of the last event that they have seen."""
    instance = storage.instance
    last = instance.get_records_for_run(run(instance, total)).records[-1].storage_id
    storage.prune(RUNS_OLD)
    assert instance.get_records_for_run(run(instance, total)).records[0].storage_id > last


def test_ended_backfills_go_with_their_runs_and_those_in_progress_stay(storage: Storage) -> None:
    instance = storage.instance
    for key, status in (("ended", BulkActionStatus.COMPLETED_SUCCESS), ("going", BulkActionStatus.REQUESTED)):
        tags = {"dagster/backfill": key}
        instance.add_backfill(PartitionBackfill(key, status, False, tags, time.time()))
        run(instance, numbers, "a", **tags)
    run(instance, total)
    assert storage.prune(RUNS_OLD).runs == 2
    assert [backfill.backfill_id for backfill in instance.get_backfills()] == ["going"]
    assert {run.tags.get("dagster/backfill") for run in instance.get_runs()} == {"going", None}


def test_the_space_of_removed_runs_is_given_back_while_runs_go_on(storage: Storage) -> None:
    instance, database = storage.instance, DagsterDatabase(storage.instance)
    for _ in range(2):
        for _ in range(8):
            run(instance, numbers, "a")
        before = database.size()
        storage.prune(LOGS_OLD)
        with instance_of(storage.settings) as other:
            going = threading.Thread(target=run, args=(other, numbers, "b"))
            going.start()
            database.vacuum()
            going.join()
        assert instance.get_materialized_partitions(numbers.key) == {"a", "b"}
        assert database.size().events < before.events / 2
        if before.files:
            assert database.size().size_bytes < before.size_bytes - 100_000
            assert instance.get_run_stats(instance.get_runs(limit=1)[0].run_id).materializations == 1


def test_log_files_of_an_earlier_release_go_unless_their_run_failed(settings: Settings) -> None:
    with instance_of(settings) as instance:
        succeeded, failed = run(instance, total), run(instance, numbers, FAILING)
        folder = dagster_home(settings) / "storage/history/runs"
        for run_id in (succeeded, failed, make_new_run_id()):
            shutil.copyfile(folder / "index.db", folder / f"{run_id}.db")
        assert Storage(instance, settings).prune(timedelta()).files >= 6
        Storage(instance, settings).prune(LOGS_OLD)
        assert {path.name for path in folder.glob("*.db")} == {"index.db", f"{failed}.db"}
        Storage(instance, settings).prune(RUNS_OLD)
        assert {path.name for path in folder.glob("*.db")} == {"index.db", f"{failed}.db"}, "the last run is kept"


def test_files_that_disappear_meanwhile_are_left_out(settings: Settings) -> None:
    """SQLite removes the write-ahead log with its last connection, and another process may move the log of a run."""
    with instance_of(settings) as instance:
        run(instance, total)
        history = dagster_home(settings) / "storage/history"
        before = DagsterDatabase(instance).size().files
        # As listed, but gone when it is looked at.
        for name in ("runs.db-gone", f"runs/{make_new_run_id()}.db"):
            (history / name).symlink_to("gone")
        assert DagsterDatabase(instance).size().files == before
        assert Storage(instance, settings).prune(LOGS_OLD).files == before
