"""Rebuilding hours whose segments are no longer in the landing zone keeps their lines, unless the run is tagged to drop them."""

from datetime import datetime, timedelta

import dagster as dg

from radar_assets.settings import Settings
from radar_assets_tests.platform import Platform, event, instance_of

NOON = datetime(2026, 3, 10, 12)
ONE = NOON + timedelta(hours=1)
SPAN = ("2026-03-10-12:00", "2026-03-10-13:00")


def test_a_backfill_keeps_what_the_landing_zone_no_longer_has_unless_it_is_pruned(settings: Settings) -> None:
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        platform.land(NOON, [event("1", NOON), b"not JSON\n"], "archived")
        platform.land(ONE, [event("2", ONE)], "archived")
        platform.land(ONE, [event("3", ONE)], "present")
        platform.rebuild("hourly_job", *SPAN)
        before = platform.tables()
        assert len(before["raw_events"]) == 4
        for file in settings.landing.rglob("archived*"):
            file.unlink()

        kept = platform.rebuild("hourly_job", *SPAN)
        assert platform.tables() == before
        assert segments_of(kept) == {"kept": 2, "dropped": 0}
        (warning,) = [log for log in instance.all_logs(kept.run_id) if "no longer in the landing zone" in log.message]
        assert "2 loaded segments" in warning.user_message

        pruned = platform.rebuild("hourly_job", *SPAN, tags={"radar/prune": "true"})
        assert [row["event_id"] for row in platform.rows("events")] == ["3"]
        assert segments_of(pruned) == {"kept": 0, "dropped": 2}


def segments_of(run: dg.ExecuteInProcessResult) -> object:
    """What a run says about segments that the landing zone no longer has."""
    (first, *_) = run.asset_materializations_for_node("raw_events")
    return first.metadata["segments_not_in_landing"].value
