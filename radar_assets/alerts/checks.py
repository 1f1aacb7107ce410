"""Rules as asset checks: one check per rule, on the asset that holds its windows, and one step for all rules of an asset.

Findings are recorded in the ledger before Dagster gets the result. `evaluation.py` judges values, and `ledger.py` turns findings into
alerts.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import dagster as dg

from radar_assets.access.projects import list_projects
from radar_assets.alerts.check_page import breach_table, describe_result, span_in_words, summary
from radar_assets.alerts.evaluation import (
    Judgement,
    evaluate,
    is_about_rises,
    latest_windows,
)
from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.measuring import TABLE
from radar_assets.alerts.rules import Rule, Watch, WindowName
from radar_assets.alerts.settings import AlertSettings
from radar_assets.alerts.settling import settling_time
from radar_assets.calendar import DAYS_IN_UTC, Calendar
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.markdown import escape, escape_images
from radar_assets.metrics.registry import Metric
from radar_assets.orchestration.checks import AFTER_METRICS, EXAMPLES, checked_window
from radar_assets.orchestration.run_tags import partition_span
from radar_assets.store.database import Store
from radar_assets.windows import Window, utc_now

WATCHED_AT: dict[Watch, str] = {
    "late_partitions": "hourly_metrics",
    "failed_runs": "alert_deliveries",
    "stuck_runs": "alert_deliveries",
    "slow_runs": "alert_deliveries",
    "daemon": "alert_deliveries",
    "health": "alert_deliveries",
}
"""The asset that shows the check of a platform rule, by what it watches."""
WAITING_FOR = timedelta(days=1)
"""How long a window of five minutes is judged late, once what landed for it is loaded."""
ERRORS = ("high", "critical")


def asset_of(rule: Rule) -> str:
    """The asset that a rule's check is on."""
    return WATCHED_AT[rule.watch] if rule.watch else TABLE[rule.window]


def check_key(rule: Rule) -> dg.AssetCheckKey:
    """The check of a rule."""
    return dg.AssetCheckKey(dg.AssetKey(asset_of(rule)), rule.name)


def runs_with_asset(rule: Rule) -> bool:
    """Whether a rule is judged in every run of its asset, so that late data and backfills judge it again.

    Platform rules and five-minute rules are not: an hour is rebuilt every half minute while events land, and reading five weeks of
    events at the same time of day costs as much as the rebuild. The schedule judges those, for the last hour at each tick.
    """
    return rule.watch is None and rule.window != "5m"


def build_checks(
    rules: Sequence[Rule], metrics: Sequence[Metric], settings: AlertSettings
) -> list[dg.AssetChecksDefinition]:
    """The checks of the rules."""
    ordered = sorted(rules, key=asset_of)
    return [_checks_of(asset, list(checked), metrics, settings) for asset, checked in groupby(ordered, key=asset_of)]


@dataclass(frozen=True)
class Verdict:
    """The result of a rule's check.

    Attributes:
        breaches: the latest first.
        decisive: the breaches of the partitions of the run or, if it has none, of now. The rule is broken if there are any.
        trend: as for `Judgement`, of the same windows.
    """

    findings: Findings
    breaches: Sequence[Breach]
    decisive: Sequence[Breach]
    trend: Sequence[tuple[datetime, float]]
    metadata: Mapping[str, Any]


