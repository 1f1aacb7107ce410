"""Files and permissions of a landing zone on a local disk, where other users may write.

Symbolic links are not followed: they could point to any file that Radar can read, or lead Radar's own files out of the zone. The zone
itself may be a link, since the operator configured it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from radar_assets.permissions import IS_SHARED, SHARED, SHARED_FILE

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Opening a named pipe would otherwise block until something writes to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class LocalFile(NamedTuple):
    """A file in the zone that is read like a `Path`."""

    zone: Path
    path: Path

    @property
    def suffix(self) -> str:
        """Suffix of the path."""
        return self.path.suffix

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """Open the file.

        Raises:
            OSError: it can't be opened, is not a regular file, or is behind a symbolic link.
        """
        handle = self._handle()
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return os.fdopen(handle, "rb")
        os.close(handle)
        raise OSError(errno.EINVAL, "Not a regular file", str(self.path))

    def unlink(self) -> None:
        """Remove the file, if it exists.

        Raises:
            OSError: it can't be removed, or is behind a symbolic link.
        """
        with suppress(FileNotFoundError), self._folder() as folder:
            os.unlink(self.path.name, dir_fd=folder)

    def _handle(self) -> int:
        with self._folder() as folder:
            return os.open(self.path.name, _FILE, dir_fd=folder)

    @contextmanager
    def _folder(self) -> Iterator[int]:
        # Open folder by folder, so that none can be replaced by a link after the check.
        handle = os.open(self.zone, _FOLDER)
        try:
            for folder in self.path.relative_to(self.zone).parent.parts:
                inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        except OSError as error:
            error.filename = str(self.path)  # not only the part that was being opened
            raise
        finally:
            os.close(handle)


def zone_of(path: Path) -> Path:
    """The landing zone of a file in the folder of an hour, which is in that of a day."""
    return path.parents[2]


def oddity(path: Path) -> str | None:
    """The kind of a path that is neither a folder nor a regular file; None otherwise."""
    return _KINDS.get(stat.S_IFMT(_mode(path)))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder rather than a link to one."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: Path) -> bool:
    """Whether a path is a regular file rather than a link to one."""
    return stat.S_ISREG(_mode(path))


def make_hour(zone: Path, folder: Path) -> None:
    """Create the folders of an hour and its day.

    Raises:
        OSError: one can't be created, or something else is in its place, such as a link to a folder.
    """
    zone.mkdir(parents=True, exist_ok=True)
    for path in (folder.parent, folder):
        with suppress(FileExistsError):
            path.mkdir()
        handle = os.open(path, _FOLDER | os.O_NOFOLLOW)
        try:
            share(zone, handle)
        finally:
            os.close(handle)


def share(zone: Path, handle: int) -> None:
    """Give an open file or folder to the zone's group, if the zone is shared.

    A zone is shared if its folder has the setgid bit and is writable by its group (`HomeSettings.landing_group`). Members of the group
    can read the file, but not change it.
    """
    access, present = zone.stat(), os.fstat(handle)
    if access.st_mode & IS_SHARED != IS_SHARED:
        return
    mode = SHARED if stat.S_ISDIR(present.st_mode) else SHARED_FILE
    # Only the owner can change permissions.
    with suppress(PermissionError):
        if present.st_gid != access.st_gid:
            os.fchown(handle, -1, access.st_gid)
        if stat.S_IMODE(present.st_mode) != mode:
            os.fchmod(handle, mode)


def _mode(path: Path) -> int:
    """Type and permissions of a path; 0 if it doesn't exist."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.lstat().st_mode
    return 0
