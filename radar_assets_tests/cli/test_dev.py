"""`radar dev`: UI and collector answer, and one signal stops everything that was started."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from radar_assets_tests.cli.conftest import Radar

PATIENCE_S = 120
SCRIPT = "import sys; from radar_assets.cli import main; main(sys.argv[1:])"


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def members(group: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_ui_and_collector_answer_and_a_signal_stops_all_processes(radar_home: Path, tmp_path: Path) -> None:
    port, collector_port = free_port(), free_port()
    # As in the background of a script, where the interrupt signal is ignored.
    ignored = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {SCRIPT}"
    with subprocess.Popen(
        [sys.executable, "-c", ignored, "dev", "--port", str(port), "--collector-port", str(collector_port)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr
            first_event = next(text for text in process.stderr if text.startswith("curl "))
            told = next(text for text in process.stderr if "The UI is at" in text)
            assert f"http://127.0.0.1:{port}" in told
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=60) as answer:
                assert b"dagster_webserver_version" in answer.read()
            _, url, _, authorization, _, event = shlex.split(first_event)
            assert url == f"http://127.0.0.1:{collector_port}/v1/events"
            headers = {"Authorization": authorization.partition(" ")[2]}
            with urllib.request.urlopen(urllib.request.Request(url, event.encode(), headers), timeout=60) as answer:
                assert answer.status == 200
            assert len(members(process.pid)) > 4
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(PATIENCE_S) == 0
            deadline = time.monotonic() + PATIENCE_S
            while (left := members(process.pid)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert left == []
        finally:
            for number in members(process.pid):
                os.kill(number, signal.SIGKILL)
    assert not list(tmp_path.glob(".tmp_dagster_home_*"))
    assert (radar_home / "dagster" / "dagster.yaml").exists()
    [line] = [line for file in (radar_home / "landing").rglob("*.ndjson") for line in file.read_text().splitlines()]
    assert json.loads(line)["project_id"] == "default"


def test_a_port_in_use_is_told_before_anything_starts(radar: Radar, radar_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = radar(f"dev --port {taken.getsockname()[1]}")
    assert run.code == 1
    assert "--port" in run.err
    assert len(run.err.splitlines()) == 1
    assert not radar_home.exists()
