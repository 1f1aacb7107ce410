"""The section `metrics` of `radar.yaml`. It is read whenever definitions load, so nothing of it is stored."""

from pydantic import ValidationInfo, field_validator

from radar_assets.metrics.registry import CustomMetric, registry
from radar_assets.sections import Section


class MetricsSection(Section):
    """The metrics that a team declares.

    Attributes:
        metrics: your own metrics, in addition to the standard ones.
    """

    metrics: tuple[CustomMetric, ...] = ()

    @field_validator("metrics")
    @classmethod
    def _share_with_rules(cls, metrics: tuple[CustomMetric, ...], info: ValidationInfo) -> tuple[CustomMetric, ...]:
        if info.context is not None:
            info.context["metrics"] = {metric.name: metric for metric in registry(metrics)}
        return metrics
