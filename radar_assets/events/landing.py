"""The landing zone: folders of NDJSON segments by received hour. Readers see a segment completely or not at all.

Writing, finding and reading segments belongs here. The format of packs is in `packs.py`, making them in `packing.py`, and how a file
appears durably in `drafts.py`; the contract validates lines.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from radar_assets.events.drafts import draft, move_in
from radar_assets.events.local_zone import LocalFile, is_folder, make_hour, zone_of
from radar_assets.events.packs import PACK_FILE, SEGMENT_FILE, Pack, PackedPath, members, packed_files
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
_NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+@-]{0,199}")


@dataclass(frozen=True, order=True)
class Segment:
    """A file of the landing zone or in a pack, which never changes.

    Attributes:
        received_hour: hour of its folder (naive, UTC).
        name: file name without `.ndjson` and compression, so that a compressed segment keeps its name.
        size_bytes: size of the file, in a pack that of its content.
        modified_ns: when the file or its pack was last modified, in ns since 1970; 0 for a new segment.
    """

    received_hour: datetime
    name: str
    path: Path | ObjectPath | PackedPath
    size_bytes: int
    modified_ns: int = field(default=0, compare=False)

    @property
    def local_path(self) -> Path:
        """The path on this machine.

        Raises:
            TypeError: the segment is in an object store or a pack.
        """
        if not isinstance(self.path, Path):
            raise TypeError(f"{self.path} is in an object store or a pack")
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
    """The segments received in an hour, ordered by name.

    One that is in a pack as well is read from there, because its own file may be removed, but not if the file has another size.
    """
    segments = list_unpacked(landing, hour)
    for pack in list_packs(landing, hour):
        for name, member in pack.members.items():
            packed = Segment(hour, name, PackedPath(pack.path, member.file), member.size_bytes, pack.modified_ns)
            present = segments.get(name, packed)
            if present.path.name != member.file or present.size_bytes == member.size_bytes:
                segments[name] = packed
    return sorted(segments.values())


def list_unpacked(landing: Landing, hour: datetime) -> dict[str, Segment]:
    """The segments received in an hour that are files of their own, by name, even if they are in a pack as well."""
    segments: dict[str, Segment] = {}
    if isinstance(landing, ObjectPath):
        for one, at, name in sorted(_objects(landing, hour), key=lambda listed: len(listed[0].path.url)):
            if name and at == hour:
                segments.setdefault(name, Segment(hour, name, one.path, one.size_bytes, _ns(one)))
        return segments
    for name, file in _segment_files(landing / hour_folder(hour)).items():
        with suppress(FileNotFoundError):
            status = file.stat(follow_symlinks=False)
            segments[name] = Segment(hour, name, Path(file.path), status.st_size, status.st_mtime_ns)
    return segments


def list_packs(landing: Landing, hour: datetime) -> list[Pack]:
    """The packs of an hour, oldest first, without damaged ones."""
    if isinstance(landing, ObjectPath):
        objects = (one for one, at, _ in _objects(landing, hour) if at == hour)
        files = [(one.path, one.size_bytes, _ns(one)) for one in objects if PACK_FILE.fullmatch(one.path.name)]
    else:
        files = []
        for file in _pack_files(landing / hour_folder(hour)):
            with suppress(FileNotFoundError):
                status = file.stat(follow_symlinks=False)
                files.append((Path(file.path), status.st_size, status.st_mtime_ns))
    packs = []
    for path, size_bytes, modified_ns in sorted(files, key=lambda listed: (listed[2], str(listed[0]))):
        with suppress(FileNotFoundError):
            packs.append(Pack(path, size_bytes, modified_ns, members(path, modified_ns)))
    return [pack for pack in packs if pack.members]


def list_strays(landing: Landing) -> list[Path] | list[ObjectPath]:
    """Files and folders in the landing zone that are neither segments nor sound packs, and not read, without temporary files."""
    if isinstance(landing, ObjectPath):
        return [one.path for one, hour, name in _objects(landing) if not (hour and (name or _is_sound(one)))]
    strays = []
    for entry, hour in _hour_folders(landing):
        if hour is None:
            strays.append(Path(entry.path))
        else:
            read = {file.path for file in _segment_files(Path(entry.path)).values()}
            read |= {str(pack.path) for pack in list_packs(landing, hour)}
            strays += [Path(file.path) for file in _entries(Path(entry.path)) if file.path not in read]
    return sorted(strays)


def read_lines(segments: Iterable[Segment], chunk_bytes: int = CHUNK_BYTES) -> "Iterator[pa.RecordBatch]":
    """Read the lines of segments in batches of about `chunk_bytes`; small segments share a batch.

    The columns are `received_hour`, `segment`, and those of `read_segment`. Each segment has at least one row.

    Raises:
        OSError: a file can't be opened or read.
    """
    import pyarrow as pa

    waiting, waiting_bytes = [], 0
    for segment, content in contents(list(segments)):
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
        self._path = landing / hour_folder(hour) / ".".join(filter(None, [name, "ndjson", compression]))
        self._landing = landing
        self._compressor = _compressor(compression)
        self._size_bytes = 0

    def __enter__(self) -> Self:
        if self._name in {segment.name for segment in list_segments(self._landing, self._hour)}:
            raise FileExistsError(f"{self._path}: the hour already has a segment {self._name}")
        with ExitStack() as stack:
            self._file = stack.enter_context(draft(self._path))
            stack.push(self._end)
            self._stack = stack.pop_all()
        return self

    def write(self, data: bytes) -> None:
        """Add bytes. Lines end with a line feed, and chunks may end anywhere."""
        self._file.write(self._compressor.compress(data) if self._compressor else data)

    def _end(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure:
            return
        if self._compressor:
            self._file.write(self._compressor.flush())
        self._size_bytes = self._file.tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def segment(self) -> Segment:
        """The segment, after it was written."""
        return Segment(self._hour, self._name, self._path, self._size_bytes)


def write_segment(
    landing: Landing, hour: datetime, name: str, chunks: Iterable[bytes], compression: Compression | None = None
) -> Segment:
    """Write a segment from chunks of bytes; see `SegmentWriter` for the arguments and errors."""
    with SegmentWriter(landing, hour, name, compression) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer.segment


def segment_path(landing: _Place, hour: datetime, name: str) -> _Place:
    """Path of an uncompressed segment."""
    return landing / hour_folder(hour) / f"{name}.ndjson"


def publish(file: Path, landing: Path, hour: datetime, name: str) -> None:
    """Turn a file into a segment. It must be on the same file system, with durable content.

    Raises:
        OSError: the hour's folder can't be created, or the move can't be made durable.
    """
    path = segment_path(landing, hour, name)
    make_hour(landing, path.parent)
    move_in(file, path)


def _compressor(compression: Compression | None) -> Any:
    if compression == "gz":
        return zlib.compressobj(level=6, wbits=31)
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return None


def hour_folder(hour: datetime) -> str:
    """The folder of an hour, below the landing zone."""
    return hour.strftime(f"{_DAY}/{_HOUR}")


def _ns(one: ObjectInfo) -> int:
    return int(one.modified_at.timestamp()) * 10**9


def contents(segments: list[Segment]) -> Iterator[tuple[Segment, Readable]]:
    """The segments with their content, in their order."""
    distant = fetch_ahead((one.path, one.size_bytes) for one in segments if isinstance(one.path, ObjectPath))
    packed = packed_files(one.path for one in segments if isinstance(one.path, PackedPath))
    for segment in segments:
        if isinstance(segment.path, PackedPath):
            yield segment, next(packed)
        elif isinstance(segment.path, ObjectPath):
            yield segment, next(distant)
        else:
            yield segment, LocalFile(zone_of(segment.path), segment.path)


def _is_sound(one: ObjectInfo) -> bool:
    return PACK_FILE.fullmatch(one.path.name) is not None and bool(members(one.path, _ns(one)))


def _objects(
    landing: ObjectPath, hour: datetime | None = None
) -> Iterator[tuple[ObjectInfo, datetime | None, str | None]]:
    """The objects of a landing zone or one of its hours, without temporary ones.

    Each comes with the hour and the name of its segment, or `None` where they are not valid.
    """
    prefix = landing / hour_folder(hour) if hour else landing
    for one in prefix.objects():
        key = one.path.relative_to(landing)
        folder, _, file = key.rpartition("/")
        # Web consoles of object stores create objects with an empty name as folders.
        if file and "/." not in f"/{key}" and not file.endswith(".tmp"):
            match = SEGMENT_FILE.fullmatch(file)
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
        match = SEGMENT_FILE.fullmatch(entry.name)
        if match and match[1] not in files and entry.is_file(follow_symlinks=False):
            files[match[1]] = entry
    return files


def _pack_files(folder: Path) -> list[os.DirEntry[str]]:
    """The packs in the folder of an hour. Folders that are symbolic links have none, and packs of other users don't count."""
    if not (is_folder(folder) and is_folder(folder.parent)):
        return []
    files = [
        file for file in _entries(folder) if PACK_FILE.fullmatch(file.name) and file.is_file(follow_symlinks=False)
    ]
    owners = {folder.parents[1].stat().st_uid, os.geteuid()}
    return [file for file in files if file.stat(follow_symlinks=False).st_uid in owners]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder without temporary files; empty if the folder doesn't exist."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".") and not entry.name.endswith(".tmp")]
    return []
