"""The trigger API: runs by partition and range, one run for each Idempotency-Key, cancelling, and errors that name the field."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import hypothesis
import pytest
from hypothesis import HealthCheck, given

from radar_assets.api.cron_words import cron_words
from radar_assets.api.trigger_tags import TRIGGERED_BY, TRIGGERED_FROM
from radar_assets.settings import load_settings
from radar_assets_tests.api.gates import JSON, Gate, gated

START = "/v1/jobs/dated_job/runs"
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from radar_assets.api.idempotency import Keys
from radar_assets.api.server import loaded_workspace
from radar_assets.api.triggers import RunRequest, fingerprint
from radar_assets.api.workspace import find_job, launch
from radar_assets.settings import load_settings
from radar_assets.store.database import open_store

when, key, file = sys.argv[1:]
settings = load_settings()
with loaded_workspace(settings, Path(file)) as workspace:
    context = workspace.create_request_context()
    job = find_job(context, "broken_job")

    def launch_and_die(run_id):
        if when == "after":
            launch(context, job, run_id, {})
        os.kill(os.getpid(), signal.SIGKILL)

    keys = Keys(open_store(settings.database), "user:operator-1")
    asyncio.run(keys.launch_once(key, fingerprint("broken_job", RunRequest()), launch_and_die))
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server whose jobs have partitions or fail."""
    folder = tmp_path_factory.mktemp("triggers")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        with gated(load_settings().prepare(), folder, "radar_assets_tests.dated_jobs") as gate:
            yield gate


def post(gate: Gate, path: str, body: object = None, key: str | None = None, who: str = "operator") -> tuple[int, Any]:
    """Send a request. Returns status and answer."""
    headers = {**JSON, **({"Idempotency-Key": key} if key is not None else {})}
    status, _, text = gate.request(who, "POST", path, "" if body is None else json.dumps(body), headers)
    return status, json.loads(text)


def runs(gate: Gate, job: str) -> set[str]:
    """Ids of a job's runs."""
    return {run.run_id for run in gate.ui.instance.get_runs(dg.RunsFilter(job_name=job))}


def test_jobs_are_listed_with_what_they_do(gate: Gate) -> None:
    status, _, text = gate.request("viewer", "GET", "/v1/jobs")
    jobs = {job["name"]: job for job in json.loads(text)["jobs"]}
    assert status == 200
    assert set(jobs) == {"dated_job", "broken_job"}
    assert jobs["dated_job"]["newest_partition"] == "2026-10-31"
    assert jobs["broken_job"]["description"] == "Fails <always>."
    assert not jobs["broken_job"]["is_partitioned"]


@pytest.mark.parametrize(
    ("body", "tags"),
    [
        ({"partition": "2026-03-01"}, {"dagster/partition": "2026-03-01"}),
        ({"partition": "2026-03-01", "partition_end": "2026-03-01"}, {"dagster/partition": "2026-03-01"}),
        (
            {"partition": "2026-03-01", "partition_end": "2026-03-03"},
            {
                "dagster/asset_partition_range_start": "2026-03-01",
                "dagster/asset_partition_range_end": "2026-03-03",
            },
        ),
    ],
)
def test_a_run_of_a_partition_or_range_has_the_name_of_who_started_it(
    gate: Gate, body: dict[str, str], tags: dict[str, str]
) -> None:
    status, run = post(gate, START, body)
    assert (status, run["state"], run["triggered_by"]) == (201, "queued", "the operator")
    found = gate.ui.instance.get_run_by_id(run["id"])
    assert found
    assert {**tags, TRIGGERED_BY: "the operator", TRIGGERED_FROM: "api"}.items() <= found.tags.items()
    status, _, text = gate.request("viewer", "GET", f"/v1/runs/{run['id']}")
    assert (status, json.loads(text)) == (200, run)
    line = gate.recorded[-1]
    assert (line["who"], line["action"], line["target"]) == ("the operator", "run", "dated_job")


@pytest.mark.parametrize(
    ("status", "field", "body"),
    [
        (422, "partition", {}),
        (422, "partition", {"partition": "2026-13-01"}),
        (422, "partition", {"partition": "2025-12-31"}),
        (422, "partition", {"partition": "2026-03-01-00:00"}),
        (422, "partition", {"partition": ""}),
        (422, "partition_end", {"partition": "2026-03-02", "partition_end": "2026-03-01"}),
        (422, "partition_end", {"partition": "2026-01-01", "partition_end": "2026-10-31"}),
        (422, "partition_end", {"partition": "2026-01-01", "partition_end": "tomorrow"}),
        (400, "partition", {"partition": 1}),
        (400, "colour", {"colour": "red"}),
        (400, "body", ["2026-03-01"]),
        (400, "body", "{"),
    ],
)
def test_an_error_names_the_field(gate: Gate, status: int, field: str, body: object) -> None:
    before = runs(gate, "dated_job")
    found, problem = post(gate, START, body)
    assert (found, problem["field"], problem["status"]) == (status, field, status)
    assert runs(gate, "dated_job") == before


