"""The contract of canonical events: its rules, and that the engine gives the same verdicts on whole segments."""

import json
import tempfile
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_assets.events.contract import CanonicalEvent, Reason, Rejection, parse
from radar_assets.events.contract_sql import raw_events_model
from radar_assets.events.landing import list_segments, read_lines, write_segment
from radar_assets.events.tables import RAW_EVENTS
from radar_assets_tests.events.lines import PROJECTS, good_line, hostile_lines, lines

START = date(2026, 1, 1)
HOUR = datetime(2026, 3, 1, 12)

Row = dict[str, Any]


def raw_events(landing: Path, threads: int = 1) -> list[Row]:
    """The rows of `raw_events.sql` for the segments of an hour, in the order of segments and lines."""
    batches = read_lines(list_segments(landing, HOUR))
    first = next(batches)
    with duckdb.connect(config={"threads": threads, "memory_limit": "1GB"}) as connection:
        connection.register("lines", pa.RecordBatchReader.from_batches(first.schema, (first, *batches)))
        connection.register("projects", pa.table({"project_id": list(PROJECTS)}))
        model = raw_events_model()
        rows = connection.execute(model.sql, {"start_date": START}).to_arrow_table()
    assert tuple(rows.column_names) == RAW_EVENTS.column_names
    return sorted(rows.to_pylist(), key=lambda row: (row["segment"], row["line_number"]))


def engine_verdicts(landed: Iterable[bytes]) -> list[Row]:
    """The engine's verdicts on lines that land in one segment."""
    with tempfile.TemporaryDirectory() as folder:
        write_segment(Path(folder), HOUR, "segment", (line + b"\n" for line in landed))
        return raw_events(Path(folder))


def contract_verdict(line: bytes) -> CanonicalEvent | Rejection:
    return parse(line, set(PROJECTS), START)


def plain_numbers(value: Any) -> Any:
    """The value with all numbers as doubles, which all JSON parsers agree on."""
    match value:
        case dict():
            return {key: plain_numbers(inner) for key, inner in value.items()}
        case list():
            return [plain_numbers(inner) for inner in value]
        case int() if not isinstance(value, bool):
            return float(value)
    return value


def assert_same_verdict(line: bytes, row: Row) -> None:
    verdict = contract_verdict(line)
    if isinstance(verdict, Rejection):
        assert row["reason"] == verdict.reason
        assert row["detail"].split(":")[0] == verdict.detail.split(":")[0]
        assert row["line"] == line
        assert row["event_time"] is None
        return
    assert row["reason"] is None, row["detail"]
    assert row["detail"] is None
    assert row["line"] is None
    assert row["event_time"] == verdict.event_time
    for field, value in verdict:
        if field in ("properties", "context"):
            stored = row[field] if row[field] is None else json.loads(row[field])
            assert plain_numbers(stored) == plain_numbers(value)
        else:
            assert row[field] == value, field


@settings(max_examples=40)
@given(st.lists(lines().filter(lambda line: line.strip(b" \t\r")), min_size=50, max_size=50))
def test_contract_and_engine_give_the_same_verdict(landed: list[bytes]) -> None:
    rows = engine_verdicts(landed)
    assert len(rows) == len(landed)
    for line, row in zip(landed, rows, strict=True):
        assert_same_verdict(line, row)


@settings(max_examples=25)
@given(st.lists(hostile_lines(), min_size=400, max_size=400))
def test_hostile_lines_are_rejected_and_affect_no_others(hostile: list[bytes]) -> None:
    good = [good_line(event_id=f"good-{number}") for number in range(len(hostile))]
    rows = engine_verdicts(line for pair in zip(good, hostile, strict=True) for line in pair)
    assert [row["event_id"] for row in rows[::2]] == [f"good-{number}" for number in range(len(hostile))]
    for line, row in zip(hostile, rows[1::2], strict=True):
        assert row["reason"] is not None
        assert row["line"] == line
        assert_same_verdict(line, row)


def with_payload(size_bytes: int, **fields: Any) -> bytes:
    """A line whose properties and context have this many bytes, written with spaces and escapes."""
    line = good_line(properties={}, context={}, **fields)
    start, end = '{ "é" : "\\u00e9 }{" , "f" : "', '" }'
    filling = start + "x" * (size_bytes - len("{}") - len((start + end).encode())) + end
    return line.replace(b'"properties":{}', b'"properties" : ' + filling.encode())


def nested(depth: int) -> bytes:
    """A line with this many brackets open at once."""
    return good_line(properties={"x": "?"}).replace(b'"?"', b"[" * (depth - 2) + b"]" * (depth - 2))


