"""From accepted lines to `events`: given rows, expected columns."""

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_assets.events.declarations import Declarations, ProjectPages
from radar_assets.events.enrichment import ENRICHMENT_RELATIONS, events_model
from radar_assets.events.internal_traffic import InternalTraffic
from radar_assets.events.tables import EVENTS, RAW_EVENTS
from radar_assets.lakehouse.sql import column_lineage
from radar_assets.tables import TABLES
from radar_assets_tests.events.enriching import HOUR, NOON, enrich, enriched, enriched_each, page, raw_row


class TestPage:
    def test_host_and_path_are_those_of_the_url(self):
        expected = {
            "https://example.com/pricing": ("example.com", "/pricing"),
            "https://WWW.Example.COM:8443/Pricing?a=/b#c/d": ("www.example.com", "/Pricing"),
            "https://example.com": ("example.com", "/"),
            "https://example.com?a=b": ("example.com", "/"),
            "https://example.com#/route": ("example.com", "/"),
            "https://user:secret@example.com:80/x": ("example.com", "/x"),
            "//cdn.example.com/a//b": ("cdn.example.com", "/a//b"),
            "http://[::1]:3000/x": ("[::1]", "/x"),
            "http://localhost:3000": ("localhost", "/"),
            "https://例え.jp/価格?q=円": ("例え.jp", "/価格"),
            "/only/a/path?next=https://evil.example/x": (None, "/only/a/path"),
            "?next=https://evil.example/x": (None, "/"),
            "file:///C:/x": (None, "/C:/x"),
            "relative/page.html": (None, "/relative/page.html"),
            "myapp://settings/privacy": ("settings", "/privacy"),
        }
        events = enriched_each({"url": url} for url in expected)
        assert {event["url"]: (event["host"], event["path"]) for event in events} == expected

    @pytest.mark.parametrize(
        ("properties", "context", "expected"),
        [
            ({"url": "https://a.example/1", "title": "One"}, None, ("https://a.example/1", "/1", "One")),
            ({"$current_url": "https://a.example/2"}, {}, ("https://a.example/2", "/2", None)),
            (None, {"page": {"url": "https://a.example/3", "title": "Three"}}, ("https://a.example/3", "/3", "Three")),
            ({"url": "https://a.example/4"}, {"page": {"path": "/other"}}, ("https://a.example/4", "/4", None)),
            ({"url": "https://a.example/#/5", "path": "/5?x#y"}, None, ("https://a.example/#/5", "/5", None)),
            ({"path": "/6"}, None, (None, "/6", None)),
            ({"url": "", "title": ""}, {"page": {"path": "/7"}}, (None, "/7", None)),
            ({"url": None}, None, (None, None, None)),
            (None, None, (None, None, None)),
        ],
    )
    def test_properties_take_precedence_over_the_context(
        self, properties: dict | None, context: dict | None, expected: tuple
    ):
        event = enriched(properties, context)
        assert (event["url"], event["path"], event["title"]) == expected

    def test_the_referrer_domain_is_null_for_the_site_itself(self):
        expected = {
            "https://www.News.example:443/a?b#c": "news.example",
            "https://blog.shop.example/": None,
            "https://other.example/": "other.example",
            "https://shop.example/cart": None,
            "https://www.shop.example": None,
            "android-app://com.google.android.gm/": "com.google.android.gm",
            "https://a.example?x=https://b.example/": "a.example",
            "no url at all": None,
        }
        events = enriched_each({"url": "https://www.shop.example/x", "referrer": referrer} for referrer in expected)
        assert {event["referrer"]: event["referrer_domain"] for event in events} == expected
        assert page("https://www.shop.example/x", referrer="")["referrer"] is None

    @pytest.mark.parametrize(
        ("host", "referrer", "is_same"),
        [
            ("checkout.shop.example", "www.shop.example", True),
            ("shop.example", "a.b.shop.example:8443", True),
            ("shop.co.uk", "www.shop.co.uk", True),
            ("a.shop.co.uk", "b.shop.co.uk", True),
            ("shop.co.uk", "other.co.uk", False),
            ("alice.github.io", "bob.github.io", False),
            ("www.alice.github.io", "alice.github.io", True),
            ("github.io", "alice.github.io", False),
            ("bucket.s3.amazonaws.com", "docs.amazonaws.com", False),
            ("a.shop.ck", "b.shop.ck", False),
            ("a.b.shop.ck", "c.b.shop.ck", True),
            ("a.city.kawasaki.jp", "city.kawasaki.jp", True),
            ("a.b.kawasaki.jp", "c.b.kawasaki.jp", False),
            ("x.例え.公司.cn", "y.例え.公司.cn", True),
            ("shop.xn--55qx5d.cn", "other.xn--55qx5d.cn", False),
            ("shop.example.", "blog.shop.example", True),
            ("10.0.0.1", "127.0.0.1", False),
            ("[::1]", "[::2]", False),
            ("localhost", "intranet", False),
        ],
    )
    def test_hosts_under_one_registrable_domain_are_one_site(self, host: str, referrer: str, is_same: bool):
        for own, other in ((host, referrer), (referrer, host)):
            event = page(f"https://{own}/x", referrer=f"https://{other}/y")
            assert (event["referrer_domain"] is None) == is_same, (own, other)
            assert event["channel"] == ("Direct" if is_same else "Referral")

    def test_a_page_has_one_path_in_all_spellings_of_its_url(self):
        expected = {
            "/caf%C3%A9": "/café",
            "/caf%c3%a9": "/café",
            "/%63af%C3%A9": "/café",
            "/a%2fb%3Fc%23d": "/a%2Fb%3Fc%23d",
            "/%7euser%2E": "/~user.",
            "/a b": "/a%20b",
            "/a%20b+c": "/a%20b+c",
            "/users/%7Bid%7D": "/users/{id}",
            "/%ff%2f": "/%FF%2F",
            "/100%": "/100%",
            "/%zz": "/%zz",
            "/a/./b/../c": "/a/c",
            "/a/b/..": "/a/",
            "/../a/%2e%2E/.": "/",
            "/a/.b/...": "/a/.b/...",
            "/login.jsp;jsessionid=1A53?x=1": "/login.jsp",
            "/a;JSESSIONID=1.node2/b;v=2": "/a/b;v=2",
            "/login%3Bjsessionid%3D12": "/login",
            "/(S(lit3py55t21z5v55vlm25s55))/a.aspx": "/a.aspx",
            "/a/(b)": "/a/(b)",
        }
        events = enriched_each({"url": f"https://shop.example{path}"} for path in expected)
        assert dict(zip(expected, (event["path"] for event in events), strict=True)) == expected

    def test_the_fragment_is_part_of_the_page_if_the_sender_or_the_project_says_so(self):
        urls = {
            "https://a.example/#/": "/#/",
            "https://a.example/#/pricing": "/#/pricing",
            "https://a.example/app?x=1#/caf%c3%a9?utm_source=news&y=2": "/app#/café",
            "https://a.example/#!/old": "/#!/old",
            "https://a.example/#": "/",
            "https://a.example/": "/",
        }
        flagged = [
            raw_row({"url": url}, {"page": {"hash_routing": True}}, event_id=str(i)) for i, url in enumerate(urls)
        ]
        events = sorted(enrich(flagged), key=lambda event: event["event_id"])
        assert [event["path"] for event in events] == list(urls.values())
        assert events[2]["utm_source"] == "news"
        declared = Declarations(pages=(ProjectPages(project="p1", hash_routing=True),))
        rows = [raw_row({"url": "https://a.example/#/x"}, project_id=name) for name in ("p1", "p2")]
        assert {event["project_id"]: event["path"] for event in enrich(rows, declared=declared)} == {
            "p1": "/#/x",
            "p2": "/",
        }

    def test_properties_of_other_events_than_views_are_not_the_page(self):
        said = {
            "url": "https://partner.example/deal?utm_source=x",
            "path": "/p",
            "title": "T",
            "referrer": "https://r.example/",
        }
        context = {"page": {"url": "https://a.example/blog", "title": "Blog", "referrer": "https://www.google.com/"}}
        columns = ("host", "path", "title", "referrer_domain", "utm_source")
        for view in ({"type": "page"}, {"type": "screen", "event": "Home"}, {"type": "track", "event": "page_view"}):
            event = enriched(said, context, **view)
            assert [event[name] for name in columns] == ["partner.example", "/p", "T", "r.example", "x"]
        for kind in ("track", "identify", "group", "alias"):
            event = enriched(said, context, type=kind, event="Outbound Link: Click")
            assert [event[name] for name in columns] == ["a.example", "/blog", "Blog", "google.com", None]
            assert enriched(said, type=kind, event="click")["path"] is None
        posthog = enriched({**said, "$current_url": "https://a.example/2"}, type="track", event="click")
        assert posthog["path"] == "/2"

    def test_the_referrer_is_read_from_where_sdks_put_it(self):
        assert page("https://a.example/", **{"$referrer": "https://b.example/"})["referrer_domain"] == "b.example"
        assert page("https://a.example/", **{"$referrer": "$direct"})["referrer"] is None
        assert enriched(None, {"page": {"referrer": "https://c.example/"}})["referrer_domain"] == "c.example"


