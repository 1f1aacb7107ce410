"""The picture in a mail: the metric around the breach, with the threshold and the windows that broke it.

For rules about changes, it has the values of last week, and the threshold follows the values compared with.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil, floor
from typing import Any

from radar_assets.alerts.measuring import recent, thresholds, values_compared
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import WINDOWS, WindowName
from radar_assets.alerts.wording import threshold
from radar_assets.messaging.plain_text import line

WIDTH, HEIGHT = 400, 250
"""In pixels. Smaller than the mail is wide, so that the labels stay readable on a phone when it is scaled."""
MAX_POINTS = 1000
_LINE, _BREACH, _GREY, _BEFORE = "#344054", "#d92d20", "#667085", "#98a2b3"
_AROUND: dict[WindowName, timedelta] = {"5m": timedelta(hours=3), "1h": timedelta(days=2), "1d": timedelta(days=28)}
"""How much of the time before an alert the chart of a rule about changes shows; its curves need more room than one."""
_OFTEN: dict[WindowName, str] = {"5m": "every 5 minutes", "1h": "hourly", "1d": "daily"}


def draw(notice: Notice, history: Sequence[tuple[datetime, float]]) -> bytes | None:
    """The chart of a notice as PNG; None if there is nothing to draw.

    Args:
        history: values by the start of their window, naive, UTC, with those that a change is measured from.
    """
    chart = specification(notice, history)
    if chart is None:
        return None
    import vl_convert

    return vl_convert.vegalite_to_png(chart.to_json(), scale=2.5)


def specification(notice: Notice, history: Sequence[tuple[datetime, float]]) -> Any:
    """The chart of a notice for Vega-Lite, with each value in the middle of its window; None if there is nothing to draw."""
    values = sorted(recent(notice, history))[-MAX_POINTS:]
    if notice.operator == "change_pct":
        values = [(at, value) for at, value in values if at >= notice.started_at - _AROUND[notice.window]]
    if notice.metric is None or len(values) < 2:
        return None
    before = values_compared(notice, values, history)
    import altair as alt

    step = WINDOWS[notice.window]
    limits = thresholds(notice, values, before)
    bottom, top = _extent([*(value for _, value in values), *before.values(), *limits.values()])
    is_count = notice.unit not in ("ratio", "s", "currency") and all(value == round(value) for _, value in values)
    time = alt.X("at:T", title=None, scale=alt.Scale(type="utc"), axis=_time_axis(notice.window))
    axis = alt.Axis(
        title=None,
        tickCount=4,
        # Vega would put 0.5 between two counts.
        values=list(range(ceil(bottom), floor(top) + 1)) if is_count and top - bottom < 5 else alt.Undefined,
        format=_format(notice.unit),
        labelColor=_GREY,
        gridColor="#eaecf0",
        domain=False,
        ticks=False,
    )
    value = alt.Y("value:Q", axis=axis, scale=alt.Scale(domain=[bottom, top], nice=False))
    ended_at = notice.ended_at or notice.window_end
    broken = [(at, value) for at, value in values if notice.started_at <= at < ended_at]
    layers: list[Any] = [
        _shade(notice, broken, limits, bottom, top, value),
        _curves(notice, values, before, limits, step, time, value),
        alt.Chart(alt.Data(values=[{"at": _instant(at + step / 2), "value": one} for at, one in broken]))
        .mark_circle(color=_BREACH, size=38, opacity=1)
        .encode(time, value),
    ]
    title = alt.TitleParams(
        f"{line(notice.metric_title or notice.metric or '', 60)}, {_OFTEN[notice.window]}, {notice.zone}",
        anchor="start",
        color=_GREY,
        fontSize=13,
        fontWeight="normal",
    )
    return (
        alt.layer(*layers)
        .properties(
            width=WIDTH,
            height=HEIGHT,
            title=title,
            background="white",
            padding=8,
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=14, labelPadding=6)
    )


def _time_axis(window: WindowName) -> Any:
    import altair as alt

    form = "utcFormat(datum.value, '%d %b')"
    if window != "1d":
        form = f"utchours(datum.value) + utcminutes(datum.value) ? utcFormat(datum.value, '%H:%M') : {form}"
    return alt.Axis(
        grid=False, tickCount=4, labelExpr=form, labelColor=_GREY, domainColor="#d0d5dd", tickColor="#d0d5dd"
    )


def _extent(values: Sequence[float]) -> tuple[float, float]:
    """The range of the value axis: from 0, with room above the highest value, so that a breach at a threshold is seen."""
    bottom, top = min(0, *values), max(0, *values)
    room = (top - bottom or 1) / 8
    return bottom - room if bottom < 0 else 0, top + room if top > 0 or bottom == 0 else 0


def _shade(
    notice: Notice,
    broken: Sequence[tuple[datetime, float]],
    limits: Mapping[datetime, float],
    bottom: float,
    top: float,
    value: Any,
) -> Any:
    """The side of the threshold that breaks the rule, in the windows that broke it."""
    import altair as alt

    is_fall = notice.operator in ("lt", "lte") or (notice.operator == "change_pct" and notice.threshold < 0)
    step = WINDOWS[notice.window]
    rows = [
        {
            "from": _instant(at),
            "to": _instant(at + step),
            "value": bottom if notice.operator == "eq" else limits[at],
            "end": bottom if is_fall else top,
        }
        for at, _ in broken
        if at in limits
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_rect(color=_BREACH, opacity=0.12)
        .encode(alt.X("from:T", scale=alt.Scale(type="utc")), value, x2="to:T", y2="end:Q")
    )


def _curves(
    notice: Notice,
    values: Sequence[tuple[datetime, float]],
    before: Mapping[datetime, float],
    limits: Mapping[datetime, float],
    step: timedelta,
    time: Any,
    value: Any,
) -> Any:
    """The values, those of last week for a rule that compares with them, and the threshold, with a legend."""
    import altair as alt

    is_weekly = notice.operator == "change_pct" and notice.against == "same_weekday" and before
    title = line(notice.metric_title or notice.metric or "", 30)
    # A chart of days has several weeks.
    now, then = (title, "a week before") if notice.window == "1d" else ("this week", "last week")
    curves = [(now if is_weekly else title, _LINE, [1, 0], 1.8, list(values))]
    if is_weekly:
        curves.append((then, _BEFORE, [1, 0], 1.5, [(at, before[at]) for at, _ in values if at in before]))
    if limits:
        curves.append((f"threshold: {threshold(notice)}", _BREACH, [5, 4], 1.3, list(limits.items())))
    rows = [
        {"at": _instant(at + step / 2), "value": one, "name": name}
        for name, _, _, _, curve in reversed(curves)
        # The values are drawn last, above the others. Missing ones make a gap, not a line across it.
        for at, one in _with_gaps(curve, step)
    ]
    names = [name for name, *_ in curves]
    colours = alt.Scale(domain=names, range=[colour for _, colour, _, _, _ in curves])
    dashes = alt.Scale(domain=names, range=[dash for _, _, dash, _, _ in curves])
    widths = alt.Scale(domain=names, range=[width for _, _, _, width, _ in curves])
    legend = alt.Legend(
        orient="top",
        title=None,
        symbolType="stroke",
        symbolSize=300,
        columns=2,
        gridAlign="none",
        rowPadding=3,
        offset=8,
        labelColor=_GREY,
        labelFontSize=13,
        labelLimit=0,
    )
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line()
        .encode(
            time,
            value,
            alt.Color("name:N", scale=colours, legend=legend),
            alt.StrokeDash("name:N", scale=dashes, legend=legend),
            alt.StrokeWidth("name:N", scale=widths, legend=None),
        )
    )


def _with_gaps(values: Sequence[tuple[datetime, float]], step: timedelta) -> list[tuple[datetime, float | None]]:
    filled: list[tuple[datetime, float | None]] = []
    for at, value in values:
        if filled and at - filled[-1][0] > step:
            filled.append((filled[-1][0] + step, None))
        filled.append((at, value))
    return filled


def _instant(at: datetime) -> str:
    return f"{at.isoformat()}Z"


def _format(unit: str | None) -> str:
    return "~%" if unit == "ratio" else "~s"
