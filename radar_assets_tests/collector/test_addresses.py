"""IP addresses in all notations of senders and proxies: none is stored in full, wherever it is in a payload."""

import time
from typing import Any

import msgspec
import pytest

from radar_assets.collector.addresses import kept_address, without_addresses, without_any_address


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
def test_an_address_is_found_in_every_notation_of_proxies(written: str, truncated: str | None) -> None:
    assert kept_address(written, "truncated") == truncated
    assert kept_address(written, "none") is None


WHOLE = "203.0.113.9"


@pytest.mark.parametrize(
    "payload",
    [
        {"ip": WHOLE},
        {"client_ip": f"{WHOLE}:80"},
        {"device": {"ip": f"{WHOLE}, 10.0.0.1"}},
        {"traits": {"ip_address": WHOLE}},
        {"$set": {"$ip": WHOLE}, "$set_once": {"$ip": WHOLE}},
        {"all": [{"request": {"request_ip": WHOLE}}, {"ipAddress": WHOLE}]},
        {"ip": f"{WHOLE} (proxy)"},
        {"x-forwarded-for": f'for="{WHOLE}:4711";proto=https'},
        {"ip": "x" * 1_000 + f" {WHOLE}"},
        {"ip": "203.000.113.009", "ips": [WHOLE]},
        {"ips": ["localhost", [WHOLE]]},
        {"ip": {"v4": WHOLE, "all": [WHOLE], "ip": {"ip": [WHOLE, {}]}}},
    ],
)
def test_no_address_is_stored_in_full_at_any_depth(payload: dict[str, Any]) -> None:
    sent = msgspec.json.encode(payload)
    assert b"203.0.113.0" in (kept := without_addresses(sent, "truncated"))
    for whole in (WHOLE, "203.000.113.009"):
        assert whole.encode() not in kept
    assert b"203." not in (none := without_addresses(sent, "none"))
    assert msgspec.json.decode(none).keys() == payload.keys()
    assert without_addresses(sent, "full") == sent