class TestCampaign:
    def utm(self, event: dict[str, Any]) -> tuple:
        return tuple(event[f"utm_{name}"] for name in ("source", "medium", "campaign", "term", "content"))

    def test_parameters_are_read_from_the_url_and_decoded(self):
        expected = {
            "utm_source=a&utm_medium=b&utm_campaign=c&utm_term=d&utm_content=e": ("a", "b", "c", "d", "e"),
            "x=1&utm_campaign=Spring%20Sale%26more+now": (None, None, "Spring Sale&more now", None, None),
            "utm_source=%E2%82%AC%F0%9F%9A%80": ("€🚀", None, None, None, None),
            "utm_source=%FF&utm_medium=%zz&utm_term=100%": ("%FF", "%zz", None, "100%", None),
            "utm_source=first&utm_source=second": ("first", None, None, None, None),
            "utm_source=&utm_medium": (None, None, None, None, None),
            "not_utm_source=a&q=utm_medium=b": (None, None, None, None, None),
            "utm_source=a#utm_medium=b": ("a", None, None, None, None),
            "a?b&utm_source=after": ("after", None, None, None, None),
            "x=1&amp;utm_source=a&amp;amp;utm_medium=b": ("a", "b", None, None, None),
            "utm_source=+a%20&utm_medium=%09b%C2%A0&utm_campaign=%20": ("a", "b", None, None, None),
        }
        events = enriched_each({"url": f"https://example.com/?{query}"} for query in expected)
        assert dict(zip(expected, map(self.utm, events), strict=True)) == expected

    def test_the_campaign_of_the_context_supplements_the_url(self):
        campaign = {"source": "s", "medium": " m ", "name": "n", "term": "t", "content": ""}
        event = enriched({"url": "https://example.com/?utm_source=url"}, {"campaign": campaign})
        assert self.utm(event) == ("url", "m", "n", "t", None)


