"""The landing zone: folders of NDJSON segments by received hour. Readers see a segment completely or not at all.

Writing, finding and reading segments belongs here; the contract validates their lines.
"""

import os
import re
import tempfile
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar, cast

from radar_assets.durability import sync_folder
from radar_assets.events.local_zone import LocalFile, is_folder, make_hour, share
from radar_assets.events.segments import Readable, read_segment
from radar_assets.object_store import ObjectInfo, ObjectPath, fetch_ahead

if TYPE_CHECKING:
    import pyarrow as pa

Landing = Path | ObjectPath
_Place = TypeVar("_Place", Path, ObjectPath)
Compression = Literal["gz", "zst"]

COLLECTED = "collector-"
"""Beginning of the names of the collector's segments, whose lines were received just before the segment was closed."""
CHUNK_BYTES = 8 * 2**20
_DAY, _HOUR = "dt=%Y-%m-%d", "hr=%H"
# File names that are not UTF-8 contain surrogates in Python, and tables can't store those.
_SEGMENT_FILE = re.compile(r"([^\udc80-\udcff]+)\.ndjson(?:\.gz|\.zst)?", re.DOTALL)
_NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+@-]{0,199}")


@dataclass(frozen=True, order=True)
class Segment:
    """A file of the landing zone, which never changes.

    Attributes:
        received_hour: hour of its folder (naive, UTC).
        name: file name without `.ndjson` and compression, so that a compressed segment keeps its name.
        modified_ns: when the file was last modified, in ns since 1970; 0 for a new segment.
    """

    received_hour: datetime
    name: str
    path: Path | ObjectPath
    size_bytes: int
    modified_ns: int = field(default=0, compare=False)

    @property
    def local_path(self) -> Path:
        """The path on this machine.

        Raises:
            TypeError: the segment is in an object store.
        """
        if isinstance(self.path, ObjectPath):
            raise TypeError(f"{self.path} is in an object store")
        return self.path


def list_hours(landing: Landing) -> dict[datetime, int]:
    """The hours that have a folder, and when the files in each last changed, in ns since 1970.

    This reads the status of each folder, whatever the number of segments. A folder that was moved into place counts as changed. Object
    stores have no folders, so there it lists all segments.
    """
    hours: dict[datetime, int] = {}
    if isinstance(landing, ObjectPath):
        for one, hour, _ in _objects(landing):
            if hour:
                hours[hour] = max(hours.get(hour, 0), _ns(one))
        return hours
    days: dict[Path, int] = {}
    for folder, hour in _hour_folders(landing):
        if hour:
            with suppress(FileNotFoundError):
                day = Path(folder.path).parent
                if day not in days:
                    days[day] = day.lstat().st_ctime_ns
                hours[hour] = max(folder.stat(follow_symlinks=False).st_ctime_ns, days[day])
    return hours


LATEST_SURPRISE_NS = 15 * 60 * 10**9
"""How much older than changes seen before a newly seen change may be.

The time of an object is when its upload began, folders are read one after the other while segments land, and clocks are set back.
"""


def list_segments(landing: Landing, hour: datetime) -> list[Segment]:
    """The segments received in an hour, ordered by name."""
    if isinstance(landing, ObjectPath):
        found: dict[str, Segment] = {}
        for one, at, name in sorted(_objects(landing, hour), key=lambda listed: len(listed[0].path.url)):
            if name and at == hour:
                found.setdefault(name, Segment(hour, name, one.path, one.size_bytes, _ns(one)))
        return sorted(found.values())
    segments = []
    for name, file in _segment_files(_folder(landing, hour)).items():
        with suppress(FileNotFoundError):
            status = file.stat(follow_symlinks=False)
            segments.append(Segment(hour, name, Path(file.path), status.st_size, status.st_mtime_ns))
    return sorted(segments)


def list_strays(landing: Landing) -> list[Path] | list[ObjectPath]:
    """Files and folders in the landing zone that are not segments and not read, without temporary files."""
    if isinstance(landing, ObjectPath):
        return [one.path for one, hour, name in _objects(landing) if not (hour and name)]
    strays = []
    for entry, hour in _hour_folders(landing):
        if hour is None:
            strays.append(Path(entry.path))
        else:
            segments = {file.path for file in _segment_files(Path(entry.path)).values()}
            strays += [Path(file.path) for file in _entries(Path(entry.path)) if file.path not in segments]
    return sorted(strays)


