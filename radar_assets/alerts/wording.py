"""The words of notices and rules: numbers, times and sentences that people read at a glance."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from radar_assets.alerts.notices import Notice, Reason
from radar_assets.alerts.rules import WINDOWS, Against, Operator, Rule, Watch, WindowName
from radar_assets.messaging.plain_text import line
from radar_assets.metrics.registry import Metric


@dataclass(frozen=True)
class Words:
    """A notice in words: lines of plain text, printable and of bounded length, not yet escaped for any markup.

    Attributes:
        state: such as `Still firing`.
        headline: what happened, where, and against which threshold.
        facts: names and values of everything else.
        link: the check in the UI; empty if its address is unknown.
        silence: commands that stop reminders, each with its effect.
    """

    state: str
    headline: str
    description: str
    facts: tuple[tuple[str, str], ...]
    link: str
    silence: tuple[tuple[str, str], ...]


_STATES: dict[Reason, str] = {
    "fired": "Firing",
    "still_firing": "Still firing",
    "escalated": "Not acknowledged",
    "no_data": "No data",
    "recovered": "Recovered",
    "fired_and_recovered": "Over",
    "ended_without_data": "Ended without data",
    "test": "Test",
}
_SILENCES: dict[Reason, str] = {
    "no_data": "no data since",
    "ended_without_data": "ended, no data since",
}
_RELATIONS: dict[Operator, str] = {
    "gt": "above",
    "gte": "at or above",
    "lt": "below",
    "lte": "at or below",
    "eq": "exactly",
    "change_pct": "",
}
_LENGTHS: dict[WindowName, str] = {"5m": "5 minutes", "1h": "hour", "1d": "day"}
_SAME: dict[WindowName, str] = {"5m": "time and weekday", "1h": "hour and weekday", "1d": "weekday"}
_PER: dict[WindowName, str] = {"5m": "in 5 minutes", "1h": "an hour", "1d": "a day"}
_IN: dict[WindowName, str] = {"5m": "in 5 minutes", "1h": "in an hour", "1d": "in a day"}
_COMPARED: dict[tuple[Against, WindowName], str] = {
    ("previous", "5m"): "the 5 minutes before",
    ("previous", "1h"): "the hour before",
    ("previous", "1d"): "the day before",
    ("same_weekday", "5m"): "last week",
    ("same_weekday", "1h"): "last week",
    ("same_weekday", "1d"): "last week",
}
_COMPARED_IN_FULL: dict[tuple[Against, WindowName], str] = {
    ("same_weekday", "5m"): "the same time last week",
    ("same_weekday", "1h"): "the same hour last week",
    ("same_weekday", "1d"): "the same day last week",
}
_WATCHED: dict[Watch, str] = {
    "failed_runs": "a run has failed after its retries",
    "stuck_runs": "a run is running but has logged nothing for a while",
    "slow_runs": "a run takes much longer than usual",
    "late_partitions": "a partition is late or missing",
    "daemon": "the daemon sends no heartbeat",
    "health": "a component of the platform is unhealthy",
}
_FORMATTED = (None, "ratio", "s", "currency")
"""Units that the number shows, or that it needs none of."""
_MAX_NAME = 80
_SHORT_ID = 8
"""Characters of an id in a command. They make an id unique among billions; if not, the command says so."""


def number(value: float | None, unit: str | None = None) -> str:
    """A value as people read it: ratios in percent, durations in their units, counts with separators."""
    if value is None or not math.isfinite(value):
        return "no value"
    sign, size = ("−" if value < 0 else ""), abs(value)
    if unit == "ratio":
        return f"{sign}{_decimals(size * 100)}%"
    if unit == "s" and size >= 60:
        parts = []
        left = round(size)
        for name, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
            amount, left = divmod(left, length)
            if amount:
                parts.append(f"{amount} {name}")
        return sign + " ".join(parts[:2])
    if unit == "s":
        return f"{sign}{_decimals(size)} s"
    if unit == "currency":
        return f"{sign}{size:,.2f}" if size < 100_000 else f"{sign}{size:,.0f}"
    return sign + _decimals(size)


def span(length: timedelta) -> str:
    """A duration, such as `1 h 30 min`."""
    return number(max(length, timedelta(0)).total_seconds(), "s") if length >= timedelta(seconds=1) else "0 s"


def moment(at: datetime, *, day: bool = True, zone: str = "UTC") -> str:
    """A time with its time zone, such as `Tue 12 May 2026, 14:00 UTC`."""
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M} {zone}" if day else f"{at:%H:%M} {zone}"


def describe(notice: Notice) -> Words:
    """The words of a notice."""
    id = line(notice.alert_id, 60)[:_SHORT_ID]
    effect = "stops the reminders" if notice.is_reminded else "acknowledges the alert"
    silence = ((f"radar alerts ack {id}", effect), (f"radar alerts snooze {id}", "silences it for 4 h"))
    link = notice.check_url or ""
    return Words(
        state=_STATES[notice.reason],
        headline=headline(notice),
        description="" if notice.is_recovered else line(notice.description),
        facts=tuple(_facts(notice)),
        link=link if re.fullmatch(r"https?://[!-~]{1,2000}", link) else "",
        silence=() if notice.is_over or notice.reason == "test" else silence,
    )


def headline(notice: Notice) -> str:
    if notice.reason == "test" and notice.metric is None:
        return "This is how alerts arrive here; nothing is wrong"
    if notice.metric is None:
        happened = line(notice.text) or line(notice.subject) or notice.rule
        if notice.reason in _SILENCES:
            return f"{happened} ({_SILENCES[notice.reason]} {_silent_since(notice)})"
        return f"{happened} (over)" if notice.is_over else happened
    metric = line(notice.metric_title or notice.metric, _MAX_NAME)
    if notice.reason == "recovered":
        return _recovered(notice, metric)
    return _placed(project(notice), _happened(notice, metric))


def _happened(notice: Notice, metric: str) -> str:
    """What happened to a metric, such as `0 visitors, down 100% on last week (47)`."""
    if notice.reason == "fired_and_recovered":
        verb = "were" if _is_counted(metric, notice.unit) else "was"
        return f"{_lowered(metric)} {verb} {limit(notice)} {_stretch(notice)}"
    if notice.reason in _SILENCES:
        return f"{_measured(notice, metric)}; {_SILENCES[notice.reason]} {_silent_since(notice)}"
    return _measured(notice, metric)


def _recovered(notice: Notice, metric: str) -> str:
    """The end of an alert, such as `Shop recovered after 3 h: 44 visitors (50 last week)`."""
    lasted = span((notice.ended_at or notice.window_end) - notice.started_at)
    if notice.ended_value is None:
        now = f"{_lowered(metric)} no longer {limit(notice)}"
    else:
        now = f"{amount(notice.ended_value, metric, notice.unit)}{_compared_with(notice, notice.ended_baseline)}"
    where = project(notice)
    return f"{f'{where} recovered' if where else 'Recovered'} after {lasted}: {now}"


def _measured(notice: Notice, metric: str) -> str:
    """The latest value that broke the rule, with what it is compared with."""
    if notice.value is None:
        return f"no value for {_lowered(metric)}"
    value, moved_by = amount(notice.value, metric, notice.unit), change(notice.value, notice.baseline)
    if notice.operator == "change_pct" and moved_by is not None:
        moved = f"{'down' if moved_by < 0 else 'up'} {_decimals(abs(moved_by))}%"
        return f"{value}, {moved} on {_COMPARED[notice.against, notice.window]}{_parenthesis(notice, notice.baseline)}"
    if notice.operator == "change_pct" and notice.baseline == 0:
        return f"{value}, up from 0 {_COMPARED[notice.against, notice.window]}"
    if notice.operator in ("gte", "lte") and _is_counted(metric, notice.unit):
        return f"{value} {_IN[notice.window]} (threshold {number(notice.threshold, notice.unit)})"
    return f"{value}, {limit(notice)}"


def limit(notice: Notice) -> str:
    """The condition of the rule, such as `above 5%` or `60% or more below last week`."""
    compared = _COMPARED[notice.against, notice.window]
    return _limit(notice.operator, notice.threshold, notice.unit, compared)


def threshold(notice: Notice) -> str:
    """The threshold of the rule, such as `5%` or `60% below last week`."""
    if notice.operator != "change_pct":
        return number(notice.threshold, notice.unit)
    return limit(notice).replace(" or more", "", 1)


def condition(rule: Rule, metrics: Mapping[str, Metric]) -> str:
    """When a rule fires, such as `visitors an hour are 60% or more below the same hour last week`."""
    if rule.watch:
        return _WATCHED[rule.watch]
    metric = metrics.get(rule.metric or "")
    title, unit = (metric.title, metric.unit) if metric else (str(rule.metric), None)
    is_counted = _is_counted(title, unit)
    compared = _COMPARED_IN_FULL.get((rule.against, rule.window), _COMPARED[rule.against, rule.window])
    measured = (
        f"{_lowered(title)} {_PER[rule.window]} are" if is_counted else f"{_lowered(title)} {_IN[rule.window]} is"
    )
    text = f"{measured} {_limit(rule.operator, rule.threshold or 0, unit, compared)}"
    lasting = f"{rule.for_windows} times" if rule.window == "5m" else f"{rule.for_windows} {_LENGTHS[rule.window]}s"
    return f"{text}, {lasting} in a row" if rule.for_windows > 1 else text


def amount(value: float, metric: str, unit: str | None) -> str:
    """A value of a metric with the name of the metric, such as `1 visitor` or `error rate 12.4%`.

    Args:
        metric: its title.
    """
    shown = number(value, unit)
    if _is_counted(metric, unit):
        return f"{shown} {_singular(_lowered(metric)) if shown == '1' else _lowered(metric)}"
    return f"{_lowered(metric)} {with_unit(value, metric, unit)}"


def with_unit(value: float, metric: str, unit: str | None) -> str:
    """A value of a metric in its unit, unless its title says what it is per."""
    shown = number(value, unit)
    if unit in _FORMATTED or " per " in metric:
        return shown
    return f"{shown} {_singular(line(unit, 40)) if shown == '1' else line(unit, 40)}"


def _facts(notice: Notice) -> list[tuple[str, str]]:
    """What the headline does not say."""
    if notice.reason == "test":
        return [("Sent", moment(notice.started_at))]
    facts = [("Where", project(notice))] if notice.project_id and notice.metric is None else []
    if notice.subject and notice.metric is None:
        facts.append(("What", line(notice.subject, 120)))
    if notice.reason == "fired_and_recovered" and notice.metric is not None:
        facts.append(("Lasted", span((notice.ended_at or notice.window_end) - notice.started_at)))
    else:
        facts.append(("When" if notice.is_over else "Since", since(notice)))
    if notice.reason == "escalated" and notice.announced_at:
        facts.append(("Announced", f"{moment(notice.announced_at)}, not acknowledged since"))
    if notice.no_data_since is not None:
        facts.append(("No data since", moment(notice.no_data_since, zone=notice.zone)))
    if notice.metric is not None:
        if notice.window == "1d":
            latest = f"{notice.window_start:%a} {notice.window_start.day} {notice.window_start:%b %Y} ({notice.zone})"
        else:
            latest = f"{moment(notice.window_start).removesuffix(' UTC')} to {moment(notice.window_end, day=False)}"
        if notice.is_over:
            value = number(notice.value, notice.unit)
            if notice.value is not None:
                title = line(notice.metric_title or notice.metric, _MAX_NAME)
                is_counted = _is_counted(title, notice.unit)
                value = (amount if is_counted else with_unit)(notice.value, title, notice.unit)
            facts.append(("Last breach", f"{value}{_compared_with(notice, notice.baseline)}, {latest}"))
        elif notice.window_start != notice.started_at:
            facts.append(("Latest", latest))
        facts.append(("Usual", usual(notice)))
    rule = line(notice.rule, _MAX_NAME)
    # Of other rules, the headline says the condition.
    is_said = notice.metric is None or notice.operator != "change_pct" or notice.is_over
    if notice.reason == "recovered" and notice.metric is not None:
        is_said = notice.ended_value is None
    facts.append(("Rule", rule if is_said else f"{rule}, {limit(notice)}"))
    return facts


def project(notice: Notice) -> str:
    """The name of the project, or its id."""
    return line(notice.project_name, _MAX_NAME) or line(notice.project_id, _MAX_NAME)


def since(notice: Notice) -> str:
    """Since when it lasts, or from when to when it lasted."""
    if notice.is_over:
        end = notice.ended_at or notice.window_end
        until = moment(end, day=end.date() != notice.started_at.date(), zone=notice.zone)
        return f"{moment(notice.started_at, zone=notice.zone)} to {until} ({span(end - notice.started_at)})"
    return f"{moment(notice.started_at, zone=notice.zone)} ({span(notice.window_end - notice.started_at)})"


def usual(notice: Notice) -> str:
    """The lowest and highest value at the same time of earlier weeks, and how the value compares."""
    if notice.usual is None:
        return "not known; there are no values of the four weeks before"
    low, high = notice.usual
    numbers = number(low, notice.unit), number(high, notice.unit)
    text = numbers[0] if numbers[0] == numbers[1] else f"{numbers[0]} to {numbers[1]}"
    text += f" at the same {_SAME[notice.window]} of the four weeks before"
    value = notice.value
    if value is None or notice.is_over:
        return text
    if value > high:
        return f"{text}; now {_times(value / high)} the highest" if high > 0 else f"{text}; now above all of them"
    if value < low:
        return (
            f"{text}; now {number(value / low, 'ratio')} of the lowest"
            if value >= 0
            else f"{text}; now below all of them"
        )
    return f"{text}; this is within it"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def change(value: float | None, baseline: float | None) -> float | None:
    """The change of a value from its baseline, in percent of the baseline."""
    return None if value is None or not baseline else (value - baseline) / abs(baseline) * 100


def percent(change: float | None) -> str:
    """A change as people read it, signed; empty for None."""
    return "" if change is None else f"{'−' if change < 0 else '+'}{_decimals(abs(change))}%"


def _parenthesis(notice: Notice, baseline: float | None) -> str:
    """The value compared with, such as ` (47)`; empty without one."""
    return f" ({number(baseline, notice.unit)})" if notice.operator == "change_pct" and baseline is not None else ""


def _compared_with(notice: Notice, baseline: float | None) -> str:
    """The value compared with and when it was, such as ` (47 last week)`; empty without one."""
    if notice.operator != "change_pct" or baseline is None:
        return ""
    return f" ({number(baseline, notice.unit)} {_COMPARED[notice.against, notice.window]})"


def _limit(operator: Operator, threshold: float, unit: str | None, compared: str) -> str:
    if operator == "change_pct":
        return f"{_decimals(abs(threshold))}% or more {'below' if threshold < 0 else 'above'} {compared}"
    return f"{_RELATIONS[operator]} {number(threshold, unit)}"


def _placed(where: str, what: str) -> str:
    """What happened, after where; without a place, it begins the sentence."""
    return f"{where}: {what}" if where else what[:1].upper() + what[1:]


def _stretch(notice: Notice) -> str:
    """When an alert lasted, for a sentence."""
    step = WINDOWS[notice.window]
    start, end = notice.started_at, notice.ended_at or notice.window_end
    if notice.window == "1d":
        first, last = _date(start), _date(end - step)
        return f"on {first}" if first == last else f"from {first} to {last}"
    if start.date() == end.date():
        return f"on {_date(start)} from {start:%H:%M} to {end:%H:%M}"
    return f"from {_date(start)}, {start:%H:%M} to {_date(end)}, {end:%H:%M}"


def _silent_since(notice: Notice) -> str:
    """Since when a metric has had no value, for a sentence."""
    at = notice.no_data_since or notice.ended_at or notice.window_end
    if notice.window == "1d":
        return _date(at)
    return f"{at:%H:%M}" if at.date() == notice.started_at.date() else f"{_date(at)}, {at:%H:%M}"


def _date(at: datetime) -> str:
    return f"{at:%a} {at.day} {at:%b}"


def _is_counted(metric: str, unit: str | None) -> bool:
    """Whether the title of a metric names the things that its value counts."""
    return unit == "events" or (unit not in _FORMATTED and metric.lower().endswith(unit.lower()))


def _lowered(title: str) -> str:
    """A title within a sentence; abbreviations keep their capitals."""
    first = title.split(" ", maxsplit=1)[0]
    return title[:1].lower() + title[1:] if first[1:] == first[1:].lower() else title


def _singular(noun: str) -> str:
    """The singular of a count, such as `search without results` of `searches without results`."""
    head = re.split(r" (?:by|for|from|in|of|on|per|to|with|without) ", noun, maxsplit=1)[0]
    rest = noun[len(head) :]
    for ending, singular in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x")):
        if head.endswith(ending):
            return head.removesuffix(ending) + singular + rest
    is_plural = head.endswith("s") and not head.endswith(("ss", "us", "is"))
    return (head[:-1] if is_plural else head) + rest


def _decimals(size: float) -> str:
    """Three significant digits below a thousand, no decimals above."""
    if size >= 1000 or size == round(size):
        return f"{size:,.0f}" if size < 1e15 else f"{size:.3g}"
    digits = max(0, 2 - math.floor(math.log10(size))) if size else 0
    return f"{size:.{min(digits, 6)}f}".rstrip("0").rstrip(".")
