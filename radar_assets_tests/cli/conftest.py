"""Fixtures of the command line: a way to run it, and a small home that commands can look at."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from radar_assets.cli import main
from radar_assets.cli.runs import catch_up
from radar_assets.events.landing import write_segment
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.tables import open_lakehouse
from radar_assets.windows import utc_now
from radar_assets_tests.platform import event, line

HOUR = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


@dataclass(frozen=True)
class Run:
    """What a command did."""

    code: int
    out: str
    err: str


Radar = Callable[..., Run]


@pytest.fixture
def radar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Radar:
    """Runs a command in this process, given as a shell would be."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(command: str) -> Run:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(shlex.split(command))
        captured = capfd.readouterr()
        return Run(int(exit.value.code or 0), captured.out, captured.err)

    return run


def in_a_process(command: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    script = "import sys; from radar_assets.cli import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", script, *shlex.split(command)],
        env={**os.environ, "RADAR_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def land(settings: Settings, lines: list[bytes], name: str, hour: datetime = HOUR) -> None:
    """Put a segment of lines into the landing zone."""
    write_segment(settings.landing, hour, name, lines)


def load(settings: Settings) -> None:
    """Take what has landed through the whole graph."""
    catch_up(settings, open_lakehouse(settings))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one hour of the project `shop`: three events, a copy and four rejected lines. Tests only look at it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all workers, which share the home
    home, ready = folder / "shop", folder / "shop.ready"
    with FileLock(folder / "shop.lock"), pytest.MonkeyPatch.context() as environment:
        if not ready.exists():
            environment.setenv("RADAR_HOME", str(home))
            _fill(load_settings().prepare())
            ready.touch()
    return home


def _fill(settings: Settings) -> None:
    open_store(settings.database).ensure_projects([Project("shop"), Project("silent")])
    sent = [event(name, HOUR) for name in ("1", "2", "2")] + [event("3", HOUR, event="\x1b[31mred")]
    rejected = [b"not json\n", b'{"half\xff\n', b'"tail\xe2\x80\xae"\n', line(event("4", HOUR, project_id="blog"))]
    land(settings, [line(fields) for fields in sent] + rejected, "a")
    load(settings)


@pytest.fixture
def in_shop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the home of this test."""
    monkeypatch.setenv("RADAR_HOME", str(shop))
    return shop