def read_lines(segments: Iterable[Segment], chunk_bytes: int = CHUNK_BYTES) -> "Iterator[pa.RecordBatch]":
    """Read the lines of segments in batches of about `chunk_bytes`; small segments share a batch.

    The columns are `received_hour`, `segment`, and those of `read_segment`. Each segment has at least one row.

    Raises:
        OSError: a file can't be opened or read.
    """
    import pyarrow as pa

    waiting, waiting_bytes = [], 0
    for segment, content in _contents(list(segments)):
        hour = pa.scalar(segment.received_hour, pa.timestamp("us"))
        for lines, size_bytes in read_segment(content, chunk_bytes):
            origin = [pa.repeat(hour, lines.num_rows), pa.repeat(segment.name, lines.num_rows)]
            names = ["received_hour", "segment", *lines.schema.names]
            waiting.append(pa.RecordBatch.from_arrays([*origin, *lines.columns], names))
            waiting_bytes += size_bytes
            if waiting_bytes >= chunk_bytes // 2:
                yield pa.concat_batches(waiting)
                waiting, waiting_bytes = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


class SegmentWriter:
    """Writes one segment. It appears in the landing zone, durably, when the block ends, and not at all if the block fails.

    Args:
        hour: received hour (naive, UTC).
        name: letters, digits and `._=+@-`. Must never be used again in this hour, so include a UUID, for example.

    Raises:
        ValueError: the name or the hour is invalid.
        FileExistsError: the hour already has a segment of this name.
        OSError: the disk is full, the folder is not writable, the object store is unavailable and so on.
    """

    def __init__(self, landing: Landing, hour: datetime, name: str, compression: Compression | None = None) -> None:
        if not _NEW_NAME.fullmatch(name):
            raise ValueError(f"invalid segment name {name!r}; use at most 200 letters, digits and ._=+@-")
        if hour.tzinfo or hour != hour.replace(minute=0, second=0, microsecond=0):
            raise ValueError(f"invalid received hour {hour}; give a full hour in UTC, without a time zone")
        self._hour, self._name = hour, name
        file = ".".join(filter(None, [name, "ndjson", compression]))
        if isinstance(landing, ObjectPath):
            self._draft = _ObjectDraft(landing, _folder(landing, hour) / file)
        else:
            self._draft = _FileDraft(landing, _folder(landing, hour) / file)
        self._compressor = _compressor(compression)
        self._size_bytes = 0

    def __enter__(self) -> Self:
        if self._name in self._draft.present(self._hour):
            raise FileExistsError(f"{self._draft.path}: the hour already has a segment {self._name}")
        self._file = self._draft.open()
        return self

    def write(self, data: bytes) -> None:
        """Add bytes. Lines end with a line feed, and chunks may end anywhere."""
        self._file.write(self._compressor.compress(data) if self._compressor else data)

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        try:
            with self._file:
                if failure:
                    return
                if self._compressor:
                    self._file.write(self._compressor.flush())
                self._file.flush()
                self._size_bytes = self._file.tell()
                self._draft.publish(self._file)
        finally:
            self._draft.discard()

    @property
    def segment(self) -> Segment:
        """The segment, after it was written."""
        return Segment(self._hour, self._name, self._draft.path, self._size_bytes)


def write_segment(
    landing: Landing, hour: datetime, name: str, chunks: Iterable[bytes], compression: Compression | None = None
) -> Segment:
    """Write a segment from chunks of bytes; see `SegmentWriter` for the arguments and errors."""
    with SegmentWriter(landing, hour, name, compression) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer.segment


class _FileDraft:
    """A segment being written under a temporary name, in the local folder it belongs to."""

    def __init__(self, landing: Path, path: Path) -> None:
        self._landing, self.path = landing, path
        self._temporary = path.parent / f".{uuid.uuid4().hex}.tmp"

    def present(self, _: datetime) -> Collection[str]:
        return _segment_files(self.path.parent)

    def open(self) -> BinaryIO:
        make_hour(self._landing, self.path.parent)
        file = self._temporary.open("xb")
        share(self._landing, file.fileno())
        return file

    def publish(self, file: BinaryIO) -> None:
        os.fsync(file.fileno())
        _move_in(self._landing, self._temporary, self.path)

    def discard(self) -> None:
        self._temporary.unlink(missing_ok=True)


