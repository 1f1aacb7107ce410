"""`radar dev`: its panel, a first event that is soon counted, and that all processes end with it."""

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from radar_assets.access.keys import create_key
from radar_assets.access.projects import ensure_projects
from radar_assets.cli.sql import reading
from radar_assets.orchestration.runtime.launcher import WORKER_TAG
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.tables import open_lakehouse
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.cli.test_rules import RULES, written
from radar_assets_tests.patience import undisturbed
from radar_assets_tests.platform import instance_of, open_paths
from radar_assets_tests.processes import free_port, members

PATIENCE_S = 120
FIRST_EVENT_S = 120
"""Maximum time until a first event is counted: a minute, and twice that on a busy machine."""
CANARY = "c4n4ry"
SECRETS = {"RADAR_REDIS_URL": f"redis://:{CANARY}@127.0.0.1:1/0", "RADAR_SMTP_URL": f"smtp://user:{CANARY}@127.0.0.1:1"}
"""Settings with a secret that must not be shown."""
STOPPING = "Stopping ... Press Ctrl-C again to kill everything.\n"
SCRIPT = "import sys; from radar_assets.cli import main; main(sys.argv[1:])"


def counted(settings: Settings) -> float:
    """The events of the first project, as the UI shows them."""
    with reading(open_lakehouse(settings)) as connection:
        sql = "select sum(value) from hourly_metrics where metric = 'events' and project_id = 'default'"
        [total] = connection.execute(sql).fetchone() or [0]
        return total or 0


