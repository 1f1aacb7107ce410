"""Fixtures of the tests of channels."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from radar_assets_tests.messaging.channels.servers import Resolver, Server, serving

HOSTS = (
    *("hooks.slack.com", "discord.com", "api.telegram.org", "chat.googleapis.com", "prod-1.westeurope.logic.azure.com"),
    *("events.pagerduty.com", "events.eu.pagerduty.com", "api.opsgenie.com", "api.eu.opsgenie.com"),
    *("hook.example", "chat.example", "mail.example"),
)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of the tests."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the tests' certificate authority, as operators do with their own."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def server_context(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    """TLS context of a server with a certificate for these hosts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server without TLS."""
    with serving() as running:
        yield running


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Replaces DNS, so that no request leaves the machine."""
    own = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", own.getaddrinfo)
    return own


@pytest.fixture
def tls_server(authority: trustme.CA, trusted: None, resolver: Resolver) -> Iterator[Server]:
    """An HTTPS server that all hosts of the tests resolve to."""
    with serving(server_context(authority, *HOSTS)) as running:
        for host in HOSTS:
            resolver.add(host, [("127.0.0.1", running.port)])
        yield running
