"""The words of notices: numbers, times and sentences that people read at a glance."""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from radar_assets.alerts.notices import Notice, Reason
from radar_assets.alerts.rules import Operator, WindowName
from radar_assets.messaging.plain_text import line


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
    "recovered": "Recovered",
    "test": "Test",
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
_MAX_NAME = 80


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


def moment(at: datetime, *, day: bool = True) -> str:
    """A time in UTC, such as `Tue 12 May 2026, 14:00 UTC`."""
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M} UTC" if day else f"{at:%H:%M} UTC"


def describe(notice: Notice) -> Words:
    """The words of a notice."""
    silence = (
        (f"radar alerts ack {line(notice.alert_id, 60)}", "stops the reminders"),
        (f"radar alerts snooze {line(notice.alert_id, 60)}", "silences it for a while"),
    )
    link = notice.check_url or ""
    return Words(
        state=_STATES[notice.reason],
        headline=headline(notice),
        description=line(notice.description),
        facts=tuple(_facts(notice)),
        link=link if re.fullmatch(r"https?://[!-~]{1,2000}", link) else "",
        silence=() if notice.reason in ("recovered", "test") else silence,
    )


def headline(notice: Notice) -> str:
    if notice.reason == "test" and notice.metric is None:
        return "This is how alerts arrive here; nothing is wrong"
    if notice.metric is None:
        happened = line(notice.text) or line(notice.subject) or notice.rule
        return f"{happened} (over)" if notice.reason == "recovered" else happened
    title = line(notice.metric_title or notice.metric, _MAX_NAME)
    of = f"{title} of {project(notice)}" if notice.project_id else title
    value = number(notice.value, notice.unit)
    if notice.reason == "recovered":
        return f"{of} no longer {limit(notice)}"
    if notice.value is None:
        return f"{of} has no value"
    change = _change(notice)
    if notice.operator == "change_pct" and change is not None:
        return f"{of} at {value}, {_signed(change)} against {_compared(notice)}"
    return f"{of} at {value}, {limit(notice)}"


def limit(notice: Notice) -> str:
    """The condition of the rule, such as `above 5%`."""
    if notice.operator == "change_pct":
        kind = "down" if notice.threshold < 0 else "up"
        return f"{kind} {number(abs(notice.threshold))}% or more against {_compared(notice)}"
    return f"{_RELATIONS[notice.operator]} {number(notice.threshold, notice.unit)}"


def _facts(notice: Notice) -> list[tuple[str, str]]:
    facts = [("Where", project(notice))] if notice.project_id else []
    if notice.subject and notice.metric is None:
        facts.append(("What", line(notice.subject, 120)))
    if notice.reason == "test":
        return [("Sent", moment(notice.started_at))]
    facts.append(("Since" if notice.reason != "recovered" else "When", since(notice)))
    if notice.metric is not None:
        latest = f"{_LENGTHS[notice.window]} from {moment(notice.window_start, day=notice.window != '1d')}"
        if notice.window == "1d":
            latest = f"{notice.window_start:%a} {notice.window_start.day} {notice.window_start:%b %Y} (UTC)"
        unit = notice.unit if notice.unit not in (None, "ratio", "s", "currency") and notice.value is not None else ""
        label = "Value" if notice.reason != "recovered" else "Last"
        facts.append((label, f"{number(notice.value, notice.unit)}{f' {line(unit, 40)}' if unit else ''}, {latest}"))
        facts.append(("Threshold", limit(notice)))
        if notice.operator == "change_pct" and notice.baseline is not None:
            change = _change(notice)
            moved = f", so {_signed(change)}" if change is not None else ""
            facts.append(("Before", f"{number(notice.baseline, notice.unit)}, {_compared(notice)}{moved}"))
        facts.append(("Usual", usual(notice)))
    facts.append(("Rule", f"{line(notice.rule, _MAX_NAME)}, severity {notice.severity}"))
    return facts


def project(notice: Notice) -> str:
    """The name of the project, or its id."""
    return line(notice.project_name, _MAX_NAME) or line(notice.project_id, _MAX_NAME)


def since(notice: Notice) -> str:
    """Since when it lasts, or from when to when it lasted."""
    if notice.reason == "recovered":
        end = notice.ended_at or notice.window_end
        until = moment(end, day=end.date() != notice.started_at.date())
        return f"{moment(notice.started_at)} to {until} ({span(end - notice.started_at)})"
    return f"{moment(notice.started_at)} ({span(notice.window_end - notice.started_at)})"


def usual(notice: Notice) -> str:
    """The lowest and highest value at the same time of earlier weeks, and how the value compares."""
    if notice.usual is None:
        return "not known; there are no values of the four weeks before"
    low, high = notice.usual
    numbers = number(low, notice.unit), number(high, notice.unit)
    text = numbers[0] if numbers[0] == numbers[1] else f"{numbers[0]} to {numbers[1]}"
    text += f" at the same {_SAME[notice.window]} of the four weeks before"
    value = notice.value
    if value is None or notice.reason == "recovered":
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


def _change(notice: Notice) -> float | None:
    """In percent of the baseline."""
    if notice.value is None or not notice.baseline:
        return None
    return (notice.value - notice.baseline) / abs(notice.baseline) * 100


def _signed(change: float) -> str:
    return f"{'down' if change < 0 else 'up'} {_decimals(abs(change))}%"


def _compared(notice: Notice) -> str:
    length = _LENGTHS[notice.window]
    return f"the {length} before" if notice.against == "previous" else f"the same {length} a week before"


def _decimals(size: float) -> str:
    """Three significant digits below a thousand, no decimals above."""
    if size >= 1000 or size == round(size):
        return f"{size:,.0f}" if size < 1e15 else f"{size:.3g}"
    digits = max(0, 2 - math.floor(math.log10(size))) if size else 0
    return f"{size:.{min(digits, 6)}f}".rstrip("0").rstrip(".")
