"""The context of announcements, as the store and the settings have it, for whoever announces or shows alerts outside of a check."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from radar_assets.access.projects import list_projects
from radar_assets.access.time_zones import read_calendar
from radar_assets.alerts.announcements import Context
from radar_assets.alerts.settings import AlertSettings
from radar_assets.metrics.registry import Metric
from radar_assets.store.database import Store


def context_of(
    store: Store, metrics: Sequence[Metric], settings: AlertSettings, now: datetime, *, asset: str = ""
) -> Context:
    """The context at a time.

    Args:
        asset: the asset that the rule's check is on.
    """
    projects = list_projects(store)
    return Context(
        now=now,
        max_age=timedelta(hours=settings.alert_max_age_h),
        throttle_per_hour=settings.alert_throttle_per_hour,
        ui_url=settings.ui_url,
        metrics={metric.name: metric for metric in metrics},
        project_names={project.id: project.name for project in projects},
        asset=asset,
        zones={project.id: project.timezone for project in projects},
        calendar=read_calendar(store),
    )
