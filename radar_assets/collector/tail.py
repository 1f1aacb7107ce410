"""The landing zone as a stream: what has been added to its recent segments, the open ones included, since the last look.

Where segments lie and how they are found is for the landing zone and the open segments to say; what their lines are worth,
for whoever reads them here.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from radar_assets.collector.open_segments import list_open
from radar_assets.events.landing import list_segments
from radar_assets.events.segments import read_segment
from radar_assets.partitions import HOUR, Window

BLOCK_BYTES = 2**22
"""Read at once. A line that is longer is passed over, since the contract takes none of more than 128 KB."""
MOST_BYTES = 2**28
"""Read in one look, about half a million events; the rest waits for the next."""


class _File(NamedTuple):
    """A segment that may have something new, by when it was last written to."""

    written_at: datetime
    hour: datetime
    name: str
    path: Path
    is_open: bool


class Tail:
    """Reads what is added to a landing zone. One thread at a time may use it.

    Attributes:
        complete_since: lines received later than this have been read; earlier ones perhaps not yet.
    """

    def __init__(self, landing: Path, most_bytes: int = MOST_BYTES) -> None:
        self.complete_since = datetime.min
        self._landing, self._most_bytes = landing, most_bytes
        self._offsets: dict[tuple[datetime, str], int] = {}
        self._done: set[tuple[datetime, str]] = set()

    def read(self, since: datetime, now: datetime) -> Iterator[bytes]:
        """Blocks of whole lines that were received since a time and have not been read yet, the newest segments first.

        Older lines may be among them. A line that is added twice, as by somebody who compresses a segment, is read twice.

        Raises:
            OSError: a segment can't be read.
        """
        budget, self.complete_since = self._most_bytes, datetime.min
        for file in self._unread(since, now):
            if budget > 0:
                for block in self._blocks(file):
                    yield block
                    budget -= len(block)
                    if budget <= 0:
                        break
                else:
                    continue
            self.complete_since = max(self.complete_since, file.written_at)

    def _unread(self, since: datetime, now: datetime) -> list[_File]:
        # Another machine's clock may be an hour further. The open ones are listed first: what is published meanwhile is
        # then found in both places, and not in none.
        hours = Window(since, now + HOUR).hours()
        listed = [(hour, name, path, True) for hour, name, path in list_open(self._landing) if hour in hours]
        for hour in hours:
            listed += [(hour, segment.name, segment.path, False) for segment in list_segments(self._landing, hour)]
        self._done.intersection_update({(hour, name) for hour, name, *_ in listed})
        self._offsets = {key: offset for key, offset in self._offsets.items() if key[0] in hours}
        files = []
        for hour, name, path, is_open in listed:
            with suppress(FileNotFoundError):
                if (hour, name) not in self._done:
                    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
                    files.append(_File(written_at, hour, name, path, is_open))
        # What was last written to before the window has no line that was received in it.
        return sorted((file for file in files if file.written_at >= since), reverse=True)

    def _blocks(self, file: _File) -> Iterator[bytes]:
        key = (file.hour, file.name)
        if file.path.suffix == ".ndjson" or file.is_open:
            with suppress(FileNotFoundError):
                yield from self._appended(file, key)
        else:
            for lines, _ in read_segment(file.path, BLOCK_BYTES):
                yield "\n".join(filter(None, lines["text"].to_pylist())).encode()
        if not file.is_open:
            self._done.add(key)

    def _appended(self, file: _File, key: tuple[datetime, str]) -> Iterator[bytes]:
        offset = self._offsets.get(key, 0)
        with file.path.open("rb") as segment:
            while True:
                segment.seek(offset)
                data = segment.read(BLOCK_BYTES)
                end = data.rfind(b"\n") + 1
                if not end and (not file.is_open or len(data) == BLOCK_BYTES):
                    end = len(data)
                if not end:
                    return
                offset += end
                self._offsets[key] = offset
                yield data[:end]
