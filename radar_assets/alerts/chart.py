"""The picture in a mail: the metric around the breach, with the threshold and the windows that broke it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import WINDOWS
from radar_assets.alerts.wording import limit
from radar_assets.messaging.plain_text import line

WIDTH, HEIGHT = 440, 175
"""Smaller than the mail is wide, so that the labels stay readable on a phone when it is scaled."""
MAX_POINTS = 1000
_LINE, _BREACH, _GREY = "#344054", "#d92d20", "#667085"


def draw(notice: Notice, history: Sequence[tuple[datetime, float]]) -> bytes | None:
    """The chart of a notice as PNG; None if there is nothing to draw.

    Args:
        history: values by the start of their window, naive, UTC.
    """
    values = sorted(history)[-MAX_POINTS:]
    if notice.metric is None or len(values) < 2:
        return None
    import vl_convert

    return vl_convert.vegalite_to_png(_spec(notice, values).to_json(), scale=2.5)


def _spec(notice: Notice, values: Sequence[tuple[datetime, float]]) -> Any:
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
    history = alt.Chart(alt.Data(values=rows)).mark_line(color=_LINE, strokeWidth=1.8).encode(time, value)
    points = (
        alt.Chart(alt.Data(values=[row for row in rows if row["broken"] and row["value"] is not None]))
        .mark_circle(color=_BREACH, size=38, opacity=1)
        .encode(time, value)
    )
    layers: list[Any] = [band, history, points]
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
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=13, labelPadding=6)
    )


def _with_gaps(values: Sequence[tuple[datetime, float]], step: Any) -> list[tuple[datetime, float | None]]:
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