def _checks_of(
    asset: str, rules: Sequence[Rule], metrics: Sequence[Metric], settings: AlertSettings
) -> dg.AssetChecksDefinition:
    by_name = {rule.name: rule for rule in rules}
    registered = {metric.name: metric for metric in metrics}

    @dg.multi_asset_check(
        name=f"{asset}_rules",
        specs=[
            dg.AssetCheckSpec(
                rule.name, asset=asset, description=escape_images(rule.description or summary(rule, registered))
            )
            for rule in rules
        ],
        can_subset=True,
        op_tags=AFTER_METRICS,
    )
    def run_rules(
        context: dg.AssetCheckExecutionContext,
        lakehouse: dg.ResourceParam[Lakehouse],
        store: dg.ResourceParam[Store],
    ) -> Iterator[dg.AssetCheckResult]:
        from radar_assets.alerts import ledger, records
        from radar_assets.alerts.announcements import Context

        selected = [by_name[key.name] for key in sorted(context.selected_asset_check_keys)]
        now, projects = utc_now(), list_projects(store)
        ledger_context = Context(
            now=now,
            max_age=timedelta(hours=settings.alert_max_age_h),
            throttle_per_hour=settings.alert_throttle_per_hour,
            ui_url=settings.ui_url,
            metrics=registered,
            project_names={project.id: project.name for project in projects},
            asset=asset,
            zones={project.id: project.timezone for project in projects},
            calendar=lakehouse.calendar(),
        )
        failures: list[Exception] = []
        for rule in selected:
            if not rule.enabled:
                yield _result(asset, rule, "The rule is disabled.", passed=True, metadata={"enabled": False})
            elif not (rule.watch or rule.metric in registered):
                # Not a failure of the run, which would fail and retry every run of the asset until the file is fixed.
                why = f"Unknown metric {rule.metric}. Declare it in radar.yaml again, or remove the rule and run radar apply."
                yield _result(asset, rule, escape(why), passed=False, metadata={})
        judgeable = {rule.name for rule in rules if rule.enabled and (rule.watch or rule.metric in registered)}
        active = [rule for rule in selected if rule.name in judgeable]
        is_complete = len(active) == len(judgeable)
        for verdict in _verdicts(
            context, lakehouse, store, active, metrics, now, ledger_context.zones, failures, is_complete=is_complete
        ):
            rule = verdict.findings.rule
            try:
                if verdict.findings.judged or verdict.findings.silent:
                    ledger.record(store, verdict.findings, ledger_context)
            except Exception as error:  # the other rules are still judged, then the step fails
                failures.append(error)
                continue
            shown = describe_result(
                lakehouse, rule, verdict.decisive, verdict.trend, registered, ledger_context, verdict.breaches
            )
            since = records.starts(store, rule.name, verdict.breaches[:EXAMPLES])
            table = {"breaches": breach_table(rule, verdict.breaches[:EXAMPLES], since)} if verdict.breaches else {}
            yield _result(asset, rule, shown, passed=not verdict.decisive, metadata={**table, **verdict.metadata})
        if failures:
            raise failures[0]

    return run_rules


def _verdicts(
    context: dg.AssetCheckExecutionContext,
    lakehouse: Lakehouse,
    store: Store,
    rules: Sequence[Rule],
    metrics: Sequence[Metric],
    now: datetime,
    zones: Mapping[str, str],
    failures: list[Exception],
    *,
    is_complete: bool,
) -> Iterator[Verdict]:
    """The verdicts on rules.

    Args:
        failures: errors of platform rules are added to it. The caller adds those of recording a verdict before asking for the next.
        is_complete: whether these are all rules of the asset that can be judged.
    """
    from radar_assets.alerts import records

    judged: dict[WindowName, list[Rule]] = {}
    for rule in rules:
        if rule.watch:
            try:
                yield _watched(context, lakehouse, store, rule, now)
            except Exception as error:
                failures.append(error)
        else:
            judged.setdefault(rule.window, []).append(rule)
    firing = set(records.firing_projects(store)) if judged else set[tuple[str, str]]()
    for window, of_window in judged.items():
        ended, calendar = now - settling_time(lakehouse), lakehouse.calendar()
        span, is_latest = judged_span(context.run.tags, window, ended, calendar)
        waiting = records.waiting_windows(store) if window == "5m" else ()
        judgements = evaluate(lakehouse, of_window, metrics, span, now, firing, zones, waiting)
        # What a run of one partition finds broken may have been broken before: if the rule is new, no one has looked.
        latest = latest_windows(window, ended, calendar=calendar)
        wide = Window(min(span.start, latest.start), max(span.end, latest.end))
        found = [judgement.findings.rule for judgement in judgements if _has_begun(judgement, firing)]
        if wide != span and span.end > latest.start and found:
            again = evaluate(lakehouse, found, metrics, wide, now, firing, zones, waiting)
            wider = {judgement.findings.rule.name: judgement for judgement in again}
            judgements = [wider.get(judgement.findings.rule.name, judgement) for judgement in judgements]
        for judgement in judgements:
            yield verdict_of(judgement, span, is_latest=is_latest)
        # Only now that all are recorded. Windows of other lengths are judged again in the run that loads them.
        if window == "5m":
            late = {start for judgement in judgements for start in judgement.waiting}
            if failures or not is_complete:
                late.update(waiting)  # not judged yet by the rules that failed or were not selected
            records.wait_for(store, {start for start in late if start >= now - WAITING_FOR}, waiting)


