"""Importing files: what lands where, and that nothing is lost or lands twice."""

import csv
import gzip
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radar_assets.events import import_sources
from radar_assets.events.access_logs import AccessLog
from radar_assets.events.importer import ImportFailedError, ImportResult, Progress
from radar_assets_tests.events.importing import Importer, accepted, canonical

DATA = Path(__file__).parents[3] / "shared" / "data"
real_data = pytest.mark.skipif(not DATA.exists(), reason="the real data sets are not in ../shared/data")


class TestCanonicalEvents:
    def test_lines_land_unchanged_in_their_received_hour(self, importer: Importer):
        early, late = "2026-03-01T10:59:59.999999Z", "2026-03-01T12:00:00+01:00"
        lines = [
            canonical(1, late),
            canonical(2, early),
            canonical(3, late, user_id="\"'; drop table x; 🦆\u202e"),
            canonical(4, early),
        ]
        result = importer(b"".join(lines), "ndjson")
        ten, eleven = datetime(2026, 3, 1, 10), datetime(2026, 3, 1, 11)
        assert importer.landed() == {ten: [lines[1], lines[3]], eleven: [lines[0], lines[2]]}
        assert result == ImportResult(4, 4, 0, 2, 0, (ten, eleven), {"shop": 4})
        assert accepted(importer.lines())

    def test_fields_that_doors_fill_in_are_added(self, importer: Importer):
        before = datetime.now(UTC)
        importer(canonical(1, event_id=..., received_at=..., protocol=...) + canonical(2, received_at=None), "ndjson")
        first, second = importer.events()
        assert (first["protocol"], second["protocol"]) == ("import", "segment")
        assert before <= datetime.fromisoformat(first["received_at"]) == datetime.fromisoformat(second["received_at"])
        assert len(first["event_id"]) == 32
        assert second["event_id"] == "e2"
        assert first["properties"] == {"number": 1}
        assert accepted(importer.lines())

    def test_sent_at_is_only_kept_with_received_at(self, importer: Importer):
        sent_at = "2026-03-01T09:30:00Z"
        importer(canonical(1, sent_at=sent_at) + canonical(2, sent_at=sent_at, received_at=...), "ndjson")
        importer(
            canonical(3, sent_at=sent_at) + canonical(4, sent_at=sent_at, received_at=...), "ndjson", project="shop"
        )
        sent = {event["event_id"]: event.get("sent_at") for event in importer.events()}
        assert sent == {"e1": sent_at, "e2": None, "e3": "2026-03-01T09:30:00.000000Z", "e4": None}

    def test_lines_that_are_not_events_land_unchanged_with_their_neighbours(self, importer: Importer):
        good = [canonical(1, "2026-03-01T10:00:00Z"), canonical(2, "2026-03-01T10:30:00Z")]
        bad = [
            b"not json\n",
            b'{"truncated": \n',
            b"[1, 2]\n",
            b"5\n",
            b"null\n",
            b'{"not": "utf-8 \xff\xfe"}\n',
            b'{"lone": "\\ud800"}\n',
            b"\x00\x01\x02\n",
            b'{"deep": ' + b"[" * 100_000 + b"\n",
        ]
        result = importer(b"".join([bad[0], good[0], *bad[1:], good[1]]), "ndjson")
        assert importer.landed() == {datetime(2026, 3, 1, 10): [bad[0], good[0], *bad[1:], good[1]]}
        assert (result.lines, result.events, result.unreadable) == (len(good + bad), 2, len(bad))

    def test_an_invalid_received_time_is_left_to_the_contract(self, importer: Importer):
        lines = [canonical(1), canonical(2, "infinity"), canonical(3, "yesterday"), canonical(4, 5)]
        importer(b"".join(lines), "ndjson")
        assert importer.landed() == {datetime(2026, 3, 1, 10): lines}

    def test_lines_received_before_the_start_or_in_the_future_land_in_the_nearest_hour(self, importer: Importer):
        lines = [canonical(1, "2019-12-31T23:59:59Z"), canonical(2, "9999-12-31T23:59:59Z")]
        importer(b"".join(lines), "ndjson")
        first, last = importer.landed().items()
        assert first == (datetime(2020, 1, 1), [lines[0]])
        assert last[1] == [lines[1]]
        assert timedelta() <= datetime.now(UTC).replace(tzinfo=None) - last[0] < timedelta(hours=2)

    def test_blank_lines_are_skipped_and_the_last_line_needs_no_line_feed(self, importer: Importer):
        result = importer(b"\xef\xbb\xbf" + canonical(1) + b"\n\r\n" + canonical(2).strip(), "ndjson")
        assert importer.lines() == [canonical(1), canonical(2)]
        assert result.lines == 2

    def test_an_empty_file_lands_nothing(self, importer: Importer):
        assert importer(b"", "ndjson") == ImportResult(0, 0, 0, 0, 0, (), {})
        assert importer.landed() == {}

    @pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress, bytes])
    def test_compression_is_detected_by_content(self, importer: Importer, compress: Callable[[bytes], bytes]):
        lines = [canonical(number) for number in range(100)]
        importer(compress(b"".join(lines[:50])) + compress(b"".join(lines[50:])), "ndjson")
        assert importer.lines() == lines

    def test_standard_input_can_be_imported(self, importer: Importer):
        code = (
            "import sys; from datetime import date; from pathlib import Path; "
            "from radar_assets.events.importer import import_file; "
            "from radar_assets.lakehouse.engines.duckdb import DuckDBEngine; "
            "engine = DuckDBEngine('256MB', 1, Path(sys.argv[1]) / 'tmp'); "
            "import_file(Path('-'), Path(sys.argv[1]), engine=engine, format='ndjson', start=date(2020, 1, 1))"
        )
        content = gzip.compress(canonical(1) + canonical(2))
        subprocess.run([sys.executable, "-c", code, str(importer.landing)], input=content, check=True)
        assert importer.lines() == [canonical(1), canonical(2)]


