"""Files of the landing zone while they are written. They appear there complete and durable, or not at all."""

import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from radar_assets.durability import sync_folder
from radar_assets.events.local_zone import LocalFile, make_hour, share, zone_of
from radar_assets.object_store import ObjectPath

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


@contextmanager
def draft(path: Path | ObjectPath) -> Iterator[BinaryIO]:
    """A file to write. It appears at the path when the block ends, and not at all if the block fails.

    Raises:
        FileExistsError: the object exists. A local file is replaced.
        OSError: the disk is full, the folder is not writable, the object store is unavailable and so on.
    """
    with _object(path) if isinstance(path, ObjectPath) else _file(path) as file:
        yield file


@contextmanager
def _object(path: ObjectPath) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as opened:
        file = cast(BinaryIO, opened)
        yield file
        file.seek(0)
        path.put_new(file)


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    make_hour(zone_of(path), path.parent)
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("x+b") as file:
            share(zone_of(path), file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            move_in(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_abandoned(folder: Path, before: datetime) -> None:
    """Remove the drafts in the folder of an hour that killed processes have left. `before` is when they were last written, in UTC."""
    for file in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            written_at = datetime.fromtimestamp(file.lstat().st_mtime, UTC).replace(tzinfo=None)
            if _TEMPORARY.fullmatch(file.name) and written_at < before:
                LocalFile(zone_of(file), file).unlink()


def move_in(file: Path, path: Path) -> None:
    """Move a durable file into the landing zone, durably.

    Raises:
        OSError: it can't be moved, or the move can't be made durable.
    """
    file.rename(path)
    for folder in (path.parent, path.parent.parent, zone_of(path)):
        sync_folder(folder)