class TestDetails:
    @pytest.mark.parametrize(
        ("properties", "context", "country"),
        [
            ({}, {"location": {"country": "de"}}, "DE"),
            ({}, {"country": "FR"}, "FR"),
            ({"$geoip_country_code": "us"}, None, "US"),
            ({}, {"country": "Germany"}, None),
            ({}, {"country": "1A"}, None),
            ({}, {"country": ""}, None),
            ({}, {"country": {"code": "DE"}}, None),
            ({}, {}, None),
        ],
    )
    def test_a_country_is_a_code_of_two_letters(self, properties: dict, context: dict | None, country: str | None):
        assert enriched(properties, context)["country"] == country

    @pytest.mark.parametrize(
        ("revenue", "expected"),
        [
            (12.5, "12.5"),
            ("19.99", "19.99"),
            (0, "0"),
            ("0.00005", "0.0001"),
            (10**20, None),
            ("12 EUR", "12"),
            ("", None),
            (True, None),
            ([1], None),
            (None, None),
        ],
    )
    def test_revenue_is_a_number_or_null(self, revenue: Any, expected: str | None):
        assert enriched({"revenue": revenue}, event="purchase")["revenue"] == (
            None if expected is None else Decimal(expected)
        )

    @pytest.mark.parametrize(
        ("anonymous_id", "user_id", "visitor_id"), [("a", None, "a"), ("a", "u", "a"), (None, "u", "u")]
    )
    def test_the_visitor_is_the_anonymous_id_else_the_user_id(
        self, anonymous_id: str | None, user_id: str | None, visitor_id: str
    ):
        assert enriched(anonymous_id=anonymous_id, user_id=user_id)["visitor_id"] == visitor_id

    @pytest.mark.parametrize(
        "text", ["o'brien", '"; drop table events; --', "../../etc", "🦆", "\u202eabc", "a\\b", "$start", "x\ny"]
    )
    def test_texts_are_treated_as_data(self, text: str):
        row = raw_row({"title": text, "url": text}, {"campaign": {"name": text}}, event_id=text, project_id=text)
        (event,) = enrich([row, row | {"line_number": 2}])
        assert (event["event_id"], event["project_id"], event["title"]) == (text, text, text)
        assert event["utm_campaign"] == text

    def test_other_columns_are_copied_unchanged(self):
        row = raw_row({"a": [1, {"b": "c"}]}, {"d": 1.50}, session_id="s", category="c", sent_at=NOON)
        (event,) = enrich([row])
        kept = set(EVENTS.column_names) & set(RAW_EVENTS.column_names)
        assert {name: event[name] for name in kept} == {name: row.get(name) for name in kept}

    def test_rejected_lines_and_other_hours_are_left_out(self):
        rows = [
            raw_row(event_id="in"),
            raw_row(event_id="rejected", reason="future"),
            raw_row(event_id="before", event_time=NOON - timedelta(microseconds=1)),
            raw_row(event_id="after", event_time=NOON + HOUR),
            {**raw_row(event_id="in", line_number=0, received_at=datetime(2026, 1, 1)), "reason": "unknown_project"},
        ]
        assert [event["event_id"] for event in enrich(rows, NOON, NOON + HOUR)] == ["in"]

    def test_every_column_has_a_lineage_to_raw_events(self):
        declared = Declarations(internal_traffic=(InternalTraffic(name="own", users=("u-1",)),))
        model = events_model(declared)
        lineage = column_lineage(model, tuple(TABLES.values()), **ENRICHMENT_RELATIONS)
        assert set(lineage) == set(EVENTS.column_names)
        assert {table for sources in lineage.values() for table, _ in sources} == {"raw_events"}
        assert all(lineage.values())


