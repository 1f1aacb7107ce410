"""`radar apply` shows what it would change, and asks before it does; `radar init` writes a file to apply."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from radar_assets.alerts.automation import build_schedules, next_evaluations
from radar_assets.alerts.rules import Rule, load_rules, stored_rules
from radar_assets.config import load_config
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets_tests.alerts.records import at, note, rule
from radar_assets_tests.cli.conftest import Radar

BOTH = """\
channels:
  - {name: chat, type: slack, token: T0000AAAA/B0000BBBB/CANARYcanary}
rules:
  - {name: errors_high, metric: errors, threshold: 10, severity: high, channels: [chat]}
  - {name: few_events, metric: events, operator: lt, threshold: 1}
"""
RULES_ONLY = BOTH[BOTH.index("rules:") :].replace(", channels: [chat]", "")


@pytest.fixture
def applied(radar: Radar, settings: Settings) -> Settings:
    """A home in which two rules and a channel are in effect."""
    settings.config_file.write_text(BOTH)
    assert radar("apply").code == 0
    return settings


def fire(settings: Settings) -> None:
    store = open_store(settings.database)
    note(store, rule(), {9: 50.0}, at(10))
    store.close()


def names(settings: Settings) -> list[str]:
    return [rule.name for rule in stored_rules(settings.database)]


def test_a_dry_run_shows_the_plan_and_changes_nothing(radar: Radar, applied: Settings) -> None:
    before = stored_rules(applied.database)
    fire(applied)
    changed = BOTH.replace("threshold: 10, severity: high", "threshold: 12.5, severity: low").replace("canary", "other")
    applied.config_file.write_text(
        re.sub(r"  - .name: few.*\n", "  - {name: new, metric: events, threshold: 5}\n", changed)
    )
    run = radar("apply --dry-run")
    assert run.code == 0
    assert run.out.splitlines() == [
        "will change channel chat: token",
        "will add    rule new",
        "will change rule errors_high: threshold 10 -> 12.5, severity high -> low",
        "will remove rule few_events",
        "Dry run: nothing was applied.",
    ]
    assert "CANARY" not in run.out + run.err
    assert stored_rules(applied.database) == before
    applied.config_file.write_text(BOTH.replace("errors_high", "other"))
    ended = next(line for line in radar("apply --dry-run").out.splitlines() if line.startswith("will end"))
    assert re.fullmatch(r"will end    alert \w{8}, errors_high of shop, firing since 2026-03-10 09:00", ended)


def test_without_a_terminal_additions_and_changes_are_applied_unasked(radar: Radar, applied: Settings) -> None:
    fire(applied)
    applied.config_file.write_text(
        BOTH.replace("threshold: 1}", "threshold: 2}\n  - {name: new, metric: events, threshold: 5}")
    )
    run = radar("apply")
    assert (run.code, "Applied 2 changes." in run.out) == (0, True)
    assert names(applied) == ["errors_high", "few_events", "new"]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "metrics: [{name: searches, expression: count(*)}]\n", "rules: []\n"]
)
def test_without_a_terminal_an_empty_file_needs_yes(radar: Radar, applied: Settings, text: str) -> None:
    applied.config_file.write_text(text)
    run = radar("apply")
    assert (run.code, "pass --yes" in run.err) == (2, True)
    assert "will remove rule errors_high" in run.out
    assert names(applied) == ["errors_high", "few_events"]
    run = radar("apply --yes")
    assert (run.code, "Applied 3 changes." in run.out) == (0, True)
    assert names(applied) == []
    assert "Rules and channels are unchanged." in radar("apply").out


def test_without_a_terminal_removals_need_yes_while_alerts_fire(radar: Radar, applied: Settings) -> None:
    applied.config_file.write_text(RULES_ONLY)
    assert radar("apply").code == 0, "nothing fires"
    fire(applied)
    applied.config_file.write_text(RULES_ONLY.replace("errors_high", "renamed"))
    run = radar("apply")
    assert run.code == 2
    assert "1 rule or channel would be removed while 1 alert is firing; pass --yes" in run.err
    assert names(applied) == ["errors_high", "few_events"]
    assert "Applied 2 changes, and ended 1 alert." in radar("apply --yes").out
    assert names(applied) == ["renamed", "few_events"]


def test_in_a_terminal_it_asks(terminal: Radar, applied: Settings) -> None:
    applied.config_file.write_text("rules: []\n")
    declined = terminal("apply", answer="n")
    assert declined.code == 1
    assert declined.out.splitlines()[:4] == [
        f"{applied.config_file} declares no rules and channels.",
        "will remove channel chat",
        "will remove rule errors_high",
        "will remove rule few_events",
    ]
    assert declined.out.endswith("Apply? [y/N] Nothing was applied.\n")
    assert names(applied) == ["errors_high", "few_events"]
    assert terminal("apply", answer="").code == 1, "no is the default"
    assert terminal("apply", answer="y").code == 0
    assert names(applied) == []
    assert "Apply?" not in terminal("apply").out, "nothing changes"


def test_lines_pasted_after_the_command_are_no_answer(terminal: Radar, applied: Settings) -> None:
    applied.config_file.write_text("rules: []\n")
    run = terminal("apply", answer="radar channels test me\ncurl http://127.0.0.1:8000/v1/events\ny")
    assert run.code == 0
    assert run.out.count("Please answer y or n.") == 2
    assert names(applied) == []


def test_a_mail_server_in_the_home_is_known_to_every_command(radar: Radar, settings: Settings) -> None:
    settings.config_file.write_text("channels:\n  - {name: me, type: email, to: [me@shop.example]}\n")
    remark = "me: no mail is sent without RADAR_SMTP_URL and RADAR_SMTP_FROM; set them in .env in the home"
    assert remark in radar("apply --dry-run").err
    (settings.home / ".env").write_text("RADAR_SMTP_URL=smtp://127.0.0.1:1\nRADAR_SMTP_FROM=radar@shop.example\n")
    assert radar("apply").err == ""
    assert "Nothing listens on 127.0.0.1:1" in radar("channels test me").err


def test_printed_commands_start_radar_as_it_was_started(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "run radar apply" in radar("channels list").out
    assert "uv run" not in radar("channels list").out
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    for command in ("channels list", "rules list", "status", "project list", "key list", "init"):
        run = radar(command)
        assert re.search(r"uv run radar (apply|init|project|key)", run.out + run.err), command
        assert not re.search(r"(?<!uv run )radar (apply|init|project|key|dev|demo) ", run.out + run.err), command


def test_the_next_evaluation_is_a_tick_of_the_schedule() -> None:
    rules = [
        Rule(name="five", metric="events", window="5m", threshold=1),
        Rule(name="hourly", metric="events", threshold=1),
        Rule(name="daily", metric="events", window="1d", threshold=1),
        Rule(name="daemon", kind="error", watch="daemon"),
    ]
    assert next_evaluations(rules, datetime(2026, 3, 10, 14, 6)) == {
        "five": datetime(2026, 3, 10, 14, 11),
        "daemon": datetime(2026, 3, 10, 14, 11),
        "hourly": datetime(2026, 3, 10, 15, 1),
        "daily": datetime(2026, 3, 10, 14, 31),
    }
    assert next_evaluations(rules, datetime(2026, 3, 10, 23, 58))["daily"] == datetime(2026, 3, 11, 1, 31)
    (schedule,) = build_schedules(rules)
    assert schedule.cron_schedule == "1-59/5 * * * *"


def test_the_starter_file_applies_as_it_is_and_with_its_examples(radar: Radar, settings: Settings) -> None:
    missing = radar("apply")
    assert (missing.code, "radar init writes one to start from" in missing.err) == (2, True)
    for command in ("status", "rules list", "channels list"):
        run = radar(command)
        assert "radar init writes" in run.out + run.err
    assert radar("init").code == 0
    assert "will add    rule traffic_dropped" in radar("apply").out
    assert "radar init" not in radar("status").err
    text = settings.config_file.read_text()
    settings.config_file.write_text(re.sub(r"^#(?=  |\w+:)", "", text, flags=re.MULTILINE))
    config = load_config(settings.config_file)
    assert [len(section) for section in (config.metrics, config.channels, config.rules)] == [1, 2, 4]
    store = open_store(settings.database)
    assert [rule.name for rule in load_rules(store)] == ["traffic_dropped"]
    store.close()


def test_an_existing_file_is_overwritten_only_on_request(radar: Radar, settings: Settings) -> None:
    settings.config_file.write_text("# mine\n")
    refused = radar("init")
    assert (refused.code, "--force overwrites it" in refused.err) == (2, True)
    assert settings.config_file.read_text() == "# mine\n"
    assert radar("init --force").code == 0
    assert "traffic_dropped" in settings.config_file.read_text()


def test_init_writes_to_the_configured_path(radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_CONFIG", str(tmp_path / "team.yaml"))
    assert f"Wrote {tmp_path / 'team.yaml'}." in radar("init").out
