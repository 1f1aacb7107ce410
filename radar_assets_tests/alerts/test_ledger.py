"""The ledger: the same verdicts give the same episodes in any order, and nothing is announced twice."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from radar_assets.alerts.ledger import record, retire
from radar_assets.alerts.records import acknowledge, firing_projects, snooze
from radar_assets.messaging.outbox import TOGETHER
from radar_assets.store.database import Store
from radar_assets.store.models import Delivery, FieldError
from radar_assets_tests.alerts.records import (
    add_channels,
    alerts,
    announced,
    at,
    breaches,
    context,
    deliveries,
    judged,
    note,
    rule,
)

ERRORS = rule()


def test_consecutive_hours_are_one_alert_announced_once_with_its_end(store: Store) -> None:
    assert note(store, ERRORS, {7: 1, 8: 50}, at(9)).new == 1
    note(store, ERRORS, {8: 50, 9: 60}, at(10))
    (alert,) = alerts(store)
    assert (alert.state, alert.started_at, alert.ended_at) == ("firing", at(8), at(10))
    assert alert.details["value"] == 60
    assert note(store, ERRORS, {10: 3}, at(11)).resolved == 1
    (ended,) = alerts(store)
    assert (ended.id, ended.state, ended.resolved_at, ended.ended_at) == (alert.id, "resolved", at(11), at(10))
    assert announced(store) == [("fired", 8), ("recovered", 9)]
    assert note(store, ERRORS, {8: 50, 9: 60, 10: 3}, at(12)) == note(store, ERRORS, {}, at(13))
    assert announced(store) == [("fired", 8), ("recovered", 9)]


def test_a_notice_has_the_facts_and_a_link(store: Store) -> None:
    lasting = rule(**{"for": 3})
    record(store, judged(lasting, {8: 50.0}), context(at(9)))
    (row,) = deliveries(store)
    (notice,) = row.contents
    assert notice["project_name"] == "The Shop"
    assert notice["metric_title"] == "Errors"
    assert notice["started_at"] == at(6).isoformat()
    assert (notice["value"], notice["threshold"]) == (50, 10)
    url = "https://radar.example/assets/hourly_metrics?view=checks&checkDetail=errors_high"
    assert notice["check_url"] == url


def test_an_hour_in_between_joins_two_alerts_and_the_first_announced_one_stays(store: Store) -> None:
    note(store, ERRORS, {8: 50, 9: 1, 10: 50}, at(11))
    first, second = alerts(store)
    note(store, ERRORS, {9: 50}, at(11.5))
    joined, idle = sorted(alerts(store), key=lambda alert: alert.id != first.id)
    assert (joined.id, breaches(store, joined)) == (first.id, [8, 9, 10])
    assert (idle.id, idle.state, breaches(store, idle)) == (second.id, "resolved", [])
    note(store, ERRORS, {9: 1}, at(12))
    assert [(alert.id, breaches(store, alert)) for alert in alerts(store)] == [(first.id, [8]), (second.id, [10])]
    assert [reason for reason, _ in announced(store)] == ["fired_and_recovered", "fired", "still_firing"]


def test_an_hour_that_turns_out_fine_splits_an_alert_whose_end_is_announced_when_both_parts_are_over(
    store: Store,
) -> None:
    note(store, ERRORS, {8: 50}, at(9))
    note(store, ERRORS, {9: 50}, at(10))
    note(store, ERRORS, {10: 50}, at(11))
    (whole,) = alerts(store)
    note(store, ERRORS, {9: 1}, at(11.5))
    early, late = alerts(store)
    assert (late.id, late.state, breaches(store, late)) == (whole.id, "firing", [10])
    assert (early.state, early.announced_at, breaches(store, early)) == ("resolved", None, [8])
    assert announced(store) == [("fired", 8)]
    note(store, ERRORS, {11: 1}, at(12))
    assert announced(store) == [("fired", 8), ("recovered", 10)]


def test_a_false_alert_is_deleted_unless_it_was_announced(store: Store) -> None:
    note(store, rule(channels=()), {8: 50}, at(9))
    assert note(store, rule(channels=()), {8: 1}, at(10)).changed == 1
    assert alerts(store) == []
    note(store, ERRORS, {8: 50}, at(9))
    note(store, ERRORS, {8: 1}, at(10))
    (alert,) = alerts(store)
    assert (alert.state, breaches(store, alert)) == ("resolved", [])
    note(store, ERRORS, {8: 50}, at(10.5))
    (again,) = alerts(store)
    assert (again.id, again.state, breaches(store, again)) == (alert.id, "firing", [8])
    assert announced(store) == [("fired", 8), ("recovered", 8)]


def test_a_stretch_that_is_over_when_it_is_found_is_one_message_whether_or_not_the_end_is_announced(
    store: Store,
) -> None:
    past = dict.fromkeys(range(10), 50) | {10: 1, 11: 2}
    for by in (ERRORS, rule(name="silent_end", recovery=False)):
        for later in (12, 13):
            note(store, by, past, at(later))
    assert announced(store) == [("fired_and_recovered", 9)] * 2
    first = deliveries(store)[0]
    (notice,) = first.contents
    assert (notice["started_at"], notice["ended_at"]) == (at(0).isoformat(), at(10).isoformat())
    assert first.dedupe_key == f"{notice['alert_id']}:fired"


def test_a_recovery_has_the_value_of_the_first_hour_that_kept_the_rule(store: Store) -> None:
    note(store, ERRORS, {8: 50}, at(9))
    note(store, ERRORS, {8: 50, 9: 3, 10: 7}, at(11))
    note(store, ERRORS, {10: 8, 11: 9}, at(12))
    assert announced(store) == [("fired", 8), ("recovered", 8)]
    assert [row.contents[0]["ended_value"] for row in deliveries(store)] == [None, 3]
    assert alerts(store)[0].details["ending"]["value"] == 3
    note(store, ERRORS, {9: 60}, at(12.5))
    assert "ending" not in alerts(store)[0].details


def test_hours_without_enough_data_continue_an_alert(store: Store) -> None:
    note(store, ERRORS, {8: 50}, at(9))
    note(store, ERRORS, {11: 50}, at(12))
    note(store, ERRORS, {14: 50}, at(15))
    (alert,) = alerts(store)
    assert (alert.started_at, alert.ended_at, breaches(store, alert)) == (at(8), at(15), [8, 11, 14])
    assert announced(store) == [("fired", 8)]
    note(store, ERRORS, {12: 1}, at(15.5))
    assert [breaches(store, alert) for alert in alerts(store)] == [[8, 11], [14]]
    note(store, rule(name="at_once"), {8: 50, 10: 50, 11: 1, 12: 50}, at(13))
    assert [breaches(store, alert) for alert in alerts(store) if alert.rule == "at_once"] == [[8, 10], [12]]


def test_a_breach_days_after_a_firing_alert_or_long_before_it_is_another_alert(store: Store) -> None:
    note(store, ERRORS, {100: 50}, at(101))
    note(store, ERRORS, {20: 50}, at(101))
    note(store, ERRORS, {174: 50}, at(175))
    assert [breaches(store, alert) for alert in alerts(store)] == [[20], [100], [174]]


def test_an_alert_that_resumes_after_its_recovery_is_announced_as_ongoing_and_recovers_again(store: Store) -> None:
    note(store, ERRORS, {8: 50, 9: 1}, at(10))
    note(store, ERRORS, {9: 50}, at(10.5))
    assert announced(store) == [("fired_and_recovered", 8), ("still_firing", 9)]
    note(store, ERRORS, {10: 1}, at(11))
    assert announced(store)[2:] == [("recovered", 9)]
    assert len(alerts(store)) == 1


def test_old_windows_are_recorded_but_not_announced(store: Store) -> None:
    note(store, ERRORS, {8: 50, 9: 50, 10: 1}, at(10) + timedelta(hours=24, seconds=1))
    (alert,) = alerts(store)
    assert (alert.announced_at, breaches(store, alert)) == (None, [8, 9])
    assert announced(store) == []
    note(store, ERRORS, {8: 50, 9: 50, 10: 50}, at(11) + timedelta(hours=24))
    assert announced(store) == [("fired", 10)]


def test_a_project_that_was_not_judged_is_unchanged(store: Store) -> None:
    note(store, ERRORS, {8: 50}, at(9))
    record(store, judged(ERRORS, {9: 1}, project="blog"), context(at(10)))
    (alert,) = alerts(store)
    assert alert.state == "firing"
    record(store, judged(ERRORS, {9: 99}, project="blog"), context(at(10)))
    assert [(alert.project_id, alert.state) for alert in alerts(store)] == [("blog", "firing"), ("shop", "firing")]
    assert sorted(firing_projects(store)) == [(ERRORS.name, "blog"), (ERRORS.name, "shop")]


def test_an_alert_that_nothing_has_judged_for_four_weeks_ends_without_data(store: Store) -> None:
    note(store, ERRORS, {8: 50}, at(9))
    for days, state in ((28, "firing"), (29, "ended_without_data")):
        record(store, judged(ERRORS, {24 * days: 1}, "blog"), context(at(24 * days + 9)))
        assert [alert.state for alert in alerts(store)] == [state]
    note(store, ERRORS, {24 * 29 + 8: 1}, at(24 * 29 + 9))
    assert [alert.state for alert in alerts(store)] == ["ended_without_data"]
    assert announced(store) == [("fired", 8), ("ended_without_data", 8)]
    assert firing_projects(store) == []


def test_late_windows_decide_what_became_of_an_alert_without_data(store: Store) -> None:
    for late, state in ((1, "resolved"), (50, "firing")):
        by = rule(name=f"{state}_late")
        note(store, by, {8: 50, **dict.fromkeys(range(9, 81))}, at(81))
        assert [alert.state for alert in alerts(store) if alert.rule == by.name] == ["no_data"]
        note(store, by, dict.fromkeys(range(60, 82)), at(82))
        (ended,) = (alert for alert in alerts(store) if alert.rule == by.name)
        assert (ended.state, ended.no_data_since) == ("ended_without_data", at(9))
        note(store, by, {79: late}, at(82.5))
        (again,) = (alert for alert in alerts(store) if alert.rule == by.name)
        assert (again.id, again.state, again.no_data_since) == (ended.id, state, None)
    # Days later, it is another matter, whatever it is.
    by = rule(name="long_after")
    note(store, by, {8: 50, **dict.fromkeys(range(9, 82))}, at(82))
    note(store, by, {90: 1, 91: 50}, at(92))
    assert [alert.state for alert in alerts(store) if alert.rule == by.name] == ["ended_without_data", "firing"]


def test_reminders_are_about_the_present(store: Store) -> None:
    """The hours after the last one that broke the rule could not be judged."""
    again = rule(renotify_every="PT1H")
    note(store, again, {8: 50}, at(9))
    note(store, again, {}, at(11))
    note(store, again, {}, at(11.1))
    assert announced(store) == [("fired", 8), ("still_firing", 8)]
    note(store, rule(name="once"), {8: 50}, at(9))
    reminded = {row.contents[0]["rule"]: row.contents[0]["is_reminded"] for row in deliveries(store)}
    assert reminded == {again.name: True, "once": False}


def test_a_retired_or_snoozed_alert_without_data(store: Store) -> None:
    note(store, ERRORS, {8: 50}, at(9))
    snooze(store, alerts(store)[0].id, at(12), at(9.5))
    note(store, ERRORS, {9: None}, at(10))
    assert announced(store) == [("fired", 8)]
    note(store, ERRORS, {9: None, 10: None, 11: None}, at(12))
    assert announced(store) == [("fired", 8), ("no_data", 8)]
    assert deliveries(store)[1].contents[0]["no_data_since"] == at(9).isoformat()
    assert retire(store, [], at(13)) == 1
    (alert,) = alerts(store)
    assert (alert.state, alert.no_data_since) == ("resolved", None)


def test_quiet_hours_hold_back_all_but_critical_alerts_until_they_end(store: Store) -> None:
    night = {"quiet_hours": {"start": "22:00", "end": "06:00"}}
    quiet = rule(**night)
    note(store, quiet, {0: 50, 1: 1}, at(2))
    note(store, quiet, {3: 50}, at(4))
    note(store, quiet, {4: 50}, at(5.9))
    assert announced(store) == []
    note(store, rule(name="worst", severity="critical", **night), {3: 50}, at(4))
    assert announced(store) == [("fired", 3)]
    note(store, quiet, {}, at(6))
    assert announced(store) == [("fired", 3), ("fired", 4)]


def test_reminders_are_sent_until_the_alert_is_acknowledged(store: Store) -> None:
    again = rule(renotify_every="PT2H")
    note(store, again, {8: 50}, at(9))
    note(store, again, {9: 50}, at(10))
    note(store, again, {10: 50}, at(11))
    assert announced(store) == [("fired", 8), ("still_firing", 10)]
    acknowledge(store, alerts(store)[0].id[:8], "ana", at(11.5))
    note(store, again, {11: 50, 12: 50}, at(13))
    assert len(announced(store)) == 2
    note(store, again, {13: 1}, at(14))
    assert announced(store)[2:] == [("recovered", 12)]


def test_a_snoozed_alert_is_not_announced(store: Store) -> None:
    again = rule(renotify_every="PT1H")
    note(store, again, {8: 50}, at(9))
    (alert,) = alerts(store)
    snooze(store, alert.id, at(12), at(9.5))
    note(store, again, {9: 50, 10: 50}, at(11))
    assert len(announced(store)) == 1
    note(store, again, {11: 50}, at(12))
    assert announced(store) == [("fired", 8), ("still_firing", 11)]


def test_an_unknown_alert_is_refused_with_its_id(store: Store) -> None:
    for unknown in ("nothing", "", "%"):
        with pytest.raises(FieldError, match="alert id"):
            acknowledge(store, unknown, "ana", at(9))


def test_announcements_over_the_hourly_limit_are_merged_at_the_end_of_the_hour(store: Store) -> None:
    for index in range(5):
        note(store, rule(name=f"rule_{index}", channels=("chat", "mail")), {8: 50}, at(9.1), throttle_per_hour=2)
    rows = deliveries(store)
    single, together = [row for row in rows if len(row.contents) == 1], [row for row in rows if len(row.contents) > 1]
    assert len(single) == 4
    assert [(row.channel, len(row.contents), row.next_attempt_at) for row in together] == [
        ("chat", 3, at(10)),
        ("mail", 3, at(10)),
    ]
    note(store, rule(name="another", severity="high"), {8: 50}, at(9.2), throttle_per_hour=2)
    note(store, rule(name="later"), {9: 50}, at(10.1), throttle_per_hour=2)
    assert [row.next_attempt_at for row in deliveries(store)[-2:]] == [at(9.2), at(10.1)]


def test_announcements_over_the_limit_skip_an_hour_whose_message_is_being_sent(store: Store) -> None:
    for index in range(5):
        note(store, rule(name=f"rule_{index}"), {8: 50}, at(9.1), throttle_per_hour=1)
        with store.session() as session:
            session.execute(sa.update(Delivery).values(attempts=1))
    together = [row for row in deliveries(store) if row.dedupe_key.startswith(TOGETHER)]
    assert sorted(row.next_attempt_at for row in together) == [at(10), at(11), at(12), at(13)]


def test_low_severity_alerts_are_never_emailed(store: Store) -> None:
    add_channels(store, [{"name": "mail", "type": "email"}, {"name": "chat", "type": "slack"}])
    note(store, rule(severity="low", channels=("mail", "chat")), {8: 50}, at(9))
    assert [row.channel for row in deliveries(store)] == ["chat"]
    note(store, rule(name="only_mail", severity="low", channels=("mail",)), {8: 50}, at(9))
    assert [alert.announced_at for alert in alerts(store)] == [at(9), None]


def test_a_disabled_rule_records_and_announces_nothing_and_leaves_no_alert_firing(store: Store) -> None:
    note(store, rule(enabled=False), {8: 50}, at(9))
    assert announced(store) == []
    note(store, ERRORS, {8: 50}, at(9))
    assert retire(store, [ERRORS], at(10)) == 0
    assert retire(store, [rule(projects=("blog",))], at(10)) == 1
    assert [alert.state for alert in alerts(store)] == ["resolved"]
    note(store, ERRORS, {9: 1}, at(10))
    assert announced(store) == [("fired", 8)]


def test_a_rule_can_be_changed_to_require_more_consecutive_windows(store: Store) -> None:
    """The first window that broke it may then be the start of another alert."""
    note(store, ERRORS, {6: 50, 7: 1, 8: 50, 9: 1}, at(10))
    more = rule(**{"for": 3})
    record(store, judged(more, {8: 50, 9: 50}), context(at(10.5)))
    assert [(alert.fired_at, breaches(store, alert)) for alert in alerts(store)] == [(at(6), [6]), (at(8), [8, 9])]
    assert len({alert.started_at for alert in alerts(store)}) == 2