RULES: list[tuple[str, bytes, Reason | None]] = [
    ("just as long as a line may be", good_line(x="x" * (2**20 - len(good_line(x="")))), None),
    ("longer than a line may be", good_line(x="x" * (2**20 - len(good_line(x="")) + 1)), Reason.LINE_TOO_LONG),
    ("no UTF-8", b"\xff", Reason.NOT_UTF8),
    ("64 brackets open", nested(64), None),
    ("65 brackets open", nested(65), Reason.TOO_DEEP),
    ("65 brackets, but in a string", good_line(event="[" * 100), None),
    ("65 brackets and no JSON", b"[{" * 40, Reason.TOO_DEEP),
    ("text", b"hello", Reason.NOT_JSON),
    ("byte order mark", b"\xef\xbb\xbf" + good_line(), Reason.NOT_JSON),
    ("two events", good_line() + good_line(), Reason.NOT_JSON),
    ("NaN", good_line(properties={"x": float("nan")}), Reason.NOT_JSON),
    ("NaN in a field that is ignored", good_line(x=[float("inf")]), Reason.NOT_JSON),
    ("the word NaN in a string", good_line(properties={"x": " NaN, inf ,}"}), None),
    ("comma at the end", good_line()[:-1] + b" , }", Reason.NOT_JSON),
    ("lone surrogate", good_line(event="\ud800"), Reason.NOT_JSON),
    ("surrogates in pairs", good_line(event="\ud83d\ude00"), None),
    ("backslash before what looks like a surrogate", good_line(event="\\ud800"), None),
    ("list", b"[1]", Reason.NOT_AN_OBJECT),
    ("null", b"null", Reason.NOT_AN_OBJECT),
    ("largest double", good_line(properties={"x": 1.7976931348623157e308}), None),
    ("larger than any double", good_line().replace(b"9.99", b"1.8e308"), Reason.NUMBER_OUT_OF_RANGE),
    ("integer of 309 digits", good_line(x=10**308), None),
    ("integer of 5,000 digits", good_line(x=0).replace(b":0}", b":" + b"9" * 5000 + b"}"), Reason.NUMBER_OUT_OF_RANGE),
    ("a field twice", good_line()[:-1] + b',"event":"click"}', Reason.DUPLICATE_KEY),
    ("a field twice, once escaped", good_line()[:-1] + b',"\\u0065vent":"click"}', Reason.DUPLICATE_KEY),
    ("an ignored field twice", good_line()[:-1] + b',"x":1,"x":1}', Reason.DUPLICATE_KEY),
    ("a property twice, further down", good_line(properties={"x": "?"}).replace(b'"?"', b'{"y":1,"y":2}'), None),
    ("many properties", good_line(properties={f"p{number}": number for number in range(300)}), None),
    ("object as name", good_line(event={"name": "x"}), Reason.WRONG_TYPE),
    ("list as project", good_line(project_id=["shop"]), Reason.WRONG_TYPE),
    ("no time of receipt", good_line(received_at=None), Reason.MISSING_FIELD),
    ("zero as time of receipt", good_line(received_at=0), Reason.MISSING_FIELD),
    ("words as time of receipt", good_line(received_at="now"), Reason.INVALID_TIMESTAMP),
    ("true as time of receipt", good_line(received_at=True), Reason.WRONG_TYPE),
    ("no name of what was tracked", good_line(event=None), Reason.MISSING_FIELD),
    ("blank name", good_line(event=" \t"), Reason.MISSING_FIELD),
    ("neither a name nor a known type", good_line(event="", type="click"), Reason.UNKNOWN_TYPE),
    ("empty project", good_line(project_id=""), Reason.MISSING_FIELD),
    ("page without a name", good_line(event=None, type="page"), None),
    (
        "only what is required",
        b'{"project_id":"shop","event":"x","user_id":"u","received_at":"2026-03-01T12:00:00Z"}',
        None,
    ),
    (
        "everything optional null",
        good_line(type=None, category=None, sent_at=None, properties=None, context=None, sequence=None),
        None,
    ),
    ("200 characters of four bytes", good_line(event="😀" * 200), None),
    ("backslash and quotes in an id", good_line(user_id='"\\'), None),
    ("no such time of receipt", good_line(received_at="2026-03-01T24:00:00Z"), Reason.INVALID_TIMESTAMP),
    ("lower case, space and long fraction", good_line(timestamp="2026-03-01 12:00:00.1234569z"), None),
    ("other zone", good_line(timestamp="2026-03-01T17:30:00+05:30"), None),
    ("nobody", good_line(user_id=None), Reason.NO_VISITOR),
    ("nobody but placeholders", good_line(user_id="null", anonymous_id=[]), Reason.NO_VISITOR),
    ("payload as large as it may be", with_payload(32768), None),
    ("payload larger than it may be", with_payload(32769), None),
    ("long line with a small payload", with_payload(100, x={"properties": "x" * 40_000, "y": [{}, []]}), None),
    ("unknown project", good_line(project_id="shop "), Reason.UNKNOWN_PROJECT),
    ("project that must not be run", good_line(project_id="Robert'); drop table events;--"), None),
    ("24 hours in the future", good_line(timestamp="2026-03-02T12:00:01Z"), None),
    ("first moment", good_line(timestamp="2026-01-01T00:00:00Z"), None),
    ("moment before the first", good_line(timestamp="2025-12-31T23:59:59.999999Z"), Reason.BEFORE_START),
]


