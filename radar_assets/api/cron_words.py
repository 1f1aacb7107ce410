"""Cron expressions in words, for those that schedules usually have. Others are shown as they are."""

from collections.abc import Sequence

_DAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


def cron_words(cron: str | Sequence[str], timezone: str | None = None) -> str:
    """What a cron expression, or several, mean, such as "daily at 03:00 UTC".

    Args:
        timezone: of the times of day; UTC by default.
    """
    expressions = [cron] if isinstance(cron, str) else list(cron)
    return " and ".join(_words(each, timezone or "UTC") for each in expressions)


def _words(cron: str, timezone: str) -> str:
    fields = _ALIASES.get(cron.strip(), cron).split()
    raw = f"at cron {cron} ({timezone})"
    if len(fields) != 5:
        return raw
    minute, hour, day, month, weekday = fields
    if month != "*":
        return raw
    if (day, weekday) == ("*", "*") and hour == "*":
        return _in_hour(minute) or raw
    if (day, weekday) == ("*", "*") and minute == "0" and (step := _step(hour, 24)):
        return f"every {step} hours"
    if not (minute.isdigit() and hour.isdigit()):
        return raw
    at = f"at {int(hour):02}:{int(minute):02} {timezone}"
    if (day, weekday) == ("*", "*"):
        return f"daily {at}"
    if day == "*" and weekday == "1-5":
        return f"Mondays to Fridays {at}"
    if day == "*" and weekday.isdigit() and int(weekday) < len(_DAYS):
        return f"{_DAYS[int(weekday)]} {at}"
    if weekday == "*" and day.isdigit():
        return f"on day {int(day)} of each month {at}"
    return raw


def _in_hour(minute: str) -> str:
    if minute == "*":
        return "every minute"
    if step := _step(minute, 60):
        return f"every {step} minutes"
    return f"hourly at minute {int(minute)}" if minute.isdigit() else ""


def _step(field: str, whole: int) -> int:
    """The step of `*/n`, if all steps are equally long; otherwise 0."""
    star, _, step = field.partition("/")
    return int(step) if star == "*" and step.isdigit() and int(step) > 1 and whole % int(step) == 0 else 0
