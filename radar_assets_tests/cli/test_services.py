"""The folder in which the services of a process find each other: its location and its removal."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from radar_assets.cli.services import SOCKET, WORKSPACE, dagster_services, services_folder

HOLDER = """
import sys
from pathlib import Path
from radar_assets.cli.services import SOCKET, services_folder
with services_folder(Path(sys.argv[1])) as folder:
    (folder / SOCKET).touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        yield Path(folder)


def holder(scratch: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process with a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(scratch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_the_folder_is_in_the_homes_scratch_and_removed_with_its_process(scratch: Path) -> None:
    with services_folder(scratch) as folder:
        dagster_services("127.0.0.1", 3000, folder)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / SOCKET))
        assert folder.parent == scratch
        assert {path.name for path in folder.iterdir()} == {SOCKET, WORKSPACE}
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 100, "with space"])
def test_a_home_with_too_long_a_path_for_sockets_uses_a_temporary_folder(
    name: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with services_folder(scratch / name) as folder:
        assert folder.parent == scratch
    assert list(scratch.iterdir()) == []


def test_a_start_only_removes_folders_of_killed_processes(scratch: Path) -> None:
    living, kept = holder(scratch)
    killed, leftover = holder(scratch)
    foreign = scratch / "radar-services-notes"
    foreign.mkdir()
    (foreign / "mine.txt").touch()
    (scratch / "radar-services-link").symlink_to(foreign)
    with living, killed:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert leftover.exists()
        with services_folder(scratch):
            assert not leftover.exists()
            assert (kept / SOCKET).exists()
            assert (foreign / "mine.txt").exists()
    assert not kept.exists()
