"""Files of a landing zone on a local disk, which other users may be allowed to write to: how they are opened and shared.

Links in the zone are not followed: they could point to any file that Radar can read, or move Radar's own files out of the zone. The
zone itself may be a link, because the operator has chosen it.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from radar_assets.permissions import IS_SHARED, SHARED, SHARED_FILE

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A named pipe would otherwise wait for someone who writes to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class LocalFile(NamedTuple):
    """A file below the zone, to be read like a `Path`."""

    zone: Path
    path: Path

    @property
    def suffix(self) -> str:
        """The path's."""
        return self.path.suffix

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """The file's content.

        Raises:
            OSError: it can't be opened, is not a regular file, or lies behind a link.
        """
        handle = self._handle()
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return os.fdopen(handle, "rb")
        os.close(handle)
        raise OSError(errno.EINVAL, "Not a regular file", str(self.path))

    def _handle(self) -> int:
        # Folder by folder, so that none can be exchanged for a link after it was looked at.
        *folders, name = self.path.relative_to(self.zone).parts
        handle = os.open(self.zone, _FOLDER)
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            return os.open(name, _FILE, dir_fd=handle)
        except OSError as error:
            error.filename = str(self.path)  # not the part of it that was to be opened
            raise
        finally:
            os.close(handle)


def oddity(path: Path) -> str | None:
    """What lies at a path where only folders and regular files are read; None for one of those."""
    return _KINDS.get(stat.S_IFMT(_mode(path)))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder itself, and not a link to one."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: Path) -> bool:
    """Whether a path is a regular file itself, and not a link to one."""
    return stat.S_ISREG(_mode(path))


def make_hour(zone: Path, folder: Path) -> None:
    """Make the folder of an hour and that of its day.

    Raises:
        OSError: one can't be made, or something else lies in its place, such as a link to a folder.
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
    """Give an open file or folder to the zone's group if the zone is shared; else change nothing.

    A zone is shared while its folder has the setgid bit and is writable for its group (`Settings.landing_group`). Members of the
    group can read the file, but not change it.
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
    """Type and permissions of what lies at a path; 0 for nothing."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.lstat().st_mode
    return 0
