"""The landing zone: folders of NDJSON segments by received hour, where a reader sees a segment whole or not at all.

How segments are written, found and read belongs here; what their lines are worth is for the contract to say.
"""

import os
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from radar_assets.events.segments import read_segment

if TYPE_CHECKING:
    import pyarrow as pa

Compression = Literal["gz", "zst"]

CHUNK_BYTES = 8 * 2**20
_DAY, _HOUR = "dt=%Y-%m-%d", "hr=%H"
# A file name that is not UTF-8 reaches Python with surrogates in it and could not be kept in a table.
_SEGMENT_FILE = re.compile(r"([^\udc80-\udcff]+)\.ndjson(?:\.gz|\.zst)?", re.DOTALL)
_NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+@-]{0,199}")


@dataclass(frozen=True, order=True)
class Segment:
    """A file of the landing zone; it never changes.

    Attributes:
        received_hour: hour of its folder, naive, UTC.
        name: file name without `.ndjson` and compression, so that compressing a segment makes no other of it.
    """

    received_hour: datetime
    name: str
    path: Path
    size_bytes: int


def list_hours(landing: Path) -> dict[datetime, int]:
    """The hours that have a folder, each with the time at which its set of files last changed, in ns since 1970.

    That costs one look at each folder, whatever the number of segments. A folder moved into place counts as changed.
    """
    hours = {}
    for folder, hour in _hour_folders(landing):
        if hour:
            with suppress(FileNotFoundError):
                hours[hour] = max(folder.stat().st_ctime_ns, Path(folder.path).parent.stat().st_ctime_ns)
    return hours


def list_segments(landing: Path, hour: datetime) -> list[Segment]:
    """The segments received in an hour, by name."""
    segments = []
    for name, file in _segment_files(_folder(landing, hour)).items():
        with suppress(FileNotFoundError):
            segments.append(Segment(hour, name, Path(file.path), file.stat().st_size))
    return sorted(segments)


def list_strays(landing: Path) -> list[Path]:
    """What lies in the landing zone, is no segment and is therefore not read; temporary names aside."""
    strays = []
    for entry, hour in _hour_folders(landing):
        if hour is None:
            strays.append(Path(entry.path))
        else:
            segments = {file.path for file in _segment_files(Path(entry.path)).values()}
            strays += [Path(file.path) for file in _entries(Path(entry.path)) if file.path not in segments]
    return sorted(strays)


def read_lines(segments: Iterable[Segment], chunk_bytes: int = CHUNK_BYTES) -> "Iterator[pa.RecordBatch]":
    """The lines of segments, in batches of about `chunk_bytes`; small segments share one.

    Columns: `received_hour` and `segment`, then those of `read_segment`. Each segment gives at least one row.

    Raises:
        OSError: a file can't be opened or read.
    """
    import pyarrow as pa

    waiting, waiting_bytes = [], 0
    for segment in segments:
        hour = pa.scalar(segment.received_hour, pa.timestamp("us"))
        for lines, size_bytes in read_segment(segment.path, chunk_bytes):
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
    """Writes one segment, which appears in the landing zone, durably, when the block ends, and not at all if it fails.

    Args:
        hour: received hour, naive, UTC.
        name: of letters, digits and `._=+@-`; unique within its hour for all time, such as one with a UUID in it.

    Raises:
        ValueError: the name or the hour is none.
        FileExistsError: the hour has a segment of this name.
        OSError: the disk is full, the folder can't be written to and so on.
    """

    def __init__(self, landing: Path, hour: datetime, name: str, compression: Compression | None = None) -> None:
        if not _NEW_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a segment; use up to 200 letters, digits and ._=+@-")
        if hour.tzinfo or hour != hour.replace(minute=0, second=0, microsecond=0):
            raise ValueError(f"{hour} is no received hour; give a full hour in UTC, without a zone")
        self._landing, self._hour, self._name = landing, hour, name
        self._folder = _folder(landing, hour)
        self._path = self._folder / ".".join(filter(None, [name, "ndjson", compression]))
        self._temporary = self._folder / f".{uuid.uuid4().hex}.tmp"
        self._compressor = _compressor(compression)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._name in _segment_files(self._folder):
            raise FileExistsError(f"{self._folder} already has a segment {self._name}")
        self._file = self._temporary.open("xb")
        return self

    def write(self, data: bytes) -> None:
        """Add bytes; lines end with a line feed and may be cut anywhere."""
        self._file.write(self._compressor.compress(data) if self._compressor else data)

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        try:
            with self._file:
                if failure:
                    return
                if self._compressor:
                    self._file.write(self._compressor.flush())
                self._file.flush()
                os.fsync(self._file.fileno())
            _move_in(self._landing, self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    @property
    def segment(self) -> Segment:
        """The segment, once it is written."""
        return Segment(self._hour, self._name, self._path, self._path.stat().st_size)


def write_segment(
    landing: Path, hour: datetime, name: str, chunks: Iterable[bytes], compression: Compression | None = None
) -> Segment:
    """Write a segment from the bytes that `chunks` yields; see `SegmentWriter`, also for what it raises."""
    with SegmentWriter(landing, hour, name, compression) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer.segment


def publish(file: Path, landing: Path, hour: datetime, name: str) -> None:
    """Make a file of the same file system, whose content is durable, a segment.

    Raises:
        OSError: the hour's folder can't be made, or the move could not be made durable.
    """
    folder = _folder(landing, hour)
    folder.mkdir(parents=True, exist_ok=True)
    _move_in(landing, file, folder / f"{name}.ndjson")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def _folder(landing: Path, hour: datetime) -> Path:
    return landing / hour.strftime(_DAY) / hour.strftime(_HOUR)


def _hour_folders(landing: Path) -> Iterator[tuple[os.DirEntry[str], datetime | None]]:
    """The folders of hours; with `None` for the hour, whatever else lies where they do."""
    for day in _entries(landing):
        if not day.is_dir() or not _parse(day.name, _DAY):
            yield day, None
            continue
        for folder in _entries(Path(day.path)):
            yield folder, _parse(f"{day.name}/{folder.name}", f"{_DAY}/{_HOUR}") if folder.is_dir() else None


def _parse(name: str, form: str) -> datetime | None:
    with suppress(ValueError):
        time = datetime.strptime(name, form)
        # `strptime` also takes `hr=5`.
        return time if time.strftime(form) == name else None
    return None


def _segment_files(folder: Path) -> dict[str, os.DirEntry[str]]:
    """The segments in a folder by name.

    While somebody compresses a segment there are two files of one name, and the plain one is the whole one.
    """
    files: dict[str, os.DirEntry[str]] = {}
    for entry in sorted(_entries(folder), key=lambda entry: len(entry.name)):
        match = _SEGMENT_FILE.fullmatch(entry.name)
        if match and match[1] not in files and entry.is_file():
            files[match[1]] = entry
    return files


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, apart from temporary names; nothing if there is no such folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".") and not entry.name.endswith(".tmp")]
    return []
