"""Runs that have ended reach the webhooks that subscribe to them, each run once, on both databases."""

import json
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path

import dagster as dg
import jsonschema
import pytest
from standardwebhooks import Webhook as Signature

from radar_assets.alerts.assets import deliver_due
from radar_assets.alerts.automation import DELIVER_JOB
from radar_assets.alerts.run_events import announce_ended, schema
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.settings import load_settings
from radar_assets.store.database import Store
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import add_channels, deliveries
from radar_assets_tests.messaging.channels.conftest import server
from radar_assets_tests.messaging.channels.servers import Server, status
from radar_assets_tests.messaging.sending import KEY, webhook
from radar_assets_tests.platform import Platform

__all__ = ["server"]
SHIPPED = json.loads((resources.files("radar_assets.alerts") / "run_webhook.schema.json").read_text())
SUCCESS, FAILURE, CANCELED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


@pytest.fixture(params=["sqlite", "postgres"])
def platform(request: pytest.FixtureRequest, radar_home: Path, tmp_path: Path) -> Iterator[Platform]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    ui = "https://radar.example"
    settings = load_settings(home=radar_home, database_url=url, allowed_hosts="127.0.0.1", ui_url=ui).prepare()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Platform(settings, instance)


@pytest.fixture
def store(platform: Platform) -> Store:
    return platform.store


def subscribe(store: Store, *events: str, name: str = "hook", url: str = "http://127.0.0.1:1/") -> None:
    add_channels(store, [{**webhook(url, name), "events": list(events)}])


def end(platform: Platform, state: dg.DagsterRunStatus, job: str = "hourly_job", **tags: str) -> str:
    """A run that is over."""
    known = platform.defs.resolve_job_def(job)
    return platform.instance.create_run_for_job(known, status=state, tags=tags).run_id


def announced(store: Store) -> list[tuple[str, str]]:
    """Channel and run of all messages."""
    return [(row.channel, row.contents[0]["id"]) for row in deliveries(store)]


def test_only_subscribed_events_are_announced(platform: Platform, store: Store) -> None:
    subscribe(store, "run.failed", name="failures")
    subscribe(store, "run.completed", "run.failed", name="all")
    add_channels(store, [webhook("http://127.0.0.1:1/", "alerts")])
    good, bad, canceled = (end(platform, state) for state in (SUCCESS, FAILURE, CANCELED))
    end(platform, dg.DagsterRunStatus.STARTED)
    platform.tick("run_events_sensor")
    assert sorted(announced(store)) == sorted(
        [("all", good), ("all", bad), ("all", canceled), ("failures", bad), ("failures", canceled)]
    )


def test_each_run_is_announced_once_over_restarts(platform: Platform, store: Store) -> None:
    subscribe(store, "run.completed")
    first = end(platform, SUCCESS)
    platform.tick("run_events_sensor")
    # The daemon was killed before it kept the cursor.
    platform.cursors.clear()
    platform.tick("run_events_sensor")
    assert announced(store) == [("hook", first)]
    # Runs that end while the daemon is down are found afterwards.
    second = end(platform, SUCCESS)
    platform.tick("run_events_sensor")
    platform.instance.add_run_tags(first, {"team": "shop"})
    platform.tick("run_events_sensor")
    assert announced(store) == [("hook", first), ("hook", second)]


def test_a_long_downtime_loses_no_run(platform: Platform, store: Store) -> None:
    subscribe(store, "run.completed")
    cursor, _ = announce_ended(store, platform.instance, None, None, utc_now() - timedelta(days=3), sender=DELIVER_JOB)
    ended = end(platform, SUCCESS)
    _, count = announce_ended(store, platform.instance, None, cursor, utc_now(), sender=DELIVER_JOB)
    assert count == 1
    assert announced(store) == [("hook", ended)]


def test_runs_before_a_subscription_are_not_announced(platform: Platform, store: Store) -> None:
    end(platform, SUCCESS)
    cursor, count = announce_ended(
        store, platform.instance, None, None, utc_now() + timedelta(hours=1), sender=DELIVER_JOB
    )
    assert count == 0
    subscribe(store, "run.completed")
    assert (
        announce_ended(store, platform.instance, None, cursor, utc_now() + timedelta(hours=1), sender=DELIVER_JOB)[1]
        == 0
    )


def test_deliveries_of_messages_cause_no_messages(platform: Platform, store: Store) -> None:
    subscribe(store, "run.completed", "run.failed")
    end(platform, SUCCESS, "deliver_alerts_job")
    end(platform, FAILURE, "deliver_alerts_job")
    platform.tick("run_events_sensor")
    assert announced(store) == []


def test_a_webhook_gets_a_signed_message_for_each_run(platform: Platform, store: Store, server: Server) -> None:
    subscribe(store, "run.completed", "run.failed", url=f"http://127.0.0.1:{server.port}/")
    tags = {"dagster/partition": "2026-03-10-12:00", "radar/triggered_by": "ada"}
    runs = [end(platform, SUCCESS if number else FAILURE, **tags) for number in range(8)]
    platform.tick("run_events_sensor")
    server.answer(status(200))
    assert deliver_due(platform.lakehouse, store, STANDARD_METRICS, platform.settings).count("sent") == 8
    bodies = []
    for request in server.requests:
        Signature(KEY).verify(request.body, dict(request.headers))
        bodies.append(json.loads(request.body))
    assert {body["data"]["run"]["id"] for body in bodies} == set(runs)
    assert len({request.headers["webhook-id"] for request in server.requests}) == 8
    failed = next(body for body in bodies if body["data"]["run"]["id"] == runs[0])
    assert failed["type"] == "run.failed"
    assert failed["data"]["run"] == {
        **failed["data"]["run"],
        "job": "hourly_job",
        "status": "failure",
        "first_partition": "2026-03-10-12:00",
        "last_partition": "2026-03-10-12:00",
        "triggered_by": "ada",
        "url": f"https://radar.example/runs/{runs[0]}",
    }
    for body in bodies:
        jsonschema.Draft202012Validator(SHIPPED, format_checker=jsonschema.FormatChecker()).validate(body)


def test_the_shipped_schema_matches_the_model() -> None:
    """Written with `json.dumps(schema(), indent=2)`."""
    assert schema() == SHIPPED


def test_unknown_events_are_refused() -> None:
    from pydantic import ValidationError

    from radar_assets.messaging.channels import parse_channel

    with pytest.raises(ValidationError, match=r"run\.completed"):
        parse_channel({**webhook("https://hook.example/"), "events": ["run.started"]})
