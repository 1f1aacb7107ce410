"""The picture in a mail: the metric around the breach, with the threshold and the windows that broke it.

For rules about changes, it has the values of last week, and the threshold follows the values compared with.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from radar_assets.alerts.measuring import notice_compared, recent
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import WINDOWS, WindowName
from radar_assets.alerts.wording import limit
from radar_assets.messaging.plain_text import line

WIDTH, HEIGHT = 440, 175
"""In pixels. Smaller than the mail is wide, so that the labels stay readable on a phone when it is scaled."""
MAX_POINTS = 1000
_LINE, _BREACH, _GREY, _BEFORE = "#344054", "#d92d20", "#667085", "#98a2b3"
_AROUND: dict[WindowName, timedelta] = {"5m": timedelta(hours=3), "1h": timedelta(days=2), "1d": timedelta(days=28)}
"""How much of the time before an alert the chart of a rule about changes shows; its curves need more room than one."""


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
    """The chart of a notice for Vega-Lite; None if there is nothing to draw."""
    values = sorted(recent(notice, history))[-MAX_POINTS:]
    if notice.operator == "change_pct":
        values = [(at, value) for at, value in values if at >= notice.started_at - _AROUND[notice.window]]
    if notice.metric is None or len(values) < 2:
        return None
    by_start = dict(history)
    compared = ((at, notice_compared(notice, at)) for at, _ in values)
    before = {at: by_start[earlier] for at, earlier in compared if earlier and earlier in by_start}
    import altair as alt

    broken = (notice.started_at, notice.ended_at or notice.window_end)
    step = WINDOWS[notice.window]
    rows = [
        {"at": _instant(at), "value": value, "broken": broken[0] <= at < broken[1]}
        # Missing values make a gap, not a line across it.
        for at, value in _with_gaps(values, step)
    ]
    form = "utcFormat(datum.value, '%d %b')"
    if notice.window != "1d":
        form = f"utchours(datum.value) + utcminutes(datum.value) ? utcFormat(datum.value, '%H:%M') : {form}"
    time = alt.X(
        "at:T",
        title=None,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(
            grid=False, tickCount=5, labelExpr=form, labelColor=_GREY, domainColor="#d0d5dd", tickColor="#d0d5dd"
        ),
    )
    axis = alt.Axis(
        title=None,
        tickCount=4,
        format=_format(notice.unit),
        labelColor=_GREY,
        gridColor="#eaecf0",
        domain=False,
        ticks=False,
    )
    value = alt.Y("value:Q", axis=axis, scale=alt.Scale(zero=True, nice=True))
    # Values are drawn at the start of their window, so the band extends half a window to either side.
    first, last = broken[0] - step / 2, broken[1] - step / 2
    band = (
        alt.Chart(alt.Data(values=[{"from": _instant(first), "to": _instant(last)}]))
        .mark_rect(color=_BREACH, opacity=0.09)
        .encode(x=alt.X("from:T", scale=alt.Scale(type="utc")), x2="to:T")
    )
    course = alt.Chart(alt.Data(values=rows)).mark_line(color=_LINE, strokeWidth=1.8).encode(time, value)
    points = (
        alt.Chart(alt.Data(values=[row for row in rows if row["broken"] and row["value"] is not None]))
        .mark_circle(color=_BREACH, size=38, opacity=1)
        .encode(time, value)
    )
    layers: list[Any] = [band, *_curves(notice, values, before, step, time, value), course, points]
    if notice.operator != "change_pct":
        threshold = alt.Chart(alt.Data(values=[{"value": notice.threshold, "text": limit(notice)}]))
        layers += [
            threshold.mark_rule(color=_BREACH, strokeDash=[5, 4], strokeWidth=1.3).encode(alt.Y("value:Q")),
            threshold.mark_text(color=_BREACH, align="left", dx=4, dy=-8, fontSize=12).encode(
                alt.Y("value:Q"), x=alt.value(0), text="text:N"
            ),
        ]
    title = alt.TitleParams(
        f"{line(notice.metric_title or notice.metric or '', 60)}, UTC",
        anchor="start",
        color=_GREY,
        fontSize=12,
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
        .configure_axis(labelFontSize=13, labelPadding=6)
    )


def _curves(
    notice: Notice,
    values: Sequence[tuple[datetime, float]],
    before: Mapping[datetime, float],
    step: timedelta,
    time: Any,
    value: Any,
) -> list[Any]:
    """For a rule about changes, the values of last week and the threshold, with a legend."""
    import altair as alt

    compared = [(at, before[at]) for at, _ in values if at in before]
    if not compared:
        return []
    curves = [(limit(notice), _BREACH, [5, 4], [(at, one * (1 + notice.threshold / 100)) for at, one in compared])]
    if notice.against == "same_weekday":
        curves.insert(0, ("last week", _BEFORE, [1, 0], compared))
    rows = [
        {"at": _instant(at), "value": one, "name": name}
        for name, _, _, curve in curves
        for at, one in _with_gaps(curve, step)
    ]
    names = [name for name, _, _, _ in curves]
    colours = alt.Scale(domain=names, range=[colour for _, colour, _, _ in curves])
    dashes = alt.Scale(domain=names, range=[dash for _, _, dash, _ in curves])
    legend = alt.Legend(
        orient="top", title=None, symbolType="stroke", symbolSize=300, labelColor=_GREY, labelFontSize=12, labelLimit=0
    )
    return [
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.5)
        .encode(
            time,
            value,
            alt.Color("name:N", scale=colours, legend=legend),
            alt.StrokeDash("name:N", scale=dashes, legend=legend),
        )
    ]


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
