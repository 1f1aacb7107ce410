"""Bodies are read and inflated within limits, without changes."""

import asyncio
import gzip
import json
import math
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_assets.collector import bodies
from radar_assets.collector.addresses import kept_address
from radar_assets.collector.bodies import (
    MAX_BODY_BYTES,
    Bodies,
    BusyError,
    CorruptError,
    DisconnectedError,
    SlowError,
    TooLargeError,
    inflate,
)
from radar_assets.collector.repairs import (
    as_utf8,
    repair,
    repair_constants,
    repair_depth,
    repair_strings,
    set_apart,
)

MB = 1_000_000
at_any_speed = settings(database=None)


def arriving(parts: list[bytes], then: str = "end") -> Callable[[], Any]:
    """The `receive` of an ASGI application: the parts of a body, followed by its end, nothing at all or a disconnect."""
    messages: Iterator[dict[str, Any]] = iter(
        {"type": "http.request", "body": part, "more_body": then != "end" or number < len(parts)}
        for number, part in enumerate(parts, 1)
    )

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        if then == "nothing":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive


@at_any_speed
@given(st.lists(st.binary(max_size=50), min_size=1))
def test_a_body_is_the_concatenation_of_its_parts(parts: list[bytes]) -> None:
    async def read() -> bytes:
        reader = Bodies(timeout_s=5)
        with reader.held() as body:
            return await reader.read(body, arriving(parts), 0)

    assert asyncio.run(read()) == b"".join(parts)


@pytest.mark.parametrize(
    ("parts", "then", "declared", "error"),
    [
        ([b"0" * MB] * 21, "nothing", 0, TooLargeError),
        ([b""], "nothing", MAX_BODY_BYTES + 1, TooLargeError),
        ([b"0"], "nothing", 5, SlowError),
        ([], "nothing", 0, SlowError),
        ([b"0"], "hang-up", 5, DisconnectedError),
    ],
)
def test_a_body_that_is_too_large_or_does_not_arrive_is_refused(
    parts: list[bytes], then: str, declared: int, error: type[Exception]
) -> None:
    async def read() -> None:
        reader = Bodies(timeout_s=0.1)
        with reader.held() as body:
            await reader.read(body, arriving(parts, then), declared)

    with pytest.raises(error):
        asyncio.run(read())


def test_large_bodies_use_limited_memory_and_small_ones_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_MAX_HELD_BYTES", 5 * MB)

    async def read() -> None:
        reader = Bodies(timeout_s=5)
        with ExitStack() as stack:
            for _ in range(4):
                await reader.read(stack.enter_context(reader.held()), arriving([b"0" * MB]), 0)
            with reader.held() as fifth, pytest.raises(BusyError):
                await reader.read(fifth, arriving([b"0" * MB] * 2), 0)
            await reader.read(stack.enter_context(reader.held()), arriving([b"0" * 60_000]), 0)
            await reader.read(stack.enter_context(reader.held()), arriving([b"0" * MB]), 0)
        with reader.held() as again:
            await reader.read(again, arriving([b"0" * MB] * 5), 0)

    asyncio.run(read())


@at_any_speed
@given(st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=16))
def test_compressed_bodies_are_inflated_exactly_or_refused(members: list[bytes]) -> None:
    packed, plain = b"".join(map(gzip.compress, members)), b"".join(members)
    assert inflate(packed, "", len(plain)) == plain
    with pytest.raises(TooLargeError):
        inflate(packed, "", len(plain) - 1)
    with pytest.raises(CorruptError):
        inflate(packed[:-1], "", len(plain))


@at_any_speed
@given(st.binary(min_size=1, max_size=200), st.sampled_from(["", "gzip", "deflate"]))
def test_any_body_that_looks_compressed_is_inflated_or_reported_as_corrupt(data: bytes, encoding: str) -> None:
    for body in (b"\x1f\x8b" + data, data if encoding == "deflate" else zlib.compress(data)):
        if bodies.is_packed(body, encoding):
            with suppress(CorruptError, TooLargeError):
                assert len(inflate(body, encoding, 1000)) <= 1000


