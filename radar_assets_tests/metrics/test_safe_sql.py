"""No accepted expression fails on any row: random expressions over rows of extreme values, and regressions."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from radar_assets.calendar import Calendar
from radar_assets.events.tables import EVENTS, SESSIONS
from radar_assets.lakehouse.sql import load_model
from radar_assets.metrics.composition import compose
from radar_assets.metrics.expressions import ExpressionError, check
from radar_assets.metrics.registry import Metric
from radar_assets.metrics.sources import Source
from radar_assets.windows import Window
from radar_assets_tests.metrics.relations import LAYER, MONDAY, NOON, engine, event, relation, session

ROWS = 100
"""Number of extreme rows: the short form tests 10,000 pairs of an expression and a row."""
AT_ONCE = 25
"""Expressions per statement. DuckDB computes their common subexpressions once."""

TEXTS = (
    *(
        "",
        "%",
        "\\",
        "!",
        "x",
        "X_%",
        "é🙂",
        "true",
        "null",
        "1e999",
        "-1e999",
        "nan",
        "infinity",
        "-infinity",
        "epoch",
    ),
    *("0", "-0", "1", "-1", "0.00001", "2147483647", "-2147483648", "9223372036854775807", "-9223372036854775808"),
    *("99999999999999.9999", "-99999999999999.9999", "999999999999999999", "170141183460469231731687303715884105727"),
    *("5000000-01-01", "5877642-06-25 (BC)", "0001-01-01", "1677-09-21", "1677-09-22", "2262-04-11", "2262-04-12"),
    *(
        "9999-12-31 23:59:59.999999",
        "294247-01-10 04:00:54.775806",
        "290309-12-22 (BC) 00:00:00",
        "2026-03-02 24:00:00",
    ),
    *("2026-02-29", "2026-03-02T12:00:00+14:00", "a" * 32_000, "ab" * 16_000),
)
JSON = ('{"a": "\\ud800"}', '{"a":', "", "[]", '{"a": {"b": 1}, "b": [1, null]}')
NUMBERS = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 1 - 2**63, -(2**63))
REVENUES = ("0", "0.0001", "-0.0001", "99999999999999.9999", "-99999999999999.9999", "1e9")
TIMES = (
    datetime(1900, 1, 1),
    datetime(1970, 1, 1),
    NOON,
    datetime(2262, 4, 12),
    datetime(2999, 12, 31, 23, 59, 59, 999999),
)

LITERALS = ("0", "1", "-1", "2.5", "7", "9223372036854775807", "0.000000000000000001", "1e300", "99999999999999999999")
UNITS = ("microsecond", "second", "hour", "day", "dow", "isodow", "doy", "week", "month", "quarter", "year")
PATTERNS = (
    "'%'",
    "'a%'",
    "'%b'",
    "'%a%b%c%'",
    "'%a%b%a%b%c'",
    "'a_%'",
    "'_%_c'",
    "'%\\'",
    "'!%%' escape '!'",
    "'a!' escape '!'",
)
COLUMNS = {
    "events": {
        "text": ("event", "path", "country", "user_id", "visitor"),
        "number": ("line_number", "revenue"),
        "time": ("event_time", "sent_at", "received_at"),
        "flag": "is_bot",
    },
    "sessions": {
        "text": ("entry_page", "country", "user_id", "visitor"),
        "number": ("events", "page_views", "revenue", "duration_s"),
        "time": ("started_at", "ended_at"),
        "flag": "is_bounce",
    },
}


class Writer:
    """Generates expressions that `check` may accept: all operators over all types that DuckDB casts implicitly."""

    def __init__(self, seed: int, source: Source) -> None:
        self.draw = random.Random(seed)
        self.source: Source = source
        self.columns: dict[str, Any] = COLUMNS[source]

    def expression(self) -> str:
        return self.value(3)

    def one(self, *choices: Any) -> Any:
        chosen = self.draw.choice(choices)
        return chosen() if callable(chosen) else chosen

    def kind(self, *kinds: Callable[[int], str]) -> Callable[[int], str]:
        return self.draw.choice(kinds)

    def text(self, depth: int) -> str:
        column = self.one(*self.columns["text"])
        if self.source == "events" and self.draw.random() < 0.6:
            column = self.one("properties ->> '$.a'", "json_extract_string(context, '$.b')", "properties ->> '$.b[0]'")
            column = f"({column})"
        if depth <= 0:
            return column
        some = depth - 1
        return self.one(
            column,
            lambda: f"{self.one('lower', 'upper', 'trim')}({self.text(some)})",
            lambda: f"('x' || {self.text(some)} || {self.text(some)})",
            lambda: f"nullif({self.text(some)}, {self.text(some)})",
            lambda: f"cast({self.kind(self.number, self.time)(some)} as varchar)",
            lambda: f"coalesce({self.text(some)}, {self.kind(self.text, self.number, self.time)(some)})",
        )

    def number(self, depth: int) -> str:
        column = self.one(*self.columns["number"], *LITERALS)
        cast = self.one("bigint", "integer", "decimal(18, 4)", "decimal(18, 0)", "decimal(18, 18)")
        if depth <= 0:
            return self.one(column, f"cast({self.text(0)} as {cast})")
        some = depth - 1
        return self.one(
            lambda: f"cast({self.kind(self.text, self.text, self.number)(some)} as {cast})",
            lambda: f"({self.number(some)} {self.one(*'+-*/%')} {self.number(some)})",
            lambda: f"({self.number(some)} {self.one(*'+-*/%')} {self.number(some)})",
            lambda: f"{self.one('-', 'abs', 'round', 'floor', 'ceil')}({self.number(some)})",
            lambda: f"round({self.number(some)}, {self.one('-3', '0', '2', '18', '400')})",
            lambda: f"length({self.text(some)})",
            lambda: f"date_diff('{self.one(*UNITS)}', {self.time(some)}, {self.time(some)})",
            lambda: f"extract({self.one(*UNITS)} from {self.time(some)})",
            lambda: f"date_part('{self.one(*UNITS)}', {self.kind(self.time, self.interval)(some)})",
            lambda: f"({self.time(some)} - {self.time(some)})",
            lambda: f"{self.one('coalesce', 'greatest', 'least', 'nullif')}({self.number(some)}, {self.number(some)})",
            lambda: f"case when {self.condition(some)} then {self.number(some)} else {self.number(some)} end",
        )

    def interval(self, depth: int) -> str:
        some = depth - 1
        plain = f"({self.time(some)} - {self.time(some)})"
        return self.one(plain, f"({plain} * {self.number(0)})", f"({plain} + {plain})") if depth > 0 else plain

    def time(self, depth: int) -> str:
        column = self.one(*self.columns["time"])
        cast = self.one("date", "timestamp")
        if depth <= 0:
            return self.one(column, f"cast({self.text(0)} as {cast})", "date '2026-03-02'", "timestamp '2262-04-10'")
        some = depth - 1
        return self.one(
            lambda: f"cast({self.kind(self.text, self.time)(some)} as {cast})",
            lambda: f"date_trunc('{self.one(*UNITS)}', {self.time(some)})",
            lambda: f"{self.one('coalesce', 'greatest', 'least', 'nullif')}({self.time(some)}, {self.time(some)})",
            lambda: f"({self.time(some)} {self.one(*'+-')} {self.kind(self.number, self.interval)(some)})",
            lambda: f"case when {self.condition(some)} then {self.time(some)} else {self.time(some)} end",
        )

    def condition(self, depth: int) -> str:
        some = depth - 1
        kind = self.kind(self.text, self.number, self.time, self.time)
        other = self.kind(kind, kind, kind, kind, kind, self.text, self.number, self.time)
        sign = self.one("=", "<>", "<", ">=", "is distinct from")
        if depth <= 0:
            return self.one(self.columns["flag"], f"{kind(0)} {sign} {other(0)}")
        return self.one(
            lambda: f"{kind(some)} {sign} {other(some)}",
            lambda: f"{kind(some)} {sign} {other(some)}",
            lambda: f"{kind(some)} between {other(some)} and {kind(some)}",
            lambda: f"{kind(some)} {self.one('in', 'not in')} ({other(some)}, {kind(some)})",
            lambda: f"{self.text(some)} {self.one('like', 'not like', 'ilike')} {self.one(*PATTERNS)}",
            lambda: f"{self.one('starts_with', 'contains')}({self.text(some)}, {self.text(some)})",
            lambda: f"({self.condition(some)} {self.one('and', 'or')} not {self.condition(some)})",
            lambda: f"{kind(some)} is not null",
            lambda: self.text(some),
        )

    def aggregate(self, kind: Any) -> str:
        name = self.one("min", "max", "sum", "avg", "median", "quantile_cont", "quantile_disc")
        share = f", {self.one('0', '0.3', '1')}" if name.startswith("quantile") else ""
        filtered = f" filter (where {self.condition(2)})" if self.draw.random() < 0.5 else ""
        return f"{name}({kind(2)}{share}){filtered}"

    def value(self, depth: int) -> str:
        counted = self.one(
            "*", self.one("", "distinct ") + self.kind(self.text, self.number, self.time, self.condition)(2)
        )
        filtered = f" filter (where {self.condition(3)})" if self.draw.random() < 0.7 else ""
        if depth <= 0:
            return self.one(f"count({counted}){filtered}", lambda: self.aggregate(self.number))
        some = depth - 1
        return self.one(
            f"count({counted}){filtered}",
            f"count({counted}){filtered}",
            lambda: self.aggregate(self.number),
            lambda: self.aggregate(self.number),
            lambda: f"({self.value(some)} {self.one(*'+-*/%')} {self.value(some)})",
            lambda: f"{self.one('-', 'abs', 'round', 'floor')}({self.value(some)})",
            lambda: f"{self.one('coalesce', 'greatest', 'nullif')}({self.value(some)}, {self.value(some)})",
            lambda: f"date_diff('{self.one(*UNITS)}', {self.aggregate(self.time)}, {self.aggregate(self.time)})",
            lambda: f"date_part('{self.one(*UNITS)}', {self.aggregate(self.kind(self.time, self.interval))})",
            lambda: f"case when {self.aggregate(self.time)} < {self.aggregate(self.time)} then {self.value(some)} end",
        )


def accepted(count: int, source: Source) -> list[Metric]:
    """Metrics of the first expressions that are accepted."""
    writer, found = Writer(2026, source), []
    while len(found) < count:
        expression = writer.expression()
        try:
            check(expression, source)
        except ExpressionError:
            continue
        found.append(Metric(name=f"m{len(found)}", source=source, expression=expression, title="", description=""))
    return found


@pytest.fixture(scope="module")
def extremes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of extreme rows, like those of tables. Each row is its own project, and all together are another one."""
    draw = random.Random(1)
    escape = {text: text.replace("\\", "\\\\") for text in TEXTS}

    def properties() -> str:
        if draw.random() < 0.15:
            return draw.choice(JSON)
        return f'{{"a": "{escape[draw.choice(TEXTS)]}", "b": ["{escape[draw.choice(TEXTS)]}"]}}'

    events, sessions = [], []
    for number in range(ROWS):
        text, other = TEXTS[number % len(TEXTS)], draw.choice(TEXTS)
        for project in (f"p{number}", "all"):
            common: dict[str, Any] = {"project_id": project, "country": other, "user_id": draw.choice((None, text))}
            revenue = Decimal(draw.choice(REVENUES))
            events.append(
                event(
                    at=NOON + timedelta(microseconds=draw.choice((0, 3_599_999_999))),
                    **common,
                    event=text,
                    path=other,
                    properties=properties(),
                    context=properties(),
                    revenue=revenue,
                    line_number=draw.choice(NUMBERS),
                    sent_at=draw.choice((None, *TIMES)),
                    received_at=draw.choice(TIMES),
                )
            )
            sessions.append(
                session(
                    at=NOON, **common, entry_page=text, events=draw.choice(NUMBERS), page_views=draw.choice(NUMBERS)
                )
                | {
                    "revenue": revenue,
                    "ended_at": draw.choice(TIMES),
                    "duration_s": draw.choice((0, 0.000001, 86399.999999)),
                }
            )
    folder = tmp_path_factory.mktemp("extremes")
    found = {}
    for table, rows in ((EVENTS, events), (SESSIONS, sessions)):
        # Small row groups, so that their statistics differ and some exclude nulls and extremes.
        pq.write_table(relation(table, rows), folder / f"{table.name}.parquet", row_group_size=20)
        found[table.name] = folder / f"{table.name}.parquet"
    return found


