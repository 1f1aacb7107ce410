"""A chart of a metric in characters, for the page of a check: Dagster's UI shows Markdown, but no images that are part of it.

The chart of mails, a picture, is in `chart.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

COLUMNS = 96
"""Maximum characters between the axes, which fit beside the name of the entry on a screen of 1440 px."""
ROWS = 7
MARK = "▲"
_BLOCKS = " ▁▂▃▄▅▆▇█"


def draw(
    values: Sequence[tuple[datetime, float]],
    step: timedelta,
    show: Callable[[float], str],
    *,
    threshold: float | Mapping[datetime, float] | None = None,
    marked: Sequence[datetime] = (),
    is_low_worst: bool = False,
) -> str:
    """The values by time as a column chart from 0, with an axis of days or hours.

    Args:
        values: values by the start of their window, naive, UTC; not empty.
        step: length of a window. If there are more than `COLUMNS` windows, a column stands for several: for their largest value, or
            for the smallest if `is_low_worst`.
        show: writes a value for the axis.
        threshold: drawn as a dashed line; by window if it moves. Where a column stands for several windows, it has that of the worst.
        marked: starts of the windows to mark below the axis.
    """
    first = min(at for at, _ in values)
    per_column = -(-((max(at for at, _ in values) - first) // step + 1) // COLUMNS)
    width = ((max(at for at, _ in values) - first) // step) // per_column + 1
    worst = min if is_low_worst else max
    columns: dict[int, float] = {}
    limits: dict[int, float] = {}
    for at, value in values:
        place = (at - first) // step // per_column
        if place in columns and worst(columns[place], value) != value:
            continue
        columns[place] = value
        limit = threshold.get(at) if isinstance(threshold, Mapping) else threshold
        if limit is not None:
            limits[place] = limit
    top = max(*columns.values(), *limits.values(), 0)
    bottom = min(*columns.values(), *limits.values(), 0)
    unit = (top - bottom or 1) / ROWS
    labels = {ROWS - 1: show(top), 0: show(bottom)}
    dashed = {place: min(int((limit - bottom) / unit), ROWS - 1) for place, limit in limits.items()}
    last = dashed.get(max(dashed, default=0))
    level = None if isinstance(threshold, Mapping) else last
    if level is not None:
        labels[level] = show(limits[max(limits)])
    margin = max(len(label) for label in labels.values())
    lines = []
    for row in reversed(range(ROWS)):
        cells = [
            _cell(columns.get(place), bottom, unit, row, "╌" if row == dashed.get(place, level) else " ")
            for place in range(width)
        ]
        tick, note = "┼" if row == level else "│", " threshold" if row == last else ""
        lines.append(f"{labels.get(row, ''):>{margin}} {tick}{''.join(cells)}{note}".rstrip())
    lines.append(f"{'':{margin}} └{'─' * width}")
    lines.append(f"{'':{margin}}  {_axis(first, step * per_column, width)}".rstrip())
    if places := {(at - first) // step // per_column for at in marked}:
        lines.append(f"{'':{margin}}  {''.join(MARK if place in places else ' ' for place in range(width))}".rstrip())
    return "\n".join(lines)


def _cell(value: float | None, bottom: float, unit: float, row: int, empty: str) -> str:
    """The part of a column that is in a row of the chart."""
    if value is None:
        return empty
    eighths = round((value - bottom) / unit * 8) - 8 * row
    return _BLOCKS[min(eighths, 8)] if eighths > 0 else empty


def _axis(first: datetime, step: timedelta, width: int) -> str:
    """Days below the columns in which they begin; times if the columns are of less than a day."""
    is_short = width * step < timedelta(days=2)
    text = ""
    for place in range(width):
        at = first + place * step
        begins = at.minute < step.total_seconds() / 60 and (is_short or at.hour < step.total_seconds() / 3600)
        label = f"{at:%H:%M}" if is_short else f"{at:%a} {at.day}" if step < timedelta(days=1) else f"{at.day} {at:%b}"
        if begins and place >= len(text) + (2 if text else 0):
            text = f"{text:{place}}{label}"
    return text