NAMED = r"""
    ip IP iP Ip ips ip4 ip_1 ipv4 IPv6 ip_addr ipAddress address clientIp clientip CLIENTIP loginIP lastLoginIp user_ip
    userip user-ip network_userip $ip $initial_ip remote_addr REMOTE_ADDR HTTP_X_FORWARDED_FOR X-Forwarded-For forwarded
    CF-Connecting-IP ip_v4 ip_address_v4 lastip localip externalip signupip remote_host remoteHost IPAddressOfClient
    client_ips_list ip_addresses_seen IPs LoginIPs clientIPv4 IPaddress ipaddress clientipaddress x-real-ip billing_ip
    peer.address ipAddr shipping_ip_address \u0069p i\u0070 \u0049\u0050 ip\u0031 user\u005fip user\u002dip ip\u005f \tip
    ip\n a\"ip ip\"
""".split()  # noqa: SIM905
NOT_NAMED = r"""zip ZIP SKIP tip membership relationship script ipa ip\u0061 pi a\\u0069p recipient version description
    clientZip friendship voip mac_address macAddress macaddr email_address e-mail-address emailaddress web_address
    shipping_address billingAddress postal_address street_address ship_address shipaddress host hostname iphone""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", NAMED)
def test_names_that_end_in_a_word_for_addresses_are_found_in_every_spelling(name: str) -> None:
    for value in ('"%s"', '"%s (proxy)"', '[ "%s" ]', '{"v4":"%s"}', '"\\u003203.0.113.9"'):
        sent = f'{{"a":1,"{name}" : {value.replace("%s", WHOLE)},"path":"/"}}'.encode()
        kept = without_addresses(sent, "truncated")
        assert b"203.0.113.0" in kept
        assert list(msgspec.json.decode(kept)) == list(msgspec.json.decode(sent))
    assert b"2001:db8:1::" in without_addresses(f'{{"{name}":"2001:db8:1:2::3"}}'.encode(), "truncated")


@pytest.mark.parametrize("name", NOT_NAMED)
def test_names_that_only_end_in_the_same_letters_keep_their_values(name: str) -> None:
    sent = f'{{"{name}":"{WHOLE}"}}'.encode()
    assert msgspec.json.decode(without_addresses(sent, "truncated")) == msgspec.json.decode(sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"address": "Unit 1.2.3.4, Main St"}, {"address": "Unit 1.2.3.0, Main St"}),
        ({"address": "Dept ::1 floor 3"}, {"address": "Dept ::1 floor 3"}),
        ({"ip": f"{WHOLE}, 10.0.0.1:80"}, {"ip": "203.0.113.0, 10.0.0.0:80"}),
        ({"web_address": f"https://{WHOLE}/a"}, {"web_address": f"https://{WHOLE}/a"}),
        ({"mac_address": "00:11:22:ff:fe:33:44:55"}, {"mac_address": "00:11:22:ff:fe:33:44:55"}),
        ({"shipping_address": {"firmware": WHOLE}}, {"shipping_address": {"firmware": WHOLE}}),
        ({"address": {"firmware": WHOLE, "v4": WHOLE}}, {"address": {"firmware": WHOLE, "v4": "203.0.113.0"}}),
        ({"address": [WHOLE, {"firmware": WHOLE}]}, {"address": ["203.0.113.0", {"firmware": WHOLE}]}),
        ({"address": {"a": {"ip": WHOLE}}}, {"address": {"a": {"ip": "203.0.113.0"}}}),
        ([{"name": "ip", "value": WHOLE}], [{"name": "ip", "value": "203.0.113.0"}]),
        (
            [{"value": WHOLE, "type": "text", "name": "clientIp"}],
            [{"value": "203.0.113.0", "type": "text", "name": "clientIp"}],
        ),
        (
            {"key": "client.address", "value": {"stringValue": WHOLE}},
            {"key": "client.address", "value": {"stringValue": "203.0.113.0"}},
        ),
        ([{"name": "tip", "value": WHOLE}, {"name": "ip"}], [{"name": "tip", "value": WHOLE}, {"name": "ip"}]),
        ({"NAME": "REMOTE_ADDR", "Value": WHOLE}, {"NAME": "REMOTE_ADDR", "Value": "203.0.113.0"}),
        ({"name": "ip", "value": [WHOLE], "other": WHOLE}, {"name": "ip", "value": ["203.0.113.0"], "other": WHOLE}),
        ({"text": f'{{"ip":"{WHOLE}","a":"{WHOLE}"}}'}, {"text": f'{{"ip":"203.0.113.0","a":"{WHOLE}"}}'}),
        ({"text": f'got {{"ip" : "{WHOLE}'}, {"text": 'got {"ip" : "203.0.113.0'}),
        (
            {"text": msgspec.json.encode({"b": f'{{"ip":"{WHOLE}"}}'}).decode()},
            {"text": msgspec.json.encode({"b": '{"ip":"203.0.113.0"}'}).decode()},
        ),
    ],
    ids=range(18),
)
def test_only_the_address_in_a_text_changes(sent: Any, kept: Any) -> None:
    line = msgspec.json.encode(sent)
    assert msgspec.json.decode(without_addresses(line, "truncated")) == kept
    # Lines of a request are cleaned together.
    assert without_addresses(line + b"\n" + line, "truncated") == b"\n".join([without_addresses(line, "truncated")] * 2)


def test_everything_else_stays_the_same_to_the_byte() -> None:
    around = b'{"a" : 1.0e2,"text":"ip:\\"203.0.113.9\\"","b\\u00e9":"\\u003c","big":12345678901234567890,"ip" : %s}'
    assert without_addresses(around % b'"203.0.113.9"', "truncated") == around % b'"203.0.113.0"'
    for value in (
        b'"Star Wars"',
        b'"\\\\"',
        b"5",
        b"null",
        b'["ip"]',
        b'{"ip":{}}',
        b'"12:30:45"',
        b'"1.2.3"',
        b'"1.2.3.400"',
    ):
        assert without_addresses(around % value, "truncated") == around % value


def test_no_full_address_is_stored_in_text_that_is_not_json() -> None:
    for torn in (
        b'{"event":"a","ip":"203.0.113.9',
        b'"203.0.113.9","event":"a"}',
        b'"remote":"2001:db8:1:2::3:9", {"a" 203.0.113.9:80,',
        rb'"\u0032\u00303\u002e0.113.9"',
        b'"ip":"\xff203.0.113.9"',
    ):
        kept = without_any_address(torn, "truncated")
        assert b"203.0.113.0" in kept
        assert b"203.0.113.9" not in kept
        assert b"2::3" not in kept
        assert b"203." not in without_any_address(torn, "none")
        assert without_any_address(torn, "full") == torn
    other = b'12:30:45 1.2.3 "std::dec" Chrome/130.0.0.0 {"a":1,"b":2:3'
    assert without_any_address(other, "truncated") == other


def test_text_that_can_not_be_decoded_is_stored_without_its_address() -> None:
    for broken in (b'{"ip":"\xff203.0.113.9"}', rb'{"ip":"\ud800 203.0.113.9"}'):
        assert without_addresses(broken, "truncated") == broken.replace(b"113.9", b"113.0")


@pytest.mark.parametrize(
    "text",
    [
        b'"ip":"' + b"\\\\" * 500_000,
        b'"ip":' * 200_000,
        b'{"ip":"' + b"," * 1_000_000 + b'"}',
        b'{"ip":"' + b"1." * 500_000 + b'"}',
        b'{"ip":"' + b"a:" * 500_000 + b'"}',
        b'{"ip":' * 100_000 + b"{}" + b"}" * 100_000,
        b'{"' + b"ip " * 300_000 + b'":1}',
        b'{"ip' + b"_" * 1_000_000 + b'":1}',
        b'{"a":"' + b"\\u0069" * 150_000 + b'"}',
        b'{"address":' * 100_000 + b"{}" + b"}" * 100_000,
        b'{"address":[' * 80_000 + b"]}" * 80_000,
        b'{"name":"ip","value":' * 40_000 + b"{}" + b"}" * 40_000,
        b"[" + b'{"name":"ip","value":"203.0.113.9"},' * 25_000 + b"]",
        b'["' + b'\\"ip' * 250_000 + b'"]',
        b'["' + b'\\\\\\"ip\\"' * 100_000 + b'"]',
        b'["ip' + b'\\"' * 500_000,
    ],
    ids=range(16),
)
def test_a_hostile_payload_takes_linear_time(text: bytes) -> None:
    began = time.process_time()
    without_addresses(text, "truncated")
    without_any_address(text, "truncated")
    # About a second; with the square of the length it would be minutes.
    assert time.process_time() - began < 20
