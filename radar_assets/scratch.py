"""Temporary folders that belong to a process. The next process that makes one removes what a killed process left.

A folder is locked by its owner. The system unlocks it when the owner ends, however it ends and in whatever container.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.util import Finalize
from pathlib import Path

ENGINE, FIGURES, SERVICES = "engine-", "collector-figures-", "radar-services-"
"""Prefixes of such folders: spilled and staged rows, figures that workers share, and sockets of services."""


class OwnedFolder:
    """A new folder of this process.

    Args:
        parent: existing folder that it is made in.
        prefix: start of its name. Folders with this prefix whose owner has ended are removed first.
        empty: removes the contents of a folder, given its path and a handle. Default: removes everything.
    """

    def __init__(self, parent: Path, prefix: str, empty: "Callable[[Path, int], None] | None" = None) -> None:
        empty = empty or _remove_all
        for leftover in leftovers(parent, prefix):
            if (handle := _lock(leftover)) is not None:
                _remove(leftover, handle, empty)
        handle = None
        while handle is None:  # another process may take a new folder for a leftover until it is locked
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            handle = _lock(self.path)
        # Also when the process exits, unless it is killed.
        self.remove = Finalize(self, _remove, (self.path, handle, empty), exitpriority=0)


@contextmanager
def owned_folder(parent: Path, prefix: str, empty: "Callable[[Path, int], None] | None" = None) -> Iterator[Path]:
    """A folder that is removed when the block ends; arguments as for `OwnedFolder`."""
    folder = OwnedFolder(parent, prefix, empty)
    try:
        yield folder.path
    finally:
        folder.remove()


def leftovers(parent: Path, prefix: str = "") -> list[Path]:
    """The folders in a parent folder that no running process owns; empty if it doesn't exist."""
    found = []
    for folder in sorted(parent.glob(f"{prefix}*")):
        if (handle := _lock(folder)) is not None:
            os.close(handle)
            found.append(folder)
    return found


def _lock(folder: Path) -> int | None:
    """A handle that locks a folder, which the system unlocks when this process ends; None if that is impossible."""
    handle = None
    with suppress(OSError):  # removed meanwhile, a link, another user's, or locked by a process that lives
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), folder.lstat()):
            return handle
    if handle is not None:
        os.close(handle)
    return None


def _remove(folder: Path, handle: int, empty: Callable[[Path, int], None]) -> None:
    """Remove a locked folder, as far as it is empty then."""
    empty(folder, handle)
    with suppress(OSError):
        folder.rmdir()
    os.close(handle)


def _remove_all(folder: Path, _handle: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
