"""Health checks of what Radar reaches over the network: Redis, the mail server, URLs and their certificates."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from pydantic import SecretStr

from radar_assets.messaging.transport.addresses import AllowedHosts
from radar_assets.messaging.transport.connections import Deadline, connect, tls_context
from radar_assets.operations.health.probes import TIMEOUT_S, Found, Probe, Unhealthy
from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.operations.settings import OperationsSettings

EXPIRES_WITHIN = timedelta(days=14)
"""A certificate that expires within this time is unhealthy. Automatic renewal happens a month before."""


def network_probes(
    settings: OperationsSettings, urls: Sequence[WatchedUrl], others: Sequence[str] = ()
) -> Iterator[Probe]:
    """The checks of servers that the settings and `radar.yaml` name.

    Args:
        others: further URLs whose certificates are checked, such as those of webhooks. Nothing is requested from them.
    """
    if settings.redis_url:
        yield Probe("Redis", partial(_check_redis, settings.redis_url))
    if settings.smtp_url:
        yield Probe("mail server", partial(_check_mail_server, settings.smtp_url))
    for watched in urls:
        yield Probe(f"url {watched.name}", partial(_check_url, watched), watched.timeout_s + 1)
    named = [*(watched.url for watched in urls), settings.ui_url or "", *others]
    parts = [urlsplit(url) for url in named if url.startswith("https://")]
    for host, port in sorted({(str(part.hostname), part.port or 443) for part in parts if part.hostname}):
        shown = host if port == 443 else f"{host}:{port}"
        yield Probe(f"certificate of {shown}", partial(_check_certificate, host, port))


def _check_redis(url: SecretStr) -> Found:
    from redis import Redis

    with Redis.from_url(url.get_secret_value(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
        client.ping()
    return Found("answers")


def _check_mail_server(url: SecretStr) -> Found:
    from radar_assets.messaging.failures import SendError
    from radar_assets.messaging.transport.smtp import greet

    try:
        greet(url, TIMEOUT_S)
    except SendError as error:
        raise Unhealthy(str(error)) from error
    return Found("accepts a session")


def _check_url(watched: WatchedUrl) -> Found:
    from requests import RequestException

    from radar_assets.messaging.transport.http import Exchange, guarded, verdict

    host = str(urlsplit(watched.url).hostname)
    # The operator named the host, so it may be any.
    with guarded([host], watched.timeout_s) as session:
        with suppress(RequestException):
            session.get(watched.url)
        exchange = session.exchanges[-1] if session.exchanges else Exchange(host)
    if failure := verdict(exchange):
        raise Unhealthy(str(failure))
    return Found(f"answered {exchange.status}")


def _check_certificate(host: str, port: int) -> Found:
    """Check that a server has a valid certificate, and for how long."""
    deadline = Deadline(TIMEOUT_S)
    try:
        with (
            connect(host, port, AllowedHosts([host]), deadline) as plain,
            tls_context().wrap_socket(plain, server_hostname=host) as connection,
        ):
            certificate = connection.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise Unhealthy(f"is invalid: {error.verify_message}") from error
    finally:
        deadline.close()
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    text = f"expires on {expires:%Y-%m-%d}"
    if expires - datetime.now(UTC) < EXPIRES_WITHIN:
        raise Unhealthy(f"{text}; renew it")
    return Found(text)
