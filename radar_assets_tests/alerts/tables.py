"""Helpers to write values to the tables of a lakehouse and to judge rules on them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from radar_assets.alerts.evaluation import Judgement, evaluate
from radar_assets.alerts.rules import WINDOWS, Rule, WindowName
from radar_assets.lakehouse.files import STEP
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.registry import Metric, registry
from radar_assets.tables import TABLES
from radar_assets.windows import DAY, Window, contiguous

MONDAY = datetime(2026, 3, 30)
"""Most tests judge noon of this day; the platform's start date is long before."""
NOON = MONDAY + timedelta(hours=12)
WEEK = timedelta(days=7)

Row = tuple[str, datetime, str, float]
"""Project, start of the hour or day, metric, value."""


def fill(lakehouse: Lakehouse, window: WindowName, rows: Iterable[Row], windows: Sequence[Window] = ()) -> None:
    """Replace windows of a metrics table with these rows.

    Args:
        windows: additional windows, without rows.
    """
    name, column = ("daily_metrics", "date") if window == "1d" else ("hourly_metrics", "hour")
    unit = STEP[TABLES[name].grid]
    rows = list(rows)
    given = pa.table(
        {
            "project_id": pa.array([row[0] for row in rows], pa.string()),
            "moment": pa.array([row[1] for row in rows], pa.timestamp("us")),
            "metric": pa.array([row[2] for row in rows], pa.string()),
            "value": pa.array([row[3] for row in rows], pa.float64()),
        }
    )
    kind = "date" if window == "1d" else "timestamp"
    model = SqlModel(
        name,
        f"select project_id, moment::{kind} as {column}, metric, value from given where moment >= $start and moment < $end",
    )
    starts = {row[1] for row in rows} | {start.start for start in windows}
    spans = contiguous(starts, unit, len(starts))
    lakehouse.rebuild(model, spans, lambda *_: {"given": given})


def series(values: Mapping[str, Mapping[datetime, float | None]], metric: str = "page_views") -> list[Row]:
    """Rows of a metric by project and time, with a row of `events` for each window. For None, there is only the latter."""
    rows: list[Row] = []
    for project, by_time in values.items():
        for at, value in by_time.items():
            rows.append((project, at, "events", 100))
            if value is not None:
                rows.append((project, at, metric, value))
    return rows


def rule(**fields: Any) -> Rule:
    """A rule that fires when hourly page views are above 10, unless fields say otherwise."""
    return Rule.model_validate(
        {"name": "many_page_views", "metric": "page_views", "operator": "gt", "threshold": 10, **fields}
    )


def judge(
    lakehouse: Lakehouse,
    *rules: Rule,
    span: Window | None = None,
    now: datetime | None = None,
    metrics: Sequence[Metric] = registry(),
    **options: Any,
) -> list[Judgement]:
    """Judge rules over a span: by default the window at noon, five minutes after its end."""
    step = WINDOWS[rules[0].window]
    span = span or (Window(MONDAY, MONDAY + DAY) if step == DAY else Window(NOON, NOON + step))
    return evaluate(lakehouse, rules, metrics, span, now or span.end + timedelta(minutes=5), **options)


def broken(judgement: Judgement) -> dict[str, list[datetime]]:
    """Starts of the windows that broke the rule, by project."""
    found: dict[str, list[datetime]] = {}
    for breach in judgement.findings.breaches:
        found.setdefault(breach.project_id, []).append(breach.window.start)
    return found


def judged(judgement: Judgement) -> dict[str, list[datetime]]:
    """Starts of the windows that were judged, by project."""
    return {
        project: [window.start for window in windows]
        for (project, _), windows in judgement.findings.judged.items()
        if windows
    }
