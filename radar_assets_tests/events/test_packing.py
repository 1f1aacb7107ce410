"""Packing the landing zone: hours become one compressed file each, and nothing that was read from them changes."""

import gzip
import os
import uuid
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import time_machine

from radar_assets.events.landing import (
    Landing,
    hour_folder,
    list_hours,
    list_segments,
    list_strays,
    read_lines,
    write_segment,
)
from radar_assets.events.packing import Packed, pack
from radar_assets.events.packs import PackedPath
from radar_assets.object_store import ObjectPath
from radar_assets.settings import Settings, load_settings
from radar_assets_tests.object_server import BUCKET
from radar_assets_tests.platform import Platform, event, instance_of, line

NOON = datetime(2026, 3, 10, 12)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AFTER_GRACE = datetime(2100, 1, 1)
"""Files have the time of the machine."""
NAMES = ["plain", "zipped", "frames"]


@pytest.fixture(params=["folder", "bucket"])
def platform(request: pytest.FixtureRequest, radar_home: Path) -> Iterator[Platform]:
    """Two hours of segments, loaded."""
    url = None
    if request.param == "bucket":
        request.getfixturevalue("object_server")
        url = f"s3://{BUCKET}/landing"
    settings = load_settings(home=radar_home, landing_url=url).prepare()
    with time_machine.travel(NOON + 2 * HOUR, tick=True), instance_of(settings) as instance:
        platform = Platform(settings, instance)
        for hour in (NOON, NOON + HOUR):
            for number, (name, compression) in enumerate(zip(NAMES, (None, "gz", "zst"), strict=True)):
                at = hour + timedelta(minutes=number)
                lines = [line(event(f"{at} {index}", at)) for index in range(20)]
                write_segment(settings.landing_zone, hour, name, [*lines, b"\n", b"not JSON\n"], compression)
        write_segment(settings.landing_zone, NOON, "empty", [])
        platform.settle()
        yield platform


def packed(platform: Platform, now: datetime, *, dry_run: bool = False) -> Packed:
    return pack(platform.lakehouse, now, DAY, dry_run=dry_run)


def lines_of(landing: Landing, hour: datetime) -> list[dict]:
    return pa.Table.from_batches(read_lines(list_segments(landing, hour))).to_pylist()


def files_of(landing: Landing) -> list[str]:
    if isinstance(landing, ObjectPath):
        return sorted(one.path.name for one in landing.objects())
    return sorted(path.name for path in landing.rglob("*") if path.is_file())


def test_packed_segments_keep_their_names_and_lines_and_are_not_loaded_again(platform: Platform) -> None:
    landing = platform.settings.landing_zone
    before = {hour: lines_of(landing, hour) for hour in list_hours(landing)}
    tables = platform.tables()
    later = NOON + 2 * HOUR + DAY
    planned = packed(platform, later, dry_run=True)
    assert len(files_of(landing)) == 7

    done = packed(platform, later)
    assert (done.hours, done.segments, done.before_bytes) == (2, 7, planned.before_bytes)
    assert done.after_bytes > 0
    assert {hour: lines_of(landing, hour) for hour in list_hours(landing)} == before
    assert list_strays(landing) == []
    assert len(files_of(landing)) == 9, "readers may have listed the segments"
    assert packed(platform, later) == Packed()

    removed = packed(platform, AFTER_GRACE)
    assert (removed.hours, removed.removed_files, removed.removed_bytes) == (0, 7, done.before_bytes)
    assert len(files_of(landing)) == 2
    assert {hour: lines_of(landing, hour) for hour in list_hours(landing)} == before
    with time_machine.travel(later + 2 * DAY, tick=True):
        assert platform.tick("landing_sensor") == []
        platform.rebuild("hourly_job", "2026-03-10-12:00", "2026-03-10-13:00")
    assert platform.tables() == tables


def test_segments_that_come_later_join_the_pack_once_they_are_loaded(platform: Platform) -> None:
    landing, later = platform.settings.landing_zone, NOON + 2 * HOUR + DAY
    packed(platform, later)
    write_segment(landing, NOON, "late", [line(event("late", NOON))])
    assert packed(platform, later + DAY).kept == 1
    assert "late" in {segment.name for segment in list_segments(landing, NOON)}
    with pytest.raises(FileExistsError, match="already has a segment plain"):
        write_segment(landing, NOON, "plain", [])
    with time_machine.travel(later + DAY, tick=True):
        platform.settle()
    before = lines_of(landing, NOON)

    assert packed(platform, later + 2 * DAY).segments == 5
    packed(platform, AFTER_GRACE)
    assert [name.endswith(".zip") for name in files_of(landing)] == [True, True]
    assert lines_of(landing, NOON) == before


@pytest.fixture
def one_hour(settings: Settings) -> Iterator[Platform]:
    """One loaded segment."""
    # Otherwise all days until today would be built as well.
    with time_machine.travel(NOON + DAY, tick=True), instance_of(settings) as instance:
        platform = Platform(settings, instance)
        platform.land(NOON, [event("1", NOON)], "a")
        platform.settle()
        yield platform