@contextmanager
def running(folder: Path, port: int, collector_port: int, script: str = SCRIPT) -> Iterator[subprocess.Popen[str]]:
    """`radar dev` in its own session, which is killed when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", script, "dev", "--port", str(port), "--collector-port", str(collector_port)],
        cwd=folder,
        env={**os.environ, **SECRETS, "COLUMNS": "80"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        umask=0o022,
    ) as process:
        try:
            yield process
        finally:
            for number in members(process.pid):
                os.kill(number, signal.SIGKILL)


def panel(process: subprocess.Popen[str]) -> list[str]:
    """The lines up to the last one of the panel."""
    assert process.stderr
    lines = [*iter(process.stderr.readline, "Ctrl-C stops everything.\n"), process.stderr.readline()]
    return [line.rstrip("\n") for line in lines]


def sending(url: str, authorization: str, event: str) -> http.client.HTTPResponse:
    request = urllib.request.Request(f"{url}/v1/events", event.encode(), {"Authorization": authorization})
    return urllib.request.urlopen(request, timeout=60)


def left_of(process: subprocess.Popen[Any], patience_s: float = PATIENCE_S) -> list[int]:
    """The processes of a session that remain some time after its command has ended."""
    deadline = time.monotonic() + patience_s
    while (left := members(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


needs_proc = pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")


@needs_proc
def test_a_first_event_is_counted_and_a_signal_stops_all_processes_after_their_requests(
    radar: Radar, radar_home: Path, tmp_path: Path
) -> None:
    port, collector_port = free_port(), free_port()
    # As in the background of a script, where SIGINT is ignored.
    ignored = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {SCRIPT}"
    with running(tmp_path, port, collector_port, ignored) as process:
        lines = panel(process)
        assert len(lines) < 25
        assert lines.index("UI ready") < lines.index(f"UI         http://127.0.0.1:{port}")
        assert any(line.endswith("key create default") for line in lines), "says how to make another key"
        assert f"Logs       {radar_home}/logs" in lines
        lines.remove(f"Logs       {radar_home}/logs")
        assert max(len(line) for line in lines if "/login/link?" not in line) <= 80
        assert f"UI         http://127.0.0.1:{port}" in lines
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=60)
        (link,) = (line.removeprefix("Log in     ") for line in lines if line.startswith("Log in"))
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(link, timeout=60) as page:
            assert page.url == f"http://127.0.0.1:{port}/radar/jobs"
            assert b"hourly_job" in page.read()
        with browser.open(f"http://127.0.0.1:{port}/server_info", timeout=60) as answer:
            assert b"dagster_webserver_version" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(link, timeout=60)
        forged = urllib.request.Request(f"http://127.0.0.1:{port}/server_info", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="421"):
            urllib.request.urlopen(forged, timeout=60)
        written(load_settings(), RULES)
        assert f"The UI at http://127.0.0.1:{port} has loaded them." in radar("apply").out
        pasted = "\n".join(lines).replace("\\\n", "")
        curl = pasted[pasted.index("curl ") :].partition("\n\n")[0]
        _, url, _, header, _, event = shlex.split(curl)
        authorization = header.removeprefix("Authorization: ")
        assert url == f"http://127.0.0.1:{collector_port}/v1/events"
        sent_at = time.monotonic()
        with sending(url.removesuffix("/v1/events"), authorization, event) as answer:
            assert answer.status == 200
        while not (events := counted(load_settings())):
            assert time.monotonic() < sent_at + FIRST_EVENT_S
            time.sleep(1)
        assert events == 1
        assert process.stderr
        # The line comes a moment after the event is in the tables.
        assert re.fullmatch(r"\d\d:\d\d:\d\d  1 event loaded\n", process.stderr.readline())
        with instance_of(load_settings()) as instance:
            assert WORKER_TAG in instance.get_runs()[0].tags, "forked by the daemon, not started by the code server"
        assert len(members(process.pid)) > 4
        command_lines = [Path(f"/proc/{number}/cmdline").read_bytes() for number in members(process.pid)]
        assert [command for command in command_lines if CANARY.encode() in command] == []
        environments = [Path(f"/proc/{number}/environ").read_bytes() for number in members(process.pid)]
        link = f"\0RADAR_UI_URL=http://127.0.0.1:{port}\0".encode()
        assert len([variables for variables in environments if link in variables]) > 3, "messages link to this UI"
        with socket.create_connection(("127.0.0.1", collector_port), timeout=PATIENCE_S) as under_way:
            head = f"POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n"
            under_way.sendall(f"{head}Content-Length: {len(event)}\r\n\r\n{event[:5]}".encode())
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                time.sleep(1)
            under_way.sendall(event[5:].encode())
            assert under_way.recv(15) == b"HTTP/1.1 200 OK"
        *happened, last = process.stderr.readlines()
        assert last == STOPPING
        assert all(line.endswith(" loaded\n") for line in happened), happened
        assert process.wait(PATIENCE_S) == 0
        assert left_of(process) == []
    shown = [*lines, *(log.read_text() for log in (radar_home / "logs").iterdir())]
    assert [text for text in shown if CANARY in text] == []
    assert not list(tmp_path.glob(".tmp_dagster_home_*"))
    assert (radar_home / "dagster" / "dagster.yaml").exists()
    assert open_paths(radar_home) == []
    landed = [line for file in (radar_home / "landing").rglob("*.ndjson") for line in file.read_text().splitlines()]
    assert [json.loads(line)["project_id"] for line in landed] == ["default"] * 2
    assert "Serving the UI" in (radar_home / "logs" / "ui.log").read_text()
    assert "No UI of this home runs" in radar("apply").out


@needs_proc
def test_a_code_server_that_ends_is_restarted_and_events_are_loaded(settings: Settings, tmp_path: Path) -> None:
    store = open_store(settings.database)
    ensure_projects(store, [Project("default")])
    key = create_key(store, "default")
    store.close()
    collector_port = free_port()

    def code_servers(*words: str) -> list[psutil.Process]:
        """The processes of the code server, the one that serves the definitions last."""
        running = [psutil.Process(number) for number in members(process.pid)]
        return [each for each in running if all(word in each.cmdline() for word in words)]

    with running(tmp_path, free_port(), collector_port) as process:
        panel(process)
        assert process.stderr
        (serving,) = code_servers("api", "grpc")
        serving.kill()
        line = process.stderr.readline()
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d  code-server ended \(its process is gone\); it is restarted in 1 s\n", line
        )
        deadline = time.monotonic() + PATIENCE_S
        while not code_servers("api", "grpc"):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        (proxy,) = code_servers("code-server", "start")
        proxy.kill()
        assert process.stderr.readline().endswith("code-server ended (signal 9); it is restarted in 2 s\n")
        event = json.dumps({"event": "signup", "anonymous_id": "visitor-1"})
        with sending(f"http://127.0.0.1:{collector_port}", f"Bearer {key}", event) as answer:
            assert answer.status == 200
        deadline = time.monotonic() + 2 * PATIENCE_S
        while not counted(settings):
            assert time.monotonic() < deadline
            time.sleep(1)
        assert counted(settings) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert left_of(process) == []


@needs_proc
def test_kill_leaves_no_process_behind_and_requests_are_answered(
    radar: Radar, settings: Settings, tmp_path: Path
) -> None:
    store = open_store(settings.database)
    ensure_projects(store, [Project("shop"), Project("blog")])
    key = create_key(store, "shop")
    store.close()
    written(settings, RULES)
    port, collector_port = free_port(), free_port()
    event = json.dumps({"event": "signup", "anonymous_id": "visitor-1"})
    with running(tmp_path, port, collector_port) as process:
        lines = panel(process)
        assert "Projects   blog, shop" in lines, "the newest first"
        assert not any(line.startswith("Write key") for line in lines), "there is none to show"
        assert any(line.startswith("KEY=$(") and line.endswith("radar key create blog)") for line in lines)
        with socket.create_connection(("127.0.0.1", collector_port), timeout=PATIENCE_S) as under_way:
            head = f"POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
            under_way.sendall(f"{head}Content-Length: {len(event)}\r\n\r\n{event[:5]}".encode())
            time.sleep(0.5)
            process.kill()
            time.sleep(1)
            under_way.sendall(event[5:].encode())
            assert under_way.recv(15) == b"HTTP/1.1 200 OK"
        assert left_of(process) == []
    assert len([*settings.landing.rglob("*.ndjson")]) == 1, "the collector has ended in order"
    assert "No UI of this home runs" in radar("apply").out


@needs_proc
def test_when_a_child_ends_its_last_lines_are_shown_and_everything_stops(radar_home: Path, tmp_path: Path) -> None:
    def fail() -> tuple[int, str]:
        collector_port = free_port()
        with running(tmp_path, free_port(), collector_port) as process, socket.socket() as taken:
            assert process.stderr and process.stderr.readline().startswith("Starting")
            # The port is taken after the check of `radar dev` and before the collector binds it.
            taken.bind(("127.0.0.1", collector_port))
            taken.listen()
            said = process.stderr.read()
            assert process.wait(PATIENCE_S) == 1
            assert left_of(process) == []
            return collector_port, said

    collector_port, said = undisturbed(fail)
    assert said.endswith(STOPPING)
    said = said.removesuffix(STOPPING)
    assert said.splitlines()[0] == "collector ended (exit code 1), so everything stops."
    assert str(radar_home / "logs" / "collector.log") in said
    assert f"can't listen on 127.0.0.1:{collector_port}" in said.splitlines()[-1]


def test_a_port_in_use_is_reported_before_anything_starts(radar: Radar, radar_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = radar(f"dev --port {taken.getsockname()[1]}")
    assert run.code == 1
    assert "--port" in run.err
    assert len(run.err.splitlines()) == 1
    assert not radar_home.exists()
