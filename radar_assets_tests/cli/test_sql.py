"""`radar sql` answers any query of the tables, and can do nothing else."""

import csv
import io
import json
from pathlib import Path

import pytest

from radar_assets.access.projects import ensure_projects
from radar_assets.settings import load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.windows import Window, utc_now
from radar_assets_tests.cli.conftest import HOUR, Radar, land, load
from radar_assets_tests.platform import event, line

pytestmark = pytest.mark.usefixtures("in_shop")


def test_the_current_tables_are_queried(radar: Radar) -> None:
    run = radar("sql 'select event_id, event_time from events where event_id < $$3$$ order by 1' --format csv")
    assert run.code == 0
    assert run.out == f"event_id,event_time\n1,{HOUR}\n2,{HOUR}\n"


def test_every_table_can_be_queried(radar: Radar) -> None:
    from radar_assets.tables import TABLES

    assert radar("sql 'show tables' --format csv").out.split() == [
        "name",
        *sorted([*TABLES, "alert_deliveries", "dated_events", "utc_offsets"]),
    ]
    assert "event_id" in radar("sql 'describe events'").out


@pytest.mark.parametrize(
    "statement",
    [
        "insert into events select * from events",
        "create table t as select 1",
        "drop view events",
        "copy events to '{file}'",
        "attach '{file}' as other",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "install httpfs",
        "select 1; select 2",
        "",
    ],
)
def test_anything_but_one_select_is_refused(radar: Radar, tmp_path: Path, statement: str) -> None:
    file = tmp_path / "written"
    run = radar(f'sql "{statement.format(file=file)}"')
    assert (run.code, run.out) == (2, "")
    assert "one select" in run.err
    assert not file.exists()


@pytest.mark.parametrize(
    "relation",
    [
        "read_text('{file}')",
        "read_csv('{file}')",
        "'{file}'",
        "glob('{folder}/*')",
        "read_text('{warehouse}/../../secret.csv')",
        "read_parquet('https://127.0.0.1:1/x.parquet')",
        "lakehouse",
    ],
)
def test_no_file_outside_the_warehouse_is_read(radar: Radar, in_shop: Path, relation: str) -> None:
    file = in_shop.parent / "secret.csv"
    file.write_text("secret\n")
    named = relation.format(file=file, folder=in_shop.parent, warehouse=in_shop / "warehouse")
    run = radar(f'sql "select * from {named}"')
    assert (run.code, run.out) == (2 if relation == "lakehouse" else 1, "")
    assert run.err.startswith("radar: ")


def test_the_position_of_an_sql_error_is_shown(radar: Radar) -> None:
    run = radar("sql 'select evnt from events'")
    assert run.code == 2
    assert "evnt" in run.err
    assert "^" in run.err
    assert "Traceback" not in run.err


def test_json_is_an_array_with_one_row_per_line(radar: Radar) -> None:
    statement = (
        "select 1.5::decimal(18,4) d, null n, [1, 2] l, true b, timestamp '2026-01-02 03:04:05' t, 'nan'::double x"
    )
    out = radar(f'sql "{statement} union all {statement}" --format json').out
    row = {"d": 1.5, "n": None, "l": [1, 2], "b": True, "t": "2026-01-02T03:04:05", "x": None}
    assert json.loads(out) == [row, row]
    assert [json.loads(text.rstrip(",")) for text in out.splitlines()[1:-1]] == [row, row]
    assert json.loads(radar("sql 'from events where false' --format json").out) == []


def test_lines_of_senders_are_shown_as_text(radar: Radar) -> None:
    out = radar("sql 'select line from rejected_events order by line_number' --format csv").out
    lines = [row[0] for row in csv.reader(io.StringIO(out))][1:]
    assert lines[:3] == ["not json", '{"half\\xff', '"tail\u202e"']
    assert json.loads(lines[3])["event_id"] == "4"


def test_text_from_the_data_can_not_drive_the_terminal(radar: Radar) -> None:
    out = radar(
        "sql 'select event from events union all select decode(line) from rejected_events where line_number = 7'"
    ).out
    assert "\\x1b[31mred" in out
    assert "\\u202e" in out
    assert not {"\x1b", "\u202e"} & {*out}


def test_omitted_rows_are_mentioned(radar: Radar) -> None:
    table = radar("sql 'from range(200)'")
    assert len(table.out.splitlines()) == 101
    assert "100 rows" in table.err
    assert radar("sql 'from range(3)' --limit 3").err == ""
    csv_run = radar("sql 'from range(200)' --format csv")
    assert (len(csv_run.out.splitlines()), csv_run.err) == (201, "")


def test_a_few_rows_of_many_columns_are_printed_as_lists(terminal: Radar) -> None:
    out = terminal("sql 'from events order by event_id limit 2'").out
    assert "row 1" in out
    assert "row 2" in out
    assert any(line.split() == ["event_id", "2"] for line in out.splitlines())


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_the_terminal(terminal: Radar, columns: int) -> None:
    narrow = terminal("sql 'from daily_metrics'", columns).out.splitlines()
    assert narrow[0].split() == ["project_id", "date", "metric", "value"]
    assert len(narrow) < 40, "one line for each row"
    wide = terminal("sql 'from events cross join range(3)'", columns).out
    assert max(map(len, wide.splitlines())) <= columns
    assert "Not shown: " in wide
    assert "--format csv has all columns" in " ".join(wide.split())


def test_numbers_are_rounded_in_tables_only(radar: Radar, terminal: Radar) -> None:
    statement = "select 1234567 as n, 2/3 as share, 1234.5678 as amount, 20.0 as whole, 0.00001::double as tiny"
    assert terminal(f"sql '{statement}'").out.splitlines()[-1].split() == [
        "1,234,567",
        "0.667",
        "1,234.57",
        "20",
        "1e-05",
    ]
    assert (
        radar(f"sql '{statement}' --format csv").out.splitlines()[1]
        == "1234567,0.6666666666666666,1234.5678,20.0,1e-05"
    )


def test_a_pipe_gets_plain_columns_with_full_texts(radar: Radar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = radar("sql \"select repeat('word ', 60) as text, 5 as n union all select 'b', 10 order by n\"").out
    header, first, second = out.splitlines()
    assert first.startswith("word " * 59)
    assert header.split() == ["text", "n"]
    assert (header.index("n"), first[-2:], second[-2:]) == (len(first) - 1, " 5", "10"), "numbers end below each other"
    assert not {"\x1b", "│", "─", "…"} & {*out}


def test_an_empty_table_says_so(radar: Radar, in_shop: Path) -> None:
    run = radar("sql \"from events where event = 'none'\"")
    assert (run.code, run.err) == (0, "0 rows\n")
    assert radar("sql \"from events where event = 'none'\" --format csv").err == ""


def test_an_empty_result_says_that_events_are_waiting(
    radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_HOME", str(tmp_path / "home"))
    settings, now = load_settings().prepare(), utc_now()
    ensure_projects(open_store(settings.database), [Project("shop")])
    land(settings, [line(event("1", now))], "a", Window.of_hour(now).start)
    assert "not in the tables yet" in radar("sql 'from events'").err
    load(settings)
    assert radar("sql \"from events where event = 'none'\"").err == "0 rows\n"
