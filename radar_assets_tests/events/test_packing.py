"""Packing the landing zone: hours become one compressed file each, and nothing that was read from them changes."""

import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import time_machine

from radar_assets.events.landing import Landing, list_hours, list_segments, list_strays, read_lines, write_segment
from radar_assets.events.packing import Packed, pack
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


def test_a_damaged_pack_is_named_and_nothing_is_removed_for_it(settings: Settings) -> None:
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        platform.land(NOON, [event("1", NOON)], "a")
        platform.settle()
        packed(platform, NOON + 2 * DAY)
        (file,) = settings.landing.rglob("*.zip")
        content = bytearray(file.read_bytes())
        content[60] ^= 1
        file.write_bytes(content)
        with pytest.raises(OSError, match=f"{file.name} is damaged"):
            packed(platform, AFTER_GRACE)
        file.write_bytes(content[:-30])
        assert list_strays(settings.landing) == [file]
        assert [segment.name for segment in list_segments(settings.landing, NOON)] == ["a"]
        assert packed(platform, AFTER_GRACE).hours == 1


def test_any_program_can_read_a_pack(settings: Settings) -> None:
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        content = line(event("1", NOON))
        platform.land(NOON, [content], "a")
        platform.settle()
        packed(platform, NOON + 2 * DAY)
        (file,) = settings.landing.rglob("*.zip")
        with zipfile.ZipFile(file) as archive:
            assert archive.read("a.ndjson") == content
