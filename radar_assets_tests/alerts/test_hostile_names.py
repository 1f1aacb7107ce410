"""Names that contain SQL, markup, templates or paths are treated as values wherever rules are judged and shown."""

import re
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from pydantic import ValidationError

from radar_assets.alerts.check_page import describe_result
from radar_assets.alerts.checks import verdict_of
from radar_assets.alerts.evaluation import evaluate
from radar_assets.alerts.measuring import history
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import Rule
from radar_assets.events.tables import EVENTS
from radar_assets.lakehouse.sql import SqlModel, load_model
from radar_assets.metrics.composition import compose_five_minutes
from radar_assets.metrics.registry import Metric, registry
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window
from radar_assets_tests.alerts.records import context
from radar_assets_tests.alerts.tables import NOON, broken, fill, judged, rule, series
from radar_assets_tests.metrics.relations import engine, event, relation

STARTS = (
    "x'",
    'x"',
    "x`",
    "x')",
    "x;",
    "$start",
    "{{7*7}}",
    "${7*7}",
    "%s",
    "x\\",
    "\x1b[31m",
    "<b>",
    "*|x",
    "../../etc/passwd",
    "\u202e",
)
ENDS = (
    "; drop table rules; --",
    " or 1=1 --",
    " union all select * from read_text('/etc/passwd') --",
    "; copy (select 1) to '{file}'; --",
    "; attach '{file}' as a; create table a.b as select 1; --",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://169.254.169.254/)",
    "{% for x in ().__class__.__base__.__subclasses__() %}",
    "\n\n# heading",
    "@everyone <!channel>",
    "-" * 100,
    "日本語 🎉",
)


def payloads(file: Path) -> list[str]:
    """More than two hundred names."""
    return [start + end.replace("{file}", str(file)) for start, end in product(STARTS, ENDS)]


def test_hostile_names_of_rules_projects_and_metrics_have_no_effect(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "made"
    names = payloads(file)
    assert len(set(names)) >= 200
    lakehouse = open_lakehouse(settings)
    fill(lakehouse, "1h", series({name: {NOON - HOUR: 5, NOON: 20} for name in names}))
    fill(
        lakehouse,
        "1h",
        [(name, NOON - HOUR, name, 5) for name in names] + series({n: {NOON: 20, NOON - HOUR: 5} for n in names}),
    )
    for_all = rule(overrides={name: {"threshold": 19} for name in names})
    listed = rule(name="listed", projects=names)
    hostile = [for_all.model_copy(update={"name": name}) for name in names]
    count = {"source": "events", "expression": "count(*)", "title": "x", "description": "x"}
    metrics = [*registry(), *(Metric(name=name, **count) for name in names)]  # pyright: ignore[reportArgumentType]
    about = [rule().model_copy(update={"name": f"about_{index}", "metric": name}) for index, name in enumerate(names)]
    span = Window(NOON, NOON + HOUR)
    found = evaluate(lakehouse, [for_all, listed, *hostile, *about], metrics, span, span.end + timedelta(minutes=5))
    for judgement in found[: 2 + len(names)]:
        assert broken(judgement) == {name: [NOON] for name in names}
        assert set(judged(judgement)) == set(names)
    assert all(broken(judgement) == {} for judgement in found[2 + len(names) :])
    for judgement in found[:3]:
        verdict = verdict_of(judgement, span, is_latest=True)
        by_name = {metric.name: metric for metric in metrics}
        text = describe_result(
            lakehouse, judgement.findings.rule, verdict.decisive, verdict.trend, by_name, context(NOON)
        )
        assert not re.search(r"(?<!\\)[<`!]", text.split("\n\n```")[0]), "names are escaped"
    assert not file.exists()
    rows = lakehouse.engine.query(SqlModel("q", "select count(*) as n from rules"), {"rules": relation(EVENTS, [])})
    assert rows.to_pylist() == [{"n": 0}]


def test_hostile_names_of_metrics_are_quoted_in_composed_sql(tmp_path: Path) -> None:
    names = payloads(tmp_path / "made")
    count = {"source": "events", "expression": "count(*)", "title": "x", "description": "x"}
    metrics = [Metric(name=name, **count) for name in names]  # pyright: ignore[reportArgumentType]
    model = compose_five_minutes(load_model("radar_assets.metrics", "hourly_metrics"), metrics)
    span = {"start": NOON, "end": NOON + HOUR}
    found = engine().query(model, {"events": relation(EVENTS, [event(at=NOON)])}, span)
    assert {(row["metric"], row["value"]) for row in found.to_pylist()} == {(name, 1) for name in names}
    assert not (tmp_path / "made").exists()


def test_hostile_rule_names_are_refused(tmp_path: Path) -> None:
    for name in payloads(tmp_path / "made"):
        with pytest.raises(ValidationError):
            Rule.model_validate({"name": name, "metric": "events", "threshold": 1})


def test_the_chart_of_a_hostile_project_has_only_its_values(settings: Settings, tmp_path: Path) -> None:
    lakehouse = open_lakehouse(settings)
    name = payloads(tmp_path / "made")[0]
    fill(lakehouse, "1h", series({name: {NOON - HOUR: 5, NOON: 20}, "other": {NOON: 7}}))
    notice = Notice(
        reason="fired",
        alert_id="1",
        rule="many_page_views",
        kind="threshold",
        severity="high",
        project_id=name,
        metric="page_views",
        started_at=NOON,
        window_start=NOON,
        window_end=NOON + HOUR,
    )
    values = history(lakehouse, notice, registry())
    assert [(at, value) for at, value in values if value] == [(NOON - HOUR, 5), (NOON, 20)]
    assert history(lakehouse, notice.model_copy(update={"metric": name}), registry()) == []
