"""Strategies for landed lines: valid events, flawed events, and hostile lines."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

PROJECTS = ("shop", "Robert'); drop table events;--", "../../etc/passwd", "Ünïcödé 😀", "\u202eright to left", '"', "5")
RECEIVED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TYPES = ("track", "page", "screen", "identify", "group", "alias")
TEXT_FIELDS = ("event_id", "project_id", "event", "category", "user_id", "anonymous_id", "session_id", "protocol")
FIELDS = (*TEXT_FIELDS, "type", "timestamp", "sent_at", "received_at", "properties", "context", "sequence")

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
ODD_TIMES = (
    "1796039940", "1796039940000", "1796039940000000", "1796039940000000000", "1796039940.5", "1796039940123.4567", "99999999999",
    1772366340, 1772366340.25, 1772366340000, 1772366340000.0, 1772366340000000, 32503680000, 0, 0.0, -1, "0000-00-00 00:00:00",
    "1970-01-01T00:00:00Z", "2026-03-01T12:00:00.123456789", "2026/03/01 12:00:00 UTC", "2026-03-01T12:00:00+01:00[Europe/Berlin]",
    "Sun, 1 Mar 2026 11:59:00 GMT", "01 Mar 2026 11:59:00 +0100", "Sun Mar 01 2026 12:59:00 GMT+0100 (CET)", "Mar 1, 2026 12:59:00",
    "1985-03-01T12:00:00Z", "2030-03-01T12:00:00Z", "2026-03-01T08:00:00Z", "2026-03-01T14:00:00Z", "2025-12-31", "2026-02-30",
)  # fmt: skip
ODD_IDS = (
    "undefined", "NULL", "None", "[object Object]", "0", "00000000-0000-0000-0000-000000000000", "{{ user }}", "'null'", "Anonymous",
    '""', "`nil`", "0" * 300, " ", "\t\n", "  " * 150, "x" * 195 + "\0" * 10, 42.0, 1e16, 1e-5, 0.0001, 1e300, 2**63, 10**22, -0.0,
)  # fmt: skip
ODD_PAYLOADS = (
    "x" * 40_000,
    {"a": "x" * 2000, "b": "\u001f" * 40_000, "c": [1.5] * 20_000, "d": 1},
    {f"key {number}": "x" * 100 for number in range(400)},
    {"é": ["ü" * 30_000], "k": {"y": [True, None, 1e5, '\\"\u007f\u2028/']}},
)
odd_values = st.one_of(
    st.sampled_from(ODD_TIMES),
    st.sampled_from(ODD_IDS),
    st.sampled_from(ODD_PAYLOADS),
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
        return good_line(user_id=draw(st.sampled_from([*ODD_IDS[:4], True])))
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
        return good_line(received_at=draw(st.sampled_from(["", "yesterday", [], {}])))
    if kind == 10:
        return good_line(event="x" * draw(st.sampled_from([2**20, 2**20 + 40_000])))
    if kind == 11:
        return good_line(
            **{draw(st.sampled_from(["user_id", "event"])): draw(st.sampled_from([True, [], ["x"], 1e300]))}
        )
    if kind == 12:
        return _in_properties(
            b'"' + draw(st.sampled_from([b"\\ud800", b"\\udfff", b"\\ud800\\ud800", b"\\udbffx"])) + b'"'
        )
    if kind == 13:
        return _in_properties(
            draw(st.sampled_from([b"NaN", b"-inf", b"nAN", b"Infinity", b"[1,]", b"{,}", b"01", b"'x'", b"1 2"]))
        )
    return line[:index]
