"""The headline of a materialization: the numbers that readers of the UI look for, as metadata that Dagster plots, and as tables.

Which numbers a table has is declared with it. They are computed from the files that were just written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import dagster as dg

from radar_assets.calendar import DAYS_IN_UTC
from radar_assets.lakehouse.files import from_unit, to_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel, load_model
from radar_assets.lakehouse.table import Headline, Measure
from radar_assets.markdown import markdown_table

MAX_PLOTTED = 10
"""Labels with plots of their own, the largest first. Each number takes 100 bytes of Dagster's storage per materialization."""
MAX_LISTED = 50
"""Labels in the table of the plotted dimension."""
MAX_TOP = 10
"""Labels in the tables of other dimensions."""
MAX_LABEL = 60

Metadata = dict[str, dg.MetadataValue]


class _Numbers(NamedTuple):
    """The numbers of a partition by measure: totals, and those of each label by dimension."""

    totals: dict[str, float]
    labelled: dict[str, dict[str, dict[str, float]]]


def headlines(
    lakehouse: Lakehouse, files: Files, partitions: Iterable[int], extra: Sequence[Measure] = ()
) -> dict[int, Metadata]:
    """The headline of each partition; empty for tables that declare none.

    Args:
        files: those that hold the rows of the partitions.
        partitions: hours or days since 1970.
        extra: measures besides those of the table's declaration.
    """
    headline = files.table.headline
    if headline is None:
        return {}
    measures = (*headline.measures, *extra)
    found = _compute(lakehouse, files, headline, measures) if files.paths else {}
    grid = files.table.grid
    calendar = lakehouse.calendar() if grid == "day" else DAYS_IN_UTC

    def zones(unit: int) -> Callable[[str], str] | None:
        if calendar.is_utc:
            return None
        day = from_unit(unit, grid).date()
        return lambda project: calendar.zone_of(project, day)

    return {
        unit: _metadata(found.get(unit, _Numbers({}, {})), measures, headline.plotted, zones(unit))
        for unit in partitions
    }


def _compute(
    lakehouse: Lakehouse, files: Files, headline: Headline, measures: Sequence[Measure]
) -> dict[int, _Numbers]:
    """The numbers by partition."""
    model = load_model(headline.layer, f"{files.table.name}_headline")
    wanted = SqlModel(model.name, f"select * from ({model.sql}) where list_contains($measures, measure)")
    parameters = {"measures": [measure.name for measure in measures]}
    columns = lakehouse.engine.query(wanted, {files.table.name: files}, parameters)
    columns = columns.select(["starts_at", "dimension", "label", "measure", "value"])
    starts = columns["starts_at"].cast("timestamp[us]").to_pylist()
    found: dict[int, _Numbers] = {}
    for start, (dimension, label, measure, value) in zip(
        starts, zip(*(column.to_pylist() for column in columns.columns[1:]), strict=True), strict=True
    ):
        numbers = found.setdefault(to_unit(start, files.table.grid), _Numbers({}, {}))
        if value is None:
            continue
        labels = numbers.labelled.setdefault(dimension, {}) if dimension else {}
        (labels.setdefault(label, {}) if dimension else numbers.totals)[measure] = float(value)
    return found


def _metadata(
    numbers: _Numbers, measures: Sequence[Measure], plotted: str | None, zone_of: Callable[[str], str] | None
) -> Metadata:
    """The numbers of a partition as metadata: totals, tables, then the numbers of single labels.

    Args:
        zone_of: the time zone of a project, to be shown with it; None if the table has no local days.
    """
    totals = {measure.name: measure.empty for measure in measures if measure.empty is not None} | numbers.totals
    found: Metadata = {title(each): _number(totals[each.name]) for each in measures if each.name in totals}
    singles: Metadata = {}
    for dimension, labels in sorted(numbers.labelled.items()):
        shown = [each for each in measures if any(each.name in values for values in labels.values())]
        ranked = sorted(labels.items(), key=lambda item: (-item[1].get(shown[0].name, 0), item[0]))
        listed = ranked[: MAX_LISTED if dimension == plotted else MAX_TOP]
        of_label = zone_of if dimension == "project" else None
        found[f"by {dimension}"] = dg.MetadataValue.md(_table(dimension, listed, shown, len(ranked), of_label))
        for label, values in ranked[:MAX_PLOTTED] if dimension == plotted else ():
            singles |= {
                f"{title(each)}: {_short(label)}": _number(values[each.name]) for each in shown if each.name in values
            }
    return found | singles


def _table(
    dimension: str,
    listed: Sequence[tuple[str, Mapping[str, float]]],
    shown: Sequence[Measure],
    labels: int,
    zone_of: Callable[[str], str] | None,
) -> str:
    rows = [[_short(label), *(_cell(values.get(each.name), each.unit) for each in shown)] for label, values in listed]
    header = [dimension, *map(title, shown)]
    if zone_of:
        header.append("time zone")
        rows = [[*row, zone_of(label)] for row, (label, _) in zip(rows, listed, strict=True)]
    text = markdown_table(header, rows)
    more = labels - len(listed)
    return f"{text}\n\nand {more:,} more" if more else text


def title(measure: Measure) -> str:
    """The name of a measure as people read it, such as `median duration (s)`."""
    name = measure.name.replace("_", " ")
    return f"{name} (s)" if measure.unit == "s" else name


def _short(label: str) -> str:
    text = " ".join(label.split())
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


def _number(value: float) -> dg.MetadataValue:
    return dg.MetadataValue.int(int(value)) if value.is_integer() else dg.MetadataValue.float(round(value, 6))


def _cell(value: float | None, unit: str | None) -> str:
    if value is None:
        return ""
    if unit == "ratio":
        return f"{value:.1%}"
    if unit == "currency":
        return f"{value:,.2f}"
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.6g}"
