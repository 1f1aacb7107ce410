"""The landing zone: segments appear completely or not at all, those of any writer are found, and every readable line is read."""

import gzip
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from radar_assets.events.landing import (
    Compression,
    Segment,
    SegmentWriter,
    list_hours,
    list_segments,
    list_strays,
    read_lines,
    write_segment,
)
from radar_assets.events.segments import MAX_KEPT_BYTES
from radar_assets_tests.events.lines import good_line
from radar_assets_tests.events.test_contract import raw_events

HOUR = datetime(2026, 3, 1, 12)
COMPRESSIONS: list[Compression | None] = [None, "gz", "zst"]

Line = tuple[int, bytes | str | None, str | None]


def read(segments: list[Segment], chunk_bytes: int = 2**20) -> list[Line]:
    """Number, content (text if it is UTF-8) and problem of every line."""
    found: list[Line] = []
    for batch in read_lines(segments, chunk_bytes):
        batch.validate(full=True)
        for row in batch.to_pylist():
            assert row["text"] is None or row["line"] is None
            content = row["line"] if row["text"] is None else row["text"]
            found.append((row["line_number"], content, row["problem"] and row["problem"].split(":")[0]))
    return found


def land(landing: Path, content: bytes, name: str = "segment", suffix: str = "ndjson") -> list[Segment]:
    """Add a file to the zone as a log shipper does."""
    folder = landing / "dt=2026-03-01" / "hr=12"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.{suffix}").write_bytes(content)
    return list_segments(landing, HOUR)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_segment_appears_completely_when_its_writer_is_done(tmp_path: Path, compression: Compression | None) -> None:
    with SegmentWriter(tmp_path, HOUR, "segment", compression) as writer:
        writer.write(b'{"a":')
        writer.write(b"1}\n")
        assert list_segments(tmp_path, HOUR) == []
        assert list_strays(tmp_path) == []
    assert list_segments(tmp_path, HOUR) == [writer.segment]
    suffix = f".{compression}" if compression else ""
    assert writer.segment.path == tmp_path / "dt=2026-03-01" / "hr=12" / f"segment.ndjson{suffix}"
    assert writer.segment.size_bytes == writer.segment.local_path.stat().st_size
    assert read([writer.segment]) == [(1, '{"a":1}', None)]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"{}\n"
        raise RuntimeError("the sender is gone")

    with pytest.raises(RuntimeError):
        write_segment(tmp_path, HOUR, "segment", chunks())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_segment_is_never_overwritten(tmp_path: Path, compression: Compression | None) -> None:
    segment = write_segment(tmp_path, HOUR, "segment", [b"1\n"])
    with pytest.raises(FileExistsError):
        write_segment(tmp_path, HOUR, "segment", [b"2\n"], compression)
    assert read([segment]) == [(1, "1", None)]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../escape", "a/b", "/etc/passwd", ".hidden", "a\0b", "a b", "é", "x" * 201]
)
def test_invalid_segment_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="invalid segment name"):
        write_segment(tmp_path / "landing", HOUR, name, [b"1\n"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hour", [HOUR.replace(minute=1), HOUR.replace(tzinfo=UTC)])
def test_times_other_than_full_hours_in_utc_are_refused(tmp_path: Path, hour: datetime) -> None:
    with pytest.raises(ValueError, match="invalid received hour"):
        write_segment(tmp_path, hour, "segment", [b"1\n"])


def test_segments_of_any_name_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b", "a b", "é 😀", "\u202eevil", "x.ndjson", "Robert'); drop table events;--"):
        land(tmp_path, b"1\n", name)
    names = [segment.name for segment in list_segments(tmp_path, HOUR)]
    assert names == sorted(["b", "a b", "é 😀", "\u202eevil", "x.ndjson", "Robert'); drop table events;--"])
    assert list_strays(tmp_path) == []


def test_a_segment_stays_the_same_while_it_is_being_compressed(tmp_path: Path) -> None:
    (plain,) = land(tmp_path, b"1\n2\n")
    (half_way,) = land(tmp_path, gzip.compress(b"1\n2\n")[:10], suffix="ndjson.gz")
    assert half_way == plain
    land(tmp_path, gzip.compress(b"1\n2\n"), suffix="ndjson.gz")
    plain.local_path.unlink()
    (compressed,) = list_segments(tmp_path, HOUR)
    assert compressed.name == plain.name
    assert read([compressed]) == read(land(tmp_path, b"1\n2\n"))


def test_an_hour_without_a_folder_has_no_segments(tmp_path: Path) -> None:
    assert list_segments(tmp_path / "nowhere", HOUR) == []
    assert list_hours(tmp_path / "nowhere") == {}
    assert list_strays(tmp_path / "nowhere") == []


def test_the_time_of_an_hour_changes_when_a_segment_is_added_or_removed(tmp_path: Path) -> None:
    def hours() -> dict[datetime, int]:
        """The hours, after waiting for the next tick of the file system's clock, which takes a few milliseconds."""
        found, probe = list_hours(tmp_path), tmp_path / ".probe"
        while probe.touch() or probe.stat().st_mtime_ns <= found[HOUR]:
            pass
        return found

    land(tmp_path, b"1\n", "a")
    first = hours()
    assert list(first) == [HOUR]
    assert hours() == first
    land(tmp_path, b"1\n", "b")
    second = hours()
    assert second[HOUR] > first[HOUR]
    list_segments(tmp_path, HOUR)[0].local_path.unlink()
    assert hours()[HOUR] > second[HOUR]


def test_a_folder_of_old_times_that_is_moved_into_place_counts_as_changed(tmp_path: Path) -> None:
    land(tmp_path / "staging", b"1\n")
    day = tmp_path / "staging" / "dt=2026-03-01"
    for folder in (day / "hr=12", day):
        os.utime(folder, (0, 0))
    (tmp_path / "landing").mkdir()
    before = (tmp_path / "landing").stat().st_ctime_ns
    day.rename(tmp_path / "landing" / day.name)
    assert list_hours(tmp_path / "landing")[HOUR] >= before


def test_other_files_are_reported_and_not_read(tmp_path: Path) -> None:
    land(tmp_path, b"1\n")
    hour = tmp_path / "dt=2026-03-01" / "hr=12"
    strays = [
        tmp_path / "README",
        tmp_path / "dt=2026-02-30" / "hr=12",
        tmp_path / "dt=2026-3-1",
        tmp_path / "events",
        hour.parent / "hr=24",
        hour.parent / "hr=5",
        hour.parent / "segment.ndjson",
        hour / "segment.json",
        hour / "folder.ndjson",
        hour / ".ndjson.gz.bak",
        hour / os.fsdecode(b"\xff.ndjson"),
    ]
    for path in strays:
        path.mkdir(parents=True) if not path.suffix or path.stem == "folder" else path.write_bytes(b"1\n")
    temporary = [hour / ".segment.ndjson", hour / "segment.ndjson.tmp", tmp_path / ".staging"]
    for path in temporary:
        path.write_bytes(b"1\n")
    strays[1] = strays[1].parent
    strays.remove(hour / ".ndjson.gz.bak")
    assert list_strays(tmp_path) == sorted(strays)
    assert [segment.name for segment in list_segments(tmp_path, HOUR)] == ["segment"]
    assert list(list_hours(tmp_path)) == [HOUR]


def link_to(target: Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize("path", ["dt=2026-03-01/hr=12/a.ndjson", "dt=2026-03-01/hr=13", "dt=2026-03-02"])
def test_links_are_not_followed(tmp_path: Path, path: str) -> None:
    secret = tmp_path / "elsewhere" / "hr=12" / "secret.ndjson"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(b"secret\n")
    landing = tmp_path / "landing"
    segment = write_segment(landing, HOUR, "segment", [b"1\n"])
    link = landing / path
    link.symlink_to({1: secret.parent.parent, 2: secret.parent, 3: secret}[len(link.relative_to(landing).parts)])
    assert list_strays(landing) == [link]
    assert list(list_hours(landing)) == [HOUR]
    assert list_segments(landing, HOUR) == [segment]
    assert list_segments(landing, HOUR.replace(hour=13)) == list_segments(landing, HOUR.replace(day=2)) == []


def test_the_landing_zone_itself_can_be_a_link(tmp_path: Path) -> None:
    land(tmp_path / "disk", b"1\n")
    (tmp_path / "landing").symlink_to(tmp_path / "disk")
    assert list(list_hours(tmp_path / "landing")) == [HOUR]
    assert read(list_segments(tmp_path / "landing", HOUR)) == [(1, "1", None)]


@pytest.mark.parametrize("make", [link_to(Path("/etc/passwd")), os.mkfifo, Path.mkdir])
def test_a_segment_that_is_replaced_by_a_link_after_listing_is_not_read(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    segments = land(tmp_path, b"1\n")
    path = segments[0].local_path
    path.unlink()
    make(path)
    assert list_segments(tmp_path, HOUR) == []
    with pytest.raises(OSError, match=re.escape(path.name)):
        read(segments)


def test_a_folder_that_is_replaced_by_a_link_after_listing_is_not_followed(tmp_path: Path) -> None:
    land(tmp_path / "elsewhere", b"secret\n")
    segments = land(tmp_path / "landing", b"1\n")
    day = segments[0].local_path.parent.parent
    shutil.rmtree(day)
    day.symlink_to(tmp_path / "elsewhere" / day.name)
    with pytest.raises(NotADirectoryError, match=day.name):
        read(segments)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    landing, outside = tmp_path / "landing", tmp_path / "outside"
    outside.mkdir()
    (landing / "dt=2026-03-01").mkdir(parents=True)
    (landing / "dt=2026-03-01" / "hr=12").symlink_to(outside)
    with pytest.raises(NotADirectoryError, match="hr=12"):
        write_segment(landing, HOUR, "segment", [b"1\n"])
    assert list(outside.iterdir()) == []


def lines_of(content: bytes) -> list[Line]:
    """The expected lines of some content, computed in a simple way."""
    found: list[Line] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip(b" \t\r"):
            try:
                found.append((number, line.decode(), None))
            except UnicodeDecodeError:
                found.append((number, line, None))
    return found or [(0, None, "empty_segment")]


contents = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b" ", b"\t", b"{}", b'{"a":1}', b"twelve bytes", b"thirteen byte", b"\xff", b"\x00"]
    )
    | st.sampled_from(["é", "😀", "\u2028", "\x85", "\x0b"]).map(str.encode)
    | st.binary(max_size=20),
    max_size=30,
).map(b"".join)


@given(contents, st.integers(1, 40), st.sampled_from(COMPRESSIONS))
def test_lines_are_split_only_at_line_feeds_whatever_the_chunks(
    content: bytes, chunk_bytes: int, compression: Compression | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        segment = write_segment(Path(folder), HOUR, "segment", [content], compression)
        assert read([segment], chunk_bytes) == lines_of(content)


def test_small_segments_share_a_batch_and_keep_their_names(tmp_path: Path) -> None:
    contents = [b"", b"1\n", b"\n2\n3\n", b"x" * 1000] * 25
    for number, content in enumerate(contents):
        land(tmp_path, content, f"s{number:03d}")
    (batch,) = read_lines(list_segments(tmp_path, HOUR))
    rows = batch.to_pylist()
    assert {row["received_hour"] for row in rows} == {HOUR}
    for number, content in enumerate(contents):
        numbers = [row["line_number"] for row in rows if row["segment"] == f"s{number:03d}"]
        assert numbers == [line_number for line_number, *_ in lines_of(content)]


def test_further_members_and_frames_are_read(tmp_path: Path) -> None:
    land(tmp_path, gzip.compress(b"1\n2") + gzip.compress(b"\n3\n") + gzip.compress(b""), "a", "ndjson.gz")
    frames = zstandard.compress(b"1\n2"), zstandard.compress(b"\n3\n")
    segments = land(tmp_path, b"".join(frames), "b", "ndjson.zst")
    assert read(segments) == [(1, "1", None), (2, "2", None), (3, "3", None)] * 2


@pytest.mark.parametrize("compression", ["gz", "zst"])
@pytest.mark.parametrize("chunk_bytes", [1000, 2**20])
def test_a_truncated_segment_keeps_all_lines_before_the_cut(
    tmp_path: Path, compression: Compression, chunk_bytes: int
) -> None:
    wanted = [good_line(event_id=f"e-{os.urandom(8).hex()}") for _ in range(5000)]
    segment = write_segment(tmp_path, HOUR, "segment", (line + b"\n" for line in wanted), compression)
    whole = segment.local_path.read_bytes()
    segment.local_path.write_bytes(whole[: len(whole) * 2 // 3])
    *good, last = read([segment], chunk_bytes)
    assert len(good) > 1000
    assert good == [(number, line.decode(), None) for number, line in enumerate(wanted[: len(good)], start=1)]
    assert last[0] == len(good) + 1
    assert last[2] == "unreadable_segment"
    assert last[1] is None or (isinstance(last[1], bytes) and wanted[len(good)].startswith(last[1]))


@pytest.mark.parametrize("suffix", ["ndjson.gz", "ndjson.zst"])
@pytest.mark.parametrize("content", [b"no compressed data", b"\x00" * 100, b"{}\n"])
def test_a_segment_with_the_wrong_suffix_is_one_problem(tmp_path: Path, suffix: str, content: bytes) -> None:
    assert read(land(tmp_path, content, suffix=suffix)) == [(1, None, "unreadable_segment")]


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_damaged_segment_keeps_the_lines_before_the_damage(tmp_path: Path, compression: Compression) -> None:
    wanted = [good_line(event_id=f"e-{os.urandom(8).hex()}") for _ in range(20_000)]
    segment = write_segment(tmp_path, HOUR, "segment", (line + b"\n" for line in wanted), compression)
    content = bytearray(segment.local_path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    segment.local_path.write_bytes(content)
    *good, last = read([segment])
    assert len(good) > 1000
    assert good[:1000] == [(number, line.decode(), None) for number, line in enumerate(wanted[:1000], start=1)]
    assert last[2] == "unreadable_segment"


def test_unreadable_and_empty_segments_affect_no_others(tmp_path: Path) -> None:
    write_segment(tmp_path, HOUR, "a", [good_line(event_id="a") + b"\n"])
    land(tmp_path, gzip.compress(good_line() * 2 + b"\n" + os.urandom(1000).hex().encode())[:-100], "b", "ndjson.gz")
    land(tmp_path, b"", "c")
    land(tmp_path, b" \n\r\n", "d", "ndjson")
    write_segment(tmp_path, HOUR, "e", [good_line(event_id="e") + b"\n"])
    rows = [(row["segment"], row["line_number"], row["event_id"], row["reason"]) for row in raw_events(tmp_path)]
    assert rows == [
        ("a", 1, "a", None),
        ("b", 1, None, "not_json"),
        ("b", 2, None, "unreadable_segment"),
        ("c", 0, None, "empty_segment"),
        ("d", 0, None, "empty_segment"),
        ("e", 1, "e", None),
    ]


@pytest.mark.parametrize("ending", [b"\n{}\n", b"\n{}", b""])
def test_an_extremely_long_line_is_truncated_and_reading_continues(tmp_path: Path, ending: bytes) -> None:
    with SegmentWriter(tmp_path, HOUR, "segment", "zst") as writer:
        writer.write(b"{}\n")
        for _ in range(5):
            writer.write(b"x" * (MAX_KEPT_BYTES // 4))
        writer.write(ending)
    first, long, *rest = read([writer.segment], 8 * 2**20)
    assert first == (1, "{}", None)
    assert long == (2, b"x" * MAX_KEPT_BYTES, "line_too_long")
    assert rest == ([(3, "{}", None)] if ending else [])
