"""A home of an earlier release opens, and keeps its alerts, deliveries, keys and tables; what waited is delivered once.

How the home was made is in `fixtures/make_home.py`.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from filelock import FileLock

from radar_assets.alerts.assets import deliver_due
from radar_assets.collector.keys import list_keys, read_grants
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.orchestration.runtime.instance import prepare_instance
from radar_assets.settings import load_settings
from radar_assets.store.database import existing_store
from radar_assets_tests.fixtures.make_home import HOME
from radar_assets_tests.messaging.channels.test_email import Inbox, mail_server
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.platform import Platform, instance_of

ARCHIVE = Path(__file__).parent / "fixtures" / "home_0003.tar.xz"


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The home at the only place where its tables work, and what the code that made it read in it."""
    with FileLock(f"{HOME}.lock", timeout=300):
        shutil.rmtree(HOME, ignore_errors=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(HOME.parent, filter="data")
        monkeypatch.setenv("RADAR_HOME", str(HOME))
        monkeypatch.setenv("RADAR_START_DATE", "2026-11-01")
        yield json.loads((HOME / "expected.json").read_text())
        shutil.rmtree(HOME)


def plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value, default=str))


def rows(url: str, table: str) -> dict[str, dict[str, Any]]:
    """The rows of a table of the store as it stands, by the first of their columns."""
    store = existing_store(url)
    assert store
    reflected = sa.Table(table, sa.MetaData(), autoload_with=store.engine)
    with store.engine.connect() as connection:
        found = [
            plain({name: value.hex() if isinstance(value, bytes) else value for name, value in row._mapping.items()})
            for row in connection.execute(reflected.select())
        ]
    store.close()
    return {row[reflected.columns.keys()[0]]: row for row in found}


def test_a_home_of_an_earlier_release_keeps_everything_and_delivers_what_waited(
    expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_ALLOWED_HOSTS", "127.0.0.1")
    settings = load_settings().prepare()
    with instance_of(settings) as instance:
        # The operator had removed the first line of dagster.yaml, which named modules that have moved.
        assert (HOME / "dagster" / "dagster.yaml").read_text().endswith("# Ours.\n")
        assert instance.get_runs_count() > 0
        platform = Platform(settings, instance)
        assert plain(platform.tables()) == expected["tables"]
        assert platform.settle() == [], "nothing has to be rebuilt"
        for table, before in expected["store"].items():
            if table in ("deliveries", "alert_breaches"):
                continue
            after = rows(settings.database, table)
            for row in before:
                kept = after[row[next(iter(row))]] if table != "monthly_usage" else row
                assert {name: kept[name] for name in row} == row, table
        keys = {key.id: key for key in list_keys(platform.store)}
        assert sorted(keys) == sorted(row["id"] for row in expected["store"]["api_keys"])
        assert len(read_grants(platform.store)) == 2, "one of three is revoked"

        deliveries = rows(settings.database, "deliveries")
        assert set(deliveries) == {row["id"] for row in expected["store"]["deliveries"]}
        for row in expected["store"]["deliveries"]:
            now = deliveries[row["id"]]
            same = ("channel", "dedupe_key", "topic", "state", "attempts", "created_at", "next_attempt_at", "error")
            assert {name: now[name] for name in same} == {name: row[name] for name in same}
        waiting = [row for row in expected["store"]["deliveries"] if row["state"] == "pending"]
        assert {row["attempts"] for row in waiting} == {0, 1}
        assert any(row["leased_by"] for row in waiting)
        inbox = Inbox()
        with endpoint() as hook, mail_server(inbox, None) as port:
            monkeypatch.setenv("HOME_HOOK_URL", hook.url)
            monkeypatch.setenv("RADAR_SMTP_URL", f"smtp://127.0.0.1:{port}?starttls=no")
            monkeypatch.setenv("RADAR_SMTP_FROM", "radar@shop.example")
            platform.settings = load_settings().prepare()
            platform.__post_init__()
            for _ in range(3):
                deliver_due(platform.lakehouse, platform.store, STANDARD_METRICS)
        mails: list[EmailMessage] = [mail for _, mail in inbox.mails]
        sent = [*hook.ids, *(str(mail["Message-ID"]).split("@")[0].strip("<") for mail in mails)]
        assert sorted(sent) == sorted(row["id"] for row in waiting), "each once, under the id that it had"
        assert ["Errors of Shop" in mail["Subject"] for mail in mails] == [True]
        told = {id: [alert["id"] for alert in body["data"]["alerts"]] for id, body in hook.received}
        for row in waiting:
            if row["channel"] == "hook":
                assert told[row["id"]] == [notice["alert_id"] for notice in row["notices"]]
        assert all(rows(settings.database, "deliveries")[id]["state"] == "delivered" for id in sent)
        platform.store.close()


def test_only_the_names_of_modules_that_moved_are_changed_in_an_operators_own_file(
    expected: dict[str, Any],
) -> None:
    file = HOME / "dagster" / "dagster.yaml"
    before = file.read_text()
    assert "radar_assets.instance" in before and "radar_assets.launcher" in before
    prepare_instance(load_settings().prepare())
    changed = [
        (old, new) for old, new in zip(before.splitlines(), file.read_text().splitlines(), strict=True) if old != new
    ]
    assert [new.strip() for _, new in changed] == [
        "module: radar_assets.orchestration.runtime.instance",
        "module: radar_assets.orchestration.runtime.instance",
        "module: radar_assets.orchestration.runtime.launcher",
    ]