@at_any_speed
@given(st.lists(st.sampled_from(["a", '"', "\\", "\\ud83d", "\ud83d", "\ude00", "😀", "\n"]), max_size=12))
def test_repair_replaces_only_lone_surrogates(pieces: list[str]) -> None:
    text = "".join(pieces)
    # Adjacent halves form a pair in JSON.
    whole = json.loads(json.dumps(text))
    assert msgspec.json.decode(repair_strings(json.dumps(text).encode())) == re.sub("[\ud800-\udfff]", "\ufffd", whole)


WITH_CONSTANTS = st.recursive(
    st.floats() | st.text(st.sampled_from('NaInfty-"\\,:')) | st.sampled_from(["NaN", "-Infinity", '"NaN', "\\"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["NaN", '"', "a"]), inner),
    max_leaves=12,
)


@at_any_speed
@given(WITH_CONSTANTS)
def test_repair_replaces_invalid_numbers_but_no_text(value: Any) -> None:
    def repaired(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: repaired(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [repaired(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    assert msgspec.json.decode(repair_constants(json.dumps(value).encode())) == repaired(value)


@at_any_speed
@given(WITH_CONSTANTS.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)))
def test_repairs_change_nothing_that_is_valid(value: Any) -> None:
    for indent in (None, 1):
        body = json.dumps([value, "\t\x00\u1234/"], indent=indent, ensure_ascii=False).encode()
        assert as_utf8(body) is body
        assert set_apart(body) is body
        assert msgspec.json.decode(repair(body)) == msgspec.json.decode(body)


@pytest.mark.parametrize("text", [b'"' + b'\\"' * MB, b'"' * MB, b'"\\', b"-" * MB, b'"a' * MB + b"\\"])
def test_repair_of_invalid_json_takes_linear_time(text: bytes) -> None:
    began = time.process_time()
    assert repair_constants(b"NaN " + text) == b"null " + text
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("address", "truncated", "full"),
    [
        ("203.0.113.77", "203.0.113.0", "203.0.113.77"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::", "2001:db8:1:2:3:4:5:6"),
        ("::ffff:203.0.113.77", "203.0.113.0", "203.0.113.77"),
        ("fe80::1%eth0", "fe80::", "fe80::1"),
        (" 203.0.113.77 ", "203.0.113.0", "203.0.113.77"),
        ("testclient", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_an_address_is_truncated_to_its_network(address: object, truncated: str | None, full: str | None) -> None:
    assert kept_address(address, "truncated") == truncated
    assert kept_address(address, "full") == full
    assert kept_address(address, "none") is None


@pytest.mark.parametrize("depth", [99, 100, 101, 3_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a]\\"}":', b'[1,"\\\\",{ "b" : '])
def test_repair_replaces_values_nested_too_deeply_by_their_text(opening: bytes, depth: int) -> None:
    closing = bytes({91: 93, 123: 125}[byte] for byte in opening[::-1] if byte in b"[{")
    value = opening * depth + b"7" + closing * depth
    body = b'[{"event":"[[["},' + value + b',{"event":"]]"}, {}]'
    repaired = repair_depth(body)
    if depth * len(closing) < 100:
        assert repaired == body
        return
    first, text, *others = msgspec.json.decode(repaired)
    assert (first, others) == ({"event": "[[["}, [{"event": "]]"}, {}])
    level = 1
    while not isinstance(text, str):
        level += 1
        text = text[-1] if isinstance(text, list) else next(iter(text.values()))
    assert level == 100
    assert repaired.replace(msgspec.json.encode(text), text.encode()) == body


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 250_000,
        b'{"a":' * 200_000,
        b"[" * 200 + b"x" * 1_000_000,
        b"[" * 200 + b'"' * 999_999,
        b"[1," * 300_000 + b"]" * 299_999,
    ],
    ids=range(5),
)
def test_repairs_take_linear_time(text: bytes) -> None:
    for mend in (repair_depth, repair_strings, set_apart):
        began = time.process_time()
        mend(text)
        assert time.process_time() - began < 20
