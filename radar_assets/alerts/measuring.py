"""The values that rules are judged by: metrics of windows, from tables or from events, and earlier values of the projects."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from radar_assets.alerts.rules import WINDOWS, WindowName
from radar_assets.alerts.weeks import compared_start
from radar_assets.calendar import IN_UTC, Calendar, begin_of
from radar_assets.lakehouse.engines.limits import time_limit_s
from radar_assets.lakehouse.fallback import OmissionsByWindow, with_fallback
from radar_assets.lakehouse.files import EPOCH, STEP, from_unit, to_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.omissions import RecentOmissions
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel, load_model
from radar_assets.metrics.composition import compose_five_minutes, composite
from radar_assets.metrics.registry import Metric
from radar_assets.windows import DAY, Window

if TYPE_CHECKING:
    import pyarrow as pa

    from radar_assets.alerts.notices import Notice

LAYER = "radar_assets.alerts"
TABLE: dict[WindowName, str] = {"5m": "events", "1h": "hourly_metrics", "1d": "daily_metrics"}
"""The table that holds the windows, on which the rules are checks."""
MEMORY = timedelta(days=28)
"""How long a project without values counts as present."""
CHART: dict[WindowName, timedelta] = {"5m": timedelta(hours=6), "1h": timedelta(days=8), "1d": timedelta(days=60)}
"""How far back the chart of a breach goes. For hours, it includes the same weekday a week earlier."""

LEAD = 12
"""Windows without events that charts show before the first value."""


def history(lakehouse: Lakehouse, notice: "Notice", metrics: Sequence[Metric]) -> list[tuple[datetime, float]]:
    """The values for the chart of a notice, by start of window, up to the window that ended the alert, or its latest.

    For rules about changes, these include the values compared with; `recent` leaves out those before the chart. Windows without
    events have the metric's value over no events, from `LEAD` windows before the first value on, so that a first event stands out.
    An unknown metric has no values.
    """
    registered = {metric.name: metric for metric in metrics}
    metric = registered.get(notice.metric or "")
    if metric is None:
        return []
    step = WINDOWS[notice.window]
    count = CHART[notice.window] // step
    starts = [notice.shown_until - offset * step for offset in range(count, 0, -1)]
    starts = sorted({*starts, *filter(None, (notice_compared(notice, start) for start in starts))})
    snapshot = lakehouse.snapshot(TABLE[notice.window])
    wanted = [metric] if metric.name == "events" else [metric, registered["events"]]
    rows, _ = measure(lakehouse, snapshot, notice.window, wanted, starts)
    own = _only(rows, notice.project_id)
    values = {row["window_start"]: row["value"] for row in own if row["metric"] == metric.name}
    present = {row["window_start"] for row in own}
    first = min(values, default=None)
    points = []
    for start in starts:
        value = values.get(start)
        if value is None and first is not None and start >= first - LEAD * step and start not in present:
            value = metric.empty_value
        if value is not None:
            points.append((start, value))
    return points


def notice_compared(notice: "Notice", start: datetime) -> datetime | None:
    """Start of the window that a notice compares a window with; None without one."""
    return compared_start(start, notice.operator, notice.against, notice.window, notice.timezone)


def recent(notice: "Notice", values: Iterable[tuple[datetime, float]]) -> list[tuple[datetime, float]]:
    """The values that a chart shows, without those that are only compared with."""
    return [(at, value) for at, value in values if at >= notice.shown_until - CHART[notice.window]]


def values_compared(
    notice: "Notice", values: Iterable[tuple[datetime, float]], history: Iterable[tuple[datetime, float]]
) -> dict[datetime, float]:
    """The values that those of a chart are compared with, by the start of the window compared; from `history`."""
    by_start = dict(history)
    compared = ((at, notice_compared(notice, at)) for at, _ in values)
    return {at: by_start[earlier] for at, earlier in compared if earlier and earlier in by_start}


def thresholds(
    notice: "Notice", values: Iterable[tuple[datetime, float]], before: Mapping[datetime, float]
) -> dict[datetime, float]:
    """The threshold in each window of a chart. For rules about changes, it follows the values compared with."""
    if notice.operator == "change_pct":
        return {at: before[at] * (1 + notice.threshold / 100) for at, _ in values if at in before}
    return {at: notice.threshold for at, _ in values}


def measure(
    lakehouse: Lakehouse, snapshot: Snapshot, window: WindowName, metrics: Sequence[Metric], starts: Iterable[datetime]
) -> "tuple[pa.Table, dict[str, list[Window]]]":
    """The values of metrics in windows, and for each omitted metric the stretches of time that lack it.

    Partitions are read whole, so the rows of other windows in them are included.
    """
    unit = snapshot.table.grid
    partitions = sorted({EPOCH + (start - EPOCH) // STEP[unit] * STEP[unit] for start in starts})
    windows = [Window(start, start + STEP[unit]) for start in partitions]
    omitted: dict[str, list[Window]] = {}
    if window == "5m":
        rows, omissions = _five_minutes(lakehouse, snapshot, metrics, windows)
    else:
        model = load_model(LAYER, "hourly_values" if window == "1h" else "daily_values")
        inputs = {TABLE[window]: Files.within(snapshot, windows), "measures": measures(metrics)}
        rows = lakehouse.engine.query(model, inputs)
        omissions = {one: snapshot.omissions.get(to_unit(one.start, unit), frozenset()) for one in windows}
    for omitting, missing in omissions.items():
        for omission in missing:
            omitted.setdefault(omission.name, []).append(omitting)
    return rows, omitted


def _five_minutes(
    lakehouse: Lakehouse, events: Snapshot, metrics: Sequence[Metric], windows: Sequence[Window]
) -> "tuple[pa.Table, OmissionsByWindow]":
    """The values of metrics by five minutes, which no table holds, in some hours.

    A metric that took too much time or memory within the last hour is not tried again, because this runs every five minutes.
    """
    recent = RecentOmissions(lakehouse.settings.home / "cache" / "five_minute_omissions.json")
    known = recent.of(metric.definition for metric in metrics)
    template = load_model("radar_assets.metrics", "hourly_metrics")
    chosen = composite(lambda included: compose_five_minutes(template, included), metrics).without(
        {omission.definition for omission in known}
    )

    def query(model: SqlModel, part: Sequence[Window], *, is_limited: bool) -> "pa.Table":
        inputs = {"events": Files.within(events, part)}
        span = {"start": min(window.start for window in part), "end": max(window.end for window in part)}
        return lakehouse.engine.query(model, inputs, span, limit_s=time_limit_s(inputs) if is_limited else None)

    rows, omissions_by_window = with_fallback(
        chosen,
        windows,
        lambda: query(chosen.model, windows, is_limited=bool(chosen.optional)),
        query,
        lambda rows: rows,
    )
    recent.add(
        omission for omissions in omissions_by_window.values() for omission in omissions if omission.is_expensive
    )
    return rows, {window: known | omissions_by_window.get(window, frozenset()) for window in windows}


def earlier(lakehouse: Lakehouse, window: WindowName, metrics: Sequence[Metric], starts: set[datetime]) -> "pa.Table":
    """Earlier values of the projects: by day, and by hour on the days of the windows and on days that are not built.

    Days are enough to see whether a project is present, and have a twenty-fourth of the files. Next to hours, they end when they
    end for the project.
    """
    import pyarrow as pa

    span = Window(min(starts) - MEMORY, max(starts))
    daily = lakehouse.snapshot("daily_metrics")
    inputs = {"daily_metrics": Files.of(daily, span), "measures": measures(metrics)}
    if window == "1d":
        return lakehouse.engine.query(load_model(LAYER, "daily_values"), inputs)
    calendar = lakehouse.calendar()
    inputs["day_ends"] = _day_ends(calendar, span)
    tables = [lakehouse.engine.query(load_model(LAYER, "ended_days"), inputs)]
    built = {from_unit(ref.partition[0], "day") for ref in daily.files(span) if ref.partition[0] is not None}
    # All days in UTC that days of projects around the windows fall into.
    around = {day for date in {start.date() for start in starts} for day in calendar.days(Window.of_day(date))}
    own = {day for date in around for day in calendar.hours_of(Window.of_day(date)).days()}
    days = [Window.of_day(day) for day in span.days()]
    if hourly := [day for day in days if day.start not in built or day.start.date() in own]:
        files = Files.within(lakehouse.snapshot("hourly_metrics"), hourly)
        inputs = {"hourly_metrics": files, "measures": measures(metrics)}
        tables.append(lakehouse.engine.query(load_model(LAYER, "hourly_values"), inputs))
    return pa.concat_tables(tables)


def _day_ends(calendar: Calendar, span: Window) -> "pa.Table":
    """When days end for the projects that are not in UTC."""
    starts = [Window.of_day(day).start for day in span.days()]
    ends = {
        own: [begin_of(own, (start + DAY).date()) for start in starts] for own in {*calendar.zones.values()} - {IN_UTC}
    }
    rows = [
        (project, start, end)
        for project, own in calendar.zones.items()
        if own in ends
        for start, end in zip(starts, ends[own], strict=True)
    ]
    return relation(
        project_id=("text", [project for project, _, _ in rows]),
        starts_on=("timestamp", [start for _, start, _ in rows]),
        ends_at=("timestamp", [end for _, _, end in rows]),
    )


def measures(metrics: Sequence[Metric]) -> "pa.Table":
    return relation(
        metric=("text", [metric.name for metric in metrics]),
        empty_value=("number", [metric.empty_value for metric in metrics]),
    )


def relation(**columns: tuple[str, Iterable[Any]]) -> "pa.Table":
    import pyarrow as pa

    types = {
        "int": pa.int32(),
        "text": pa.string(),
        "flag": pa.bool_(),
        "number": pa.float64(),
        "timestamp": pa.timestamp("us"),
    }
    return pa.table({name: pa.array(list(values), types[kind]) for name, (kind, values) in columns.items()})


def _only(rows: "pa.Table", project_id: str) -> list[dict[str, Any]]:
    import pyarrow as pa

    mask = pa.array([project == project_id for project in rows["project_id"].to_pylist()], pa.bool_())
    return rows.filter(mask).to_pylist()
