"""The Dagster instance: its storage, first starts, limits, and `dagster dev` from a clone without settings."""

import gc
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from alembic import command
from dagster._core.event_api import EventLogCursor
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy.event import listen

from radar_assets.orchestration.runtime.instance import STAMP, dagster_home, instance_yaml, prepare_instance
from radar_assets.settings import Settings, SettingsError, load_settings
from radar_assets.store.database import alembic_config, open_store
from radar_assets.store.first_day import begin_by
from radar_assets_tests.platform import instance_of, open_paths
from radar_assets_tests.processes import run_at_once
from radar_assets_tests.small_assets import small

START_S = 120


@pytest.fixture(params=["sqlite", "postgres"])
def any_settings(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a fresh install on each database."""
    if request.param == "sqlite":
        return settings
    monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
    return load_settings()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_visible_to_the_next_process(any_settings: Settings) -> None:
    with instance_of(any_settings) as instance:
        run = dg.materialize([small], instance=instance).dagster_run
    with instance_of(any_settings) as instance:
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS  # pyright: ignore[reportOptionalMemberAccess]
        event = instance.get_latest_materialization_event(small.key)
        assert event and event.asset_materialization
        assert event.asset_materialization.metadata["dagster/row_count"].value == 3
        assert "a line for the event log" in [entry.user_message for entry in instance.all_logs(run.run_id)]


def test_the_log_of_a_run_can_be_followed(any_settings: Settings) -> None:
    """The UI watches the log: events of the run show within a moment, and those of other runs don't."""
    seen: queue.Queue[str] = queue.Queue()
    with instance_of(any_settings) as writer, instance_of(any_settings) as reader:
        run, other = (dg.materialize([small], instance=writer).dagster_run for _ in range(2))
        last = writer.get_records_for_run(run.run_id).records[-1]
        past = str(EventLogCursor.from_storage_id(last.storage_id))
        reader.watch_event_logs(run.run_id, past, lambda entry, _: seen.put(entry.message))
        for message in ("one event", "another event"):
            writer.report_engine_event(f"{message} of the other run", other)
            writer.report_engine_event(message, run)
            assert seen.get(timeout=START_S) == message


HOURS = dg.HourlyPartitionsDefinition("2026-01-01-00:00")


@dg.asset(partitions_def=HOURS, backfill_policy=dg.BackfillPolicy.single_run())
def hourly() -> None:
    pass


@dg.asset_check(asset=hourly)
def is_right() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def run_over_hours(instance: dg.DagsterInstance, last: str) -> dg.DagsterRun:
    """A run over the hours since the first one, with a check."""
    span = {
        "dagster/asset_partition_range_start": "2026-01-01-00:00",
        "dagster/asset_partition_range_end": last,
    }
    job = dg.define_asset_job("hours", dg.AssetSelection.all(), partitions_def=HOURS)
    defs = dg.Definitions([hourly], asset_checks=[is_right], jobs=[job], executor=dg.in_process_executor)
    return defs.resolve_job_def("hours").execute_in_process(instance=instance, tags=span).dagster_run


def test_a_run_over_many_partitions_waits_for_the_disk_a_few_times(settings: Settings) -> None:
    """Dagster alone has several transactions for each partition."""
    commits = Counter[str]()
    with instance_of(settings) as instance:
        log: Any = instance.event_log_storage
        listen(log._engine, "commit", lambda _: commits.update(["few" if is_few else "many"]))
        is_few = True
        run_over_hours(instance, "2026-01-01-00:00")
        is_few = False
        many = run_over_hours(instance, "2026-01-07-23:00")
        for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED):
            assert len(instance.all_logs(many.run_id, of_type=kind)) == 168
        assert len(instance.get_materialized_partitions(hourly.key)) == 168
    assert commits["many"] <= commits["few"] + 10


def test_a_batch_of_events_is_stored_completely_or_not_at_all(settings: Settings) -> None:
    with instance_of(settings) as instance:
        run = dg.materialize([small], instance=instance).dagster_run
        (last,) = [
            entry for entry in instance.all_logs(run.run_id) if entry.message.startswith("Finished execution of run")
        ]
        before = messages(instance, run)
        with pytest.raises(TypeError):
            instance.event_log_storage.store_event_batch([last, last._replace(timestamp="unusable")])  # pyright: ignore[reportArgumentType]
        assert messages(instance, run) == before
        instance.event_log_storage.store_event_batch([last, last])
        assert messages(instance, run) - before == {last.message: 2}


def test_a_check_of_a_run_over_many_partitions_has_one_record(any_settings: Settings) -> None:
    """Dagster alone has one more for each partition, which stays planned forever."""
    with instance_of(any_settings) as instance:
        run_over_hours(instance, "2026-01-02-23:00")
        log: Any = instance.event_log_storage
        with log.index_connection() as connection:
            found = connection.execute(
                sa.text("select execution_status, count(*) from asset_check_executions group by 1")
            ).fetchall()
        assert found == [("SUCCEEDED", 1)]