class _ObjectDraft:
    """A segment being written to a local file before its upload to an object store."""

    def __init__(self, landing: ObjectPath, path: ObjectPath) -> None:
        self._landing, self.path = landing, path

    def present(self, hour: datetime) -> Collection[str]:
        return {segment.name for segment in list_segments(self._landing, hour)}

    def open(self) -> BinaryIO:
        return cast(BinaryIO, tempfile.TemporaryFile())

    def publish(self, file: BinaryIO) -> None:
        file.seek(0)
        self.path.put_new(file)

    def discard(self) -> None:
        """Do nothing: the temporary file is deleted when it is closed."""


def segment_path(landing: _Place, hour: datetime, name: str) -> _Place:
    """Path of an uncompressed segment."""
    return _folder(landing, hour) / f"{name}.ndjson"


def publish(file: Path, landing: Path, hour: datetime, name: str) -> None:
    """Turn a file into a segment. It must be on the same file system, with durable content.

    Raises:
        OSError: the hour's folder can't be created, or the move can't be made durable.
    """
    path = segment_path(landing, hour, name)
    make_hour(landing, path.parent)
    _move_in(landing, file, path)


def _move_in(landing: Path, file: Path, path: Path) -> None:
    file.rename(path)
    for folder in (path.parent, path.parent.parent, landing):
        sync_folder(folder)


def _compressor(compression: Compression | None) -> Any:
    if compression == "gz":
        return zlib.compressobj(level=6, wbits=31)
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return None


def _folder(landing: _Place, hour: datetime) -> _Place:
    return landing / hour.strftime(_DAY) / hour.strftime(_HOUR)


def _ns(one: ObjectInfo) -> int:
    return int(one.modified_at.timestamp()) * 10**9


def _contents(segments: list[Segment]) -> Iterator[tuple[Segment, Readable]]:
    distant = [(segment.path, segment.size_bytes) for segment in segments if isinstance(segment.path, ObjectPath)]
    return zip(segments, fetch_ahead(distant) if distant else [_file(segment) for segment in segments], strict=True)


def _file(segment: Segment) -> LocalFile:
    path = segment.local_path
    return LocalFile(path.parents[2], path)  # the zone, its days, its hours


def _objects(
    landing: ObjectPath, hour: datetime | None = None
) -> Iterator[tuple[ObjectInfo, datetime | None, str | None]]:
    """The objects of a landing zone or one of its hours, without temporary ones.

    Each comes with the hour and the name of its segment, or `None` where they are not valid.
    """
    prefix = landing / hour.strftime(f"{_DAY}/{_HOUR}") if hour else landing
    for one in prefix.objects():
        key = one.path.relative_to(landing)
        folder, _, file = key.rpartition("/")
        # Web consoles of object stores create objects with an empty name as folders.
        if file and "/." not in f"/{key}" and not file.endswith(".tmp"):
            match = _SEGMENT_FILE.fullmatch(file)
            yield one, _parse(folder, f"{_DAY}/{_HOUR}"), match[1] if match else None


def _hour_folders(landing: Path) -> Iterator[tuple[os.DirEntry[str], datetime | None]]:
    """The folders of hours. Other files and folders beside them have `None` as hour."""
    for day in _entries(landing):
        if not day.is_dir(follow_symlinks=False) or not _parse(day.name, _DAY):
            yield day, None
            continue
        for folder in _entries(Path(day.path)):
            is_hour = folder.is_dir(follow_symlinks=False)
            yield folder, _parse(f"{day.name}/{folder.name}", f"{_DAY}/{_HOUR}") if is_hour else None


def _parse(name: str, form: str) -> datetime | None:
    with suppress(ValueError):
        time = datetime.strptime(name, form)
        # `strptime` also takes `hr=5`.
        return time if time.strftime(form) == name else None
    return None


def _segment_files(folder: Path) -> dict[str, os.DirEntry[str]]:
    """The segments in the folder of an hour, by name. Folders that are symbolic links have none.

    While a segment is being compressed there are two files with its name; the uncompressed one is complete.
    """
    files: dict[str, os.DirEntry[str]] = {}
    if not (is_folder(folder) and is_folder(folder.parent)):
        return files
    for entry in sorted(_entries(folder), key=lambda entry: len(entry.name)):
        match = _SEGMENT_FILE.fullmatch(entry.name)
        if match and match[1] not in files and entry.is_file(follow_symlinks=False):
            files[match[1]] = entry
    return files


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder without temporary files; empty if the folder doesn't exist."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".") and not entry.name.endswith(".tmp")]
    return []