def _has_begun(judgement: Judgement, firing: Collection[tuple[str, str]]) -> bool:
    """Whether a rule is broken for a project for which it was not firing."""
    findings = judgement.findings
    return any((findings.rule.name, breach.project_id) not in firing for breach in findings.breaches)


def judged_span(
    tags: Mapping[str, str], window: WindowName, ended: datetime, calendar: Calendar = DAYS_IN_UTC
) -> tuple[Window, bool]:
    """The span that a run judges: its partitions, or else the latest windows. The second value says whether it is the latest.

    Args:
        ended: only windows that ended by this time are judged.
    """
    if partition_span(tags) is None:
        return latest_windows(window, ended, calendar=calendar), True
    span = checked_window(tags, "day" if window == "1d" else "hour")
    latest = latest_windows(window, ended, 1, calendar)
    # A run of the current hour has no window to judge yet. An empty result would hide the previous one, so that is judged again.
    return (latest, True) if span.start >= latest.end else (span, False)


def verdict_of(judgement: Judgement, span: Window, *, is_latest: bool) -> Verdict:
    """The verdict on a rule after judging it over a span.

    Args:
        is_latest: whether only the last window of each project counts, which shows if the rule is broken now.
    """
    findings, rule = judgement.findings, judgement.findings.rule
    latest = {key[0]: windows[-1] for key, windows in findings.judged.items() if windows}
    decisive = [
        breach
        for breach in findings.breaches
        if (breach.window == latest.get(breach.project_id) if is_latest else breach.window.overlaps(span))
    ]
    breaches = sorted(findings.breaches, key=lambda breach: (breach.window, breach.project_id), reverse=True)
    metadata: dict[str, Any] = {
        "window": span_in_words(span, rule.window),
        # Includes the consecutive windows that `for` requires, and windows a week later that are compared with these.
        "windows_checked": len(judgement.asked) - len(judgement.unsettled),
        "not_judged": len(judgement.unsettled),
        "projects_checked": len(findings.judged),
        "projects_broken": len({breach.project_id for breach in decisive}),
    }
    if trend := [(start, value) for start, value in judgement.trend if span.start <= start < span.end]:
        worst = max if is_about_rises(rule) else min
        value = float(trend[-1][1] if is_latest else worst(value for _, value in trend))
        # A rise from 0 is infinite in percent, which JSON can't hold.
        if math.isfinite(value):
            metadata["worst_value"] = value
    return Verdict(findings, breaches, decisive, trend, metadata)


def _watched(
    context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse, store: Store, rule: Rule, now: datetime
) -> Verdict:
    """The verdict on a platform rule."""
    from radar_assets.alerts import records, watchers

    findings = watchers.find(rule, context.instance, lakehouse, store, now, records.firing_subjects(store, rule.name))
    latest = {key: windows[-1] for key, windows in findings.judged.items() if windows}
    broken = [
        breach for breach in findings.breaches if breach.window == latest.get((breach.project_id, breach.subject))
    ]
    metadata: dict[str, Any] = {
        "window": f"as of {now:%Y-%m-%d %H:%M} UTC",
        "found": len(broken),
    }
    return Verdict(findings, findings.breaches, broken, [], metadata)


def _result(
    asset: str, rule: Rule, description: str, *, passed: bool, metadata: Mapping[str, Any]
) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if rule.severity in ERRORS else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=rule.name,
        passed=passed,
        severity=severity,
        description=description,
        metadata=dict(metadata),
    )