def test_a_damaged_pack_is_named_and_nothing_is_removed_for_it(one_hour: Platform) -> None:
    landing = one_hour.settings.landing
    packed(one_hour, NOON + 2 * DAY)
    (file,) = landing.rglob("*.zip")
    content = bytearray(file.read_bytes())
    content[60] ^= 1
    file.write_bytes(content)
    one_hour.land(NOON + HOUR, [event("2", NOON + HOUR)], "b")
    one_hour.settle()
    with pytest.raises(OSError, match=f"1 hour .*{file.name} is damaged"):
        packed(one_hour, AFTER_GRACE)
    assert [segment.name for segment in list_segments(landing, NOON)] == ["a"]
    assert len([*landing.rglob("*.zip")]) == 2, "the other hour is packed"
    file.write_bytes(content[:-30])
    assert list_strays(landing) == [file]
    assert packed(one_hour, AFTER_GRACE).hours == 1


@pytest.mark.parametrize("has_originals", [True, False])
def test_a_damaged_pack_is_replaced_from_the_originals_or_holds_up_only_its_hour(
    one_hour: Platform, has_originals: bool
) -> None:
    landing = one_hour.settings.landing
    packed(one_hour, NOON + 2 * DAY)
    if not has_originals:
        packed(one_hour, AFTER_GRACE)
    (file,) = landing.rglob("*.zip")
    content = bytearray(file.read_bytes())
    content[60] ^= 1
    file.write_bytes(content)
    for hour in (NOON, NOON + HOUR):
        one_hour.land(hour, [event(f"late {hour}", hour)], "late")
    one_hour.settle()
    if not has_originals:
        with pytest.raises(OSError, match=r"1 hour .* 2026-03-10 12:00 UTC: a.ndjson is damaged"):
            packed(one_hour, NOON + 2 * DAY)
        assert len([*(landing / hour_folder(NOON + HOUR)).glob("*.zip")]) == 1
        return
    assert packed(one_hour, NOON + 2 * DAY).hours == 2
    packed(one_hour, AFTER_GRACE)
    assert [path.suffix for path in (landing / hour_folder(NOON)).iterdir()] == [".zip"]
    assert [line["problem"] for line in lines_of(landing, NOON)] == [None, None]


def test_a_pack_damaged_anywhere_stops_no_reader(one_hour: Platform) -> None:
    landing = one_hour.settings.landing
    before = lines_of(landing, NOON)
    packed(one_hour, NOON + 2 * DAY)
    packed(one_hour, AFTER_GRACE)
    (file,) = landing.rglob("*.zip")
    sound, outcomes = file.read_bytes(), set()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 0xFF
        file.write_bytes(damaged)
        os.utime(file, ns=(place, place))  # lists of contents are cached by this time
        list_strays(landing)
        segments = list_segments(landing, NOON)
        lines = lines_of(landing, NOON) if segments else []
        problems = [line["problem"] for line in lines if line["problem"]]
        outcomes.add("missing" if not segments else problems[0].partition(":")[0] if problems else "same")
        assert problems or not segments or [line["text"] for line in lines] == [line["text"] for line in before]
    assert outcomes == {"missing", "unreadable_segment", "same"}


def test_files_with_other_content_than_in_the_pack_stay_and_are_read(one_hour: Platform) -> None:
    landing = one_hour.settings.landing
    packed(one_hour, NOON + 2 * DAY)
    (file,) = landing.rglob("a.ndjson")
    grown = file.read_bytes() + line(event("2", NOON))
    file.write_bytes(grown)
    stray = file.with_suffix(".ndjson.gz")
    stray.write_bytes(gzip.compress(line(event("3", NOON))))
    assert packed(one_hour, AFTER_GRACE).removed_files == 0
    assert len(lines_of(landing, NOON)) == 2
    changed = bytearray(grown[: grown.index(b"\n") + 1])
    changed[20] ^= 1
    file.write_bytes(changed)
    assert packed(one_hour, AFTER_GRACE).removed_files == 0, "of the same size"
    assert file.exists()
    assert stray.exists()


def test_a_single_compressed_segment_stays_as_it_is(one_hour: Platform) -> None:
    landing = one_hour.settings.landing
    write_segment(landing, NOON + HOUR, "b", [line(event("2", NOON + HOUR))], "zst")
    one_hour.settle()
    assert packed(one_hour, NOON + 2 * DAY).hours == 1
    assert [path.name for path in (landing / hour_folder(NOON + HOUR)).iterdir()] == ["b.ndjson.zst"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")
def test_packs_of_other_users_do_not_count(one_hour: Platform) -> None:
    packed(one_hour, NOON + 2 * DAY)
    (file,) = one_hour.settings.landing.rglob("*.zip")
    os.chown(file, 4242, 4242)
    assert list_strays(one_hour.settings.landing) == [file]
    assert [type(segment.path) for segment in list_segments(one_hour.settings.landing, NOON)] != [PackedPath]
    done = packed(one_hour, AFTER_GRACE)
    assert (done.hours, done.removed_files) == (1, 0)


def test_drafts_of_killed_processes_are_removed(one_hour: Platform) -> None:
    folder = one_hour.settings.landing / hour_folder(NOON)
    ours, others = folder / f".{uuid.uuid4().hex}.tmp", folder / ".batch-1"
    ours.touch()
    others.touch()
    packed(one_hour, NOON + 2 * DAY)
    assert ours.exists()
    packed(one_hour, AFTER_GRACE)
    assert not ours.exists()
    assert others.exists()


def test_any_program_can_read_a_pack(one_hour: Platform) -> None:
    packed(one_hour, NOON + 2 * DAY)
    (file,) = one_hour.settings.landing.rglob("*.zip")
    with zipfile.ZipFile(file) as archive:
        assert archive.read("a.ndjson") == line(event("1", NOON))
