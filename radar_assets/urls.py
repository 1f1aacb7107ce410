"""What the URLs among the settings have to look like; none of the messages repeats anything of a value that may be secret.

How a URL is shown is in `masking.py`.
"""

import re
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Hosts by which only this machine itself is reached."""
_ENCODED = "special characters of the password percent-encoded"


def shown_url(*schemes: str) -> AfterValidator:
    """For a URL that is shown to people, and therefore may hold no secret."""

    def check(url: str | None) -> str | None:
        if url is None:
            return None
        _check_scheme(url, schemes)
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise ValueError("is not a local folder; write file:///an/absolute/path")
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise ValueError(f"has no host; write {parts.scheme}://radar.shop.example")
        # A slash in a password ends what is parsed as the host.
        place = parts.netloc if parts.scheme in ("file", "s3") else url
        if "@" in place or (parts.scheme == "s3" and ":" in place):
            raise ValueError("has a user or a password, which would be shown; leave them out")
        if "?" in url or "#" in url:
            raise ValueError("has a query or a fragment, which would be ignored; leave it out")
        return url

    return AfterValidator(check)


def database_url(secret: SecretStr | None) -> SecretStr | None:
    """Check the URL of a SQLite file or a Postgres database."""
    if secret is None:
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    _check_scheme(secret.get_secret_value(), ("sqlite", "postgresql"))
    try:
        url = make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):
        url = None
    if url and url.get_backend_name() == "sqlite":
        if url.host or url.username or url.password:
            raise ValueError("names a host; write sqlite:////an/absolute/path.db")
        return secret
    # What follows an @ within the password would be taken for the host or the database, and errors would show it.
    if not url or "@" in f"{url.host}{url.database}":
        raise ValueError(f"is not a database; write postgresql://user:password@host:5432/database, {_ENCODED}")
    return secret


def redis_url(secret: SecretStr | None) -> SecretStr | None:
    """Check the URL of a Redis server."""
    if secret is None:
        return None
    _check_scheme(secret.get_secret_value(), ("redis", "rediss"))
    try:
        sound = _has_host(urlsplit(secret.get_secret_value()))
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(f"is not a Redis server; write redis://:password@host:6379/0, {_ENCODED}")
    return secret


def smtp_url(secret: SecretStr | None) -> SecretStr | None:
    """Check the URL of a mail server."""
    if secret is None:
        return None
    try:
        parts = urlsplit(secret.get_secret_value())
        sound = parts.scheme in ("smtp", "smtps") and _has_host(parts)
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(f"is not a mail server; write smtp://user:password@host:587, {_ENCODED}")
    if parts.query not in ("", "starttls=no") or (parts.query and parts.scheme == "smtps"):
        raise ValueError("has an unknown query; only smtp:// takes one, ?starttls=no")
    if parts.query and parts.username:
        raise ValueError("would send a password without TLS; leave out ?starttls=no or the user")
    return secret


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ValueError(f"is not a URL; write {' or '.join(f'{one}://...' for one in schemes)}")
    if scheme.split("+")[0] not in schemes:
        raise ValueError(f"has the scheme {scheme}; use one of {', '.join(schemes)}")


def _has_host(parts: SplitResult) -> bool:
    # Where a password has a slash or a hash sign, what comes before is taken for the host and what follows is left over.
    return bool(parts.hostname) and parts.port != 0 and not parts.fragment and "@" not in parts.path
