"""Fixtures for all tests. Each test has its own home, so that none uses the developer's."""

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.defs_state.base import DefsStateStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from radar_assets.settings import Settings, load_settings
from radar_assets.windows import utc_now
from radar_assets_tests.disks import small_disk
from radar_assets_tests.object_server import object_server
from radar_assets_tests.postgres import postgres_server, postgres_url

STARTED_AT = "TESTS_STARTED_AT"
"""Variable with the time at which the tests were started."""

# The duration of an example depends on the machine rather than on the code. A commit always gets the same examples, so that it
# passes or fails; `--hypothesis-profile=random` searches for new ones.
hypothesis.settings.register_profile("radar", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("radar")

# Shells ignore SIGINT in the background of a script, and the processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers that start before and after a full hour would otherwise disagree about the hour of the homes that they share.
os.environ.setdefault(STARTED_AT, utc_now().isoformat())

# Otherwise each of the hundreds of processes that tests start would compile all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

LONGEST = (
    "cli/test_dev.py",
    "test_docs.py",
    "operations/test_quarter.py",
    "test_properties.py",
    "faults/test_power_cuts.py",
    "alerts/test_incidents.py",
    "faults/test_backfill_kills.py",
    "orchestration/test_launcher.py",
    "cli/test_import_history.py",
    "orchestration/test_stuck.py",
    "orchestration/test_instance.py",
    "orchestration/test_triggers.py",
    "orchestration/test_limits.py",
    "benchmarks/test_benchmarks.py",
    "cli/test_doctor.py",
    "alerts/test_checks.py",
    "faults/test_kills.py",
    "operations/test_sweep.py",
    "orchestration/test_checks.py",
    "cli/test_upgrade_command.py",
    "events/test_packing.py",
    "events/test_contract.py",
    "alerts/test_edges.py",
    "cli/test_time_travel.py",
    "messaging/channels/test_http.py",
    "lakehouse/test_catalog.py",
    "faults/test_overlap.py",
    "test_programs.py",
)
"""Files whose tests take half a minute or more. They start first, so that no worker has one left while the others are idle."""

__all__ = ["object_server", "postgres_server", "postgres_url", "radar_home", "settings", "small_disk"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for longer versions of the fault tests."""
    parser.addoption("--kills", type=int, default=3, help="how many runs test_kills.py kills (default: 3)")
    parser.addoption("--collector-kills", type=int, default=2, help="kills in test_collector_kills.py (default: 2)")
    parser.addoption("--deliverer-kills", type=int, default=3, help="kills in test_delivery_kills.py (default: 3)")
    parser.addoption(
        "--backfill-partitions", type=int, default=6, help="partitions in test_backfill_kills.py (default: 6)"
    )
    parser.addoption("--power-cuts", type=int, default=2, help="how often test_power_cuts.py cuts (default: 2)")
    parser.addoption("--platform-power-cuts", type=int, default=2, help="power cuts of the whole platform (default: 2)")
    parser.addoption(
        "--restored-commits", type=int, default=1, help="times commits in lakehouse/test_recovery.py (default: 1)"
    )
    parser.addoption("--start-signals", type=int, default=12, help="signals in test_start_signals.py (default: 12)")
    parser.addoption("--batches", type=int, default=2, help="batches of history in test_properties.py (default: 2)")
    parser.addoption("--batch-days", type=int, default=2, help="days of history in each of them (default: 2)")
    parser.addoption("--examples", type=int, default=3, help="examples of traffic in test_properties.py (default: 3)")
    parser.addoption("--seeds", type=int, default=1, help="kinds of luck in alerts/test_incidents.py (default: 1)")
    parser.addoption(
        "--expressions", type=int, default=250, help="expressions in metrics/test_safe_sql.py (default: 250)"
    )
    parser.addoption(
        "--quarter-ticks",
        type=int,
        default=18,
        help="ticks in operations/test_quarter.py (default: 18)",
    )
    parser.addoption("--quarter-days", type=int, default=6, help="days that these ticks are spread over (default: 6)")
    parser.addoption("--requests", type=int, default=400, help="requests in collector/test_hostile.py (default: 400)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    here = Path(__file__).parent
    places = {here / name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each reason why tests were skipped."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.getreports("skipped"))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(autouse=True, scope="session")
def migrations_read_once() -> Iterator[None]:
    """Read Dagster's migrations once: tests create hundreds of databases, and each would read them several times."""
    read = ScriptDirectory.from_config
    kept: dict[str | None, ScriptDirectory] = {}

    def from_config(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in kept:
            kept[folder] = read(config)
        return kept[folder]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(autouse=True, scope="session")
def dagster_databases_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make Dagster's empty SQLite databases once and copy them: each of a hundred migrations waits for the disk."""
    made = tmp_path_factory.mktemp("dagster") / "storage"
    make = vars(DagsterSqliteStorage)["from_local"].__func__

    def from_local(
        cls: type[DagsterSqliteStorage], base_dir: str, inst_data: ConfigurableClassData | None = None
    ) -> DagsterSqliteStorage:
        if not Path(base_dir).exists():
            if not made.exists():
                make(cls, str(made)).dispose()
            shutil.copytree(made, base_dir)
        return make(cls, base_dir, inst_data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagsterSqliteStorage, "from_local", classmethod(from_local))
        yield


@pytest.fixture(autouse=True)
def instances_are_left_in_reverse_order() -> Iterator[None]:
    """Fail the test that leaves Dagster instances in another order: Dagster would hand later ones the storage of a closed instance."""
    before = DefsStateStorage.get()
    yield
    assert DefsStateStorage.get() is before


@pytest.fixture(autouse=True)
def radar_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Radar home, without other settings in the environment."""
    for name in os.environ:
        # With uv, commands would be printed as `uv run radar`.
        if name.startswith(("RADAR_", "DAGSTER_", "UV_RUN_")):
            monkeypatch.delenv(name)
    home = tmp_path / "radar"
    monkeypatch.setenv("RADAR_HOME", str(home))
    return home


@pytest.fixture
def settings(radar_home: Path) -> Settings:
    """The settings of a fresh install, with its folders created."""
    return load_settings().prepare()
