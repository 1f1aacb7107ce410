"""Replays by API: received hours with data are rebuilt in the daemon, once for each Idempotency-Key."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from radar_assets.api.trigger_tags import TRIGGERED_BY, TRIGGERED_FROM
from radar_assets.orchestration.run_tags import partition_span
from radar_assets.orchestration.runtime.backfills import BACKFILL_TAG
from radar_assets.settings import load_settings
from radar_assets.windows import DAY, Window, utc_now
from radar_assets_tests.api.gates import JSON, Gate, gated
from radar_assets_tests.daemons import daemon
from radar_assets_tests.patience import eventually
from radar_assets_tests.platform import Platform, event

REPLAYS = "/v1/replays"
PATIENCE_S = 300
NOON = Window.of_day((utc_now() - 14 * DAY).date()).start + timedelta(hours=12)
"""Recent, because the daemon also builds all days until today."""
KILLED = """
import asyncio, os, signal, sys
from datetime import datetime
from pathlib import Path
from dagster import DagsterInstance
from radar_assets.api.idempotency import Keys
from radar_assets.api.replays import ReplayRequest, _id
from radar_assets.api.server import loaded_workspace
from radar_assets.api.triggers import fingerprint
from radar_assets.api.workspace import find_job
from radar_assets.events.replayed_hours import hours_with_data
from radar_assets.orchestration.runtime.backfills import queue_runs
from radar_assets.settings import load_settings
from radar_assets.store.database import open_store
from radar_assets.tables import open_lakehouse
from radar_assets.windows import to_window

key, file, since, until = sys.argv[1:]
settings = load_settings()
submit, submitted = DagsterInstance.submit_run, []

def submit_once(self, run_id, workspace):
    if submitted:
        os.kill(os.getpid(), signal.SIGKILL)
    submitted.append(run_id)
    return submit(self, run_id, workspace)

DagsterInstance.submit_run = submit_once
with loaded_workspace(settings, Path(file)) as workspace:
    context = workspace.create_request_context()
    job = find_job(context, "hourly_job")
    window = to_window((since, until))
    hours = hours_with_data(open_lakehouse(settings), window)
    keys = Keys(open_store(settings.database), "user:operator-1")
    wanted = ReplayRequest(since, since)
    launch = lambda id: queue_runs(context, job.location, job.name, hours, "hour", {}, _id(id))
    asyncio.run(keys.launch_once(key, fingerprint("/v1/replays", wanted), launch))
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server with Radar's own definitions. Lines have landed in two hours of a day, and in one hour four days later."""
    folder = tmp_path_factory.mktemp("replays")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        settings = load_settings().prepare()
        with gated(settings, folder, "radar_assets.definitions") as gate:
            platform = Platform(settings, gate.ui.instance)
            for hours in (0, 2, 96):
                received = NOON + timedelta(hours=hours)
                platform.land(received, [event(str(hours), received)], f"segment-{hours}")
            yield gate


def post(gate: Gate, body: object, key: str | None = None, who: str = "operator") -> tuple[int, Any]:
    """Ask for a replay. Returns status and answer."""
    headers = {**JSON, **({"Idempotency-Key": key} if key is not None else {})}
    status, _, text = gate.request(who, "POST", REPLAYS, json.dumps(body), headers)
    return status, json.loads(text)


def get(gate: Gate, id: str, who: str = "viewer") -> tuple[int, Any]:
    status, _, text = gate.request(who, "GET", f"{REPLAYS}/{id}")
    return status, json.loads(text)


def spans(gate: Gate, id: str) -> list[tuple[str, str] | None]:
    """The partitions of the runs of a replay."""
    runs = gate.ui.instance.get_runs(dg.RunsFilter(tags={BACKFILL_TAG: id}))
    return sorted(partition_span(run.tags) for run in runs)  # pyright: ignore[reportArgumentType]


def key_of(hours: int) -> str:
    return f"{NOON + timedelta(hours=hours):%Y-%m-%d-%H:00}"


def day_of(days: int) -> str:
    return f"{NOON + timedelta(days=days):%Y-%m-%d}"


