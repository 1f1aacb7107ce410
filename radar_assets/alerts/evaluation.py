"""Judges rules: selects the windows, computes their values, and finds those that break a rule.

All rules with the same window length are judged together, for all their projects, by the statements in `sql/`. Existing alerts belong
to `ledger.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from radar_assets.alerts.findings import Breach, Findings, Kept, Key
from radar_assets.alerts.measuring import LAYER, MEMORY, TABLE, earlier, measure, measures, relation
from radar_assets.alerts.rules import ALL_PROJECTS, WINDOWS, Rule, WindowName
from radar_assets.alerts.settling import settling_time, tables_of, unsettled_days, unsettled_windows
from radar_assets.alerts.weeks import WEEKS, asked_windows, compared_starts, looked_at_by, plan_key, weeks_from
from radar_assets.calendar import DAYS_IN_UTC, IN_UTC, Calendar, zones_key
from radar_assets.lakehouse.files import EPOCH
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.metrics.registry import Metric
from radar_assets.windows import DAY, Window

if TYPE_CHECKING:
    import pyarrow as pa


LATEST: dict[WindowName, int] = {"5m": 12, "1h": 24, "1d": 7}
"""Number of latest windows that are judged by default, which makes up for late data and missed ticks."""
MICROSECOND = timedelta(microseconds=1)


class UnknownMetricError(Exception):
    """A rule refers to a metric that is no longer in the registry."""


@dataclass(frozen=True)
class Judgement:
    """The result of judging a rule.

    Attributes:
        asked: the requested windows, in order.
        unsettled: requested windows that are judged later, because landed events are not in the tables yet or the metric could not
            be computed.
        waiting: starts of those for which landed events are not in the tables yet.
        trend: for each window, the value of any project that is closest to breaking the rule or furthest beyond; for rules about
            changes, the change in percent.
    """

    findings: Findings
    asked: Sequence[Window]
    unsettled: Sequence[Window]
    trend: Sequence[tuple[datetime, float]]
    waiting: Sequence[datetime] = ()


class _Lens(NamedTuple):
    """What determines which windows of a project can be judged, apart from thresholds. Many rules share a lens."""

    metric: str
    against: str | None
    is_fall: bool
    minimum: float
    for_windows: int
    # The windows to judge, and the earlier windows that `for` considers.
    plan: tuple[tuple[datetime, ...], tuple[datetime, ...]]


class _Answers(NamedTuple):
    """The rows of the statements."""

    broken: Sequence[Mapping[str, Any]]
    judged: Sequence[Mapping[str, Any]]
    trends: Sequence[Mapping[str, Any]]
    kept: Sequence[Mapping[str, Any]]
    valued: Sequence[Mapping[str, Any]]


def latest_windows(
    window: WindowName, now: datetime, count: int | None = None, calendar: Calendar = DAYS_IN_UTC
) -> Window:
    """The span of the latest windows that have ended; of days, those that have ended for any project. Default for `count`: as in
    `LATEST`.
    """
    step = WINDOWS[window]
    end = _end_of_latest(window, now, calendar)
    last = Window.of_day(calendar.last_ended(now)).end if window == "1d" else end
    return Window(last - (count or LATEST[window]) * step, end)


def _end_of_latest(window: WindowName, now: datetime, calendar: Calendar) -> datetime:
    if window == "1d":
        return Window.of_day(calendar.last_begun(now)).start
    return EPOCH + (now - EPOCH) // WINDOWS[window] * WINDOWS[window]


def evaluate(
    lakehouse: Lakehouse,
    rules: Sequence[Rule],
    metrics: Sequence[Metric],
    span: Window,
    now: datetime,
    firing: Collection[tuple[str, str]] = (),
    zones: Mapping[str, str] | None = None,
    waiting: Collection[datetime] = (),
) -> list[Judgement]:
    """Judge rules over the windows of a span, and over later windows that depend on them.

    Windows of a day are dates, from midnight to midnight as if in UTC. Each project is judged once its own day of that date has ended.

    Args:
        rules: rules about metrics, all with the same window length.
        metrics: the registry.
        span: of time; windows that have not ended by `now` are left out.
        now: naive, UTC.
        firing: rules and project ids of open alerts, for which the values that end them are returned, and whether the metric still
            has a value.
        zones: IANA time zones of projects, by id, for windows shorter than a day; those of others are UTC.
        waiting: starts of further windows to judge, which were unsettled before.

    Returns:
        One judgement per rule, in order.

    Raises:
        UnknownMetricError: the metric of a rule is not in the registry.
    """
    if not rules:
        return []
    registered = {metric.name: metric for metric in metrics}
    for rule in rules:
        if rule.metric not in registered:
            raise UnknownMetricError(f"rule {rule.name}: unknown metric {rule.metric}; declare it in radar.yaml again")
    window = rules[0].window
    calendar = lakehouse.calendar()
    ended = _end_of_latest(window, now - settling_time(lakehouse), calendar)
    if window == "1d":
        zones = {project: zones_key(own) for project, own in calendar.zones.items()}
    zones = zones or {}
    names = {"UTC", *zones.values()}
    # Most rules share their plan, and there may be many rules and time zones.
    plans = {key: asked_windows(rule, span, ended, names, waiting) for rule in rules for key in [plan_key(rule)]}
    asked = [plans[plan_key(rule)] for rule in rules]
    looked_at = [looked_at_by(rule, windows) for rule, windows in zip(rules, asked, strict=True)]
    needed = {start for starts in looked_at for start in starts}
    if not needed:
        return [Judgement(Findings(rule, {}, []), [], [], []) for rule in rules]
    tables = tables_of(lakehouse, window)
    step = WINDOWS[window]
    earlier_weeks = {
        (name, start): [weeks_from(start, -weeks, step, name) for weeks in range(1, WEEKS + 1)]
        for name in names
        for start in needed
    }
    compared = compared_starts(rules, needed, names)
    if window == "1d":
        histories = {"UTC": IN_UTC} | {zones_key(own): own for own in calendar.zones.values()}
        unsettled_by_zone = unsettled_days(lakehouse, tables, compared, now, histories)
    else:
        unsettled_by_zone = dict.fromkeys(names, unsettled_windows(lakehouse, tables, compared, step, now))
    # For all projects.
    unsettled = set.intersection(*(unsettled_by_zone[name] for name in set(zones.values()) or names))
    lenses = [
        _Lens(
            metric=str(rule.metric),
            against=rule.against if rule.operator == "change_pct" else None,
            is_fall=rule.operator == "change_pct" and (rule.threshold or 0) < 0,
            minimum=rule.minimum if rule.operator == "change_pct" else 0,
            for_windows=rule.for_windows,
            plan=(tuple(window.start for window in windows), tuple(starts)),
        )
        for rule, windows, starts in zip(rules, asked, looked_at, strict=True)
    ]
    lens_indexes = {lens: index for index, lens in enumerate(dict.fromkeys(lenses))}
    wanted = [registered[name] for name in sorted({"events", *(lens.metric for lens in lenses)})]
    # Windows that wait may be many, and need no values.
    known = {start for start in needed if start not in unsettled} or needed
    reached = {start - shift for start in known for shift in (timedelta(0), step)}
    reached.update(week for (_, start), weeks in earlier_weeks.items() if start in known for week in weeks)
    measured, omitted = measure(lakehouse, tables[TABLE[window]], window, wanted, reached)
    followed = [(index, project) for index, rule in enumerate(rules) for name, project in firing if name == rule.name]
    inputs = {
        "measured": measured,
        "earlier": earlier(lakehouse, window, wanted, needed),
        **_rule_inputs(rules, [lens_indexes[lens] for lens in lenses], list(lens_indexes), wanted),
        "firing": relation(
            rule=("int", [index for index, _ in followed]), project_id=("text", [project for _, project in followed])
        ),
        "project_zones": relation(project_id=("text", list(zones)), zone=("text", list(zones.values()))),
        "weeks_before": relation(
            zone=("text", [name for name, _ in earlier_weeks]),
            window_start=("timestamp", [start for _, start in earlier_weeks]),
            **{
                f"week_{week + 1}": ("timestamp", [starts[week] for starts in earlier_weeks.values()])
                for week in range(WEEKS)
            },
        ),
        "unsettled": relation(
            zone=("text", [name for name, starts in unsettled_by_zone.items() for _ in starts]),
            window_start=("timestamp", [start for starts in unsettled_by_zone.values() for start in starts]),
        ),
    }
    step_us = step // MICROSECOND
    with lakehouse.engine.session(inputs) as session:
        session.keep(load_model(LAYER, "measurements"), {"step_us": step_us, "memory_days": MEMORY // DAY})
        session.keep(load_model(LAYER, "judgements"), {"step_us": step_us})
        answers = _Answers(
            *(
                session.query(load_model(LAYER, name)).to_pylist()
                for name in ("breaches", "judged_windows", "worst_values", "kept_values", "valued_windows")
            )
        )
    late = [
        [
            one
            for one in windows
            if one.start in unsettled or any(one.overlaps(gap) for gap in omitted.get(lens.metric, ()))
        ]
        for windows, lens in zip(asked, lenses, strict=True)
    ]
    judgements = _judgements(rules, [lens_indexes[lens] for lens in lenses], asked, late, answers)
    own = {project: unsettled_by_zone[zones.get(project, "UTC")] for _, project in followed}
    silent = _silent(followed, asked, late, own, answers.valued)
    return [
        replace(
            judgement,
            findings=replace(judgement.findings, silent=silent.get(index, {})),
            waiting=[window.start for window in asked[index] if window.start in unsettled],
        )
        for index, judgement in enumerate(judgements)
    ]


def _silent(
    followed: Sequence[tuple[int, str]],
    asked: Sequence[Sequence[Window]],
    late: Sequence[Sequence[Window]],
    unsettled: Mapping[str, Collection[datetime]],
    valued: Sequence[Mapping[str, Any]],
) -> dict[int, dict[Key, Window]]:
    """The latest windows in a row without a value, by rule and project, of those in which everything is loaded."""
    with_value = {(row["rule"], row["project_id"]): set(row["window_starts"]) for row in valued}
    silent: dict[int, dict[Key, Window]] = {}
    for index, project in followed:
        unknown, known = set(late[index]), with_value.get((index, project), set())
        settled = [one for one in asked[index] if one not in unknown and one.start not in unsettled[project]]
        if settled:
            latest = list(takewhile(lambda window: window.start not in known, reversed(settled)))  # noqa: B023
            end = settled[-1].end
            silent.setdefault(index, {})[project, ""] = Window(latest[-1].start if latest else end, end)
    return silent


def _rule_inputs(
    rules: Sequence[Rule], lens_of_rule: Sequence[int], lenses: Sequence[_Lens], metrics: Sequence[Metric]
) -> dict[str, "pa.Table"]:
    """The rules as relations, so that names of rules and projects reach the statements as values only."""
    plans = {plan: index for index, plan in enumerate(dict.fromkeys(lens.plan for lens in lenses))}
    planned = [(index, start, start in set(judged)) for (judged, starts), index in plans.items() for start in starts]
    overrides = [
        (index, project, override.threshold, override.enabled)
        for index, rule in enumerate(rules)
        for project, override in rule.overrides.items()
    ]
    members = [
        (index, project)
        for index, rule in enumerate(rules)
        if rule.projects != ALL_PROJECTS
        for project in dict.fromkeys(rule.projects)
    ]
    return {
        "measures": measures(metrics),
        "lenses": relation(
            lens=("int", range(len(lenses))),
            metric=("text", [lens.metric for lens in lenses]),
            against=("text", [lens.against for lens in lenses]),
            is_fall=("flag", [lens.is_fall for lens in lenses]),
            minimum=("number", [lens.minimum for lens in lenses]),
            for_windows=("int", [lens.for_windows for lens in lenses]),
            plan=("int", [plans[lens.plan] for lens in lenses]),
        ),
        "plans": relation(
            plan=("int", [index for index, _, _ in planned]),
            window_start=("timestamp", [start for _, start, _ in planned]),
            is_judged=("flag", [is_judged for _, _, is_judged in planned]),
        ),
        "rules": relation(
            rule=("int", range(len(rules))),
            lens=("int", lens_of_rule),
            operator=("text", [_operator(rule) for rule in rules]),
            threshold=("number", [rule.threshold for rule in rules]),
            is_for_all=("flag", [rule.projects == ALL_PROJECTS for rule in rules]),
            is_rise=("flag", [is_about_rises(rule) for rule in rules]),
        ),
        "overrides": relation(
            rule=("int", [index for index, _, _, _ in overrides]),
            project_id=("text", [project for _, project, _, _ in overrides]),
            threshold=("number", [threshold for _, _, threshold, _ in overrides]),
            is_enabled=("flag", [is_enabled for _, _, _, is_enabled in overrides]),
        ),
        "members": relation(
            rule=("int", [index for index, _ in members]), project_id=("text", [project for _, project in members])
        ),
    }


def is_about_rises(rule: Rule) -> bool:
    """Whether a rule breaks when values are too large, rather than too small."""
    return _operator(rule) not in ("lt", "lte", "fall")


def _operator(rule: Rule) -> str:
    if rule.operator != "change_pct":
        return rule.operator
    return "fall" if (rule.threshold or 0) < 0 else "rise"


def _judgements(
    rules: Sequence[Rule],
    lens_of_rule: Sequence[int],
    asked: Sequence[Sequence[Window]],
    late: Sequence[Sequence[Window]],
    answers: _Answers,
) -> list[Judgement]:
    """The results of the statements, by rule."""
    step = rules[0].step
    seen: dict[int, dict[tuple[str, str], Sequence[Window]]] = {}
    for row in answers.judged:
        windows = tuple(Window(start, start + step) for start in row["window_starts"])
        projects = ((project, "") for project in row["project_ids"])
        seen.setdefault(row["lens"], {}).update(dict.fromkeys(projects, windows))
    breaches: list[list[Breach]] = [[] for _ in rules]
    unclear: list[set[tuple[str, datetime]]] = [set() for _ in rules]
    for row in answers.broken:
        index, project, start = row["rule"], row["project_id"], row["window_start"]
        if not row["is_breach"]:
            unclear[index].add((project, start))
            continue
        breaches[index].append(
            Breach(
                project,
                Window(start, start + step),
                start - (rules[index].for_windows - 1) * step,
                row["value"],
                row["threshold"],
                row["baseline"],
                None if row["lowest_usual"] is None else (row["lowest_usual"], row["highest_usual"]),
            )
        )
    trend: list[list[tuple[datetime, float]]] = [[] for _ in rules]
    for row in answers.trends:
        trend[row["rule"]].append((row["window_start"], row["value"]))
    kept: list[dict[tuple[str, datetime], Kept]] = [{} for _ in rules]
    for row in answers.kept:
        kept[row["rule"]][row["project_id"], row["window_start"]] = Kept(row["value"], row["baseline"])
    judgements = []
    for index, rule in enumerate(rules):
        own = seen.get(lens_of_rule[index], {})
        if rule.projects != ALL_PROJECTS or any(not override.enabled for override in rule.overrides.values()):
            own = {key: windows for key, windows in own.items() if rule.judges(key[0])}
        else:
            own = dict(own)
        for project in {project for project, _ in unclear[index]}:
            left = tuple(window for window in own[project, ""] if (project, window.start) not in unclear[index])
            if left:
                own[project, ""] = left
            else:
                del own[project, ""]
        findings = Findings(rule, own, breaches[index], asked[index], kept[index])
        judgements.append(Judgement(findings, asked[index], late[index], trend[index]))
    return judgements
