"""Formats of imported files: mapped columns, CSV and access logs."""

import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from radar_assets.events.access_logs import AccessLog
from radar_assets.events.importer import ImportFailedError
from radar_assets_tests.events.importing import Importer, accepted, canonical

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
        result = importer(LOG, "apache", project="web", log=AccessLog("https://example.com"), start=date(2015, 1, 1))
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
                {"ip": "10.0.0.0", "interactive": False},
            ),
            (
                '2001:db8:1:2::7 - - [17/May/2015:10:05:03 +0000] "-" 408 0 "-" "-"\r\n',
                {"status": 408, "bytes": 0},
                {"ip": "2001:db8:1::", "interactive": False},
            ),
            (
                'host.example - - [17/May/2015:10:05:03 +0000] "GET http://a.example/x y HTTP/1.1" 400 1 "-" "x"\n',
                {
                    "url": "http://a.example/x y",
                    "path": "/x y",
                    "status": 400,
                    "bytes": 1,
                    "method": "GET",
                },
                {"userAgent": "x", "interactive": False},
            ),
        ],
    )
    def test_missing_values_of_the_log_are_left_out(
        self, importer: Importer, line: str, properties: dict, context: dict
    ):
        importer(line, "apache", project="web")
        (event,) = importer.events()
        assert (event["properties"], event["context"]) == (properties, context)

    def test_successful_gets_of_pages_are_page_views_and_the_rest_are_requests(self, importer: Importer):
        pages = [
            "/",
            "/de/preise",
            "/index.php?file=a.css",
            "/a.b/c",
            "/user/john.doe",
            "/x.JSP;jsessionid=1",
            "http://a.example/x",
        ]
        files = [
            "/app.css",
            "/app.js?v=3",
            "/a/B.PNG",
            "/feed.xml",
            "/robots.txt",
            "/x.pdf;v=1",
            "/.well-known/a",
            "*",
            "/env/.env",
        ]
        requests = [
            *((f"GET {target} HTTP/1.1", 200, True) for target in pages),
            *((f"GET {target} HTTP/1.1", 200, False) for target in files),
            *((f"{method} / HTTP/1.1", 200, False) for method in ("POST", "HEAD", "OPTIONS", "get", "PROPFIND")),
            *(("GET / HTTP/1.1", status, True) for status in (203, 206, 304)),
            *(("GET / HTTP/1.1", status, False) for status in (100, 204, 301, 302, 308, 401, 404, 410, 500, 503)),
            ("-", 408, False),
        ]
        lines = [f'10.0.0.7 - - [17/May/2015:10:05:03 +0000] "{text}" {status} 1\n' for text, status, _ in requests]
        importer("".join(lines), "apache", project="web")
        landed = importer.events()
        assert [event["type"] == "page" for event in landed] == [is_page for _, _, is_page in requests]
        assert {(event["type"], event["event"], event["context"].get("interactive")) for event in landed} == {
            ("page", "page_view", None),
            ("track", "request", False),
        }
        assert [event["properties"]["status"] for event in landed] == [status for _, status, _ in requests]

    def test_options_say_which_paths_are_pages_and_whether_other_requests_are_kept(self, importer: Importer):
        targets = ["/", "/docs/a.pdf", "/app.js", "/api/x"]
        lines = [f'10.0.0.7 - - [17/May/2015:10:05:03 +0000] "GET {target} HTTP/1.1" 200 1\n' for target in targets]
        log = AccessLog(pages=r"^/$|\.pdf$", keeps_others=False)
        result = importer("".join([*lines, "kernel: oops\n"]), "apache", project="web", log=log)
        landed = importer.lines()
        views = [json.loads(line) for line in landed if line.startswith(b"{")]
        assert [event["properties"]["path"] for event in views] == ["/", "/docs/a.pdf"]
        assert (result.lines, result.events, result.unreadable) == (3, 2, 1)
        assert b"kernel: oops\n" in landed
        assert importer(lines[2], "apache", project="web", log=log).lines == 0
        with pytest.raises(ImportFailedError, match="not a regular expression"):
            importer("".join(lines), "apache", project="web", log=AccessLog(pages="(?!x)"))

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
