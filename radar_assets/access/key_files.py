"""Keys that Radar makes for itself: files of the home that only their owner can read. Backups contain them."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

FILES = "radar.*.key"
"""Pattern of their names. The start makes them Radar's own files, which are kept private."""
MODE = 0o600


def read_key(home: Path, name: str) -> str:
    """A key of 256 bits in hexadecimal digits, created at first use.

    Args:
        name: the purpose, as in `radar.<name>.key`.
    """
    path = home / FILES.replace("*", name)
    with suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    # Complete before it has its name, so that no process reads a part of it; the first one to link it wins.
    own = home / f"{path.name}.{secrets.token_hex(4)}"
    handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(own)
    finally:
        own.unlink()
    return path.read_text(encoding="ascii").strip()
