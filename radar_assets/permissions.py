"""Who may read what Radar keeps: the user that it runs as, and one group for the landing zone where the operator names it.

How single files of the landing zone follow its folder is in `events/local_zone.py`.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

OWN = ("cache", "dagster", "landing", "logs", "tmp", "warehouse", "radar.*", "ui.json")
"""What Radar puts into a home."""
SHARED = 0o2770
"""Of a landing zone that is open to a group: what is made in it belongs to that group, whichever user makes it."""


def keep_private() -> None:
    """Close what this process and its children make from now on to all other users."""
    os.umask(0o077)


def close_home(home: Path, landing_gid: int | None = None) -> None:
    """Make the home, or close one that other users can look into, which is noted on the standard error.

    A folder that holds other things too is left as it is, since others may need those: then only what is Radar's in it is closed.

    Args:
        landing_gid: group that the landing zone is open to, and that may therefore pass through the home.

    Raises:
        OSError: it can't be made.
    """
    keep_private()
    home.mkdir(parents=True, exist_ok=True)
    own = {path for pattern in OWN for path in home.glob(pattern)}
    is_shared = landing_gid is not None
    closing = {path: 0o700 for path in own if not path.is_symlink() and not (is_shared and path.name == "landing")}
    if own.issuperset(home.iterdir()):
        closing[home] = 0o710 if is_shared else 0o700
    was_open = [mode for path, most in closing.items() if (mode := _close(path, most)) is not None]
    if was_open:
        print(f"radar: {home} was open to other users ({max(was_open):04o}) and is now closed", file=sys.stderr)


def open_to_group(landing: Path, home: Path, gid: int) -> None:
    """Let a group write to the landing zone, and pass through the home if the zone lies in it.

    Raises:
        OSError: a folder belongs to another user, or this one is not a member of the group.
    """
    os.chown(landing, -1, gid)
    landing.chmod(SHARED)
    # A home that was left open, because it holds other things too, can be passed through anyway.
    if landing.parent == home and not home.stat().st_mode & 0o067:
        os.chown(home, -1, gid)
        home.chmod(0o710)


def is_open_to_group(landing: Path, gid: int) -> bool:
    """Whether the landing zone is as `open_to_group` makes it."""
    status = landing.stat()
    return status.st_gid == gid and status.st_mode & SHARED == SHARED


def openness(path: Path, allowed: int = 0) -> int | None:
    """The mode of a path if it lets other users do more than `allowed`, else None; also where there is nothing."""
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        return mode if mode & 0o077 & ~allowed else None
    return None


def _close(path: Path, most: int) -> int | None:
    """Take the permissions beyond `most` off a path; the mode that it had if others had any of those."""
    # The path may be another user's, or on a file system without permissions: radar doctor reports what stays open.
    with suppress(FileNotFoundError, PermissionError):
        if (mode := openness(path, most)) is not None:
            path.chmod(mode & most)
            return mode if openness(path, most) is None else None
    return None
