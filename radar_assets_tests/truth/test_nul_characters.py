"""U+0000 in traits is kept, and nothing is lost without a reason where a name has it."""

from radar_assets.settings import Settings
from radar_assets_tests.truth.traffic import received, requests_of


def test_u0000_is_kept_or_rejected_with_a_reason(settings: Settings) -> None:
    with received(settings, requests_of("nul-characters"), "nul-characters") as traffic:
        accepted = traffic.rows("select event_id from events order by event_id")
        rejected = traffic.rows("select detail from rejected_events")
        assert {reply.status for reply in traffic.replies} == {200}
        assert len(accepted) + len(rejected) == 3