def earlier_release(settings: Settings, instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The instance with the event log of an earlier release, which has a file for each run."""
    storage = DagsterSqliteStorage.from_local(str(dagster_home(settings) / "storage"))
    instance._event_storage = storage.event_log_storage  # pyright: ignore[reportAttributeAccessIssue]
    instance._event_storage.register_instance(instance)
    return instance


def messages(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Counter[str]:
    return Counter(entry.message or entry.user_message for entry in instance.all_logs(run.run_id))


def test_the_log_that_an_earlier_release_wrote_is_kept(settings: Settings) -> None:
    """Also for a run that was waiting while Radar was upgraded, and goes on in the new log."""
    folder = dagster_home(settings) / "storage/history/runs"
    with instance_of(settings) as instance:
        run = dg.materialize([small], instance=earlier_release(settings, instance)).dagster_run
        before = messages(instance, run)
    log = folder / f"{run.run_id}.db"
    assert files(folder) == {"index.db", log.name}
    copy = log.read_bytes()
    with instance_of(settings) as instance:
        instance.report_engine_event("a retry", run)
        after = messages(instance, run)
        assert after - before == {"a retry": 1}
        assert before - after == {}
        assert log.exists(), "its process may write a last line"
        for _ in range(2):
            # The second time as after a crash between the commit and the removal of the file.
            log.write_bytes(copy)
            os.utime(log, (0, 0))
            assert messages(instance, run) == after
            assert not log.exists()
    assert files(folder) == {"index.db"}


def test_a_run_that_an_earlier_release_still_executes_keeps_its_file_and_all_of_its_log_is_visible(
    settings: Settings,
) -> None:
    job = dg.Definitions([small], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
    with instance_of(settings) as writer, instance_of(settings) as reader:
        earlier_release(settings, writer)
        run = writer.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        log = dagster_home(settings) / f"storage/history/runs/{run.run_id}.db"
        for number in range(3):
            writer.report_engine_event(f"event {number}", run)
            os.utime(log, (0, 0))
            assert messages(reader, run) == messages(writer, run)
        writer.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, "job"), run.run_id)
        before = messages(writer, run)
        os.utime(log, (0, 0))
        assert messages(reader, run) == before
        assert not log.exists()


def test_on_postgres_dagster_and_the_store_share_the_database_and_leave_the_home_empty(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_DATABASE_URL", postgres_url)
    shared = load_settings()
    store = open_store(shared.database)
    with instance_of(shared) as instance:
        dg.materialize([small], instance=instance)
    with store.engine.begin() as connection:
        assert connection.scalar(sa.text("select count(*) from runs where status = 'SUCCESS'")) == 1
        command.check(alembic_config(connection))
    assert files(settings.home) == {"dagster/dagster.yaml"}


def start_and_report(rank: int, environments: list[dict[str, str]]) -> None:
    """Run by each of several processes, on one empty home after the other."""
    for environment in environments:
        os.environ.update(environment)
        with instance_of(load_settings()) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization(small.key, partition=str(rank)))


def test_an_instance_closes_its_connections_when_it_ends(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code servers open an instance for each tick, and Postgres has a hundred connections."""
    monkeypatch.setenv("RADAR_DATABASE_URL", postgres_url)
    gc.disable()
    try:
        with instance_of(load_settings().prepare()) as instance:
            dg.materialize([small], instance=instance)
    finally:
        gc.enable()
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    others = sa.text(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    until = time.monotonic() + START_S  # a server takes a moment to notice
    with engine.connect() as connection:
        while connection.execute(others).scalar_one():
            connection.rollback()
            assert time.monotonic() < until
            time.sleep(0.1)


def test_processes_can_start_concurrently_on_an_empty_home(tmp_path: Path, postgres_url: str) -> None:
    embedded = {"RADAR_HOME": str(tmp_path / "embedded")}
    environments = [embedded, {"RADAR_HOME": str(tmp_path / "postgres"), "RADAR_DATABASE_URL": postgres_url}]
    run_at_once(start_and_report, environments)
    for environment in environments:
        with pytest.MonkeyPatch.context() as patch, instance_of(_settings_of(environment, patch)) as instance:
            assert instance.get_materialized_partitions(small.key) == {"0", "1", "2", "3"}


def _settings_of(environment: dict[str, str], patch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        patch.setenv(name, value)
    return load_settings()


def test_a_first_start_succeeds_after_an_earlier_one_was_killed(settings: Settings) -> None:
    history = dagster_home(settings) / "storage.new/history"
    history.mkdir(parents=True)
    (history / "runs.db").write_text("")
    with instance_of(settings) as instance:
        assert dg.materialize([small], instance=instance).success


def test_pools_have_the_declared_limits_until_they_are_changed(any_settings: Settings) -> None:
    def limits() -> dict[str, int]:
        with instance_of(any_settings) as instance:
            return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}

    assert limits() == {"ai": 5, "reports": 5, "aggregation": 10, "cleanup": 1, "deliveries": 50}
    with instance_of(any_settings) as instance:
        instance.event_log_storage.set_concurrency_slots("ai", 0)
    assert limits() == {"ai": 0, "reports": 5, "aggregation": 10, "cleanup": 1, "deliveries": 50}
    own = yaml.safe_load(instance_yaml().read_text())
    own["storage"]["custom"]["config"]["pools"]["ai"] = 2
    (dagster_home(any_settings) / "dagster.yaml").write_text(yaml.safe_dump(own))
    assert limits() == {"ai": 2, "reports": 5, "aggregation": 10, "cleanup": 1, "deliveries": 50}


def test_the_homes_configuration_follows_radars_until_the_operator_takes_it_over(settings: Settings) -> None:
    file = prepare_instance(settings) / "dagster.yaml"
    assert file.read_text() == STAMP + instance_yaml().read_text()
    file.write_text(STAMP + "nux: {enabled: true}\n")
    prepare_instance(settings)
    assert file.read_text() == STAMP + instance_yaml().read_text()
    own = (
        file.read_text()
        .removeprefix(STAMP)
        .replace("run_retries: {enabled: false}", "run_retries: {enabled: true, max_retries: 7}")
    )
    file.write_text(own)
    prepare_instance(settings)
    assert file.read_text() == own
    with instance_of(settings) as instance:
        assert instance.run_retries_max_retries == 7


def test_settings_that_child_processes_would_not_see_are_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"RADAR_HOME={settings.home}"):
        prepare_instance(load_settings(home=tmp_path / "elsewhere"))


def clone(folder: Path) -> Path:
    """A folder like a clone, with only the instance's configuration and a workspace."""
    folder.mkdir()
    (folder / "dagster.yaml").symlink_to(instance_yaml())
    module = {"module_name": "radar_assets_tests.small_assets", "working_directory": str(instance_yaml().parent)}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"python_module": module}]}))
    return folder


