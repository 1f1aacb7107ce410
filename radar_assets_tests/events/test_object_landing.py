"""A landing zone in an object store behaves like a local one, and the pipeline works on it."""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from radar_assets.events.landing import (
    Compression,
    SegmentWriter,
    list_hours,
    list_segments,
    list_strays,
    read_lines,
    write_segment,
)
from radar_assets.object_store import MAX_PREFETCH_BYTES, ObjectPath
from radar_assets.settings import SettingsError, load_settings
from radar_assets_tests.object_server import BUCKET, ObjectServer
from radar_assets_tests.platform import Platform, event, line

HOUR = datetime(2026, 3, 1, 12)
LANDING = ObjectPath(f"s3://{BUCKET}/some/landing")


def texts(landing: ObjectPath | Path) -> list[tuple[str, str]]:
    """Segment and text of each line of the hour."""
    lines = pa.Table.from_batches(read_lines(list_segments(landing, HOUR)))
    return list(zip(lines["segment"].to_pylist(), lines["text"].to_pylist(), strict=True))


@pytest.mark.parametrize("compression", [None, "gz", "zst"])
def test_lines_come_back_as_from_a_local_landing_zone(
    object_server: ObjectServer, tmp_path: Path, compression: Compression | None
) -> None:
    for number in range(20):
        lines = [f"{number} {index}\n".encode() for index in range(10)]
        for landing in (LANDING, tmp_path):
            written = write_segment(landing, HOUR, f"segment-{number}", lines, compression)
        assert (
            written.size_bytes
            == next(one for one in list_segments(LANDING, HOUR) if one.name == written.name).size_bytes
        )
    assert len(texts(LANDING)) == 200
    assert texts(LANDING) == texts(tmp_path)


def test_a_segment_too_large_to_prefetch_is_streamed(object_server: ObjectServer) -> None:
    lines = (b"x" * 999 + b"\n") * 1000
    write_segment(LANDING, HOUR, "large", [lines] * (MAX_PREFETCH_BYTES // len(lines) + 1))
    (segment,) = list_segments(LANDING, HOUR)
    assert segment.size_bytes > MAX_PREFETCH_BYTES
    assert sum(batch.num_rows for batch in read_lines([segment])) == segment.size_bytes / 1000


def test_a_segment_is_never_overwritten(object_server: ObjectServer) -> None:
    write_segment(LANDING, HOUR, "one", [b"first\n"])
    with pytest.raises(FileExistsError, match="one"):
        write_segment(LANDING, HOUR, "one", [b"second\n"], "gz")
    # Nor by a writer that checked before the other one finished: there the server refuses, by `If-None-Match`.
    with pytest.raises(FileExistsError), SegmentWriter(LANDING, HOUR, "two") as late:
        write_segment(LANDING, HOUR, "two", [b"first\n"])
        late.write(b"second\n")
    assert texts(LANDING) == [("one", "first"), ("two", "first")]


def test_a_writer_that_fails_leaves_nothing(object_server: ObjectServer) -> None:
    with pytest.raises(KeyError), SegmentWriter(LANDING, HOUR, "failed") as writer:
        writer.write(b"half")
        raise KeyError
    assert list(LANDING.objects()) == []


def test_hours_and_strays_are_distinguished(object_server: ObjectServer) -> None:
    write_segment(LANDING, HOUR, "one", [b"1\n"])
    (LANDING / "dt=2026-03-01" / "hr=13" / "segment.json").put_new(b"{}")
    (LANDING / "dt=2026-03-01" / "hr=13" / ".hidden.ndjson").put_new(b"{}")
    (LANDING / "dt=2026-03-01" / "hr=12" / "folder" / "segment.ndjson").put_new(b"{}")
    (LANDING / ".folder" / "segment.ndjson").put_new(b"{}")
    (LANDING / "dt=2026-03-1" / "hr=12" / "segment.ndjson").put_new(b"{}")
    ObjectPath(f"s3://{BUCKET}/some/landing-of-another/dt=2026-03-01/hr=14/one.ndjson").put_new(b"{}")
    assert HOUR in list_hours(LANDING)
    assert [segment.name for segment in list_segments(LANDING, HOUR)] == ["one"]
    assert [str(stray).removeprefix(f"{LANDING}/") for stray in list_strays(LANDING)] == [
        "dt=2026-03-01/hr=12/folder/segment.ndjson",
        "dt=2026-03-01/hr=13/segment.json",
        "dt=2026-03-1/hr=12/segment.ndjson",
    ]


def test_a_missing_bucket_is_reported_as_an_invalid_setting(object_server: ObjectServer) -> None:
    with pytest.raises(SettingsError, match=r"RADAR_LANDING_URL: s3://no-bucket/landing.*AWS_"):
        load_settings(landing_url="s3://no-bucket/landing").prepare()


def test_segments_in_an_object_store_are_loaded_including_late_ones(
    object_server: ObjectServer, tmp_path: Path
) -> None:
    settings = load_settings(landing_url=str(LANDING)).prepare()
    platform = Platform(settings, dg.DagsterInstance.local_temp(str(tmp_path)))
    later = HOUR + timedelta(hours=5)
    for received, name in ((later, "first"), (HOUR, "late")):
        write_segment(LANDING, received, name, [line(event(name, received))])
        (request,) = platform.tick("landing_sensor")
        platform.execute("hourly_job", request)
        assert platform.tick("landing_sensor") == []
    assert sorted(row["event_id"] for row in platform.rows("events")) == ["first", "late"]
    platform.close()