class TestSafety:
    def test_importing_a_file_again_changes_nothing(self, importer: Importer):
        content = b"".join(canonical(number, f"2026-03-01T{number % 7:02}:00:00Z") for number in range(50)) + b"bad\n"
        first = importer(content, "ndjson")
        before = importer.segments()
        again = importer(importer.file(gzip.compress(content), "copy.gz"), "ndjson")
        assert importer.segments() == before
        assert (first.segments, first.segments_there, again.segments, again.segments_there) == (7, 0, 0, 7)
        assert (again.lines, again.hours) == (first.lines, first.hours)

    def test_the_same_file_with_other_arguments_is_another_import(self, importer: Importer):
        importer(canonical(1), "ndjson")
        assert importer(canonical(1), "ndjson", constants={"protocol": "replay"}).segments == 1
        assert len(importer.lines()) == 2

    def test_generated_ids_are_reproducible_and_unique(self, importer: Importer, tmp_path: Path):
        content = canonical(1, event_id=...) * 3
        importer(content, "ndjson")
        other = Importer(tmp_path / "other")
        other(content, "ndjson")
        assert other.events() == importer.events()
        assert len({event["event_id"] for event in importer.events()}) == 3

    def test_a_file_that_has_grown_adds_only_new_lines(self, importer: Importer, small_blocks: Callable[[int], None]):
        lines = [canonical(number, event_id=...) for number in range(10)]
        small_blocks(2 * len(lines[0]))
        importer(b"".join(lines[:6]), "ndjson")
        result = importer(b"".join(lines), "ndjson")
        assert (result.segments_there, result.segments) == (3, 2)
        assert len({event["event_id"] for event in importer.events()}) == 10

    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        # Not an object, which would be given an id and the time of the import.
        lines=st.lists(
            st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"").replace(b"{", b"")), max_size=20
        ),
        size=st.integers(1, 300),
    )
    def test_no_line_is_lost_wherever_blocks_are_split(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        small_blocks: Callable[[int], None],
        lines: list[bytes],
        size: int,
    ):
        small_blocks(size)
        importer = Importer(tmp_path_factory.mktemp("cut") / "import")
        given_lines = [canonical(1).strip(), *lines, canonical(2).strip(), *lines]
        result = importer(b"\n".join(given_lines), "ndjson")
        written = [line + b"\n" for line in given_lines if line not in (b"", b"\r")]
        assert importer.landed() == {datetime(2026, 3, 1, 10): written}
        assert result.lines == len(written)

    def test_an_endless_line_is_split(self, importer: Importer, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(import_sources, "BLOCK_BYTES", 100)
        monkeypatch.setattr(import_sources, "LONGEST_LINE", 1_000)
        importer(b"x" * 2_500 + b"\n" + canonical(1), "ndjson")
        event, *pieces = importer.lines()
        assert event == canonical(1)
        assert b"".join(pieces).replace(b"\n", b"") == b"x" * 2_500
        assert len(pieces) == 3

    def test_a_truncated_file_lands_its_readable_part_and_is_reported(
        self, importer: Importer, small_blocks: Callable[[int], None]
    ):
        lines = [canonical(number) for number in range(2_000)]
        content = gzip.compress(b"".join(lines))
        small_blocks(100 * len(lines[0]))
        with pytest.raises(ImportFailedError, match=r"half\.gz can't be read: Truncated"):
            importer(importer.file(content[: len(content) // 2], "half.gz"), "ndjson")
        landed = len(importer.lines())
        assert 0 < landed < 2_000
        importer(content, "ndjson")
        assert {event["event_id"] for event in importer.events()} == {f"e{number}" for number in range(2_000)}

    def test_a_file_that_can_not_be_opened_is_named(self, importer: Importer, tmp_path: Path):
        with pytest.raises(ImportFailedError, match=r"nowhere\.csv can't be read: No such file"):
            importer(tmp_path / "nowhere.csv", "csv")
        with pytest.raises(ImportFailedError, match="Is a directory"):
            importer(tmp_path, "ndjson")

    def test_progress_ends_at_the_size_of_the_file(self, importer: Importer, small_blocks: Callable[[int], None]):
        content = b"".join(canonical(number) for number in range(100))
        small_blocks(len(content) // 4)
        steps: list[Progress] = []
        importer(content, "ndjson", on_progress=steps.append)
        assert len(steps) >= 4
        assert [step.lines for step in steps] == sorted(step.lines for step in steps)
        assert steps[-1] == Progress(len(content), len(content), 100)


@real_data
class TestRealData:
    def test_the_access_log_gives_its_sessions_and_keeps_its_malformed_line(self, importer: Importer):
        path = DATA / "apache-log" / "apache_logs.log"
        result = importer(
            path, "apache", project="web", log=AccessLog("http://www.semicomplete.com"), start=date(2015, 1, 1)
        )
        assert (result.lines, result.events, result.unreadable) == (10_000, 9_999, 1)
        good = [line for line in importer.lines() if line.startswith(b'{"event_id"')]
        (bad,) = set(importer.lines()) - set(good)
        assert bad in path.read_bytes().splitlines(keepends=True)
        assert accepted(good, "web", date(2015, 1, 1))

        visits: dict[str, list[datetime]] = defaultdict(list)
        for line in good:
            event = json.loads(line)
            visits[event["anonymous_id"]].append(datetime.fromisoformat(event["timestamp"]))
        sizes = []
        for times in visits.values():
            times.sort()
            starts = [0, *(i for i in range(1, len(times)) if times[i] - times[i - 1] > timedelta(minutes=30))]
            sizes += [end - start for start, end in zip(starts, [*starts[1:], len(times)], strict=True)]
        assert (len(sizes), sizes.count(1)) == (3_223, 1_774)

    def test_the_git_history_is_received_when_it_was_committed(self, importer: Importer):
        path = DATA / "git-events" / "commits.csv.gz"
        mapping = {"project_id": "project", "timestamp": "event_time", "received_at": "received_time"}
        # Most of it was received before the start and lands in one segment, since thousands of small ones would take long.
        result = importer(path, "csv", mapping=mapping, start=date(2026, 6, 1))
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = {row["event_id"]: row for row in csv.DictReader(file)}
        assert (result.lines, result.events, len(result.projects)) == (len(rows), len(rows), 17) == (99_867, 99_867, 17)
        start = datetime(2026, 6, 1)
        for hour, lines in importer.landed().items():
            for line in lines:
                event = json.loads(line)
                row = rows.pop(event["event_id"])
                received = datetime.fromtimestamp(int(row["received_time"]), UTC)
                assert datetime.fromisoformat(event["received_at"]) == received
                assert datetime.fromisoformat(event["timestamp"]).timestamp() == int(row["event_time"])
                assert (event["project_id"], event["user_id"]) == (row["project"], row["user_id"])
                assert event["properties"] == {"parents": row["parents"]}
                assert hour == max(start, received.replace(tzinfo=None, minute=0, second=0))
        assert rows == {}


def test_a_link_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "export.ndjson").write_bytes(b'{"a": 1}\n')
    (tmp_path / "latest").symlink_to("export.ndjson")
    (block,) = import_sources.read_blocks(tmp_path / "latest")
    assert bytes(block.data) == b'{"a": 1}\n'