def test_each_rule_holds_in_contract_and_engine() -> None:
    rows = engine_verdicts(line for _, line, _ in RULES)
    for (name, line, reason), row in zip(RULES, rows, strict=True):
        assert row["reason"] == reason, name
        assert_same_verdict(line, row)


def test_every_reason_of_a_line_has_a_rule() -> None:
    of_segments = {Reason.UNREADABLE_SEGMENT, Reason.EMPTY_SEGMENT}
    assert {reason for _, _, reason in RULES} == {None, *Reason} - of_segments


FLAWS: dict[Reason, dict[str, Any]] = {
    Reason.WRONG_TYPE: {"project_id": {}},
    Reason.UNKNOWN_TYPE: {"type": "click", "event": ""},
    Reason.MISSING_FIELD: {"event": None},
    Reason.INVALID_TIMESTAMP: {"received_at": "now"},
    Reason.NO_VISITOR: {"user_id": None},
    Reason.UNKNOWN_PROJECT: {"project_id": "none"},
    Reason.BEFORE_START: {"timestamp": "2020-01-01T00:00:00Z"},
}


def test_the_first_reason_is_given_if_a_line_has_several_flaws() -> None:
    assert list(FLAWS) == [reason for reason in Reason if reason in FLAWS]
    landed, flaws = [], dict(FLAWS)
    for reason in FLAWS:
        line = good_line(**{field: value for flaw in reversed(flaws.values()) for field, value in flaw.items()})
        landed.append((reason, line))
        del flaws[reason]
    for (reason, line), row in zip(landed, engine_verdicts(line for _, line in landed), strict=True):
        assert row["reason"] == reason
        assert_same_verdict(line, row)


@pytest.mark.parametrize(
    ("sent_at", "event_time"),
    [
        (None, datetime(2026, 3, 1, 12)),
        ("2026-03-01T12:05:01Z", datetime(2026, 3, 1, 12)),
        ("2026-03-01T11:55:01Z", datetime(2026, 3, 1, 12)),
        ("2026-03-01T11:55:00.999999Z", datetime(2026, 3, 1, 12, 5, 0, 1)),
        ("2026-03-01T14:00:01Z", datetime(2026, 3, 1, 10)),
    ],
)
def test_time_is_corrected_only_when_the_clocks_differ_by_more_than_five_minutes(
    sent_at: str | None, event_time: datetime
) -> None:
    line = good_line(sent_at=sent_at)
    verdict = contract_verdict(line)
    assert isinstance(verdict, CanonicalEvent)
    assert verdict.event_time == event_time
    assert engine_verdicts([line])[0]["event_time"] == event_time


def test_events_get_the_name_of_their_type_by_default() -> None:
    kinds = ["page", "screen", "identify", "group", "alias"]
    rows = engine_verdicts(good_line(type=kind, event=None) for kind in kinds)
    assert [row["event"] for row in rows] == ["page_view", "screen_view", "identify", "group", "alias"]
    assert engine_verdicts([good_line(type="page", event="Home")])[0]["event"] == "Home"


def test_rejected_lines_keep_their_project() -> None:
    landed = [good_line(project_id="gone"), good_line(event=None), good_line(project_id=5), b'{"project_id":"shop"']
    assert [row["project_id"] for row in engine_verdicts(landed)] == ["gone", "shop", "5", None]


def test_a_text_of_ten_megabytes_is_rejected_and_truncated() -> None:
    long = [good_line(properties={"x": letter * 10_000_000}) for letter in "ab"]
    rows = engine_verdicts([good_line(), *long, good_line()])
    assert [row["reason"] for row in rows] == [None, "line_too_long", "line_too_long", None]
    assert [row["line"] for row in rows[1:3]] == long


def test_the_model_returns_the_types_of_its_table() -> None:
    types = {"string": "VARCHAR", "int": "INTEGER", "long": "BIGINT", "timestamp": "TIMESTAMP", "binary": "BLOB"}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        write_segment(Path(folder), HOUR, "segment", [good_line()])
        batches = list(read_lines(list_segments(Path(folder), HOUR)))
        connection.register("lines", pa.RecordBatchReader.from_batches(batches[0].schema, batches))
        connection.register("projects", pa.table({"project_id": ["shop"]}))
        sql = raw_events_model().sql
        described = connection.execute(f"describe {sql}", {"start_date": START}).fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [
        (column.name, types[column.type]) for column in RAW_EVENTS.columns
    ]
