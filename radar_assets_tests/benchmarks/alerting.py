"""The cost of rules: a thousand rules over an hour of a thousand projects, against only reading their values."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

from radar_assets.alerts.evaluation import Judgement, evaluate
from radar_assets.alerts.rules import Rule
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.registry import registry
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.benchmarks import traffic
from radar_assets_tests.benchmarks.measurement import Figure

RULES, PROJECTS = 1000, 1000
SAMPLES = 3
MAX_S = 10
MAX_GROWTH = 1.5
"""Maximum growth of the time with ten times the rules or projects, relative to ten times as long."""
HOUR_JUDGED = datetime(2026, 3, 30, 12)
WEEK = timedelta(days=7)


def run(folder: Path, scale: float) -> list[Figure]:
    """Seconds to judge one hour, also with a tenth of the rules and a tenth of the projects."""
    rules, projects = max(10, round(RULES * scale)), max(10, round(PROJECTS * scale))
    lakehouse = _home(folder / "many", projects)
    fewer = _home(folder / "fewer", projects // 10)
    whole, floor = _seconds(lakehouse, rules), _floor_s(lakehouse)
    tenth_of_rules, tenth_of_projects = _seconds(lakehouse, rules // 10), _seconds(fewer, rules)
    day = _seconds(lakehouse, rules, hours=24, samples=1)
    name = f"{rules:,} rules, {projects:,} projects"
    return [
        Figure("alerting", f"{name}, one hour", whole, "s", floor, at_most=MAX_S),
        Figure("alerting", f"{name}, the 24 hours of a run by the clock", day, "s"),
        Figure("alerting", f"{rules // 10:,} rules, {projects:,} projects, one hour", tenth_of_rules, "s"),
        Figure("alerting", f"{rules:,} rules, {projects // 10:,} projects, one hour", tenth_of_projects, "s"),
        Figure(
            "alerting", "growth from a tenth of the rules", whole / tenth_of_rules, "times", at_most=10 * MAX_GROWTH
        ),
        Figure(
            "alerting",
            "growth from a tenth of the projects",
            whole / tenth_of_projects,
            "times",
            at_most=10 * MAX_GROWTH,
        ),
    ]


def rules_of_all_kinds(count: int) -> list[Rule]:
    """Rules with every operator over hourly metrics, each with its own threshold, some with overrides and `for`."""
    names = [metric.name for metric in registry() if "hour" in metric.grains]
    found = []
    for index in range(count):
        operator = ("gt", "gte", "lt", "lte", "eq", "change_pct", "change_pct")[index % 7]
        found.append(
            Rule(
                name=f"rule_{index}",
                metric=names[index % len(names)],
                operator=operator,
                # Values are from 0 to 100. Few projects break each rule, as in practice.
                threshold={"gt": 99.0, "gte": 99.0, "lt": 1.0, "lte": 1.0, "eq": 50.0}.get(operator, -95.0)
                + index / 1e4,
                against="previous" if index % 2 else "same_weekday",
                minimum=index % 10,
                **{"for": 1 + index % 3},  # pyright: ignore[reportArgumentType]
                overrides={f"project-{index % 50}": {"threshold": -99.0 if operator == "change_pct" else 98.0}},  # pyright: ignore[reportArgumentType]
            )
        )
    return found


def judge(lakehouse: Lakehouse, rules: Sequence[Rule], hours: int = 1) -> list[Judgement]:
    """Judge the rules over the latest hours."""
    span = Window(HOUR_JUDGED - (hours - 1) * HOUR, HOUR_JUDGED + HOUR)
    return evaluate(lakehouse, rules, registry(), span, span.end + HOUR / 2)


def _seconds(lakehouse: Lakehouse, rules: int, *, hours: int = 1, samples: int = SAMPLES) -> float:
    made = rules_of_all_kinds(rules)
    times = []
    for _ in range(samples):
        began = time.monotonic()
        found = judge(lakehouse, made, hours)
        times.append(time.monotonic() - began)
        assert all(len(judgement.findings.judged) > 0 for judgement in found)
    return median(times)


def _floor_s(lakehouse: Lakehouse) -> float:
    """Seconds to only read the values of the hours that are judged or compared with."""
    hours = {HOUR_JUDGED - index * HOUR - weeks * WEEK for index in range(4) for weeks in range(5)}
    files = Files.within(lakehouse.snapshot("hourly_metrics"), [Window.of_hour(hour) for hour in sorted(hours)])
    began = time.monotonic()
    lakehouse.engine.query(SqlModel("read", "select * from hourly_metrics"), {"hourly_metrics": files})
    return time.monotonic() - began


def _home(folder: Path, projects: int) -> Lakehouse:
    """Tables with values of all metrics, for the hours that are read and for four weeks of days."""
    settings = traffic.prepare_home(traffic.environment_of(folder, folder / "landing", threads=2), 3)
    lakehouse = open_lakehouse(settings)
    metrics = ", ".join(f"'{metric.name}'" for metric in registry() if "hour" in metric.grains)
    values = f"""
        select 'project-' || p as project_id, {{time}}, metric, (hash(p, t, metric) % 1000000) / 10000 as value
        from range({max(1, projects)}) as projects (p), unnest([{metrics}]) as metrics (metric),
        range($start, $end, interval {{step}}) as times (t)
    """
    for weeks in range(5):
        end = HOUR_JUDGED + HOUR - weeks * WEEK
        model = SqlModel("hourly_metrics", values.format(time="t as hour", step="1 hour"))
        lakehouse.rebuild(model, [Window(end - 28 * HOUR, end)], lambda *_: {})
    first = datetime(*HOUR_JUDGED.timetuple()[:3]) - 29 * DAY
    model = SqlModel("daily_metrics", values.format(time="t::date as date", step="1 day"))
    lakehouse.rebuild(model, [Window(first, first + 29 * DAY)], lambda *_: {})
    return lakehouse
