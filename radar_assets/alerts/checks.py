"""The rules as asset checks: one check a rule, on the asset that holds its windows, and one step for all rules of an asset.

What a check decides is written to the ledger before it is told to Dagster; what becomes of it there is for `ledger.py`, and how values
are judged for `evaluation.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import dagster as dg

from radar_assets.alerts.check_page import breach_table, describe_result, summary
from radar_assets.alerts.evaluation import (
    Judgement,
    evaluate,
    is_about_rises,
    latest_windows,
    settling_time,
)
from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.measuring import TABLE
from radar_assets.alerts.rules import Rule, Watch, WindowName
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.markdown import escape, escape_images
from radar_assets.metrics.registry import Metric
from radar_assets.orchestration.checks import AFTER_METRICS, checked_window
from radar_assets.store.database import Store
from radar_assets.windows import Window, utc_now

WATCHED_AT: dict[Watch, str] = {
    "late_partitions": "hourly_metrics",
    "failed_runs": "alert_deliveries",
    "stuck_runs": "alert_deliveries",
    "daemon": "alert_deliveries",
}
"""The asset at which people would look for what is watched."""
PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start")
ERRORS = ("high", "critical")


def asset_of(rule: Rule) -> str:
    """The asset that a rule's check is on."""
    return WATCHED_AT[rule.watch] if rule.watch else TABLE[rule.window]


def check_key(rule: Rule) -> dg.AssetCheckKey:
    """The check of a rule."""
    return dg.AssetCheckKey(dg.AssetKey(asset_of(rule)), rule.name)


def runs_with_asset(rule: Rule) -> bool:
    """Whether a rule is judged in every run of its asset, so that late data and backfills judge it again.

    Not what is watched, nor windows of five minutes: an hour is rebuilt every half minute while events land, and to read five weeks
    of events at the same time of the day costs as much as the rebuild. The clock judges those, for the last hour at each tick.
    """
    return rule.watch is None and rule.window != "5m"


def build_checks(rules: Sequence[Rule], metrics: Sequence[Metric]) -> list[dg.AssetChecksDefinition]:
    """The checks of the rules."""
    ordered = sorted(rules, key=asset_of)
    return [_checks_of(asset, list(some), metrics) for asset, some in groupby(ordered, key=asset_of)]


@dataclass(frozen=True)
class Verdict:
    """What a check says of a rule.

    Attributes:
        breaches: the latest first.
        decisive: those of what the run is about: its partitions, or now. The rule is broken if there are any.
        trend: as for `Judgement`, of what the run is about.
    """

    findings: Findings
    breaches: Sequence[Breach]
    decisive: Sequence[Breach]
    trend: Sequence[tuple[datetime, float]]
    metadata: Mapping[str, Any]


def _checks_of(asset: str, rules: Sequence[Rule], metrics: Sequence[Metric]) -> dg.AssetChecksDefinition:
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
        from radar_assets.alerts import ledger
        from radar_assets.alerts.announcements import Context

        selected = [by_name[key.name] for key in sorted(context.selected_asset_check_keys)]
        now, settings = utc_now(), lakehouse.settings
        ledger_context = Context(
            now=now,
            max_age=timedelta(hours=settings.alert_max_age_h),
            throttle_per_hour=settings.alert_throttle_per_hour,
            ui_url=settings.ui_url,
            metrics=registered,
            project_names={project.id: project.name for project in store.projects()},
            asset=asset,
        )
        failures: list[Exception] = []
        for rule in selected:
            if not rule.enabled:
                yield _result(asset, rule, "The rule is switched off.", passed=True, metadata={"enabled": False})
            elif not (rule.watch or rule.metric in registered):
                # Not the run's failure: that would fail, and try again, each run of the asset until somebody mends the file.
                why = f"{rule.metric} is no metric any more; put it back into radar.yaml, or apply the file without the rule."
                yield _result(asset, rule, escape(why), passed=False, metadata={})
        active = [rule for rule in selected if rule.enabled and (rule.watch or rule.metric in registered)]
        for verdict in _verdicts(context, lakehouse, store, active, metrics, now, failures):
            rule = verdict.findings.rule
            try:
                if verdict.findings.judged:
                    ledger.record(store, verdict.findings, ledger_context)
            except Exception as error:  # the other rules are judged all the same, then the step fails
                failures.append(error)
                continue
            shown = describe_result(
                lakehouse, rule, verdict.decisive, verdict.trend, registered, ledger_context.project_names
            )
            yield _result(asset, rule, shown, passed=not verdict.decisive, metadata=verdict.metadata)
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
    failures: list[Exception],
) -> Iterator[Verdict]:
    """The verdicts on rules; those that can't be judged leave a failure."""
    judged: dict[WindowName, list[Rule]] = {}
    for rule in rules:
        if rule.watch:
            try:
                yield _watched(context, lakehouse, store, rule, now)
            except Exception as error:
                failures.append(error)
        else:
            judged.setdefault(rule.window, []).append(rule)
    for window, some in judged.items():
        span, is_latest = judged_span(context.run.tags, window, now - settling_time(lakehouse))
        for judgement in evaluate(lakehouse, some, metrics, span, now):
            yield verdict_of(judgement, span, is_latest=is_latest)


def judged_span(tags: Mapping[str, str], window: WindowName, ended: datetime) -> tuple[Window, bool]:
    """What a run judges: the windows of its partitions, or the latest ones; and whether it is about the latest.

    Args:
        ended: the time by which windows have to have ended.
    """
    if not any(tag in tags for tag in PARTITION_TAGS):
        return latest_windows(window, ended), True
    span = checked_window(tags, "day" if window == "1d" else "hour")
    latest = latest_windows(window, ended, 1)
    # A run of the current hour has nothing to judge yet. Saying so would hide what the last one said: it looks at that again.
    return (latest, True) if span.start >= latest.end else (span, False)


def verdict_of(judgement: Judgement, span: Window, *, is_latest: bool) -> Verdict:
    """What a check says after judging a rule over a span.

    Args:
        is_latest: whether only the last window of each project decides, as whether the rule is broken now.
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
        **({"breaches": breach_table(breaches, rule.step)} if breaches else {}),
        "window": f"{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} UTC",
        # Those in a row with them, and those that are compared with them a week later, included.
        "windows_checked": len(judgement.asked) - len(judgement.unsettled),
        "not_judged": len(judgement.unsettled),
        "projects_checked": len(findings.judged),
        "projects_broken": len({breach.project_id for breach in decisive}),
    }
    if trend := [(start, value) for start, value in judgement.trend if span.start <= start < span.end]:
        worst = max if is_about_rises(rule) else min
        metadata["worst_value"] = float(trend[-1][1] if is_latest else worst(value for _, value in trend))
    return Verdict(findings, breaches, decisive, trend, metadata)


def _watched(
    context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse, store: Store, rule: Rule, now: datetime
) -> Verdict:
    """What a check says of the platform itself."""
    from radar_assets.alerts import records, watchers

    findings = watchers.find(rule, context.instance, lakehouse, now, records.firing_subjects(store, rule.name))
    latest = {key: windows[-1] for key, windows in findings.judged.items() if windows}
    broken = [
        breach for breach in findings.breaches if breach.window == latest.get((breach.project_id, breach.subject))
    ]
    metadata: dict[str, Any] = {
        **({"breaches": breach_table(findings.breaches, rule.step)} if findings.breaches else {}),
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