def bare_environment(user: Path) -> dict[str, str]:
    """The environment of a user without settings."""
    user.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(user)}


def graphql(port: int, query: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]["runsOrError"]["results"]


def test_dagster_dev_in_a_clone_without_settings_keeps_all_state_in_the_home(tmp_path: Path) -> None:
    folder, user = clone(tmp_path / "clone"), tmp_path / "user"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A shell makes commands that it starts in the background ignore SIGINT, with which users stop them.
    main = "import signal; signal.signal(2, signal.default_int_handler); from dagster._cli import main; main()"
    with (tmp_path / "log").open("w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", main, "dev", "--port", str(port)],
            cwd=folder,
            env=bare_environment(user),
            stdout=log,
            stderr=log,
            umask=0o022,
        )
        try:
            deadline, runs = time.monotonic() + START_S, []
            while [run["status"] for run in runs] != ["SUCCESS", "SUCCESS"]:
                assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.5)
                with suppress(OSError):  # not up yet
                    runs = graphql(port, "{ runsOrError { ... on Runs { results { status startTime endTime } } } }")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
    second, first = runs  # newest first
    assert second["startTime"] >= first["endTime"], "their pool has one slot"
    assert {path.name for path in folder.iterdir()} == {"dagster.yaml", "workspace.yaml"}
    assert {path.name for path in user.iterdir()} == {".radar"}
    assert "dagster/storage/history/runs.db" in files(user / ".radar")
    assert open_paths(user / ".radar") == []


def test_dagster_materialize_in_a_clone_without_settings_finds_the_same_home(tmp_path: Path) -> None:
    folder, user = clone(tmp_path / "clone"), tmp_path / "user"
    module = ["-m", "radar_assets_tests.small_assets", "-d", str(instance_yaml().parent)]
    subprocess.run(
        [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "small", *module],
        cwd=folder,
        env=bare_environment(user),
        check=True,
        capture_output=True,
        umask=0o022,
    )
    assert open_paths(user / ".radar") == []
    assert {path.name for path in folder.iterdir()} == {"dagster.yaml", "workspace.yaml"}
    with (
        pytest.MonkeyPatch.context() as patch,
        instance_of(_settings_of({"RADAR_HOME": str(user / ".radar")}, patch)) as i,
    ):
        assert [run.status for run in i.get_runs()] == [dg.DagsterRunStatus.SUCCESS]


def test_the_backfill_of_the_docs_uses_the_same_home(tmp_path: Path) -> None:
    project, user = instance_yaml().parent, tmp_path / "user"
    environment = bare_environment(user)
    commands = re.search(
        r"^export DAGSTER_HOME.*\nuv run dagster job backfill .*$",
        (project / "docs" / "how-to" / "backfill.md").read_text(),
        re.M,
    )
    assert commands
    with (
        pytest.MonkeyPatch.context() as patch,
        instance_of(_settings_of({"RADAR_HOME": str(user / ".radar")}, patch)) as i,
    ):
        store = open_store(f"sqlite:///{user / '.radar' / 'radar.db'}")
        begin_by(store, date(2026, 10, 1))
        store.close()
        words = commands[0].replace("uv run dagster", f"{sys.executable} -m dagster")
        subprocess.run(["bash", "-ec", words], cwd=project, env=environment, check=True, capture_output=True)
        (backfill,) = i.get_backfills()
    assert backfill.partition_set_name == "daily_job_partition_set"
    assert backfill.partition_names == [f"2026-10-{day:02}" for day in range(1, 32)]
