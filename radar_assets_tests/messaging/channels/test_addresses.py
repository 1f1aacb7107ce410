"""No message is sent to an internal host, however its address is written or resolved."""

import ipaddress
import re
from typing import Any

import pytest
from pydantic import ValidationError

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.failures import PermanentError, TemporaryError
from radar_assets.messaging.transport.addresses import AllowedHosts, is_public, resolve
from radar_assets_tests.messaging.channels.servers import KEY, Resolver, Server, message, send

WRITTEN = (
    *("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "169.254.169.254"),
    *(
        "0.0.0.0",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
    ),
    *("255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]"),
    *("[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fec0::1]", "[2001:db8::1]", "[100::1]"),
    # Notations that resolvers accept for 127.0.0.1 or other internal addresses.
    *("2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.1", "127.0.1", "0", "3232235521"),
    *("127.0.0.1.", "10.0.0.1.", "169.254.43518", "0xa9fea9fe", "①②⑦.0.0.1", "127。0。0。1"),
    *(
        "localhost",
        "LOCALHOST",
        "localhost.",
        "shop.localhost",
        "metadata.google.internal",
        "redis",
        "db.svc",
        "box.local",
    ),
    *("kubernetes.default.svc.cluster.local", "nas.home.arpa", "wiki.corp", "printer.lan"),
)


def webhook(url: str, allowed: tuple[str, ...] = ()) -> Any:
    return parse_channel({"type": "webhook", "name": "hook", "url": url, "secrets": [KEY]}, allowed)


@pytest.mark.parametrize("host", WRITTEN)
def test_an_internal_address_is_refused_when_declared(host: str) -> None:
    with pytest.raises(ValidationError):
        webhook(f"https://{host}/hook")
    with pytest.raises(ValidationError):
        parse_channel({"type": "mattermost", "name": "chat", "host": host, "token": "a" * 26})


@pytest.mark.parametrize("host", WRITTEN)
def test_an_internal_address_is_refused_when_sending(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", f"https://{host}/hook")
    with pytest.raises(PermanentError):
        send(webhook("env:HOOK"), message(), Transport(timeout_s=5))


DOTTED = [host for host in WRITTEN if re.fullmatch(r"[1-9]\d*(\.\d+){3}|0\.0\.0\.0", host)]
BRACKETED = [host.strip("[]").replace("%25", "%") for host in WRITTEN if host.startswith("[")]


@pytest.mark.parametrize("address", DOTTED + BRACKETED)
def test_a_public_name_with_an_internal_address_is_refused_when_sending(address: str, resolver: Resolver) -> None:
    for host in ("hook.example", "hook.example."):
        resolver.add(host, [("93.184.216.34", 0), (address, 0)])
        with pytest.raises(PermanentError, match="not public"):
            send(webhook(f"https://{host}/"), message(), Transport(timeout_s=5))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://mattermost:8065/hook", ("mattermost",)),
        ("http://mattermost:8065/hook", ("172.16.0.0/12",)),
        ("http://127.0.0.1:8000/hook", ("127.0.0.1",)),
        ("https://[fd00::1]/hook", ("fd00::/8",)),
        ("https://wiki.corp/hook", ("WIKI.corp",)),
    ],
)
def test_an_allowed_internal_host_is_accepted(url: str, allowed: tuple[str, ...]) -> None:
    assert webhook(url, allowed).where
    with pytest.raises(ValidationError, match="RADAR_ALLOWED_HOSTS"):
        webhook(url, ("other.corp",))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://hook.example/",
            "hook.example",
            "https:///path",
            "https://user:pass@hook.example/",
            "javascript:alert(1)",
        ),
        *(
            "https://hook.example\\@127.0.0.1/",
            "https://hook.example/#x",
            "https://hook.example:0/",
            "https://hook.example:99999/",
        ),
        *(
            "https://hook.example/ x",
            "https://hook.example/\r\nX: y",
            "https://[::1",
            "https://a b/",
            "https://127.0.0.1@hook.example",
        ),
        *(
            "http://hook.example/",
            "http://93.184.216.34/",
            "file:///etc/passwd",
            "https://hook.example:80:80/",
            "https://[v1.a]/",
        ),
    ],
)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        webhook(url)


def test_without_tls_a_name_must_resolve_to_an_allowed_network(resolver: Resolver) -> None:
    resolver.add("hook.example", [("93.184.216.34", 80)])
    with pytest.raises(PermanentError, match="without TLS"):
        resolve("hook.example", 80, AllowedHosts(["10.0.0.0/8"]), 1, plain=True)
    assert resolve("hook.example", 443, AllowedHosts(["10.0.0.0/8"]), 1)


def test_the_checked_address_is_the_one_connected_to(server: Server, resolver: Resolver) -> None:
    """A name that resolves differently the second time, as in DNS rebinding, is not resolved again."""
    resolver.add("hook.example", [("127.0.0.1", server.port)], [("127.0.0.2", server.port)])
    allowed = ("127.0.0.1/32",)
    channel = webhook("http://hook.example/hook", allowed)
    send(channel, message(), Transport(allowed, timeout_s=10))
    assert resolver.asked == ["hook.example"]
    assert server.requests[0].headers["host"] == "hook.example"
    with pytest.raises(PermanentError, match="not public"):
        send(channel, message(), Transport(allowed, timeout_s=10))
    assert len(server.requests) == 1


def test_the_next_address_is_tried_when_one_does_not_answer(server: Server, resolver: Resolver) -> None:
    resolver.add("hook.example", [("127.0.0.9", 1), ("127.0.0.1", server.port)])
    allowed = ("127.0.0.0/8",)
    send(webhook("http://hook.example/hook", allowed), message(), Transport(allowed, timeout_s=10))
    assert len(server.requests) == 1


def test_an_unknown_name_is_a_temporary_failure(resolver: Resolver) -> None:
    with pytest.raises(TemporaryError, match=r"nowhere\.example can't be resolved"):
        send(webhook("https://nowhere.example/"), message(), Transport(timeout_s=5))
