"""Addresses as senders and proxies write them: whatever place they have in a payload, none is left whole."""

import time
from typing import Any

import msgspec
import pytest

from radar_assets.collector.addresses import kept_address, without_addresses


@pytest.mark.parametrize(
    ("written", "truncated"),
    [
        ("203.0.113.9, 10.0.0.1", "203.0.113.0"),
        ("203.0.113.9,10.0.0.1", "203.0.113.0"),
        ("unknown, 203.0.113.9", "203.0.113.0"),
        ("203.0.113.9:4711", "203.0.113.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ("[2001:db8:1:2::3]", "2001:db8:1::"),
        ("[2001:db8:1:2::3]:4711, 10.0.0.1", "2001:db8:1::"),
        ("[2001:db8:1:2::3", "2001:db8:1::"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("a:b", None),
        ("[", None),
        (",,", None),
        ("x" * 1_000_000, None),
    ],
)
def test_an_address_is_found_in_what_proxies_make_of_it(written: str, truncated: str | None) -> None:
    assert kept_address(written, "truncated") == truncated
    assert kept_address(written, "none") is None


WHOLE = "203.0.113.9"


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "payload",
    [
        {"ip": WHOLE},
        {"client_ip": f"{WHOLE}:80"},
        {"device": {"ip": f"{WHOLE}, 10.0.0.1"}},
        {"traits": {"ip_address": WHOLE}},
        {"$set": {"$ip": WHOLE}, "$set_once": {"$ip": WHOLE}},
        {"all": [{"request": {"request_ip": WHOLE}}, {"ipAddress": WHOLE}]},
    ],
)
def test_no_address_is_left_whole_however_deep_it_lies(payload: dict[str, Any], raw: bool) -> None:
    sent = msgspec.Raw(msgspec.json.encode(payload)) if raw else payload
    assert b"203.0.113.0" in (kept := msgspec.json.encode(without_addresses(sent, "truncated")))
    assert WHOLE.encode() not in kept
    assert b"203." not in (none := msgspec.json.encode(without_addresses(sent, "none")))
    assert msgspec.json.decode(none).keys() == payload.keys()


def test_all_else_stays_to_the_byte() -> None:
    around = (
        b'{"a" : 1.0e2,"text":"\\"ip\\":\\"203.0.113.9\\"","b\\"ip":"203.0.113.9","big":12345678901234567890,"ip" : %s}'
    )
    kept = without_addresses(msgspec.Raw(around % b'"203.0.113.9"'), "truncated")
    assert bytes(kept) == around % b'"203.0.113.0"'
    for value in (b'"Star Wars"', b'"\\\\"', b"5", b"null", b'["ip"]'):
        assert bytes(without_addresses(msgspec.Raw(around % value), "truncated")) == around % value


def test_a_hostile_payload_takes_no_time() -> None:
    began = time.perf_counter()
    for text in (b'"ip":"' + b"\\\\" * 500_000, b'"ip":' * 200_000, b'{"ip":"' + b"," * 1_000_000 + b'"}'):
        without_addresses(msgspec.Raw(text), "truncated")
    assert time.perf_counter() - began < 2
