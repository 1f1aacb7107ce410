"""Strategies for landed lines: valid events, flawed events, and hostile lines."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

PROJECTS = ("shop", "Robert'); drop table events;--", "../../etc/passwd", "Ünïcödé 😀", "\u202eright to left", '"', "5")
RECEIVED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TYPES = ("track", "page", "screen", "identify", "group", "alias")
TEXT_FIELDS = ("event_id", "project_id", "event", "category", "user_id", "anonymous_id", "session_id", "protocol")
FIELDS = (*TEXT_FIELDS, "type", "timestamp", "sent_at", "received_at", "properties", "context")

Members = list[tuple[str, Any]]
"""The members of a JSON object; keys may occur twice."""

texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
    st.sampled_from(
        [*PROJECTS, "x" * 200, "é" * 200, "😀" * 200, "5", "true", "null", "{}", "[1]", " ", "a\\b", "a\u2028b"]
    ),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 1e308, 1e16, 1e-7, 2**63, 2**64, 10**300]),
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts | st.sampled_from(FIELDS), values, max_size=4)


@st.composite
def times(draw: st.DrawFn) -> str:
    """A time close to when the events are received, in one of the notations that RFC 3339 allows."""
    offset = timedelta(microseconds=draw(st.sampled_from([0, 0, 1, -1, 10**9, -(10**10)])))
    near = draw(
        st.sampled_from([timedelta(0), timedelta(minutes=-5), timedelta(hours=24), timedelta(days=-59, hours=-12)])
    )
    zone = timezone(timedelta(minutes=draw(st.sampled_from([0, 0, 330, -720, 1439]))))
    written = (RECEIVED_AT + near + offset).astimezone(zone).isoformat(draw(st.sampled_from(["T", " ", "t"])))
    if draw(st.booleans()):
        written = written.replace("+00:00", draw(st.sampled_from("Zz")))
    if "." in written and draw(st.booleans()):
        written = written.replace(".", ".0987654321")
    return written


@st.composite
def events(draw: st.DrawFn) -> Members:
    """The members of an event in which each field by itself is valid."""
    kind = draw(st.none() | st.sampled_from(TYPES))
    event: dict[str, Any] = {
        "event_id": draw(texts),
        "project_id": draw(st.sampled_from(PROJECTS)),
        "timestamp": draw(times()),
        "received_at": draw(st.just(RECEIVED_AT.isoformat()) | times()),
        "protocol": draw(st.sampled_from(["native", "import"])),
        draw(st.sampled_from(["user_id", "anonymous_id"])): draw(texts),
    }
    if kind:
        event["type"] = kind
    if kind in (None, "track") or draw(st.booleans()):
        event["event"] = draw(texts)
    optional = {
        "category": texts | st.just(""),
        "user_id": texts,
        "anonymous_id": texts,
        "session_id": texts,
        "sent_at": times(),
        "properties": objects,
        "context": objects,
        "integrations": values,
    }
    for field in draw(st.sets(st.sampled_from(sorted(optional)), max_size=4)):
        event[field] = draw(optional[field])
    return draw(st.permutations(list(event.items()))) if draw(st.booleans()) else list(event.items())


WRONG_TIMES = (
    "", "now", "infinity", "epoch", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00Z", "2026-03-01T12:00:00+01",
    "2026-03-01T12:00:00+0100", "2026-03-01T12:00:00+24:00", "2026-03-01T12:00:00 Z", "2026-03-01T24:00:00Z",
    "2026-03-01T23:59:60Z", "2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z", "2026-3-1T12:00:00Z", "20260301T120000Z",
    "2026-03-01T12:00:00.Z", "2026-03-01T12:00:00,5Z", "2026-03-01T12:00:00Z\n", " 2026-03-01T12:00:00Z",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "+2026-03-01T12:00:00Z",
    "２026-03-01T12:00:00Z", "1772366400", "2026-03-01T12:00:00Z[UTC]", "2026-060T12:00:00Z",
)  # fmt: skip
odd_values = st.one_of(
    st.sampled_from([None, "", 0, 5, 1.5, True, False, [], {}, ["x"], {"x": 1}, "\0", "a\0b", "x" * 201, "😀" * 201]),
    st.sampled_from(WRONG_TIMES),
    st.sampled_from(["1900-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "Track", "purchase"]),
    texts,
    times(),
)


@st.composite
def flawed_events(draw: st.DrawFn) -> Members:
    """The members of an event, some of them missing, invalid or duplicate."""
    members = draw(events())
    for field in draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2)):
        flaw = draw(st.sampled_from(["lost", "odd", "odd", "twice"]))
        if flaw != "twice":
            members = [member for member in members if member[0] != field]
        if flaw != "lost":
            members.insert(draw(st.integers(0, len(members))), (field, draw(odd_values)))
    return members


class _Text(str):
    """Text that is put into JSON unchanged."""


def encode(members: Members, *, ascii_only: bool = True, spaced: bool = False) -> str:
    """The JSON object with these members."""
    comma, colon = (" ,\t", " : ") if spaced else (",", ":")

    def write(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, separators=(comma, colon))

    written = comma.join(
        f"{write(key)}{colon}{value if isinstance(value, _Text) else write(value)}" for key, value in members
    )
    return f" {{ {written} }}\r" if spaced else f"{{{written}}}"


TOKENS = (
    b",", b",,", b":", b"{", b"}", b"[", b"]", b'"', b"\\", b"'", b"NaN", b"nan", b"-Infinity", b"inf", b"null", b"nul", b"true", b"0",
    b"-", b"1e5", b"1e400", b"-1E+0999", b"9" * 310, b"0.1e-999", b"\\u0000", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u00e9",
    b"\\x", b"\x00", b"\x01", b"\x1f", b"\x7f", b"\x0b", b"\t", b" ", b"\r", b"\xa0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", "é".encode(), "\ufeff".encode(), "\u2028".encode(), b"//", b"/**/", b"#", b'"a":1', b',"a":1', b"[1,]", b"{}",
)  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line: an event, a flawed event, or one with damaged text."""
    members = draw(st.one_of(events(), events(), flawed_events()))
    text = encode(members, ascii_only=draw(st.booleans()), spaced=draw(st.booleans()))
    line = text.encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(line)))
        end = draw(st.sampled_from([start, start + 1, start + 2, len(line)]))
        line = line[:start] + draw(st.sampled_from(TOKENS)) + line[end:]
    return line


