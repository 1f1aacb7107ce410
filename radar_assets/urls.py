"""Validation of the URLs among the settings. Messages never repeat a part of a value that may be secret.

How URLs are shown is in `masking.py`.
"""

import re
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Hosts by which only this machine itself is reached."""
_ENCODED = "with special characters in the password percent-encoded"


def shown_url(*schemes: str) -> AfterValidator:
    """A validator for URLs that are shown to people and therefore must not contain secrets."""

    def check(url: str | None) -> str | None:
        if url is None:
            return None
        _check_scheme(url, schemes)
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise ValueError("not a local folder; use file:///an/absolute/path")
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise ValueError(f"has no host; use e.g. {parts.scheme}://radar.shop.example")
        # The whole URL is searched, because a slash in a password ends what is parsed as the host.
        searched = parts.netloc if parts.scheme in ("file", "s3") else url
        if "@" in searched or (parts.scheme == "s3" and ":" in searched):
            raise ValueError("contains a user or a password, which would be shown; remove them")
        if "?" in url or "#" in url:
            raise ValueError("contains a query or a fragment, which would be ignored; remove it")
        return url

    return AfterValidator(check)


def database_url(secret: SecretStr | None) -> SecretStr | None:
    """Validate the URL of a SQLite file or a Postgres database."""
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
            raise ValueError("SQLite takes no host or user; use sqlite:////an/absolute/path.db")
        return secret
    # The part of a password after an @ would be parsed as the host or the database, and errors would show it.
    if not url or "@" in f"{url.host}{url.database}":
        raise ValueError(f"not a database URL; use postgresql://user:password@host:5432/database, {_ENCODED}")
    return secret


def redis_url(secret: SecretStr | None) -> SecretStr | None:
    """Validate the URL of a Redis server."""
    if secret is None:
        return None
    _check_scheme(secret.get_secret_value(), ("redis", "rediss"))
    try:
        is_valid = _has_host(urlsplit(secret.get_secret_value()))
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(f"not a Redis URL; use redis://:password@host:6379/0, {_ENCODED}")
    return secret


def smtp_url(secret: SecretStr | None) -> SecretStr | None:
    """Validate the URL of a mail server."""
    if secret is None:
        return None
    try:
        parts = urlsplit(secret.get_secret_value())
        is_valid = parts.scheme in ("smtp", "smtps") and _has_host(parts)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(f"not a mail server URL; use smtp://user:password@host:587, {_ENCODED}")
    if parts.query not in ("", "starttls=no") or (parts.query and parts.scheme == "smtps"):
        raise ValueError("has an unknown query; only ?starttls=no is supported, for smtp://")
    if parts.query and parts.username:
        raise ValueError("would send the password without TLS; remove ?starttls=no or the user")
    return secret


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ValueError(f"not a URL; use {' or '.join(f'{one}://...' for one in schemes)}")
    if scheme.split("+")[0] not in schemes:
        raise ValueError(f"unsupported scheme {scheme}; use one of {', '.join(schemes)}")


def _has_host(parts: SplitResult) -> bool:
    # A slash or a hash sign in a password splits it: the part before is parsed as the host, the rest as path or fragment.
    return bool(parts.hostname) and parts.port != 0 and not parts.fragment and "@" not in parts.path
