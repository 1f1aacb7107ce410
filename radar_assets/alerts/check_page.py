"""The page of a rule's check in the UI: what happened, as a sentence and a chart, then the windows that broke the rule."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.alerts import text_chart
from radar_assets.alerts.evaluation import is_about_rises
from radar_assets.alerts.findings import Breach
from radar_assets.alerts.measuring import history, recent, thresholds, values_compared
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import WINDOWS, Rule, WindowName
from radar_assets.alerts.wording import change, condition, headline, limit, number, percent, project, usual
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.markdown import escape
from radar_assets.metrics.registry import Metric
from radar_assets.windows import DAY, DAY_KEY, Window

if TYPE_CHECKING:
    from radar_assets.alerts.announcements import Context

logger = logging.getLogger(__name__)

MIN_POINTS = 3
"""Values that a chart needs; without an alert, values other than 0."""


def describe_result(
    lakehouse: Lakehouse,
    rule: Rule,
    breaches: Sequence[Breach],
    trend: Sequence[tuple[datetime, float]],
    metrics: Mapping[str, Metric],
    context: "Context",
    marked: Sequence[Breach] = (),
) -> str:
    """How a check's result is described, in Markdown: the sentence of the message, and the chart around the breach.

    Args:
        breaches: those that the check fails for. Without any, the sentence is the rule's, and the chart shows the trend.
        trend: as for `Judgement`.
        marked: further breaches to mark in the chart.
    """
    if not breaches:
        return _joined(summary(rule, metrics), _chart_of_trend(rule, trend, metrics))
    worst = max(breaches, key=lambda breach: (breach.window, _deviation(breach)))
    notice = _notice(rule, worst, metrics, context)
    others = len({(breach.project_id, breach.subject) for breach in breaches}) - 1
    more = (
        f", and {others:,} more {'project' if rule.metric else 'subject'}{'s' if others > 1 else ''}" if others else ""
    )
    return _joined(f"{headline(notice)}{more}", _chart_of_breach(lakehouse, notice, [*breaches, *marked], metrics))


def _deviation(breach: Breach) -> float:
    return abs((breach.value or 0) - (breach.threshold if breach.baseline is None else breach.baseline))


def _joined(sentence: str, chart: Sequence[str]) -> str:
    """The sentence, which may have names in it, and the lines of the chart as a block of code, in which nothing is markup."""
    text = escape(sentence)
    return "\n".join([text, "", "```", *chart, "```"]) if chart else text


def _notice(rule: Rule, breach: Breach, metrics: Mapping[str, Metric], context: "Context") -> Notice:
    metric = metrics.get(rule.metric or "")
    return Notice(
        reason="fired",
        alert_id="",
        rule=rule.name,
        kind=rule.kind,
        severity=rule.severity,
        project_id=breach.project_id,
        project_name=context.project_names.get(breach.project_id, breach.project_id),
        timezone=context.zones.get(breach.project_id, "UTC"),
        zones=context.calendar.zones.get(breach.project_id, ()),
        subject=breach.subject,
        metric=rule.metric,
        metric_title=metric.title if metric else rule.metric,
        unit=metric.unit if metric else None,
        window=rule.window,
        operator=rule.operator,
        against=rule.against,
        started_at=breach.since,
        window_start=breach.window.start,
        window_end=breach.window.end,
        value=breach.value,
        threshold=breach.threshold,
        baseline=breach.baseline,
        usual=breach.usual,
        text=breach.text,
    )


def _chart_of_breach(
    lakehouse: Lakehouse, notice: Notice, breaches: Sequence[Breach], metrics: Mapping[str, Metric]
) -> list[str]:
    """The values of the project up to the breach, with the threshold in the metric's unit."""
    try:
        known = history(lakehouse, notice, list(metrics.values()))
    except Exception:
        # The result is worth recording without its chart.
        logger.exception("The values around the breach of %s could not be read", notice.rule)
        return []
    values = recent(notice, known)
    if len(values) < MIN_POINTS:
        return []
    threshold = notice.threshold
    if notice.operator == "change_pct":
        threshold = thresholds(notice, values, values_compared(notice, values, known))
    marked = [breach.window.start for breach in breaches if breach.project_id == notice.project_id]
    is_low_worst = notice.operator in ("lt", "lte") or (notice.operator == "change_pct" and notice.threshold < 0)
    chart = text_chart.draw(
        values,
        WINDOWS[notice.window],
        partial(number, unit=notice.unit),
        threshold=threshold,
        marked=marked,
        is_low_worst=is_low_worst,
    )
    what = f"{notice.metric_title or notice.metric}, {project(notice)}:"
    return [what, "", chart, "", f"{text_chart.MARK} {limit(notice)}", f"usual: {usual(notice)}"]


def _chart_of_trend(rule: Rule, trend: Sequence[tuple[datetime, float]], metrics: Mapping[str, Metric]) -> list[str]:
    """For each window, the value that is closest to breaking the rule, of any project."""
    # Changes go up and down from 0, which columns don't show.
    if rule.operator == "change_pct" or sum(value != 0 for _, value in trend) < MIN_POINTS:
        return []
    metric = metrics.get(rule.metric or "")
    show = partial(number, unit=metric.unit if metric else None)
    chart = text_chart.draw(trend, rule.step, show, threshold=rule.threshold, is_low_worst=not is_about_rises(rule))
    return [chart, "", "of any project, the value closest to breaking the rule"]


def breach_table(
    rule: Rule, breaches: Sequence[Breach], since: Mapping[tuple[str, str, datetime], datetime]
) -> dg.TableMetadataValue:
    """Breaches of a rule, each with the start of the alert that it belongs to.

    Args:
        since: the starts by project, subject and start of the window; a breach that belongs to no alert has its own.
    """
    # Of rules about changes, thresholds are in percent.
    is_change = rule.operator == "change_pct"
    form = DAY_KEY if rule.window == "1d" else "%Y-%m-%d %H:%M"
    columns: dict[str, str] = {"project": "string", "since": "string", "window": "string", "value": "float"}
    columns |= {"compared_with": "float", "change": "string", "threshold": "string" if is_change else "float"}
    columns |= {"usual": "string", "what": "string"}
    records = [
        dg.TableRecord(
            {
                "project": breach.project_id,
                "since": f"{since.get((breach.project_id, breach.subject, breach.window.start), breach.since):{form}}",
                "window": f"{breach.window.start:{form}}",
                "value": breach.value,
                "compared_with": breach.baseline,
                "change": percent(change(breach.value, breach.baseline)) if is_change else "",
                "threshold": percent(breach.threshold) if is_change else breach.threshold,
                "usual": "" if breach.usual is None else f"{breach.usual[0]:g} to {breach.usual[1]:g}",
                "what": breach.text or breach.subject,
            }
        )
        for breach in breaches
    ]
    used = [name for name in columns if any(record.data[name] not in ("", None) for record in records)]
    return dg.MetadataValue.table(
        [dg.TableRecord({name: record.data[name] for name in used}) for record in records],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, columns[name]) for name in used]),
    )


def span_in_words(span: Window, window: WindowName) -> str:
    """The span that a check has judged, such as `2026-03-10 12:00 to 2026-03-10 15:00 UTC`; of days, the first and the last date."""
    if window == "1d":
        return f"{span.start:{DAY_KEY}} to {span.end - DAY:{DAY_KEY}}"
    return f"{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} UTC"


def summary(rule: Rule, metrics: Mapping[str, Metric]) -> str:
    """A rule in a sentence."""
    return f"Fires when {condition(rule, metrics)}."
