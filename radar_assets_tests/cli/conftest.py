"""Fixtures for the command line: runners, and a small home to read."""

import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from radar_assets.access.projects import ensure_projects
from radar_assets.cli import main
from radar_assets.cli.runs import catch_up
from radar_assets.events.landing import write_segment
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.tables import open_lakehouse
from radar_assets_tests.conftest import STARTED_AT
from radar_assets_tests.platform import event, line

STARTED = datetime.fromisoformat(os.environ[STARTED_AT])
HOUR = STARTED.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


@dataclass(frozen=True)
class Run:
    """The result of a command; in a terminal, `err` is all that it shows, with colours."""

    code: int
    out: str
    err: str


Radar = Callable[..., Run]


@pytest.fixture
def radar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Radar:
    """Runs a command in this process, given as a shell command line."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(command: str) -> Run:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(shlex.split(command))
        captured = capfd.readouterr()
        return Run(int(exit.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Radar:
    """Runs a command in this process, in a terminal of some columns, in which an answer is typed. The output has no colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(command: str, columns: int = 80, answer: str = "") -> Run:
        monkeypatch.setenv("COLUMNS", str(columns))
        parent, child = pty.openpty()
        shown = bytearray()
        reader = threading.Thread(target=_read_to_end, args=(parent, shown))
        reader.start()
        os.write(parent, f"{answer}\n".encode())
        with (
            os.fdopen(child, "w", closefd=False) as screen,
            os.fdopen(child) as keyboard,
            pytest.MonkeyPatch.context() as streams,
            pytest.raises(SystemExit) as exit,
        ):
            streams.setattr("sys.stdin", keyboard)
            streams.setattr("sys.stdout", screen)
            streams.setattr("sys.stderr", screen)
            main(shlex.split(command))
        reader.join()
        os.close(parent)
        text = shown.decode().replace("\r\n", "\n").removeprefix(f"{answer}\n")
        return Run(int(exit.value.code or 0), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), text)

    return run


def _read_to_end(parent: int, shown: bytearray) -> None:
    with suppress(OSError):  # the end, once nothing has the other side open
        while read := os.read(parent, 65536):
            shown += read


def cells(out: str) -> dict[str, list[str]]:
    """The rows of a piped table by their first column."""
    rows = [re.split(r"  +", row.strip()) for row in out.splitlines()]
    return {row[0]: row[1:] for row in rows}


def in_a_process(command: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in its own process."""
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
    """Build all tables from the landed segments."""
    catch_up(settings, open_lakehouse(settings))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one hour of the project `shop`: three events, a copy and four rejected lines. Tests only read it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the temporary folder of all workers, which share the home
    home, ready = folder / "shop", folder / "shop.ready"
    with FileLock(folder / "shop.lock"), pytest.MonkeyPatch.context() as environment:
        if not ready.exists():
            environment.setenv("RADAR_HOME", str(home))
            _fill(load_settings().prepare())
            ready.touch()
    return home


def _fill(settings: Settings) -> None:
    ensure_projects(open_store(settings.database), [Project("shop"), Project("silent")])
    sent = [event(name, HOUR) for name in ("1", "2", "2")] + [event("3", HOUR, event="\x1b[31mred")]
    rejected = [b"not json\n", b'{"half\xff\n', b'"tail\xe2\x80\xae"\n', line(event("4", HOUR, project_id="blog"))]
    land(settings, [line(fields) for fields in sent] + rejected, "a")
    load(settings)


@pytest.fixture
def in_shop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same home, as the home of this test."""
    monkeypatch.setenv("RADAR_HOME", str(shop))
    return shop
