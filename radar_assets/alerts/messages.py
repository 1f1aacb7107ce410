"""What people are told: the facts of an announcement, the message that takes one or more of them to a channel, and their words.

How a message looks at a channel belongs to `channels/` and `templates/`; when something is announced, to `ledger.py`.
"""

import math
import re
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from radar_assets.alerts.rules import SEVERITIES, Kind, Model, Operator, Severity, WindowName

Reason = Literal["fired", "still_firing", "recovered", "test"]


class Notice(Model):
    """One announcement of one alert: what, where, since when, value against threshold, how unusual. Times are naive, UTC.

    Attributes:
        reason: `test` is what a person sends to try a channel.
        project_id, project_name: empty for the platform's own alerts.
        metric, metric_title, unit: None for those.
        window_start, window_end: the latest window that broke the rule.
        usual: lowest and highest value of the same hour and weekday in the four weeks before.
        text: what happened, for the platform's own alerts.
        check_url: the rule's check in the UI; None while nobody has said where the UI is (RADAR_UI_URL).
    """

    reason: Reason
    alert_id: str
    rule: str
    description: str = ""
    kind: Kind
    severity: Severity
    project_id: str = ""
    project_name: str = ""
    subject: str = ""
    metric: str | None = None
    metric_title: str | None = None
    unit: str | None = None
    window: WindowName = "1h"
    operator: Operator = "gt"
    against: Literal["previous", "same_weekday"] = "same_weekday"
    started_at: datetime
    window_start: datetime
    window_end: datetime
    ended_at: datetime | None = None
    value: float | None = None
    threshold: float = 0
    baseline: float | None = None
    usual: tuple[float, float] | None = None
    text: str = ""
    check_url: str | None = None


class Message(Model):
    """What goes to a channel at once: one notice, or several as a digest.

    Attributes:
        id: the same at every attempt; whoever gets a message twice can tell by it.
    """

    id: str
    created_at: datetime
    notices: tuple[Notice, ...]


History = Callable[[Notice], Sequence[tuple[datetime, float]]]
"""Values of a notice's metric around the breach, by start of their window, for its chart; empty where there are none."""


def trial(now: datetime) -> Message:
    """What is sent to try a channel.

    Args:
        now: naive, UTC.
    """
    notice = Notice(
        reason="test",
        alert_id="test",
        rule="test",
        description="Somebody asked for this message, to see that the channel works.",
        kind="threshold",
        severity="low",
        started_at=now,
        window_start=now,
        window_end=now,
    )
    return Message(id=f"test-{uuid.uuid4()}", created_at=now, notices=(notice,))


