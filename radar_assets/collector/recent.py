"""When cookieless visitors and their requests were last seen, for rules about the recent past.

All workers of a machine share it, in a file of the home, which survives restarts. It holds hashes of 8 bytes and times, the newest
few hundred thousand. Machines behind one load balancer share nothing, so a visitor has to stay on one machine for these rules.
"""

import os
import struct
import tempfile
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

IDLE = timedelta(minutes=30)
"""A visit goes on if its next event is received within this time."""
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_SLOT = struct.Struct("<8sq")
"""Hash, and microseconds since 1970."""
_SLOTS = 16
"""Of a bucket. A hash belongs to one bucket, in which it displaces the oldest one."""
_BUCKET_BYTES = _SLOTS * _SLOT.size
_BUCKETS = 2**14
_FORGOTTEN_S = 3_600
"""A file that no worker has written to for so long is emptied at the next start."""


class Recent:
    """The recent past of one machine. Threads and processes may share it; a lost race forgets a sighting.

    Args:
        path: the file; a temporary one unless given.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        else:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if time.time() - os.fstat(self._file).st_mtime > _FORGOTTEN_S:
                os.ftruncate(self._file, 0)
        os.ftruncate(self._file, _BUCKETS * _BUCKET_BYTES)

    def visitor(self, today: str, yesterday: str, at: datetime, until: datetime) -> str:
        """The id of a visitor: yesterday's while the visit that began under it goes on, else today's.

        Args:
            today, yesterday: the ids by the salts of both days, in hexadecimal.
            at: when the event was received; naive, UTC.
            until: when today ends; naive, UTC.
        """
        now = _microseconds(at)
        last = self._last(_key(yesterday))
        if last is not None and 0 <= now - last <= IDLE // _MICROSECOND:
            self._record(_key(yesterday), now)
            return yesterday
        # Only a visit that is under way at midnight needs to be remembered.
        if at + IDLE >= until:
            self._record(_key(today), now)
        return today

    def first_sent(self, content: str, at: datetime, within: timedelta) -> datetime:
        """When a request was first sent; `at` unless the same content was received less than `within` before.

        Args:
            content: a hash of sender and body, in hexadecimal.
            at: when this request was received; naive, UTC.
        """
        now = _microseconds(at)
        first = self._last(_key(content))
        if first is not None and 0 <= now - first < within // _MICROSECOND:
            return _EPOCH + first * _MICROSECOND
        self._record(_key(content), now)
        return at

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _last(self, key: bytes) -> int | None:
        bucket = os.pread(self._file, _BUCKET_BYTES, _bucket_at(key))
        place = _place(bucket, key)
        return None if place is None else _SLOT.unpack_from(bucket, place)[1]

    def _record(self, key: bytes, at: int) -> None:
        start = _bucket_at(key)
        bucket = os.pread(self._file, _BUCKET_BYTES, start)
        place = _place(bucket, key)
        if place is None:
            times = [seen_at for _, seen_at in _SLOT.iter_unpack(bucket)]
            place = times.index(min(times)) * _SLOT.size
        # On a full disk, nothing is remembered.
        with suppress(OSError):
            os.pwrite(self._file, _SLOT.pack(key, at), start + place)


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _key(digest: str) -> bytes:
    return bytes.fromhex(digest[:16])


def _bucket_at(key: bytes) -> int:
    return int.from_bytes(key) % _BUCKETS * _BUCKET_BYTES


def _place(bucket: bytes, key: bytes) -> int | None:
    """Where the slot of a key is in its bucket."""
    place = bucket.find(key)
    while place >= 0 and place % _SLOT.size:
        place = bucket.find(key, place + 1)
    return None if place < 0 else place
