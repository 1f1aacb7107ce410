"""The address of a home's UI, which the process that serves it records in the home for other commands."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.orchestration.runtime.process_identity import ProcessIdentity

if TYPE_CHECKING:
    from radar_assets.settings import Settings


_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def local_url(host: str, port: int) -> str:
    """The URL under which this machine reaches its own server that listens on an address."""
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def recorded_ui(settings: "Settings", url: str, token: str = "") -> Iterator[None]:
    """Record that this process serves the home's UI at a URL, until the block ends.

    Args:
        token: with which other commands of the home's owner may use the UI.
    """
    file, identity = _file(settings), ProcessIdentity.of()
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.touch(0o600)
    fresh.chmod(0o600)
    fresh.write_text(json.dumps({"url": url, "token": token, **identity._asdict()}))
    fresh.replace(file)
    try:
        yield
    finally:
        if (found := _read(file)) and found[1] == identity:
            file.unlink(missing_ok=True)


def find_ui(settings: "Settings") -> str | None:
    """The URL of the home's UI, if a process of this machine serves it."""
    found = find_server(settings)
    return found[0] if found else None


def find_server(settings: "Settings") -> tuple[str, str] | None:
    """The URL of the home's UI, and the token for commands, if a process of this machine serves it."""
    found = _read(_file(settings))
    return (found[0], found[2]) if found and found[1].is_here() and found[1].process() else None


def login_link(settings: "Settings", url: str) -> str:
    """A link with which one browser can log in to the home's UI once, within 15 minutes, as an admin.

    Args:
        url: address of the UI.
    """
    from radar_assets.access.browser_sessions import make_login_link
    from radar_assets.store.database import open_store

    store = open_store(settings.database)
    try:
        return f"{url.rstrip('/')}/login/link?secret={make_login_link(store)}"
    finally:
        store.close()


def _file(settings: "Settings") -> Path:
    return settings.home / "ui.json"


def _read(file: Path) -> tuple[str, ProcessIdentity, str] | None:
    try:
        record = json.loads(file.read_text())
        url, token = str(record.pop("url")), str(record.pop("token", ""))
        return url, ProcessIdentity(**record), token
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