def good_event(**fields: Any) -> dict[str, Any]:
    """A small event that the contract accepts, with some fields replaced."""
    return {
        "event_id": "e-1",
        "project_id": "shop",
        "event": "click",
        "user_id": "u-1",
        "timestamp": "2026-03-01T12:00:00Z",
        "received_at": "2026-03-01T12:00:01Z",
        "protocol": "native",
        "properties": {"path": "/", "revenue": 9.99},
        **fields,
    }


def good_line(**fields: Any) -> bytes:
    """The line of `good_event`."""
    return json.dumps(good_event(**fields), separators=(",", ":")).encode()


def _nested(depth: int, closed: bool) -> bytes:
    return b"[" * depth + b"]" * (depth if closed else 0)


def _in_properties(value: bytes) -> bytes:
    return good_line(properties="?").replace(b'"?"', b'{"x":' + value + b"}")


@st.composite
def hostile_lines(draw: st.DrawFn) -> bytes:
    """An invalid line that is designed to crash its reader."""
    kind = draw(st.integers(0, 14))
    many = draw(st.sampled_from([65, 66, 500, 5000, 50_000]))
    line = good_line()
    index = draw(st.integers(1, len(line) - 1))
    if kind == 0:
        return _nested(many, draw(st.booleans()))
    if kind == 1:
        return _in_properties(_nested(many, draw(st.booleans())))
    if kind == 2:
        return b'{"a":' * many + b"1" + b"}" * many
    if kind == 3:
        return _in_properties(draw(st.sampled_from([b"1e400", b"-1E+999999999", b"9" * (many + 300), b"[2e308]"])))
    if kind == 4:
        return good_line(**{draw(st.sampled_from(TEXT_FIELDS)): "a\0"})
    if kind == 5:
        return (
            line[:index]
            + draw(st.sampled_from([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"]))
            + line[index:]
        )
    if kind == 6:
        return line[:index] + draw(st.sampled_from([b"\x00", b"\x08", b"\x1b"])) + line[index:]
    if kind == 7:
        return "\ufeff".encode() + line
    if kind == 8:
        return line[:-1] + b"," + json.dumps(draw(st.sampled_from(FIELDS[:1]))).encode() + b':"again"}'
    if kind == 9:
        return _in_properties(b'1,"x":' + draw(st.sampled_from([b"1", b'"y"', b"{}"])))
    if kind == 10:
        return good_line(event="x" * draw(st.sampled_from([201, 40_000, 140_000])))
    if kind == 11:
        return good_line(**{draw(st.sampled_from(FIELDS)): draw(st.sampled_from([5, True, [], ["x"], 1.5]))})
    if kind == 12:
        return _in_properties(
            b'"' + draw(st.sampled_from([b"\\ud800", b"\\udfff", b"\\ud800\\ud800", b"\\udbffx"])) + b'"'
        )
    if kind == 13:
        return _in_properties(
            draw(st.sampled_from([b"NaN", b"-inf", b"nAN", b"Infinity", b"[1,]", b"{,}", b"01", b"'x'", b"1 2"]))
        )
    return line[:index]
