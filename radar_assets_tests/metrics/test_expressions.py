"""Expressions of custom metrics: what they compute, and what they can't do."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from radar_assets.lakehouse.sql import load_model
from radar_assets.metrics.composition import compose
from radar_assets.metrics.expressions import ExpressionError, check
from radar_assets.metrics.registry import CustomMetric
from radar_assets.metrics.sources import COLUMNS, Source
from radar_assets_tests.metrics.relations import LAYER, NOON, event, of_hour

EVENTS = [
    event("a", event="search", properties='{"price": "12.50", "quantity": 2, "items": [{"sku": "x"}]}'),
    event("a", event="search", properties='{"price": "free", "quantity": "9223372036854775807"}', user_id="u"),
    event("b", event="Buy Now", revenue=Decimal("10.0000"), path="/shop/1", at=NOON + timedelta(minutes=30)),
    event("b", event="Buy Now", revenue=Decimal("20.5000"), path="/shop/2", properties='{"price": 7.25}', country="DE"),
    event("c", event="search", properties='{"price": "1e999", "quantity": -9223372036854775808}', is_bot=True),
]


def custom(expression: str, source: Source = "events") -> CustomMetric:
    return CustomMetric(name="mine", source=source, expression=expression)


REFUSED = {
    # other tables, files, the system
    "(select count(*) from events)": "subqueries",
    "count(*) + (select max(line_number) from raw_events)": "subqueries",
    "count(*) filter (where event in (select event from events))": "subqueries",
    "count(*) filter (where exists (from events))": "subqueries",
    "max((from read_csv('/etc/passwd')))": "subqueries",
    "count(read_csv('/etc/passwd'))": "unsupported function read_csv()",
    "count(read_text('/etc/passwd'))": "unsupported function read_text()",
    "count(parquet_scan('x'))": "unsupported function parquet_scan()",
    "count(glob('*'))": "unsupported function glob()",
    "count(getenv('HOME'))": "unsupported function getenv()",
    "max(current_setting('home_directory'))": "unsupported function current_setting()",
    "count(sniff_csv('x'))": "unsupported function sniff_csv()",
    "count(query('drop table x'))": "unsupported function query()",
    "count(query_table('raw_events'))": "unsupported function query_table()",
    "count(nextval('s'))": "unsupported function nextval()",
    "count(getvariable('x'))": "unsupported function getvariable()",
    "count(pragma_database_size())": "unsupported function pragma_database_size()",
    "count(version())": "unsupported function version()",
    "count(current_user)": "unsupported",
    "count(my_macro(event))": "unsupported function my_macro()",
    "count(install_extension('httpfs'))": "unsupported function install_extension()",
    # other statements
    "count(*); drop table events": "unexpected token",
    "count(*);": "remove the `;`",
    ";": "",
    "count(*) from raw_events": "unexpected token",
    "count(*) where true": "unexpected token",
    "count(*), sum(revenue)": "unexpected token",
    "count(*) as x": "unexpected token",
    "count(*) union all select 1": "unexpected token",
    "count(*)) from events; --": "unexpected token",
    "select 1": "unexpected token",
    "pragma database_list": "unexpected token",
    "attach 'x.db' as y": "unexpected token",
    "copy events to 'x.csv'": "unexpected token",
    "install httpfs": "unexpected token",
    "set memory_limit = '1TB'": "",
    "with x as (select 1) select 1": "unexpected token",
    "values (1)": "unexpected token",
    # comments and quoting
    "count(*) -- and more": "comments",
    "count(*) /* and */ + 1": "comments",
    "/* first */ count(*)": "comments",
    "count(*) filter (where event = 'x": "unterminated quote",
    'count("': "unterminated quote",
    "count($$ x $$)": "unsupported",
    "count(E'\\x41')": "unsupported",
    "count(date_trunc('day'') from events; --', event_time))": "unknown unit",
    "count(date_part('day'') --', event_time))": "takes a unit",
    "count(date_diff('x'', now(), ''', event_time, sent_at))": "unknown unit",
    "count(date_part())": "takes a unit",
    "count(date_part(event, event_time))": "takes a unit",
    "count(date_trunc(event, event_time))": "unknown unit",
    # more than one number per hour or day
    "sum(revenue) over ()": "window functions",
    "count(*) filter (where row_number() over () = 1)": "window functions",
    "event": "must be inside an aggregate function",
    "count(*) + line_number": "must be inside an aggregate function",
    "1": "no aggregate function",
    "sum(sum(revenue))": "can't be nested",
    "count(*) filter (where count(*) > 1)": "or used in a filter",
    "max(event)": "text",
    "max(event_time)": "must return a number",
    "max(event_time) - min(event_time)": "must return a number",
    "max(revenue, 3)": "one argument",
    "count()": "one argument",
    "count(event, path)": "one argument",
    "count(distinct event, path)": "distinct",
    "max(revenue) = 1": "must return a number",
    # other columns
    "sum(evnt)": "did you mean event?",
    "count(events.event)": "the column name alone",
    "count(main.events.event)": "the column name alone",
    "count(events)": "unknown column events",
    "count(rowid)": "unknown column rowid",
    "count(hour)": "unknown column hour",
    'count(*) filter (where event = "x")': "unknown column x",
    "sum(* exclude (revenue))": "only allowed in count(*)",
    "count(* exclude (revenue))": "only allowed in count(*)",
    "count(columns(*))": "unsupported function columns()",
    "count(columns('e.*'))": "unsupported function columns()",
    "count(#1)": "unsupported syntax: #1",
    "count($start)": "unsupported syntax: $start",
    "count(?)": "unsupported syntax: ?",
    # other types and functions
    "sum(cast(revenue as double))": "unsupported cast to double",
    "sum(revenue::float)": "unsupported cast to",
    "count(event::blob)": "unsupported cast to blob",
    "count(properties::json)": "unsupported cast to json",
    "count(event::integer[])": "unsupported cast to",
    "count(cast(event as struct(a integer)))": "unsupported cast to",
    "count([event])": "unsupported",
    "count({'a': event})": "unsupported",
    "count(map {'a': event})": "unsupported",
    "count([x for x in [1, 2]])": "unsupported",
    "count(list_transform([1], x -> x + 1))": "unsupported function list_transform()",
    "count(list_transform([1], lambda x: x + 1))": "unsupported function list_transform()",
    "count(event[1])": "unsupported",
    "count(event.upper())": "unsupported",
    "count(row(event, path))": "unsupported function row()",
    "count((event, path))": "unsupported",
    "count(interval 1 day)": "unsupported",
    "count(event collate nocase)": "unsupported",
    "count(unnest([1, 2]))": "unsupported function unnest()",
    "count(event ~ '(a+)+b')": "unsupported",
    "count(event similar to 'a')": "unsupported",
    "count(repeat(event, 1000000000))": "unsupported function repeat()",
    "list(event)": "unsupported function list()",
    "string_agg(event, ',')": "unsupported function group_concat()",
    "first(revenue)": "unsupported function first()",
    "any_value(revenue)": "unsupported",
    "arg_max(revenue, event_time)": "unsupported function arg_max()",
    "approx_count_distinct(event)": "unsupported function approx_count_distinct()",
    "random()": "unsupported function random()",
    "count(now())": "unsupported function now()",
    "count(current_date)": "unsupported",
    "sum(revenue order by event_time)": "unsupported",
    "quantile_cont(revenue, [0.1, 0.9])": "unsupported",
    "quantile_cont(0.5) within group (order by revenue)": "",
    # other JSON
    "count(path ->> '$.x')": "properties and context only",
    "count((properties ->> '$.a') ->> '$.b')": "properties and context only",
    "count(properties ->> path)": "must be a literal",
    "count(properties -> '$.x')": "unsupported",
    "count(properties ->> '$.*')": "keys and indexes",
    "count(properties ->> '$..x')": "keys and indexes",
    "count(event in properties)": "list of values",
    # patterns that take more than linear time, or fail
    "count(*) filter (where path like event)": "a pattern must be a literal",
    "count(*) filter (where path like '%' || event || '%')": "starts_with, ends_with or contains",
    "count(*) filter (where path like '%a_b%c')": "can have one %",
    "count(*) filter (where path not ilike '%_%_c')": "can have one %",
    "count(*) filter (where path like '%a%b' escape '!')": "can have one %",
    "count(*) filter (where path like 'a!' escape '!')": "ends with its escape character",
    "count(*) filter (where path like 'a!!!' escape '!')": "ends with its escape character",
    "count(*) filter (where path like 'a' escape '')": "one character",
    # dates out of range
    "count(*) filter (where event_time < date '5000000-01-01')": "between 1677-09-22 and 2262-04-11",
    "count(*) filter (where event_time < timestamp '2262-04-12')": "between 1677-09-22 and 2262-04-11",
    "date_diff('day', median(cast(path as date) + line_number), max(event_time))": "No function matches",
    "date_diff('day', median(cast(path as date) + 1), max(event_time))": "use date_diff",
    # wrong types, sums that depend on the order of rows or overflow
    "sum(event)": "No function matches",
    "count(*) filter (where event)": "must be boolean",
    "count(*) filter (where line_number)": "must be boolean",
    "count(*) filter (where properties ->> '$.price' > 5)": "explicit cast",
    "count(*) filter (where revenue > 'many')": "Could not convert",
    "count(*) filter (where not event)": "Could not convert",
    "count(*) filter (where event = is_bot)": "Could not convert",
    "sum(case when path then 1 end)": "Could not convert",
    "avg(revenue) - 'x'": "Could not convert",
    "count(nullif(path, 1))": "Could not convert",
    "sum(cast('many' as integer))": "Could not convert",
    "count(*) filter (where event_time > timestamp '2026-13-01')": "out of range",
    "sum(revenue / 3)": "order of rows",
    "avg(revenue / 3)": "order of rows",
    "sum(revenue * 1e0)": "order of rows",
    "sum(distinct revenue / 3)": "order of rows",
    "sum(revenue * revenue * line_number)": "may overflow",
    "sum(cast(revenue as decimal(19, 4)))": "unsupported cast to decimal(19, 4)",
    "sum(cast(properties ->> '$.q' as bigint) * revenue)": "may overflow",
    "quantile_cont(revenue, 2)": "range",
    # size
    "": "empty",
    "  ": "empty",
    "count(*)" + " + count(*)" * 60: "too deeply",
    "(" * 300 + "count(*)" + ")" * 300: "too deeply",
    "not " * 400 + "count(*)": "too deeply",
    "count(*)" + " " * 2000: "maximum is 2000 characters",
}


@pytest.mark.parametrize("expression, reason", REFUSED.items())
def test_everything_but_aggregates_over_columns_of_the_table_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=r"^line \d+, column \d+: ") as refusal:
        check(expression, "events")
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "expression, line, column",
    [
        ("sum(evnt)", 1, 5),
        ("count(*) + sum(event)", 1, 12),
        ("count(*)\n  filter (where event = 'x'\n    and contry = 'DE')", 3, 9),
        ("count(*)\n+ read_csv('x')", 2, 3),
        ("count(*) +\n  select", 2, 3),
        ("sum(revenue", 1, 5),
        ("count(*) filter (where 'ü🙂' = evnt)", 1, 31),
        ("count(*) /* x */", 1, 8),
        ("sum(\n  revenue) over ()", 1, 1),
    ],
)
def test_a_refusal_names_the_position(expression: str, line: int, column: int) -> None:
    with pytest.raises(ExpressionError) as refusal:
        check(expression, "events")
    assert (refusal.value.line, refusal.value.column) == (line, column)
    assert str(refusal.value).startswith(f"line {line}, column {column}: ")


def test_columns_are_those_of_the_source() -> None:
    with pytest.raises(ExpressionError, match="unknown column event in sessions"):
        check("count(event)", "sessions")
    with pytest.raises(ExpressionError, match="unknown column is_bounce in events"):
        check("count(is_bounce)", "events")
    for source, columns in COLUMNS.items():
        for column in columns:
            check(f"count({column})", source)


WORDS = """
    count( sum( avg( max( median( lower( coalesce( round( event revenue path visitor properties is_bot event_time nothing
    ) ) ( , * + - / % = <> || ->> -> :: [ ] { } . : 'x' '$.a' 1 0.5 null true integer decimal(18,4) date ' " ; -- /* $1
    filter (where distinct case when then else end in between and or not is like cast( as select from events over ()
"""
VALID = [
    "count( * ) filter (where event = 'x' and not is_bot )",
    "sum( revenue ) / count( distinct visitor )",
    "sum( case when path like '/a%' or revenue > 0.5 then line_number else 1 end )",
    "avg( cast( properties ->> '$.a' as decimal(18,4) ) * 2 + 1 ) - max( line_number )",
    "count( * ) filter (where event in ( 'x' , 'y' ) or length( path ) between 1 and 5 )",
]


@st.composite
def nearly_valid(draw: st.DrawFn) -> str:
    """A valid expression in which some words are replaced, removed or inserted."""
    words = draw(st.sampled_from(VALID)).split()
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(words) - 1))
        words[index : index + draw(st.integers(0, 1))] = draw(st.lists(st.sampled_from(WORDS.split()), max_size=2))
    return " ".join(words)


@given(nearly_valid())
@settings(max_examples=200)
def test_any_text_is_refused_with_a_position_or_computes_from_its_table_only(expression: str) -> None:
    try:
        metric = custom(expression)
    except ValueError as refusal:
        assert "line 1, column " in str(refusal)
        return
    statement = compose(load_model(LAYER, "hourly_metrics"), [metric], "hour").parse()
    tables = {table.name for table in statement.find_all(exp.Table)}
    assert tables <= {"events", "hits", "identities", "visit_identities", "names", "named_hits", "of_events"}
    of_hour(EVENTS, [metric])


def test_pydantic_refuses_what_check_refuses() -> None:
    arguments: dict[str, Any] = {"name": "mine", "expression": "count(evnt)"}
    with pytest.raises(ValueError, match="line 1, column 7: unknown column evnt in events"):
        CustomMetric(**arguments)
