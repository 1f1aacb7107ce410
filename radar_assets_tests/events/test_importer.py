"""Importing files: what lands where, and that nothing is lost or lands twice."""

import csv
import gzip
import hashlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radar_assets.events import import_formats, import_sources
from radar_assets.events.contract import CanonicalEvent, parse
from radar_assets.events.importer import ImportFailedError, ImportResult, Progress, import_file
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.lakehouse.engines.duckdb import DuckDBEngine

START = date(2020, 1, 1)
DATA = Path(__file__).parents[3] / "shared" / "data"
real_data = pytest.mark.skipif(not DATA.exists(), reason="the real data sets are not in ../shared/data")


class Importer:
    """Imports files into its own landing zone, and reads what landed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landing = folder / "landing"
        self.landing.mkdir(parents=True)
        self.engine = DuckDBEngine("512MB", 2, folder / "scratch")

    def file(self, content: bytes | str, name: str = "export") -> Path:
        """A file with this content."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def __call__(self, source: Path | bytes | str, format: str, **asked: Any) -> ImportResult:
        path = source if isinstance(source, Path) else self.file(source)
        return import_file(path, self.landing, engine=self.engine, format=format, **{"start": START, **asked})  # pyright: ignore[reportArgumentType]

    def landed(self) -> dict[datetime, list[bytes]]:
        """The lines of each received hour, in the order of its segments."""
        return {
            hour: [
                line
                for segment in list_segments(self.landing, hour)
                for line in re.findall(rb"[^\n]*\n", segment.path.read_bytes())
            ]
            for hour in sorted(list_hours(self.landing))
        }

    def lines(self) -> list[bytes]:
        """All lines."""
        return [line for lines in self.landed().values() for line in lines]

    def events(self) -> list[dict[str, Any]]:
        """All lines as JSON, in the order of their event ids."""
        return [json.loads(line) for line in self.lines()]

    def segments(self) -> dict[str, tuple[int, bytes]]:
        """Content of each segment, and when it was written."""
        return {
            str(path.relative_to(self.landing)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in self.landing.rglob("*.ndjson")
        }


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path / "import")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the block size, so that a few lines span several blocks like those of a large file."""

    def set_size(size: int) -> None:
        monkeypatch.setattr(import_sources, "BLOCK_BYTES", size)
        monkeypatch.setattr(import_formats, "BLOCK_BYTES", size)

    return set_size


def canonical(number: int, received_at: Any = "2026-03-01T10:00:00Z", **fields: Any) -> bytes:
    """A canonical line. Fields set to `...` are left out."""
    event = {
        "event_id": f"e{number}",
        "project_id": "shop",
        "type": "track",
        "event": "order",
        "user_id": "u1",
        "timestamp": "2026-03-01T09:59:59Z",
        "received_at": received_at,
        "properties": {"number": number},
        "protocol": "segment",
    } | fields
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode() + b"\n"


def accepted(lines: Iterable[bytes], project: str = "shop", start: date = START) -> bool:
    """Whether the contract accepts all lines."""
    return all(isinstance(parse(line.strip(), [project], start), CanonicalEvent) for line in lines)


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
        lines=st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"")), max_size=20),
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


CSV = "id,who,when,what,got,amount\n"
MAPPED = {"event_id": "id", "user_id": "who", "timestamp": "when", "event": "what", "received_at": "got"}


class TestMapping:
    def row(self, importer: Importer, row: str, **asked: Any) -> dict[str, Any]:
        """Import a row of the file above. Returns its event."""
        importer(CSV + row + "\n", "csv", **{"project": "shop", "mapping": MAPPED, **asked})
        (event,) = importer.events()
        return event

    def test_mapped_columns_become_fields_and_others_properties(self, importer: Importer):
        event = self.row(importer, "e1,u1,2026-03-01T09:00:00Z,order,2026-03-01T10:00:00Z,12.50")
        assert event == {
            "event_id": "e1",
            "project_id": "shop",
            "event": "order",
            "user_id": "u1",
            "timestamp": "2026-03-01T09:00:00.000000Z",
            "received_at": "2026-03-01T10:00:00.000000Z",
            "properties": {"amount": "12.50"},
            "protocol": "import",
        }
        assert list(importer.landed()) == [datetime(2026, 3, 1, 10)]
        assert accepted(importer.lines())

    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("1772359200", "2026-03-01T10:00:00.000000Z"),
            ("1772359200.25", "2026-03-01T10:00:00.250000Z"),
            ("1772359200250", "2026-03-01T10:00:00.250000Z"),
            ("1772359200250001", "2026-03-01T10:00:00.250001Z"),
            ("1772359200250001000", "2026-03-01T10:00:00.250001Z"),
            ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000000Z"),
            ("2026-03-01T12:00:00.5+02:00", "2026-03-01T10:00:00.500000Z"),
            ("2026-03-01 10:00:00", "2026-03-01T10:00:00.000000Z"),
            ("2026-03-01", "2026-03-01T00:00:00.000000Z"),
            ("next week", "next week"),
            ("nan", "nan"),
            ("1e300", "1e300"),
            ("infinity", "infinity"),
        ],
    )
    def test_times_are_recognised_or_left_to_the_contract(self, importer: Importer, text: str, time: str):
        event = self.row(importer, f"e1,u1,{text},order,{text},")
        assert (event["timestamp"], event["received_at"]) == (time, time)
        assert accepted(importer.lines()) == (text != time or "T" in text)

    def test_fields_and_members_can_be_set_to_constants(self, importer: Importer):
        constants = {"event": "refund", "type": "track", "context.country": "DE", "properties.source": 'o\'shop "1"'}
        mapping = {**MAPPED, "context.userAgent": "what", "properties.revenue": "amount"}
        del mapping["event"]
        event = self.row(importer, "e1,u1,1772359200,curl/8,1772359200,5", mapping=mapping, constants=constants)
        assert (event["event"], event["type"]) == ("refund", "track")
        assert event["context"] == {"userAgent": "curl/8", "country": "DE"}
        assert event["properties"] == {"revenue": "5", "source": 'o\'shop "1"'}

    def test_columns_named_like_fields_need_no_mapping(self, importer: Importer):
        importer("project_id;event;user_id;timestamp\nshop;order;u1;1772359200\n", "csv")
        (event,) = importer.events()
        assert (event["project_id"], event["event"], event["user_id"]) == ("shop", "order", "u1")

    def test_an_object_in_a_column_becomes_the_object_of_the_event(self, importer: Importer):
        header = "project_id\tevent\tuser_id\ttimestamp\tproperties\tcontext\tmore\n"
        row = 'shop\torder\tu1\t1772359200\t"{""a"":\n {""b"": null}}"\tplain text\tx\n'
        importer(header + row, "csv")
        (event,) = importer.events()
        assert event["properties"] == {"a": {"b": None}, "more": "x"}
        assert event["context"] == {"context": "plain text"}

    def test_members_of_json_objects_can_be_mapped_and_keep_their_types(self, importer: Importer):
        line = {
            "uuid": 7,
            "user": {"id": 42, "plan": "pro"},
            "a.b": "dotted",
            "ts": 1772359200123,
            "event": "order",
            "properties": {"items": [1, None]},
            "total": 12.5,
            "agent": {"ua": "curl/8", "ip": None},
        }
        mapping = {
            "event_id": "uuid",
            "user_id": "user.id",
            "anonymous_id": "a.b",
            "timestamp": "ts",
            "properties.revenue": "total",
            "context.userAgent": "agent.ua",
        }
        importer(json.dumps(line) + "\n", "ndjson", mapping=mapping, project="shop")
        (event,) = importer.events()
        assert event.pop("received_at")
        assert event == {
            "event_id": "7",
            "project_id": "shop",
            "event": "order",
            "user_id": "42",
            "anonymous_id": "dotted",
            "timestamp": "2026-03-01T10:00:00.123000Z",
            "properties": {"items": [1, None], "revenue": 12.5, "user": {"plan": "pro"}, "agent": {}},
            "context": {"userAgent": "curl/8"},
            "protocol": "import",
        }
        assert accepted(importer.lines())

    def test_a_field_of_later_lines_only_is_found(self, importer: Importer, small_blocks: Callable[[int], None]):
        lines = [canonical(1, session_id=...), canonical(2, session_id="s2", extra=True)]
        small_blocks(len(lines[0]))
        importer(b"".join(lines), "ndjson", constants={"protocol": "replay"})
        first, second = importer.events()
        assert "session_id" not in first
        assert second["session_id"] == "s2"
        assert second["properties"] == {"number": 2, "extra": True}
        assert (first["protocol"], second["protocol"]) == ("replay", "replay")

    def test_lines_that_are_not_objects_land_unchanged(self, importer: Importer):
        bad = [b"nothing\n", b"[1]\n", b'"text"\n', b"\xff\n"]
        result = importer(b"".join([canonical(1), *bad]), "ndjson", project="other")
        assert importer.lines()[1:] == bad
        assert (result.events, result.unreadable, result.projects) == (1, 4, {"other": 1})

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            (
                {"mapping": {**MAPPED, "category": "kind"}},
                "unknown column kind; the columns are id, who, when, what, got, amount",
            ),
            (
                {"mapping": {**MAPPED, "colour": "what"}},
                "unknown event field colour; use one of event_id, project_id,",
            ),
            ({"constants": {"user_id": "u1"}}, "user_id is mapped to the column who and set to a constant; remove one"),
            ({"project": None}, "project_id is required: map a column to it"),
            (
                {"mapping": {"event": "what", "timestamp": "when"}},
                "user_id or anonymous_id is required: map a column",
            ),
        ],
    )
    def test_invalid_arguments_are_reported_before_anything_lands(
        self, importer: Importer, asked: dict[str, Any], message: str
    ):
        with pytest.raises(ImportFailedError, match=message):
            self.row(importer, "e1,u1,1772359200,order,1772359200,5", **asked)
        assert importer.landed() == {}


class TestCsv:
    HEADER = "project_id,event,user_id,timestamp,note\n"

    def notes(self, importer: Importer, *rows: str) -> list[str | None]:
        """The notes of the rows' events. Lines that are not events are returned unchanged."""
        importer(self.HEADER + "".join(rows), "csv")
        events = []
        for line in importer.lines():
            text = line.decode("utf-8", "surrogateescape")
            events.append(json.loads(text).get("properties", {}).get("note") if text.startswith("{") else text)
        return events

    def row(self, note: str) -> str:
        return f"shop,order,u1,1772359200,{note}\n"

    @pytest.mark.parametrize(
        ("cell", "note"),
        [
            ("plain", "plain"),
            ('"with, comma"', "with, comma"),
            ('"say ""hi"""', 'say "hi"'),
            ('"two\nlines\n\nand more"', "two\nlines\n\nand more"),
            ('a " b', 'a " b'),
            ("", None),
            ("ünï 🦆 \u2028", "ünï 🦆 \u2028"),
            ("007", "007"),
        ],
    )
    def test_cells_are_parsed_as_spreadsheets_write_them(self, importer: Importer, cell: str, note: str | None):
        assert self.notes(importer, self.row(cell), self.row("after")) == [note, "after"]

    def test_an_unclosed_quote_costs_only_its_own_line(self, importer: Importer):
        rows = [self.row(str(number)) for number in range(1_000)]
        bad = self.row('"opened')
        notes = self.notes(importer, *rows[:500], bad, *rows[500:])
        assert sorted(map(str, notes)) == sorted([bad, *map(str, range(1_000))])

    def test_rows_with_another_number_of_cells_land_unchanged(self, importer: Importer):
        bad = ["too,few\n", "shop,order,u1,1772359200,a,b\n"]
        assert self.notes(importer, bad[0], self.row("good"), bad[1]) == [bad[0], "good", bad[1]]

    def test_rows_that_are_not_utf8_land_unchanged(self, importer: Importer):
        bad = b"shop,order,u1,1772359200,caf\xe9\n"
        importer(self.HEADER.encode() + bad + self.row("good").encode(), "csv")
        assert importer.lines()[0] == bad
        assert len(importer.lines()) == 2

    def test_records_can_span_blocks(self, importer: Importer, small_blocks: Callable[[int], None]):
        small_blocks(50)
        rows = [self.row(f'"{number}\n{number}"') for number in range(50)]
        assert sorted(map(str, self.notes(importer, *rows))) == sorted(f"{number}\n{number}" for number in range(50))

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_that_of_the_header(self, importer: Importer, delimiter: str):
        content = "\ufeff" + (self.HEADER + self.row("x")).replace(",", delimiter).replace("\n", "\r\n")
        importer(content, "csv")
        assert importer.events()[0]["properties"] == {"note": "x"}

    def test_a_header_is_needed(self, importer: Importer):
        with pytest.raises(ImportFailedError, match="empty"):
            importer("", "csv")
        with pytest.raises(ImportFailedError, match="duplicate column 'event'"):
            importer("event,event\n", "csv")

    def test_columns_can_have_any_name(self, importer: Importer):
        names = ["Note", "note", "a.b", "'", '""', "🦆", "$now", ""]
        header = "project_id,event,user_id,timestamp," + ",".join(f'"{name}"' for name in names) + "\n"
        importer(
            header + "shop,order,u1,1772359200," + ",".join(str(index) for index in range(len(names))) + "\n", "csv"
        )
        expected = {name.replace('""', '"'): str(index) for index, name in enumerate(names)}
        assert importer.events()[0]["properties"] == expected


