"""The standard metrics."""

import re

from parts.text import code, markdown_table

from radar_assets.metrics.registry import STANDARD_METRICS


def metrics_table() -> str:
    """The standard metrics."""
    rows = [
        [code(metric.name), metric.title, " and ".join(metric.grains), metric.unit or "", metric.description]
        for metric in STANDARD_METRICS
    ]
    return markdown_table(("metric", "title", "values by", "unit", "description"), rows)


def metric_expressions() -> str:
    """Their expressions; the lists of names are on the page of events."""
    rows = [
        [
            code(metric.name),
            code(metric.source),
            code(re.sub(r" in \((?:'[^']*',? ?){4,}\)", " in (...)", metric.expression)),
        ]
        for metric in STANDARD_METRICS
    ]
    return markdown_table(("metric", "source", "expression"), rows)
