"""The landing zone as a stream: lines added to recent segments, including open ones, since the last read.

Finding segments belongs to the landing zone and `open_segments.py`; judging lines belongs to the caller.
"""

import time
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from radar_assets.collector.open_segments import list_open
from radar_assets.events.landing import Landing, list_segments
from radar_assets.events.local_zone import LocalFile
from radar_assets.events.packs import PackedPath
from radar_assets.events.segments import Readable, read_segment
from radar_assets.object_store import ObjectPath, fetch_ahead
from radar_assets.windows import HOUR, Window

BLOCK_BYTES = 2**22
"""Bytes per read. Longer lines are skipped, since the contract rejects lines over 128 KB."""
LOOK_S = 2.0
"""How long a read may take; the rest waits for the next one."""
_EPOCH = datetime(1970, 1, 1)

_Key = tuple[datetime, str]


class _File(NamedTuple):
    """A segment that may have new lines, and when it was last written to."""

    written_at: datetime
    key: _Key
    path: Path | ObjectPath
    size_bytes: int
    is_open: bool = False


class Tail:
    """Reads what is added to a landing zone. One thread at a time may use it.

    Attributes:
        complete_since: lines received later than this have been read; earlier ones perhaps not yet.
    """

    def __init__(self, landing: Landing, look_s: float = LOOK_S) -> None:
        self.complete_since = _EPOCH
        self._landing, self._look_s = landing, look_s
        self._offsets: dict[_Key, int] = {}
        self._done: set[_Key] = set()

    def read(self, since: datetime, now: datetime) -> Iterator[bytes]:
        """Blocks of whole lines that were received since a time and have not been read yet, the newest segments first.

        Older lines may be among them. Lines that are added twice, for example by compressing a segment, are read twice.

        Raises:
            OSError: a segment can't be read, or the object store is unavailable.
        """
        deadline, self.complete_since = time.monotonic() + self._look_s, _EPOCH
        files = self._unread(since, now)
        for index, (file, content) in enumerate(_contents(self._landing, files)):
            for block in self._blocks(file, content):
                yield block
                if time.monotonic() > deadline:
                    self.complete_since = max(left.written_at for left in files[index:])
                    return

    def _unread(self, since: datetime, now: datetime) -> list[_File]:
        # Another machine's clock may be an hour ahead. Open segments are listed first: one that is published meanwhile is
        # found in both places rather than in neither.
        hours = Window(since, now + HOUR).hours()
        listed = _open_files(self._landing, hours) if isinstance(self._landing, Path) else []
        for hour in hours:
            for segment in list_segments(self._landing, hour):
                if isinstance(segment.path, PackedPath):
                    continue  # received a day ago or earlier
                written_at = _EPOCH + timedelta(microseconds=segment.modified_ns // 1000)
                listed.append(_File(written_at, (hour, segment.name), segment.path, segment.size_bytes))
        keys = {file.key for file in listed}
        self._done &= keys
        self._offsets = {key: offset for key, offset in self._offsets.items() if key in keys}
        # A file that was last written to before the window has no lines received in it.
        new = [file for file in listed if file.key not in self._done and file.written_at >= since]
        return sorted(new, key=lambda file: file.written_at, reverse=True)

    def _blocks(self, file: _File, content: Readable) -> Iterator[bytes]:
        if isinstance(file.path, Path) and file.path.suffix in (".ndjson", ".open"):
            # An open segment may have been published by now; then it is also listed under its new path.
            with suppress(FileNotFoundError):
                yield from self._appended(file, content)
        else:
            for lines, _ in read_segment(content, BLOCK_BYTES):
                yield "\n".join(filter(None, lines["text"].to_pylist())).encode()
        if not file.is_open:
            self._done.add(file.key)

    def _appended(self, file: _File, content: Readable) -> Iterator[bytes]:
        offset = self._offsets.get(file.key, 0)
        with content.open("rb") as segment:
            while True:
                segment.seek(offset)
                data = segment.read(BLOCK_BYTES)
                end = data.rfind(b"\n") + 1
                if not end and (not file.is_open or len(data) == BLOCK_BYTES):
                    end = len(data)
                if not end:
                    return
                offset += end
                self._offsets[file.key] = offset
                yield data[:end]


def _contents(landing: Landing, files: list[_File]) -> Iterable[tuple[_File, Readable]]:
    if isinstance(landing, Path):
        return [(file, LocalFile(landing, file.path)) for file in files if isinstance(file.path, Path)]
    distant = [(file.path, file.size_bytes) for file in files if isinstance(file.path, ObjectPath)]
    return zip(files, fetch_ahead(distant), strict=True)


def _open_files(landing: Path, hours: Container[datetime]) -> list[_File]:
    files = []
    for hour, name, path in list_open(landing):
        with suppress(FileNotFoundError):
            if hour in hours:
                status = path.lstat()
                written_at = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
                files.append(_File(written_at, (hour, name), path, status.st_size, is_open=True))
    return files
