"""Packs the segments of hours that are over: each hour of the landing zone becomes one compressed file.

A segment is packed once it is loaded. Its own file stays until the pack is older than a grace period, because readers may have listed
it. A process that is killed at any point leaves each segment in a file of its own, in a pack, or in both.
"""

import hashlib
import os
import shutil
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from radar_assets.events.drafts import draft, remove_abandoned
from radar_assets.events.landing import Landing, Segment, contents, hour_folder, list_hours, list_packs, list_unpacked
from radar_assets.events.loading import loaded_segments
from radar_assets.events.local_zone import LocalFile, zone_of
from radar_assets.events.packs import DamagedPackError, Member, Pack, PackedPath, damage_of, open_file
from radar_assets.lakehouse.files import EPOCH
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.object_store import ObjectPath
from radar_assets.windows import HOUR

PACKED_AFTER = timedelta(days=1)
"""How long after its end an hour is packed. Late uploads have arrived by then."""
HOURS_AT_ONCE = 24
WRITTEN_AT = (1980, 1, 1, 0, 0, 0)
"""Time of each segment in a pack: the earliest in ZIP files, since the name and the folder say when it was received."""


@dataclass
class Packed:
    """What was packed, or is to be.

    Attributes:
        hours: received hours that got a new pack.
        segments: segments in those packs.
        before_bytes, after_bytes: size of those segments before, and of their packs.
        removed_files, removed_bytes: files whose segments are in an older pack, and that were removed.
        kept: hours with segments that are not loaded, which are left alone.
    """

    hours: int = 0
    segments: int = 0
    before_bytes: int = 0
    after_bytes: int = 0
    removed_files: int = 0
    removed_bytes: int = 0
    kept: int = 0


def pack(lakehouse: Lakehouse, now: datetime, grace: timedelta, *, dry_run: bool = False) -> Packed:
    """Pack the hours that ended a day ago or earlier, and remove the files whose segments were packed before the grace period.

    Args:
        now: naive, UTC.
        dry_run: only find out what there is to do; `after_bytes` stays 0.

    Raises:
        OSError: hours could not be packed, for example because their folder is not writable or a pack is damaged. All others are done.
    """
    landing, done, before = lakehouse.settings.landing_zone, Packed(), now - grace
    errors: list[tuple[datetime, Exception]] = []
    hours = [hour for hour in sorted(list_hours(landing)) if hour + HOUR + PACKED_AFTER <= now]
    for first in range(0, len(hours), HOURS_AT_ONCE):
        sources = {hour: _sources(landing, hour) for hour in hours[first : first + HOURS_AT_ONCE]}
        new = {hour: files for hour, files in sources.items() if _is_to_pack(*files)}
        loaded = loaded_segments(lakehouse, lakehouse.snapshot("raw_events"), sorted(new)) if new else set()
        for hour, (segments, packs) in sources.items():
            try:
                if hour not in new:
                    _remove_packed(segments, packs, before, done, dry_run=dry_run)
                elif all((hour, name) in loaded for name in segments):
                    _pack_hour(landing, hour, segments, packs, done, dry_run=dry_run)
                else:
                    done.kept += 1
                if isinstance(landing, Path) and not dry_run:
                    remove_abandoned(landing / hour_folder(hour), before)
            except (OSError, DamagedPackError) as error:
                errors.append((hour, error))
    if errors:
        (hour, first_error), count = errors[0], f"{len(errors):,} hour{'s' if errors[1:] else ''}"
        text = f"{count} of the landing zone could not be packed, the first {hour:%Y-%m-%d %H:%M} UTC: {first_error}"
        raise OSError(text) from first_error
    return done


def _sources(landing: Landing, hour: datetime) -> tuple[dict[str, Segment], list[Pack]]:
    return list_unpacked(landing, hour), list_packs(landing, hour)


def _is_to_pack(segments: dict[str, Segment], packs: list[Pack]) -> bool:
    """Whether the newest pack lacks a segment. A single compressed segment gains nothing from a pack."""
    if not packs and len(segments) == 1 and not next(iter(segments.values())).path.name.endswith(".ndjson"):
        return False
    names = set(segments).union(*(pack.members for pack in packs))
    return bool(names.difference(packs[-1].members if packs else ()))


def _pack_hour(
    landing: Landing,
    hour: datetime,
    segments: dict[str, Segment],
    packs: list[Pack],
    done: Packed,
    *,
    dry_run: bool,
) -> None:
    """Write all segments of an hour to one pack."""
    # Files of their own come first: they are the originals.
    segments = dict(segments)
    for name, path, member in ((name, pack.path, one) for pack in packs for name, one in pack.members.items()):
        if name not in segments or segments[name].path.name != member.file:
            segments[name] = Segment(hour, name, PackedPath(path, member.file), member.size_bytes)
    done.hours += 1
    done.segments += len(segments)
    done.before_bytes += sum(segment.size_bytes for segment in segments.values())
    if dry_run:
        return
    # Segments never change, so their names and sizes stand for their content.
    listed = [(segment.name, segment.size_bytes) for segment in sorted(segments.values())]
    path = landing / hour_folder(hour) / f"segments-{hashlib.sha256(repr(listed).encode()).hexdigest()[:32]}.zip"
    with suppress(FileExistsError), draft(path) as file:
        _write(sorted(segments.values()), file)
        _verify(path, file)
        done.after_bytes += file.seek(0, os.SEEK_END)


def _write(segments: list[Segment], file: BinaryIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for segment, content in contents(segments):
            info = zipfile.ZipInfo(f"{segment.name}.ndjson{content.suffix.removeprefix('.ndjson')}", WRITTEN_AT)
            info.compress_type = zipfile.ZIP_DEFLATED if content.suffix == ".ndjson" else zipfile.ZIP_STORED
            with content.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 2**20)


def _remove_packed(
    segments: dict[str, Segment], packs: list[Pack], before: datetime, done: Packed, *, dry_run: bool
) -> None:
    """Remove the files that the newest pack makes unnecessary, if it was written before a time. Files with other content stay."""
    if not packs or EPOCH + timedelta(microseconds=packs[-1].modified_ns // 1000) > before:
        return
    newest = packs[-1]
    older = [pack for pack in packs[:-1] if all(newest.members.get(name) == one for name, one in pack.members.items())]
    same = [one for name, one in segments.items() if _is_same(one, newest.members[name])]
    if not same and not older:
        return
    if not dry_run:
        with open_file(newest.path) as file:
            _verify(newest.path, file)
    for one in (*same, *older):
        if not dry_run:
            _remove(one.path)
        done.removed_files += 1
        done.removed_bytes += one.size_bytes


def _is_same(segment: Segment, member: Member) -> bool:
    """Whether the file of a segment has the content of the one in a pack."""
    if (segment.path.name, segment.size_bytes) != (member.file, member.size_bytes):
        return False
    checksum = 0
    for _, content in contents([segment]):
        with content.open("rb") as file:
            while block := file.read(2**20):
                checksum = zlib.crc32(block, checksum)
    return checksum == member.checksum


def _remove(path: Path | ObjectPath | PackedPath) -> None:
    if isinstance(path, ObjectPath):
        path.delete()
    elif isinstance(path, Path):
        LocalFile(zone_of(path), path).unlink()


def _verify(path: Path | ObjectPath, file: BinaryIO) -> None:
    """Raise an `OSError` unless each segment in a pack has its checksum."""
    try:
        with damage_of(path.name), zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except DamagedPackError as error:
        raise OSError(f"{path} is damaged: {error.__cause__}") from error
    if damaged:
        raise OSError(f"{path} is damaged: {damaged} has another checksum")
