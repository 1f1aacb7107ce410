"""The simulator's planted incidents, through real tables and the rules of the docs: each alerts once, and nothing else does.

Windows are judged in order, each a minute after its end. `--seeds 5` judges traffic of more random seeds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import radar_assets
from radar_assets.access.projects import ensure_projects, list_projects
from radar_assets.alerts import ledger
from radar_assets.alerts.announcements import Context
from radar_assets.alerts.evaluation import Judgement, evaluate
from radar_assets.alerts.measuring import history
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import Rule
from radar_assets.config import Config, apply_config, load_config
from radar_assets.events.enrichment import rebuild_events
from radar_assets.events.landing import write_segment
from radar_assets.events.loading import load_raw_events
from radar_assets.events.local_days import local_days
from radar_assets.events.sessionization import rebuild_sessions
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.messaging.channel import ChannelSpec
from radar_assets.metrics.composition import compose
from radar_assets.metrics.registry import Grain, Metric, registry
from radar_assets.orchestration.factory import same_windows
from radar_assets.settings import load_settings
from radar_assets.simulator.incidents import Incident, incidents
from radar_assets.simulator.projects import simulated_projects
from radar_assets.simulator.traffic import simulate
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Alert, Delivery, Project
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window

START, DAYS, EVENTS = date(2026, 1, 5), 35, 330_000
SPAN = Window(datetime(2026, 1, 5), datetime(2026, 1, 5) + DAYS * DAY)
MINUTE = timedelta(minutes=1)
FIRES = {
    "outage": "traffic_dropped",
    "checkout_failure": "payments_fail_on_iphones",
    "referrer_spike": "traffic_jumped",
}
"""The rule that each incident breaks."""


@dataclass(frozen=True)
class Months:
    """Five weeks of traffic in tables, and a store that knows the rules."""

    lakehouse: Lakehouse
    store: Store
    config: Config
    metrics: tuple[Metric, ...]


def sample(folder: Path) -> Config:
    """The file that the docs on alerts start with."""
    page = (Path(radar_assets.__file__).parents[1] / "docs" / "how-to" / "add-an-alert.md").read_text()
    found = re.search(r"```yaml[^\n]*\n(.*?)```", page, re.DOTALL)
    assert found
    file = folder / "radar.yaml"
    file.write_text(found[1])
    return load_config(file, required=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "months" in metafunc.fixturenames:
        metafunc.parametrize(
            "months", range(int(metafunc.config.getoption("--seeds") or 1)), indirect=True, scope="module"
        )


@pytest.fixture(scope="module")
def months(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    folder = tmp_path_factory.mktemp("incidents")
    config = sample(folder)
    metrics = registry(config.metrics)
    settings = load_settings(home=folder / "radar", start_date=START, threads=2).prepare()
    lakehouse, store = open_lakehouse(settings), open_store(settings.database)
    ensure_projects(store, (Project(one.id, one.name) for one in simulated_projects(3)))
    apply_config(store, config)
    # Few late lines: each makes a file of its own, and most of the time would go into those.
    for segment in simulate(START, DAYS, events=EVENTS, seed=request.param, late_share=0.001):
        write_segment(settings.landing, segment.hour, segment.name, [segment.lines])
    build(lakehouse, store, metrics, SPAN)
    yield Months(lakehouse, store, config, metrics)
    store.close()


def build(lakehouse: Lakehouse, store: Store, metrics: tuple[Metric, ...], span: Window) -> None:
    """Build all tables from the segments of a span."""
    load_raw_events(lakehouse, [project.id for project in list_projects(store)], span, only_missing=True)
    rebuild_events(lakehouse, [span])
    tables: list[tuple[str, Grain]] = [("hourly_metrics", "hour"), ("daily_metrics", "day")]
    inputs = {"hour": same_windows, "day": local_days}
    for name, grain in tables:
        if grain == "day":
            rebuild_sessions(lakehouse, span)
        lakehouse.rebuild(
            compose(load_model("radar_assets.metrics", name), metrics, grain),
            [span],
            inputs[grain],
        )


def judge(months: Months, span: Window, now: datetime) -> list[Judgement]:
    """All rules over a span."""
    by_window = [[rule for rule in months.config.rules if rule.window == window] for window in ("1h", "1d")]
    return [found for rules in by_window for found in evaluate(months.lakehouse, rules, months.metrics, span, now)]


def record(months: Months, judgement: Judgement, now: datetime, window: Window | None = None) -> ledger.Recorded:
    """Record the findings, or those about a window."""
    findings = judgement.findings
    if window:
        judged = {key: [window] for key, windows in findings.judged.items() if window in windows}
        breaches = [breach for breach in findings.breaches if breach.window == window]
        findings = replace(findings, judged=judged, breaches=breaches, asked=[window])
    context = Context(
        now=now,
        max_age=timedelta(hours=24),
        throttle_per_hour=10,
        ui_url=None,
        metrics={metric.name: metric for metric in months.metrics},
        project_names={project.id: project.name for project in list_projects(months.store)},
        asset="hourly_metrics",
    )
    return ledger.record(months.store, findings, context)


def announced(months: Months) -> list[tuple[str, str, str]]:
    """Rule, project and reason of all announcements, in order."""
    with months.store.session(read_only=True) as session:
        rows = session.scalars(sa.select(Delivery).order_by(Delivery.created_at, Delivery.id)).all()
    notices: list[dict[str, Any]] = [notice for row in rows for notice in row.contents]
    return [(notice["rule"], notice["project_id"], notice["reason"]) for notice in notices]


def alerts(months: Months) -> dict[str, list[Alert]]:
    """All alerts, by rule."""
    found: dict[str, list[Alert]] = {}
    with months.store.session(read_only=True) as session:
        for alert in session.scalars(sa.select(Alert).order_by(Alert.started_at)):
            found.setdefault(alert.rule, []).append(alert)
    return found


def test_each_incident_is_announced_once_with_its_end_and_nothing_else_is(months: Months) -> None:
    judgements = judge(months, SPAN, SPAN.end + HOUR)
    assert all(not found.unsettled for found in judgements)
    # An hour is judged a minute after its end, a day an hour after, when it is closed.
    steps = [
        (window.end + (MINUTE if found.findings.rule.window == "1h" else HOUR), index, window)
        for index, found in enumerate(judgements)
        for window in found.asked
    ]
    for now, index, window in sorted(steps):
        record(months, judgements[index], now, window)
        # Judging windows again within the same day, as for late events, announces nothing.
        if (now.weekday(), now.hour, index) == (3, 5, 0):
            before = announced(months)
            for found in judgements:
                for earlier in [one for one in found.asked if now - DAY <= one.end <= now - HOUR]:
                    record(months, found, now, earlier)
            assert announced(months) == before

    planted = incidents(START, DAYS)
    expected = [
        (FIRES[incident.name], incident.project, reason) for incident in planted for reason in ("fired", "recovered")
    ]
    assert announced(months) == expected
    found = alerts(months)
    assert {rule: len(of_rule) for rule, of_rule in found.items()} == dict.fromkeys(FIRES.values(), 1)
    for incident in planted:
        (alert,) = found[FIRES[incident.name]]
        assert alert.state == "resolved"
        in_its_place(alert, incident)
        shown(months, alert)

    # The week of each incident again, as in a backfill: as of the day after its end, and as of today.
    before, kept = announced(months), {rule: [one.id for one in of_rule] for rule, of_rule in found.items()}
    for incident in planted:
        week = Window(SPAN.start + (incident.start - SPAN.start) // DAY * DAY - 3 * DAY, incident.end + 4 * DAY)
        for now in (incident.end + DAY, SPAN.end + HOUR):
            for again in judge(months, Window(week.start, min(week.end, now)), now):
                record(months, again, now)
    assert announced(months) == before
    assert {rule: [one.id for one in of_rule] for rule, of_rule in alerts(months).items()} == kept


def in_its_place(alert: Alert, incident: Incident) -> None:
    """The alert covers the windows of the incident; visitors who came just before its end may stay for another hour."""
    if incident.name == "checkout_failure":
        days = (incident.start.date(), (incident.end - MINUTE).date())
        assert days[0] <= alert.started_at.date() <= alert.ended_at.date() - DAY <= days[1]
    else:
        assert alert.started_at == incident.start
        assert incident.end <= alert.ended_at <= incident.end + HOUR


def shown(months: Months, alert: Alert) -> None:
    """The chart of the alert shows the values around it."""
    rule = next(rule for rule in months.config.rules if rule.name == alert.rule)
    notice = Notice(
        reason="fired",
        alert_id=alert.id,
        rule=alert.rule,
        kind="threshold",
        severity="high",
        project_id=alert.project_id,
        metric=rule.metric,
        window=rule.window,
        started_at=alert.started_at,
        window_start=alert.ended_at - rule.step,
        window_end=alert.ended_at,
    )
    values = history(months.lakehouse, notice, months.metrics)
    assert values[-1] == (alert.ended_at - rule.step, alert.details["value"])
    assert values == sorted(values)
    assert len(values) > 10


def test_the_sample_is_that_of_the_docs(tmp_path: Path) -> None:
    config = sample(tmp_path)
    assert {rule.name for rule in config.rules} == set(FIRES.values())
    assert [type(rule) for rule in config.rules] == [Rule] * 3
    assert ChannelSpec