@dataclass(frozen=True)
class Words:
    """A notice in words: lines of plain text, printable and of bounded length, not yet escaped for any markup.

    Attributes:
        state: such as `Still firing`.
        headline: what happened, where, and against which threshold.
        facts: the rest, by what each is.
        link: the check in the UI; empty where nobody knows where that is.
        silence: commands, and what each does.
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
# Control characters break lines and headers; bidirectional and invisible ones let a text look like another.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]+"
)
_LONGEST_NAME = 80


def line(text: str, longest: int = 300) -> str:
    """Text from elsewhere as one line of printable characters."""
    text = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def number(value: float | None, unit: str | None = None) -> str:
    """A value as people read it: a share in percent, a duration in its units, a count with separators."""
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
    """A length of time, such as `1 h 30 min`."""
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
        headline=_headline(notice),
        description=line(notice.description),
        facts=tuple(_facts(notice)),
        link=link if re.fullmatch(r"https?://[!-~]{1,2000}", link) else "",
        silence=() if notice.reason in ("recovered", "test") else silence,
    )


def subject(message: Message) -> str:
    """What a message is about, in one line of at most 150 characters."""
    if len(message.notices) == 1:
        notice = message.notices[0]
        about = notice.severity if notice.reason == "fired" else _STATES[notice.reason].lower()
        return line(f"[{about}] {_headline(notice)}", 150)
    return line(_digest_subject(message), 150)


def text(message: Message, most: int = 20) -> str:
    """A message as plain text.

    Args:
        most: notices of a digest that are told one by one.
    """
    if len(message.notices) == 1:
        return "\n".join(_lines(describe(message.notices[0])))
    lines = [_digest_subject(message), ""]
    for notice in by_severity(message)[:most]:
        words = describe(notice)
        lines.append(f"- {words.state}, {notice.severity}: {words.headline}, {_since(notice)}")
        lines += [f"  {words.link}"] if words.link else []
        lines += [f"  {command}" for command, _ in words.silence[:1]]
    if len(message.notices) > most:
        lines.append(f"- and {len(message.notices) - most} more")
    return "\n".join([*lines, "", "radar alerts list shows them all."])


def by_severity(message: Message) -> list[Notice]:
    """The notices of a message, the worst first, those that are over last."""
    return sorted(
        message.notices,
        key=lambda notice: (notice.reason == "recovered", -SEVERITIES.index(notice.severity), notice.started_at),
    )


def _lines(words: Words) -> list[str]:
    lines = [f"{words.state}: {words.headline}", ""]
    lines += [words.description, ""] if words.description else []
    lines += [f"{name}: {value}" for name, value in words.facts]
    lines += ["", f"Check: {words.link}"] if words.link else []
    lines += ["", *(f"{command}  ({effect})" for command, effect in words.silence)] if words.silence else []
    return lines


def _headline(notice: Notice) -> str:
    if notice.reason == "test" and notice.metric is None:
        return "This is how alerts arrive here; nothing is wrong"
    if notice.metric is None:
        happened = line(notice.text) or line(notice.subject) or notice.rule
        return f"{happened} (over)" if notice.reason == "recovered" else happened
    title = line(notice.metric_title or notice.metric, _LONGEST_NAME)
    of = f"{title} of {_project(notice)}" if notice.project_id else title
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
    """What the rule allows no more, such as `above 5%`."""
    if notice.operator == "change_pct":
        kind = "down" if notice.threshold < 0 else "up"
        return f"{kind} {number(abs(notice.threshold))}% or more against {_compared(notice)}"
    return f"{_RELATIONS[notice.operator]} {number(notice.threshold, notice.unit)}"


def _facts(notice: Notice) -> list[tuple[str, str]]:
    facts = [("Where", _project(notice))] if notice.project_id else []
    if notice.subject and notice.metric is None:
        facts.append(("What", line(notice.subject, 120)))
    if notice.reason == "test":
        return [("Sent", moment(notice.started_at))]
    facts.append(("Since" if notice.reason != "recovered" else "When", _since(notice)))
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
        facts.append(("Usual", _usual(notice)))
    facts.append(("Rule", f"{line(notice.rule, _LONGEST_NAME)}, severity {notice.severity}"))
    return facts


def _project(notice: Notice) -> str:
    return line(notice.project_name, _LONGEST_NAME) or line(notice.project_id, _LONGEST_NAME)


def _since(notice: Notice) -> str:
    if notice.reason == "recovered":
        end = notice.ended_at or notice.window_end
        until = moment(end, day=end.date() != notice.started_at.date())
        return f"{moment(notice.started_at)} to {until} ({span(end - notice.started_at)})"
    return f"{moment(notice.started_at)} ({span(notice.window_end - notice.started_at)})"


def _usual(notice: Notice) -> str:
    if notice.usual is None:
        return "not known; there are no values of the four weeks before"
    low, high = notice.usual
    numbers = number(low, notice.unit), number(high, notice.unit)
    usual = numbers[0] if numbers[0] == numbers[1] else f"{numbers[0]} to {numbers[1]}"
    usual += f" at the same {_SAME[notice.window]} of the four weeks before"
    value = notice.value
    if value is None or notice.reason == "recovered":
        return usual
    if value > high:
        return f"{usual}; now {_times(value / high)} the highest" if high > 0 else f"{usual}; now above all of them"
    if value < low:
        return (
            f"{usual}; now {number(value / low, 'ratio')} of the lowest"
            if value >= 0
            else f"{usual}; now below all of them"
        )
    return f"{usual}; this is within it"


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
    """Three significant digits below a thousand, none behind the point above."""
    if size >= 1000 or size == round(size):
        return f"{size:,.0f}" if size < 1e15 else f"{size:.3g}"
    digits = max(0, 2 - math.floor(math.log10(size))) if size else 0
    return f"{size:.{min(digits, 6)}f}".rstrip("0").rstrip(".")


def _digest_subject(message: Message) -> str:
    counts = Counter(notice.severity for notice in message.notices if notice.reason != "recovered")
    over = sum(notice.reason == "recovered" for notice in message.notices)
    parts = [f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity]]
    parts += [f"{over} recovered"] if over else []
    projects = sorted({line(_project(notice), 30) for notice in message.notices if notice.project_id})
    where = f" in {', '.join(projects[:3])}" if projects else ""
    more = f" and {len(projects) - 3} more" if len(projects) > 3 else ""
    return f"{len(message.notices)} alerts: {', '.join(parts)}{where}{more}"
