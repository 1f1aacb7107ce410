"""Traffic sources: the channel of a visit, from its referrer, campaign and click ids."""

from radar_assets.events.traffic_sources import referrer_sources
from radar_assets_tests.events.enriching import enriched, enriched_each


class TestChannel:
    def test_visits_are_grouped_into_the_default_channels(self):
        expected = {
            # by the referrer only
            ("", ""): "Direct",
            ("", "https://shop.example/before"): "Direct",
            ("", "https://www.google.co.uk/"): "Organic Search",
            ("", "https://www.google.com.br/search?q=x"): "Organic Search",
            ("", "https://duckduckgo.com/"): "Organic Search",
            ("", "https://de.search.yahoo.com/"): "Organic Search",
            ("", "https://m.facebook.com/"): "Organic Social",
            ("", "https://t.co/abc"): "Organic Social",
            ("", "https://news.ycombinator.com/item?id=1"): "Organic Social",
            ("", "https://groups.google.com/g/x"): "Organic Social",
            ("", "https://www.youtube.com/watch"): "Organic Video",
            ("", "https://www.amazon.de/dp/1"): "Organic Shopping",
            ("", "https://mail.google.com/"): "Email",
            ("", "android-app://com.google.android.gm/"): "Email",
            ("", "https://chatgpt.com/"): "AI Assistant",
            ("", "https://gemini.google.com/app"): "AI Assistant",
            ("", "https://docs.google.com/document/d/1"): "Referral",
            ("", "https://google.com.evil.example/"): "Referral",
            ("", "https://blog.example.org/post"): "Referral",
            # by the campaign
            ("utm_source=google&utm_medium=cpc", ""): "Paid Search",
            ("utm_source=Google&utm_medium=CPC", ""): "Paid Search",
            ("utm_source=bing&utm_medium=ppc", ""): "Paid Search",
            ("utm_source=facebook&utm_medium=paid_social", ""): "Paid Social",
            ("utm_source=ig&utm_medium=cpm", ""): "Paid Social",
            ("utm_source=youtube&utm_medium=cpv", ""): "Paid Video",
            ("utm_source=amazon&utm_medium=cpc", ""): "Paid Shopping",
            ("utm_source=google&utm_medium=cpc&utm_campaign=summer-shopping", ""): "Paid Shopping",
            ("utm_source=google&utm_medium=cpc&utm_campaign=bishop", ""): "Paid Search",
            ("utm_source=partner&utm_medium=cpm", ""): "Display",
            ("utm_source=partner&utm_medium=banner", ""): "Display",
            ("utm_source=partner&utm_medium=retargeting", ""): "Paid Other",
            ("utm_source=google&utm_medium=cpc&utm_campaign=x-cross-network", ""): "Cross-network",
            ("utm_source=partner&utm_medium=social", ""): "Organic Social",
            ("utm_source=partner&utm_medium=video", ""): "Organic Video",
            ("utm_source=partner&utm_medium=organic", ""): "Organic Search",
            ("utm_source=newsletter&utm_medium=email", ""): "Email",
            ("utm_source=partner&utm_medium=e-mail", ""): "Email",
            ("utm_source=partner&utm_medium=affiliate", ""): "Affiliates",
            ("utm_source=partner&utm_medium=referral", ""): "Referral",
            ("utm_source=partner&utm_medium=audio", ""): "Audio",
            ("utm_source=sms", ""): "SMS",
            ("utm_source=partner&utm_medium=web-push", ""): "Mobile Push Notifications",
            ("utm_source=chatgpt.com", ""): "AI Assistant",
            ("utm_source=partner&utm_medium=whatever", ""): "Unassigned",
            ("utm_source=partner", "https://blog.example.org/"): "Unassigned",
            ("utm_source=(direct)&utm_medium=(none)", ""): "Direct",
            # the campaign goes before the referrer
            ("utm_source=newsletter&utm_medium=email", "https://www.google.com/"): "Email",
            # by the click ids that networks add to links
            ("gclid=x", ""): "Paid Search",
            ("gbraid=x", "https://www.google.com/"): "Paid Search",
            ("msclkid=x", "https://www.bing.com/"): "Paid Search",
            ("fbclid=x", ""): "Organic Social",
            ("fbclid=x&utm_medium=paid", ""): "Paid Social",
            ("ttclid=x", ""): "Paid Social",
            ("dclid=x", ""): "Display",
            ("gclid=x", "https://www.youtube.com/"): "Paid Video",
            ("utm_source=newsletter&utm_medium=email&gclid=x", ""): "Email",
            ("gclid=", ""): "Direct",
            ("gad_source=1", "https://www.google.com/"): "Paid Search",
            ("gad_source=1&gclid=x", ""): "Paid Search",
            ("gad_source=5&dclid=x", ""): "Display",
        }
        events = enriched_each(
            {"url": f"https://www.shop.example/?{query}", "referrer": referrer} for query, referrer in expected
        )
        assert dict(zip(expected, (event["channel"] for event in events), strict=True)) == expected

    def test_an_event_without_a_page_is_direct(self):
        assert enriched()["channel"] == "Direct"

    def test_sources_are_unique_and_in_lower_case(self):
        sources = referrer_sources()["source"].to_pylist()
        assert len(sources) == len(set(sources)) > 1_000
        assert all(source == source.lower().strip() and "*" not in source for source in sources)
        assert set(referrer_sources()["category"].to_pylist()) == {
            "search", "social", "video", "shopping", "email", "ai", "site",
        }  # fmt: skip