def test_a_partition_of_a_job_without_partitions_is_refused(gate: Gate) -> None:
    status, problem = post(gate, "/v1/jobs/broken_job/runs", {"partition": "2026-03-01"})
    assert (status, problem["field"]) == (422, "partition")


@pytest.mark.parametrize("path", ["/v1/jobs/unknown/runs", "/v1/jobs/__ASSET_JOB/runs", "/v1/runs/unknown/cancel"])
def test_what_is_unknown_is_not_found(gate: Gate, path: str) -> None:
    assert post(gate, path, {})[0] == 404


def test_fifty_requests_with_one_key_start_one_run(gate: Gate) -> None:
    before = runs(gate, "broken_job")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(gate, "/v1/jobs/broken_job/runs", {}, "fifty"), range(50)))
    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    assert {run["id"] for _, run in answers} == runs(gate, "broken_job") - before
    assert len(runs(gate, "broken_job") - before) == 1


def test_a_key_is_for_one_request_of_one_user(gate: Gate) -> None:
    _, first = post(gate, START, {"partition": "2026-04-01"}, "mine")
    status, problem = post(gate, START, {"partition": "2026-04-02"}, "mine")
    assert (status, problem["field"]) == (422, "Idempotency-Key")
    status, second = post(gate, START, {"partition": "2026-04-01"}, "mine", "admin")
    assert status == 201
    assert second["id"] != first["id"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201])
def test_an_invalid_key_is_refused(gate: Gate, key: str) -> None:
    status, problem = post(gate, START, {"partition": "2026-04-01"}, key)
    assert (status, problem["field"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_retry_after_a_kill_finds_or_starts_the_same_run(gate: Gate, when: str) -> None:
    """The server is killed while it launches the run: before it exists, or before the key has it."""
    before = runs(gate, "broken_job")
    command = [sys.executable, "-c", KILLED, when, f"killed-{when}", str(gate.workspace)]
    environment = {**os.environ, "RADAR_HOME": str(gate.home)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        assert process.wait(180) == -signal.SIGKILL
        os.killpg(process.pid, signal.SIGKILL)  # its code server
    between = runs(gate, "broken_job") - before
    assert len(between) == (when == "after")
    answers = [post(gate, "/v1/jobs/broken_job/runs", {}, f"killed-{when}") for _ in range(2)]
    assert [status for status, _ in answers] == [201, 200]
    started = runs(gate, "broken_job") - before
    assert {run["id"] for _, run in answers} == started
    assert len(started) == 1
    assert between <= started
    run = gate.ui.instance.get_run_by_id(started.pop())
    assert run and run.status == dg.DagsterRunStatus.QUEUED


def test_a_run_is_cancelled_once(gate: Gate) -> None:
    _, run = post(gate, START, {"partition": "2026-05-01"})
    status, cancelled = post(gate, f"/v1/runs/{run['id']}/cancel")
    assert (status, cancelled["state"]) == (202, "canceled")
    status, problem = post(gate, f"/v1/runs/{run['id']}/cancel")
    assert (status, problem["field"]) == (409, "id")


def test_no_request_by_the_openapi_document_makes_the_server_fail(gate: Gate) -> None:
    import schemathesis
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_url(f"{gate.ui.url}/v1/openapi.json")
    operations = [schema[path][method] for path in schema for method in schema[path]]
    assert len(operations) >= 4
    # The guard refuses other methods before the routes do. A token is always sent. Strings that are no partitions are invalid too.
    excluded = [checks.unsupported_method, checks.ignored_auth, checks.positive_data_acceptance]
    any_speed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    for operation in operations:

        @hypothesis.settings(max_examples=30, database=None, deadline=None, suppress_health_check=any_speed)
        @given(case=operation.as_strategy())
        def call(case: Any) -> None:
            case.call_and_validate(headers={"Authorization": "Bearer token-operator"}, excluded_checks=excluded)

        call()


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("*/15 * * * *", "every 15 minutes"),
        ("* * * * *", "every minute"),
        ("5 * * * *", "hourly at minute 5"),
        ("0 */6 * * *", "every 6 hours"),
        ("0 3 * * *", "daily at 03:00 UTC"),
        ("@daily", "daily at 00:00 UTC"),
        ("30 8 * * 1", "Mondays at 08:30 UTC"),
        ("30 8 * * 1-5", "Mondays to Fridays at 08:30 UTC"),
        ("0 0 1 * *", "on day 1 of each month at 00:00 UTC"),
        ("*/7 * * * *", "at cron */7 * * * * (UTC)"),
        ("0 3 1 6 *", "at cron 0 3 1 6 * (UTC)"),
        (["0 3 * * *", "0 5 * * *"], "daily at 03:00 UTC and daily at 05:00 UTC"),
    ],
)
def test_cron_in_words(cron: str | list[str], words: str) -> None:
    assert cron_words(cron) == words
