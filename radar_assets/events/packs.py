"""Packs: ZIP files in the landing zone, each with segments of one received hour that is over.

Segments keep their names and lines in a pack, so a line's origin stays the same. Reading packs belongs here, making them to
`packing.py`.
"""

import errno
import io
import itertools
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, BinaryIO, Literal

from radar_assets.events.local_zone import LocalFile, zone_of
from radar_assets.object_store import ObjectPath

PACK_FILE = re.compile(r"segments-[0-9a-f]{32}\.zip")
"""Name of a pack. The digest is that of its content, so a name always stands for the same content."""
# File names that are not UTF-8 contain surrogates in Python, and tables can't store those.
SEGMENT_FILE = re.compile(r"([^\udc80-\udcff]+)\.ndjson(?:\.gz|\.zst)?", re.DOTALL)


_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError, struct.error)
"""What `zipfile` raises for damaged files. ValueError and RuntimeError come from names, methods or flags that are not valid."""


class DamagedPackError(Exception):
    """A segment in a pack can't be read to its end; the message describes the damage."""


@dataclass(frozen=True, order=True)
class PackedPath:
    """A segment in a pack."""

    pack: Path | ObjectPath
    file: str

    @property
    def name(self) -> str:
        """The segment's file name."""
        return self.file

    def __str__(self) -> str:
        return f"{self.pack}/{self.file}"


@dataclass(frozen=True)
class PackedFile:
    """A segment in an open pack, to be read like a `Path`. Its checksum is verified when it is read to the end."""

    pack: zipfile.ZipFile
    file: str

    @property
    def suffix(self) -> str:
        """Suffix of the segment's file name."""
        return Path(self.file).suffix

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """Open the segment. Reading it raises a `DamagedPackError` as well.

        Raises:
            DamagedPackError: the segment is damaged.
            OSError: the pack can't be read.
        """
        with damage_of(self.file):
            return io.BufferedReader(_Content(self.file, self.pack.open(self.file)))


class _Content(io.RawIOBase):
    """The content of a packed segment."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name, self._file = name, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with damage_of(self._name):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def damage_of(name: str) -> Iterator[None]:
    """Turns what `zipfile` raises for a damaged file into a `DamagedPackError`."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:  # the position of a segment in the file is impossible
            raise
        raise DamagedPackError(f"{name} is damaged in its pack ({error})") from error
    except _DAMAGED as error:
        raise DamagedPackError(f"{name} is damaged in its pack ({error})") from error


@dataclass(frozen=True)
class Member:
    """A segment in the list of contents of a pack."""

    file: str
    size_bytes: int
    checksum: int


@dataclass(frozen=True)
class Pack:
    """A pack in the landing zone.

    Attributes:
        modified_ns: when it was last modified, in ns since 1970.
        members: its segments by name.
    """

    path: Path | ObjectPath
    size_bytes: int
    modified_ns: int
    members: Mapping[str, Member]


@lru_cache(4096)
def members(pack: Path | ObjectPath, modified_ns: int) -> Mapping[str, Member]:
    """The segments in a pack, by name. Empty if the pack is damaged.

    Args:
        modified_ns: when the pack was last modified, since its list of contents is cached.

    Raises:
        OSError: the pack can't be read.
    """
    try:
        with damage_of(str(pack)), open_pack(pack) as opened:
            listed = [(SEGMENT_FILE.fullmatch(info.filename), info) for info in opened.infolist()]
    except DamagedPackError:
        return {}
    return {name[1]: Member(info.filename, info.file_size, info.CRC) for name, info in listed if name}


@contextmanager
def open_pack(pack: Path | ObjectPath) -> Iterator[zipfile.ZipFile]:
    """An open pack.

    Raises:
        OSError: it can't be read.
        Exception: it is damaged; `damage_of` catches these errors.
    """
    with open_file(pack) as file, zipfile.ZipFile(file) as opened:
        yield opened


def open_file(pack: Path | ObjectPath) -> BinaryIO:
    """A pack as a file. Raises an `OSError` if it can't be opened."""
    return pack.open_seekable() if isinstance(pack, ObjectPath) else LocalFile(zone_of(pack), pack).open()


def packed_files(paths: Iterable[PackedPath]) -> Iterator[PackedFile]:
    """Packed segments to read, each before the next one is asked for. Adjacent ones of a pack share its list of contents."""
    for pack, adjacent in itertools.groupby(paths, lambda path: path.pack):
        with open_pack(pack) as opened:
            for path in adjacent:
                yield PackedFile(opened, path.file)
