"""`radar dev`: UI and collector answer, a first event is soon in the numbers, and one signal stops everything in order."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from radar_assets.cli.apply import RELOAD
from radar_assets.cli.sql import reading
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.launcher import WORKER_TAG
from radar_assets.settings import Settings, load_settings
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.platform import instance_of

PATIENCE_S = 120
FIRST_EVENT_S = 120
"""How long a first event may take to the numbers: a minute, and twice that on a machine with much else to do."""
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


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def counted(settings: Settings) -> float:
    """The events of the first project in the table that the UI shows."""
    with reading(Lakehouse(settings)) as connection:
        sql = "select sum(value) from hourly_metrics where metric = 'events' and project_id = 'default'"
        [total] = connection.execute(sql).fetchone() or [0]
        return total or 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_first_event_is_counted_and_a_signal_stops_all_processes_but_cuts_no_request(
    radar_home: Path, tmp_path: Path
) -> None:
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
            forged = urllib.request.Request(f"http://127.0.0.1:{port}/server_info", headers={"Host": "evil.example"})
            with pytest.raises(urllib.error.HTTPError, match="421"):
                urllib.request.urlopen(forged, timeout=60)
            _, url, _, authorization, _, event = shlex.split(first_event)
            assert url == f"http://127.0.0.1:{collector_port}/v1/events"
            headers = {"Authorization": authorization.partition(" ")[2]}
            sent_at = time.monotonic()
            with urllib.request.urlopen(urllib.request.Request(url, event.encode(), headers), timeout=60) as answer:
                assert answer.status == 200
            while not (events := counted(load_settings())):
                assert time.monotonic() < sent_at + FIRST_EVENT_S
                time.sleep(1)
            assert events == 1
            with instance_of(load_settings()) as instance:
                assert WORKER_TAG in instance.get_runs()[0].tags, (
                    "forked by the daemon, rather than started by the code server"
                )
            reload = json.dumps({"query": RELOAD}).encode()
            reload = urllib.request.Request(
                f"http://127.0.0.1:{port}/graphql", reload, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(reload, timeout=60) as answer:
                (location,) = json.load(answer)["data"]["reloadWorkspace"]["locationEntries"]
            assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
            assert len(members(process.pid)) > 4
            with socket.create_connection(("127.0.0.1", collector_port), timeout=PATIENCE_S) as under_way:
                head = f"POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: {headers['Authorization']}\r\n"
                under_way.sendall(f"{head}Content-Length: {len(event)}\r\n\r\n{event[:5]}".encode())
                for _ in range(2):
                    process.send_signal(signal.SIGTERM)
                    time.sleep(1)
                under_way.sendall(event[5:].encode())
                assert under_way.recv(15) == b"HTTP/1.1 200 OK"
            process.stderr.read()
            assert process.wait(PATIENCE_S) == 0
            wait_until(lambda: members(process.pid) == [])
        finally:
            for number in members(process.pid):
                os.kill(number, signal.SIGKILL)
    assert not list(tmp_path.glob(".tmp_dagster_home_*"))
    assert (radar_home / "dagster" / "dagster.yaml").exists()
    lines = [line for file in (radar_home / "landing").rglob("*.ndjson") for line in file.read_text().splitlines()]
    assert [json.loads(line)["project_id"] for line in lines] == ["default"] * 2


def test_a_port_in_use_is_told_before_anything_starts(radar: Radar, radar_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = radar(f"dev --port {taken.getsockname()[1]}")
    assert run.code == 1
    assert "--port" in run.err
    assert len(run.err.splitlines()) == 1
    assert not radar_home.exists()
