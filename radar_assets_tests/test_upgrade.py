"""A home of an earlier release opens and keeps its alerts, deliveries, keys and tables; waiting messages are delivered once.

`fixtures/make_home.py` created the home.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from filelock import FileLock

from radar_assets.access.keys import list_keys, read_grants
from radar_assets.alerts.assets import deliver_due
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.orchestration.runtime.instance import prepare_instance
from radar_assets.settings import load_settings
from radar_assets.store.database import existing_store
from radar_assets_tests.fixtures.make_home import HOME
from radar_assets_tests.messaging.channels.test_email import Inbox, mail_server
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.platform import Platform, instance_of

KEYS = {"alert_hours": "hour", "alert_rules": "name", "channels": "name", "daily_salts": "day"}
KEYS |= dict.fromkeys(("alerts", "api_keys", "deliveries", "projects"), "id")
MADE = datetime(2026, 11, 30, 12, 5, tzinfo=UTC)
"""When the home was created. On later days, the days since then have to be built."""
ARCHIVE = Path(__file__).parent / "fixtures" / "home_0003.tar.xz"


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The home at the only path where its tables work, and its content as read by the code that created it."""
    with FileLock(f"{HOME}.lock", timeout=300):
        shutil.rmtree(HOME, ignore_errors=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(HOME.parent, filter="data")
        monkeypatch.setenv("RADAR_HOME", str(HOME))
        monkeypatch.setenv("RADAR_START_DATE", "2026-11-01")
        yield json.loads((HOME / "expected.json").read_text())
        shutil.rmtree(HOME)


def plain(value: Any) -> Any:
    """Values as in JSON."""
    return json.loads(json.dumps(value, default=str))


def all_rows(url: str, table: str) -> list[dict[str, Any]]:
    """The current rows of a table of the store."""
    store = existing_store(url)
    assert store
    reflected = sa.Table(table, sa.MetaData(), autoload_with=store.engine)
    with store.engine.connect() as connection:
        found = [
            plain({name: value.hex() if isinstance(value, bytes) else value for name, value in row._mapping.items()})
            for row in connection.execute(reflected.select())
        ]
    store.close()
    return found


def rows(url: str, table: str) -> dict[str, dict[str, Any]]:
    """The rows by their key."""
    return {row[KEYS[table]]: row for row in all_rows(url, table)}


def test_a_home_of_an_earlier_release_keeps_everything_and_delivers_waiting_messages(
    expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox()
    with endpoint() as hook, mail_server(inbox, None) as port:
        # Uses the former name of a setting too.
        monkeypatch.setenv("RADAR_ALERT_ALLOWED_HOSTS", "127.0.0.1")
        monkeypatch.setenv("RADAR_SMTP_URL", f"smtp://127.0.0.1:{port}?starttls=no")
        monkeypatch.setenv("RADAR_SMTP_FROM", "radar@shop.example")
        monkeypatch.setenv("HOME_HOOK_URL", hook.url)
        settings = load_settings().prepare()
        with instance_of(settings) as instance:
            # The operator had removed the first line of dagster.yaml, which names modules that have moved.
            assert (HOME / "dagster" / "dagster.yaml").read_text().endswith("# Ours.\n")
            assert instance.get_runs_count() > 0
            platform = Platform(settings, instance)
            assert columns_of_then(plain(platform.tables()), expected["tables"]) == expected["tables"]
            with time_machine.travel(MADE):
                assert platform.settle() == [], "nothing has to be rebuilt"
            check_rows(settings.database, expected["store"])
            assert len(list_keys(platform.store)) == 3
            assert len(read_grants(platform.store)) == 2, "one key is revoked"
            for _ in range(3):
                deliver_due(platform.lakehouse, platform.store, STANDARD_METRICS, platform.settings)
            platform.store.close()
    waiting = [row for row in expected["store"]["deliveries"] if row["state"] == "pending"]
    assert {row["attempts"] for row in waiting} == {0, 1}
    assert any(row["leased_by"] for row in waiting), "one was being sent"
    assert any(row["dedupe_key"].startswith("together:") for row in waiting)
    mails: list[EmailMessage] = [mail for _, mail in inbox.mails]
    sent = [*hook.ids, *(str(mail["Message-ID"]).split("@")[0].strip("<") for mail in mails)]
    assert sorted(sent) == sorted(row["id"] for row in waiting), "each once, under the id that it had"
    assert [mail["Subject"] for mail in mails] == ["[recovered] Shop recovered after 1 h: errors no longer above 10"]
    bodies = dict(hook.received)
    for row in waiting:
        if row["channel"] == "hook":
            alerts = [alert["id"] for alert in bodies[row["id"]]["data"]["alerts"]]
            assert alerts == [notice["alert_id"] for notice in row["notices"]]
    after = rows(settings.database, "deliveries")
    assert {after[id]["state"] for id in sent} == {"delivered"}


def columns_of_then(tables: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """The rows without the columns that were added since."""
    return {
        name: [{column: row[column] for column in first} for row in tables[name]]
        for name, rows in expected.items()
        for first in rows[:1] or [{}]
    }


def check_rows(url: str, expected: dict[str, list[dict[str, Any]]]) -> None:
    """Check that every row of every table exists, with the same values in all columns that kept their names."""
    renamed = {"severity", "notices"}
    for table in KEYS:
        after = rows(url, table)
        assert len(after) == len(expected[table]), table
        for row in expected[table]:
            kept = after[row[KEYS[table]]]
            columns = set(row) - (renamed if table == "deliveries" else set())
            assert {name: kept[name] for name in columns} == {name: row[name] for name in columns}, table
    for row in expected["deliveries"]:
        kept = rows(url, "deliveries")[row["id"]]
        assert (kept["priority"], kept["contents"], kept["kind"]) == (row["severity"], row["notices"], "alert")
    for table, columns in {
        "alert_breaches": ("alert_id", "window_start"),
        "monthly_usage": ("project_id", "month"),
    }.items():
        key = itemgetter(*columns)
        assert sorted(all_rows(url, table), key=key) == sorted(expected[table], key=key)


def test_in_an_operators_own_file_only_names_of_moved_modules_change(
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