def test_hours_with_data_are_rebuilt_by_the_daemon(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, replay = post(gate, {"since": day_of(0), "until": day_of(4)})
    assert status == 201
    assert {name: replay[name] for name in ("job", "hours", "done", "failed", "is_over")} == {
        "job": "hourly_job",
        "hours": 4,
        "done": 0,
        "failed": 0,
        "is_over": False,
    }
    assert spans(gate, replay["id"]) == [(key_of(0), key_of(2)), (key_of(96), key_of(96))]
    (run, _) = gate.ui.instance.get_runs(dg.RunsFilter(tags={BACKFILL_TAG: replay["id"]}))
    assert {TRIGGERED_BY: "the operator", TRIGGERED_FROM: "api"}.items() <= run.tags.items()
    assert get(gate, replay["id"]) == (200, replay)
    line = gate.recorded[-1]
    assert (line["who"], line["action"], line["target"]) == ("the operator", "replay", "hourly_job")
    assert line["details"] == {"key": None, "since": day_of(0), "until": day_of(4)}

    monkeypatch.setenv("RADAR_HOME", str(gate.home))
    with daemon(gate.ui.instance, tmp_path, [{"module_name": "radar_assets.definitions"}]):
        ended = eventually(lambda: (found := get(gate, replay["id"])[1])["is_over"] and found, PATIENCE_S)
    assert (ended["done"], ended["failed"], ended["seconds_left"]) == (4, 0, 0)
    platform = Platform(load_settings(home=gate.home), gate.ui.instance)
    assert {row["event_id"] for row in platform.rows("events")} == {"0", "2", "96"}


def test_a_range_ends_with_its_last_hour_or_by_default_now(gate: Gate) -> None:
    _, replay = post(gate, {"since": key_of(1), "until": key_of(2)})
    assert spans(gate, replay["id"]) == [(key_of(2), key_of(2))]
    _, replay = post(gate, {"since": day_of(1)})
    assert spans(gate, replay["id"]) == [(key_of(96), key_of(96))]
    _, replay = post(gate, {"since": day_of(-10), "until": day_of(0)})
    assert spans(gate, replay["id"]) == [(key_of(0), key_of(2))]


def test_a_replay_is_queued_once_for_a_key(gate: Gate) -> None:
    body = {"since": day_of(4), "until": day_of(4)}
    answers = [post(gate, body, "mine") for _ in range(2)]
    assert [status for status, _ in answers] == [201, 200]
    assert answers[0][1]["id"] == answers[1][1]["id"]
    assert len(spans(gate, answers[0][1]["id"])) == 1
    status, problem = post(gate, {"since": day_of(0)}, "mine")
    assert (status, problem["field"]) == (422, "Idempotency-Key")
    assert post(gate, body, "a key")[1]["field"] == "Idempotency-Key"


def test_a_retry_after_a_kill_queues_the_rest_of_the_replay(gate: Gate) -> None:
    """The server is killed when it has queued one of two runs."""
    body = {"since": day_of(0), "until": day_of(4)}
    command = [sys.executable, "-c", KILLED.replace("ReplayRequest(since, since)", f"ReplayRequest(**{body!r})")]
    arguments = ["killed", str(gate.workspace), day_of(0), day_of(5)]
    environment = {**os.environ, "RADAR_HOME": str(gate.home)}
    with subprocess.Popen([*command, *arguments], env=environment, start_new_session=True) as process:
        assert process.wait(180) == -signal.SIGKILL
        os.killpg(process.pid, signal.SIGKILL)  # its code server
    answers = [post(gate, body, "killed") for _ in range(2)]
    assert [status for status, _ in answers] == [201, 200]
    id = answers[0][1]["id"]
    assert spans(gate, id) == [(key_of(0), key_of(2)), (key_of(96), key_of(96))], "each once"
    runs = gate.ui.instance.get_runs(dg.RunsFilter(tags={BACKFILL_TAG: id}))
    assert {run.status for run in runs} == {dg.DagsterRunStatus.QUEUED}
    untagged = [run for run in runs if TRIGGERED_BY not in run.tags]
    assert untagged, "the process that was killed had created a run"


@pytest.mark.parametrize(
    ("status", "field", "body"),
    [
        (422, "since", {}),
        (422, "since", {"since": "yesterday"}),
        (422, "since", {"since": "2026-02-30"}),
        (422, "since", {"since": ""}),
        (422, "since", {"since": "9999-01-01"}),
        (422, "since", {"since": day_of(6), "until": day_of(7)}),
        (422, "until", {"since": "2020-01-01", "until": "0001-13-01"}),
        (422, "until", {"since": "9998-12-31", "until": "9999-12-31"}),
        (422, "until", {"since": day_of(1), "until": day_of(0)}),
        (422, "until", {"since": "2000-01-01", "until": "2000-01-02"}),
        (400, "since", {"since": 1}),
        (400, "prune", {"since": day_of(0), "prune": True}),
        (400, "body", "{"),
    ],
)
def test_an_error_names_the_field(gate: Gate, status: int, field: str, body: object) -> None:
    before = gate.ui.instance.get_runs_count()
    found, problem = post(gate, body)
    assert (found, problem["field"], problem["status"]) == (status, field, status)
    assert gate.ui.instance.get_runs_count() == before


def test_at_most_31_days_are_replayed_at_once(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from radar_assets.api import replays

    monkeypatch.setattr(replays, "MAX_SPAN", timedelta(days=4))
    status, problem = post(gate, {"since": day_of(0), "until": day_of(4)})
    assert (status, problem["field"]) == (422, "until")
    assert post(gate, {"since": day_of(0), "until": day_of(3)})[0] == 201


def test_a_key_whose_replay_had_no_data_can_be_used_again(gate: Gate) -> None:
    assert post(gate, {"since": day_of(6), "until": day_of(6)}, "later")[0] == 422
    assert gate.recorded[-1]["result"] == "failed"
    received = NOON + timedelta(days=6)
    Platform(load_settings(home=gate.home), gate.ui.instance).land(received, [event("later", received)], "later")
    assert post(gate, {"since": day_of(6), "until": day_of(6)}, "later")[0] == 201


@pytest.mark.parametrize("id", ["unknown", "x" * 33, "a b"])
def test_an_unknown_replay_is_not_found(gate: Gate, id: str) -> None:
    status, problem = get(gate, id.replace(" ", "%20"))
    assert (status, problem["field"]) == (404, "id")