LOG = (
    '93.184.216.34 - frank [17/May/2015:10:05:03 +0200] "GET /a?b=c HTTP/1.1" 200 2326 '
    '"https://www.google.com/" "Mozilla/5.0 \\"quoted\\""\n'
)


class TestAccessLog:
    def test_a_request_becomes_a_page_view(self, importer: Importer):
        result = importer(LOG, "apache", project="web", site="https://example.com", start=date(2015, 1, 1))
        (event,) = importer.events()
        agent = 'Mozilla/5.0 "quoted"'
        assert len(event.pop("event_id")) == 32
        assert event == {
            "project_id": "web",
            "type": "page",
            "event": "page_view",
            "user_id": "frank",
            "anonymous_id": hashlib.sha256(f"93.184.216.34 {agent}".encode()).hexdigest()[:32],
            "timestamp": "2015-05-17T08:05:03.000000Z",
            "received_at": "2015-05-17T08:05:03.000000Z",
            "properties": {
                "url": "https://example.com/a?b=c",
                "path": "/a",
                "status": 200,
                "bytes": 2326,
                "method": "GET",
                "referrer": "https://www.google.com/",
            },
            "context": {"userAgent": agent, "ip": "93.184.216.0"},
            "protocol": "import",
        }
        assert result.hours == (datetime(2015, 5, 17, 8),)

    @pytest.mark.parametrize(
        ("line", "properties", "context"),
        [
            (
                '10.0.0.7 - - [17/May/2015:10:05:03 +0000] "HEAD / HTTP/1.0" 304 -\n',
                {"url": "/", "path": "/", "status": 304, "method": "HEAD"},
                {"ip": "10.0.0.0"},
            ),
            (
                '2001:db8:1:2::7 - - [17/May/2015:10:05:03 +0000] "-" 408 0 "-" "-"\r\n',
                {"status": 408, "bytes": 0},
                {"ip": "2001:db8:1::"},
            ),
            (
                'host.example - - [17/May/2015:10:05:03 +0000] "GET http://a.example/x y HTTP/1.1" 400 1 "-" "x"\n',
                {
                    "url": "http://a.example/x y",
                    "path": "http://a.example/x y",
                    "status": 400,
                    "bytes": 1,
                    "method": "GET",
                },
                {"userAgent": "x"},
            ),
        ],
    )
    def test_missing_values_of_the_log_are_left_out(
        self, importer: Importer, line: str, properties: dict, context: dict
    ):
        importer(line, "apache", project="web")
        (event,) = importer.events()
        assert (event["properties"], event["context"]) == (properties, context)

    def test_lines_that_are_not_requests_land_unchanged_with_their_neighbours(self, importer: Importer):
        bad = [b"\n".join([LOG.encode()[:-20]]) + b"\n", b"kernel: oops\n", LOG.replace("May", "Mai").encode()]
        result = importer(LOG.encode() + b"".join(bad), "apache", project="web", start=date(2015, 1, 1))
        assert list(importer.landed()) == [datetime(2015, 5, 17, 8)]
        assert importer.lines()[1:] == bad
        assert (result.events, result.unreadable) == (1, 3)

    def test_a_project_is_required_and_columns_can_not_be_mapped(self, importer: Importer):
        with pytest.raises(ImportFailedError, match="project_id"):
            importer(LOG, "apache")
        with pytest.raises(ImportFailedError, match="so columns can't be mapped"):
            importer(LOG, "apache", project="web", mapping={"user_id": "account"})


@real_data
class TestRealData:
    def test_the_access_log_gives_its_sessions_and_keeps_its_malformed_line(self, importer: Importer):
        path = DATA / "apache-log" / "apache_logs.log"
        result = importer(path, "apache", project="web", site="http://www.semicomplete.com", start=date(2015, 1, 1))
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
