"""The standard metrics."""

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
    """Their expressions."""
    rows = [
        [
            code(metric.name),
            code(metric.source),
            code(metric.expression),
        ]
        for metric in STANDARD_METRICS
    ]
    return markdown_table(("metric", "source", "expression"), rows)
