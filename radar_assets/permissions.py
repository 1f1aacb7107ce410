"""Who may read Radar's files: the user that runs it, and a group for the landing zone if the operator names one.

How single files of the landing zone follow its folder is in `events/local_zone.py`.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

OWN = ("cache", "dagster", "landing", "logs", "replaced", "tmp", "warehouse", "radar.*", "ui.json")
"""Names of Radar's own files in a home."""
SHARED = 0o3770
"""Mode of a folder that is open to a group. New files belong to the group (setgid), and only their owners remove them (sticky)."""
SHARED_FILE = 0o640
IS_SHARED = 0o2070
"""Permissions by which a shared folder is recognised, also one that the operator shared without the sticky bit."""


def keep_private() -> None:
    """Make new files of this process and its children inaccessible to other users."""
    os.umask(0o077)


def close_home(home: Path, landing_gid: int | None = None) -> None:
    """Create the home, or close an existing one to other users. Paths that were open are printed to stderr.

    A home with files of others in it stays open, because other users may need those. Then only Radar's own files are closed.

    Args:
        landing_gid: group that the landing zone is open to. It may pass through the home.

    Raises:
        OSError: the home can't be created.
    """
    keep_private()
    home.mkdir(parents=True, exist_ok=True)
    own = {path for pattern in OWN for path in home.glob(pattern)}
    is_shared = landing_gid is not None
    closing = {path: 0o700 for path in own if not path.is_symlink() and not (is_shared and path.name == "landing")}
    if own.issuperset(home.iterdir()):
        closing[home] = 0o710 if is_shared else 0o700
    closed = {path: mode for path, most in closing.items() if (mode := _close(path, most)) is not None}
    if home in closed:
        closed = {home: closed[home]}  # what is in it can't be reached any more
    if closed:
        paths = ", ".join(f"{path} (was {mode:04o})" for path, mode in sorted(closed.items()))
        print(f"radar: other users no longer have access to {paths}", file=sys.stderr)


def open_to_group(landing: Path, home: Path, gid: int) -> None:
    """Let a group add files to the landing zone, and pass through the home if the zone is in it.

    Raises:
        OSError: a folder belongs to another user, or the current user is not a member of the group.
    """
    os.chown(landing, -1, gid)
    landing.chmod(SHARED)
    # A home that stays open, because it holds files of others, can be passed through anyway.
    if landing.parent == home and not home.stat().st_mode & 0o067:
        os.chown(home, -1, gid)
        home.chmod(0o710)


def is_open_to_group(landing: Path, gid: int) -> bool:
    """Whether a group can add files to the landing zone."""
    status = landing.stat()
    return status.st_gid == gid and status.st_mode & IS_SHARED == IS_SHARED


def openness(path: Path, allowed: int = 0) -> int | None:
    """The mode of a path that gives other users more permissions than `allowed`, else None. A missing path gives None too."""
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        return mode if mode & 0o077 & ~allowed else None
    return None


def _close(path: Path, most: int) -> int | None:
    """Remove permissions beyond `most` from a path. Returns the previous mode if that closed it to other users."""
    # The path may belong to another user or be on a file system without permissions. radar doctor reports what stays open.
    with suppress(FileNotFoundError, PermissionError):
        if (mode := openness(path, most)) is not None:
            path.chmod(mode & most)
            return mode if openness(path, most) is None else None
    return None
