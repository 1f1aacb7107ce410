"""Lists fit a terminal, are plain in a pipe, and complete as CSV and JSON."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from rich.cells import cell_len

from radar_assets.access.keys import create_key
from radar_assets.access.projects import add_project
from radar_assets.alerts.records import acknowledge
from radar_assets.cli.listing import Column, print_list
from radar_assets.cli.terminal import counted
from radar_assets.config import apply_config, load_config
from radar_assets.messaging.suppression import suppress
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets_tests.alerts.records import alerts, at, note, rule
from radar_assets_tests.cli.conftest import Radar, cells

LISTS = [
    "project list",
    "key list",
    "channels list",
    "rules list",
    "alerts list",
    "deliveries list",
    "suppressions list",
]
LISTS += ["status", "doctor"]
RULE, CHANNEL = "errors_of_the_checkout_are_high", "a_channel_with_a_long_name"
CONFIG = f"""\
channels:
  - {{name: {CHANNEL}, type: webhook, url: "https://hooks.shop.example/a/long/path",
     secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}}
rules:
  - {{name: {RULE}, metric: errors, operator: change_pct, threshold: 60, for: 3,
     severity: critical, channels: [{CHANNEL}], projects: [shop]}}
"""


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which each list has a row. Tests only look at it."""
    home = tmp_path_factory.mktemp("filled") / "radar"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(home))
        settings = load_settings().prepare()
        settings.config_file.write_text(CONFIG)
        store = open_store(settings.database)
        add_project(store, Project("shop", "The Shop of Things", "America/Argentina/Buenos_Aires"))
        create_key(store, "shop", origins=["https://shop.example", "https://www.shop.example"])
        suppress(store, "somebody.with.a.long.name@mail.shop.example", "unsubscribed", at(0), "alerts")
        config = load_config(settings.config_file)
        apply_config(store, config)
        note(store, rule(name=RULE, severity="critical", channels=(CHANNEL,)), {9: 1234567.0}, at(10))
        acknowledge(store, alerts(store)[0].id, "Ann of the platform team", at(11))
        store.close()
    return home


@pytest.fixture
def filled(filled_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as the home of this test."""
    monkeypatch.setenv("RADAR_HOME", str(filled_home))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.usefixtures("filled")
def test_every_list_fits_the_terminal(terminal: Radar, columns: int) -> None:
    for command in LISTS:
        run = terminal(command, columns)
        lines = run.out.splitlines()
        assert len(lines) < 30
        if command != "doctor":  # paths and commands to copy stay whole
            assert max(map(cell_len, lines)) <= columns, command
            assert "─" in lines[1], command


@pytest.mark.usefixtures("filled")
def test_a_pipe_gets_neither_frames_nor_colours_nor_shortened_texts(
    radar: Radar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for command in LISTS:
        out = radar(command).out
        assert not {"\x1b", "─", "│", "┃", "…"} & {*out}, command
    (id,) = [*cells(radar("alerts list").out)][1:]
    assert radar(f"alerts show {id}").out.splitlines()[2].split() == ["Id", id]
    assert "somebody.with.a.long.name@mail.shop.example" in radar("suppressions list").out
    assert "https://shop.example, https://www.shop.example" in radar("key list").out


@pytest.mark.usefixtures("filled")
def test_every_list_is_csv_and_json_with_the_same_full_values(radar: Radar) -> None:
    for command in LISTS:
        rows = json.loads(radar(f"{command} --format json").out)
        read = list(csv.DictReader(io.StringIO(radar(f"{command} --format csv").out)))
        assert rows, command
        assert [list(row) for row in rows] == [list(row) for row in read], command
    (alert,) = json.loads(radar("alerts list --format json").out)
    assert datetime.fromisoformat(alert["started_at"]) == at(9)


@pytest.mark.usefixtures("filled")
def test_without_colour_a_terminal_gets_none(terminal: Radar, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31m" in terminal("alerts list").err, "critical is red"
    monkeypatch.setenv("NO_COLOR", "1")
    plain = terminal("alerts list")
    assert "critical" in plain.out
    assert "\x1b[1;31m" not in plain.err


@pytest.mark.usefixtures("filled")
def test_a_real_terminal_is_recognised() -> None:
    """A process of its own that is started in a terminal, as people start it, rather than a stream that is replaced."""
    parent, child = pty.openpty()
    script = "from radar_assets.cli import main; main(['project', 'list'])"
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", script], stdin=child, stdout=child, env=environment, check=True)
    assert "──" in os.read(parent, 65536).decode()
    os.close(child)
    os.close(parent)


def test_columns_are_left_out_by_rank(terminal: Radar, radar: Radar) -> None:
    assert radar("project add shop --timezone America/Argentina/Buenos_Aires").code == 0
    out = terminal("project list", 30).out
    assert out.splitlines()[0].split() == ["id", "name", "since", "active"]
    assert "Not shown: time zone." in out


def test_a_title_gives_way_to_the_columns_beside_it(terminal: Radar) -> None:
    for columns in (80, 72):
        lines = terminal("metrics list", columns).out.splitlines()
        row = next(line for line in lines if line.startswith("session_duration_avg_s"))
        assert "Average ses" in row and "… " in row and row.split()[-1] == "standard", row
        assert max(map(cell_len, lines)) <= columns
    assert "Average session duration " in terminal("metrics list", 100).out


def test_an_optional_column_is_left_out_of_tables_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("name"), Column("error", heading="why", optional=True)]
    print_list(columns, [("a", None), ("b", "")])
    assert capsys.readouterr().out.split() == ["name", "a", "b"]
    print_list(columns, [("a", None), ("b", "refused")])
    assert capsys.readouterr().out.split() == ["name", "why", "a", "b", "refused"]
    print_list(columns, [("a", None)], "csv")
    assert capsys.readouterr().out.splitlines() == ["name,error", "a,"]


def test_numbers_are_separated_rounded_and_end_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("name"), Column("count"), Column("value")]
    rows = [("a", 1234567, 0.123456), ("b", 8, 1234.5), ("c", None, None)]
    print_list(columns, rows)
    assert capsys.readouterr().out.splitlines() == [
        "name      count     value",
        "a     1,234,567     0.123",
        "b             8  1,234.50",
        "c",
    ]
    print_list(columns, rows, "csv")
    assert capsys.readouterr().out.splitlines()[1] == "a,1234567,0.123456"


def test_sentences_break_between_words_only(terminal: Radar, settings: Settings) -> None:
    error = terminal("sql 'select 1; select 2'", columns=40).out
    assert error.splitlines() == ["radar: radar sql is read-only; give", "exactly one select statement"]
    error = terminal(f"live none --url not-a-url-{'x' * 60}", columns=40).out
    assert f"not-a-url-{'x' * 60}:" in error, "long words stay whole"


@pytest.mark.parametrize(
    ("count", "names", "shown"),
    [
        (1, ("visitor",), "1 visitor"),
        (0, ("visitor",), "0 visitors"),
        (1200, ("event",), "1,200 events"),
        (1, ("alert is", "alerts are"), "1 alert is"),
        (2, ("alert is", "alerts are"), "2 alerts are"),
    ],
)
def test_one_thing_is_singular(count: int, names: tuple[str, ...], shown: str) -> None:
    assert counted(count, *names) == shown