def compute(metrics: Sequence[Metric], files: dict[str, Path]) -> None:
    """Compute metrics together; on failure, name the metric that fails."""
    model = compose(load_model(LAYER, "daily_metrics"), metrics, "day")
    window = Window.of_day(MONDAY.date())
    inputs = {
        **files,
        "utc_offsets": Calendar({}).relation(window),
        "dated_events": load_model("radar_assets.events", "dated_events"),
    }
    try:
        engine().query(model, inputs, {"start": window.start, "end": window.end})
    except duckdb.Error as error:
        if len(metrics) == 1:
            pytest.fail(f"{metrics[0].expression}: {error}")
        half = len(metrics) // 2
        compute(metrics[:half], files)
        compute(metrics[half:], files)
        pytest.fail(f"together: {[metric.expression for metric in metrics]}: {error}")


@pytest.mark.parametrize("source, share", [("events", 0.8), ("sessions", 0.2)])
def test_no_accepted_expression_fails_on_any_row(
    source: Source, share: float, extremes: dict[str, Path], pytestconfig: pytest.Config
) -> None:
    count: Any = pytestconfig.getoption("expressions")
    metrics = accepted(int(count * share), source)
    for start in range(0, len(metrics), AT_ONCE):
        compute(metrics[start : start + AT_ONCE], extremes)
