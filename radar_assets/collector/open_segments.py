"""Open segments: hidden files of the landing zone that a worker appends to and later publishes as segments.

Durability and recovery belong here; acknowledging belongs to `journal.py`.
"""

import fcntl
import os
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from radar_assets.durability import sync_folder
from radar_assets.events.landing import COLLECTED, publish
from radar_assets.events.local_zone import is_file, is_folder, share

FOLDER = ".open"
"""Readers of a landing zone skip names that start with a dot."""
RETRY_S = 1.0
"""Pause before publishing is retried."""
_HOUR = "%Y-%m-%dT%H"
_FILE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)_([\w-]+)\.open", re.ASCII)
_BLOCK_BYTES = 2**16


class OpenFile(NamedTuple):
    """An open segment: its file, and the received hour and name under which it will be published."""

    hour: datetime
    name: str
    path: Path


class OpenSegments:
    """The segments that one worker has open, at most one per received hour; segments of dead workers are published at once.

    Args:
        max_bytes, max_age_s: a segment is published when it reaches either.

    Raises:
        OSError: the folder for open segments can't be made.
    """

    def __init__(self, landing: Path, *, max_bytes: int, max_age_s: float) -> None:
        self._landing, self._max_bytes, self._max_age_s = landing, max_bytes, max_age_s
        self._open: dict[datetime, _OpenSegment] = {}
        self._retry_at: float | None = None
        folder = landing / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        if not is_folder(folder):
            raise NotADirectoryError(f"{folder} is a link; remove it")
        sync_folder(landing)
        with suppress(OSError):
            self._publish_closed()

    def append(self, hour: datetime, lines: bytes) -> None:
        """Make lines durable: all of them or, if an `OSError` is raised, none."""
        segment = self._open.get(hour)
        if segment is None:
            segment = self._open[hour] = _OpenSegment(self._landing, hour)
        try:
            segment.append(lines)
        except BaseException:
            # After a failed sync, the kernel may consider unwritten data as written, so later syncs of this file prove nothing.
            del self._open[hour]
            segment.close()
            self._retry_at = time.monotonic()
            raise

    def seconds_to_roll(self) -> float | None:
        """How long until there is something to publish, `None` while nothing is open."""
        due = [self._due_at(segment) for segment in self._open.values()]
        due += [] if self._retry_at is None else [self._retry_at]
        return min(due) - time.monotonic() if due else None

    def roll(self) -> None:
        """Publish the segments that are due, and what dead workers have left meanwhile.

        Raises:
            OSError: a segment could not be published; the next call retries.
        """
        now = time.monotonic()
        self._close(lambda segment: self._due_at(segment) <= now)
        self._publish_closed()

    def close(self) -> None:
        """Publish all segments.

        Raises:
            OSError: a segment could not be published; the next recovery retries.
        """
        self._close(lambda _: True)
        self._publish_closed()

    def _due_at(self, segment: "_OpenSegment") -> float:
        return segment.opened_at + (0 if segment.size_bytes >= self._max_bytes else self._max_age_s)

    def _close(self, is_due: Callable[["_OpenSegment"], bool]) -> None:
        for hour in [hour for hour, segment in self._open.items() if is_due(segment)]:
            self._open.pop(hour).close()

    def _publish_closed(self) -> None:
        self._retry_at = time.monotonic() + RETRY_S
        recover(self._landing)
        self._retry_at = None


class _OpenSegment:
    """A file that only this process appends to, as long as it holds the lock; durable up to `size_bytes`."""

    def __init__(self, landing: Path, hour: datetime) -> None:
        self.size_bytes, self.opened_at = 0, time.monotonic()
        self._handle = _create_locked(landing / FOLDER, hour)
        try:
            sync_folder(landing / FOLDER)
        except OSError:
            self.close()
            raise

    def append(self, lines: bytes) -> None:
        """Make lines durable, or raise an `OSError` and leave nothing of them."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fdatasync(self._handle)
        except BaseException:
            # If this fails too, recovery drops the incomplete line.
            with suppress(OSError):
                os.ftruncate(self._handle, self.size_bytes)
            raise
        self.size_bytes += len(lines)

    def close(self) -> None:
        """Close the file so that it can be published."""
        with suppress(OSError):
            os.close(self._handle)


def recover(landing: Path) -> None:
    """Publish every open segment that no living worker holds, without the torn line at its end.

    Workers that start, roll or die at the same moment don't disturb each other.

    Raises:
        OSError: a segment could not be published; the others are.
    """
    failure = None
    for segment in list_open(landing):
        try:
            _recover(landing, segment)
        except OSError as error:
            failure = error
    if failure:
        raise failure


def list_open(landing: Path) -> list[OpenFile]:
    """The open segments, of living workers and of dead ones."""
    found = []
    for path in sorted((landing / FOLDER).glob("*.open")):
        if (match := _FILE.fullmatch(path.name)) and is_file(path):
            found.append(OpenFile(datetime.strptime(match[1], _HOUR), match[2], path))
    return found


def _recover(landing: Path, segment: OpenFile) -> None:
    try:
        handle = os.open(segment.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not _lock(handle, segment.path):
            return
        size = _whole_lines_bytes(handle)
        if not size:
            segment.path.unlink()
            return
        os.ftruncate(handle, size)
        share(landing, handle)
        os.fsync(handle)
        publish(segment.path, landing, segment.hour, segment.name)
        sync_folder(landing / FOLDER)
    finally:
        os.close(handle)


def _create_locked(folder: Path, hour: datetime) -> int:
    """Create a file and lock it, before a concurrent recovery does. Returns its handle."""
    while True:
        path = folder / f"{hour:{_HOUR}}_{COLLECTED}{uuid.uuid4().hex}.open"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        if _lock(handle, path):
            return handle
        os.close(handle)


def _lock(handle: int, path: Path) -> bool:
    """Lock a file. Returns whether that worked: another process may hold it, or have published or removed it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _whole_lines_bytes(handle: int) -> int:
    """Size of a file up to its last line feed."""
    end = os.fstat(handle).st_size
    while end:
        start = max(0, end - _BLOCK_BYTES)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