def survivors(rows: list[dict[str, Any]], dedupe_days: int = 7) -> list[tuple]:
    """The rule, row by row: a row is kept unless a copy arrived at most these days before it, or is of its hour or an adjacent one."""

    def arrival(row: dict[str, Any]) -> tuple:
        # Lines received at the same time are ordered by content before segment.
        return row["received_at"], row["event_time"], row["segment"], row["line_number"]

    def hour(row: dict[str, Any]) -> datetime:
        return row["event_time"].replace(minute=0, second=0, microsecond=0)

    return sorted(
        (row["project_id"], row["event_id"], row["received_at"], row["segment"], row["line_number"])
        for row in rows
        if not any(
            (other["project_id"], other["event_id"]) == (row["project_id"], row["event_id"])
            and (
                abs(hour(other) - hour(row)) <= HOUR
                or abs(other["received_hour"] - row["received_hour"]) <= timedelta(days=dedupe_days)
            )
            and arrival(other) < arrival(row)
            for other in rows
        )
    )


def kept(events: list[dict[str, Any]]) -> list[tuple]:
    names = ("project_id", "event_id", "received_at", "segment", "line_number")
    return sorted(tuple(event[name] for name in names) for event in events)


class TestCopies:
    def test_the_copy_received_first_counts_whatever_the_order_of_rows(self):
        first = NOON + timedelta(minutes=59)
        rows = [
            raw_row(event_time=first, received_at=first, segment="b"),
            raw_row(event_time=first, received_at=first + HOUR, segment="a"),
            raw_row(event_time=first + timedelta(minutes=2), received_at=first + 2 * HOUR, segment="a", line_number=2),
            raw_row(event_time=first, received_at=first, segment="b", line_number=2),
        ]
        for order in itertools.permutations(rows):
            assert kept(enrich(order)) == [("p1", "e1", first, "b", 1)]

    def test_of_lines_received_at_the_same_time_the_same_one_counts_whatever_its_segment(self):
        found = []
        for segments in ("ab", "ba"):
            rows = zip(segments, (None, "user_id: empty"), strict=True)
            (event,) = enrich(raw_row(segment=segment, warnings=warnings) for segment, warnings in rows)
            found.append(event["warnings"])
        assert found[0] == found[1]

    def test_copies_are_found_in_the_hours_adjacent_to_the_rebuilt_one(self):
        early = raw_row(event_time=NOON + timedelta(minutes=59), segment="first")
        late = raw_row(event_time=NOON + timedelta(minutes=61), received_at=NOON + 9 * HOUR, segment="second")
        assert [event["segment"] for event in enrich([late, early], NOON, NOON + HOUR)] == ["first"]
        assert enrich([late, early], NOON + HOUR, NOON + 2 * HOUR) == []

    def test_the_same_id_counts_again_at_another_time_if_received_much_later_and_in_another_project(self):
        received = NOON + timedelta(days=7, hours=3)
        rows = [
            raw_row(),
            raw_row(event_time=NOON + 2 * HOUR, segment="b"),
            raw_row(event_time=NOON + 4 * HOUR, received_at=received, received_hour=received, segment="b"),
            raw_row(project_id="p2", segment="c"),
        ]
        assert kept(enrich(rows)) == survivors(rows)
        assert len(survivors(rows)) == 3

    @settings(max_examples=10)
    @given(
        st.lists(
            st.builds(
                dict,
                event_id=st.sampled_from(["e1", "e2", "e3", "e4"]),
                project_id=st.sampled_from(["p", "p'"]),
                minutes=st.integers(0, 230),
                delay=st.one_of(st.integers(0, 6), st.integers(20, 60)),
                segment=st.sampled_from(["a", "b"]),
            ),
            min_size=5,
            max_size=40,
        )
    )
    def test_building_hour_by_hour_follows_the_rule(self, given_rows: list[dict[str, Any]]):
        rows = []
        for line_number, row in enumerate(given_rows, start=1):
            event_time = NOON + timedelta(minutes=row.pop("minutes"))
            received_at = NOON + row.pop("delay") * HOUR
            times = {"event_time": event_time, "received_at": received_at, "received_hour": received_at}
            rows.append(raw_row(line_number=line_number, **times, **row))
        hours = [NOON + index * HOUR for index in range(4)]
        events = [event for hour in hours for event in enrich(rows, hour, hour + HOUR, dedupe_days=1)]
        assert kept(events) == survivors(rows, dedupe_days=1)
