"""Alerts as they are shown outside of messages, by commands and pages: in the words of messages, with what happened to them so far."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from radar_assets.access.projects import list_projects
from radar_assets.access.time_zones import read_calendar
from radar_assets.alerts.announcements import REASONS, Context, escalation_of, notice_of
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.rules import Rule
from radar_assets.alerts.settings import AlertSettings
from radar_assets.alerts.wording import Words, describe, moment
from radar_assets.metrics.registry import Metric
from radar_assets.store.database import Store
from radar_assets.store.models import Alert


def context_of(
    store: Store, metrics: Sequence[Metric], settings: AlertSettings, now: datetime, *, ui_url: str | None = None
) -> Context:
    """The context of announcements at a time. Its asset is that of no rule.

    Args:
        ui_url: address of the UI, if the settings don't have it.
    """
    projects = list_projects(store)
    return Context(
        now=now,
        max_age=timedelta(hours=settings.alert_max_age_h),
        throttle_per_hour=settings.alert_throttle_per_hour,
        ui_url=settings.ui_url or ui_url,
        metrics={metric.name: metric for metric in metrics},
        project_names={project.id: project.name for project in projects},
        asset="",
        zones={project.id: project.timezone for project in projects},
        calendar=read_calendar(store),
    )


def notice_now(alert: Alert, rule: Rule, context: Context) -> Notice:
    """What an announcement of an alert would say now."""
    from dataclasses import replace

    from radar_assets.alerts.checks import asset_of

    return notice_of(alert, rule, REASONS[alert.state], replace(context, asset=asset_of(rule)))


def words_of(alert: Alert, rule: Rule | None, context: Context) -> Words:
    """An alert in the words of messages.

    Args:
        rule: None if it was removed.
    """
    if rule is not None:
        return describe(notice_now(alert, rule, context))
    project = context.project_names.get(alert.project_id, alert.project_id)
    return Words(
        state=alert.state.replace("_", " ").capitalize(),
        headline=f"{alert.rule} of {project}" if project else alert.rule,
        description=str(alert.details.get("text") or ""),
        facts=(("Since", moment(alert.started_at)), ("Rule", f"{alert.rule}; it was removed")),
        link="",
        silence=(),
    )


def timeline(alert: Alert) -> list[tuple[datetime, str]]:
    """What happened to an alert, in order. Times are naive, UTC."""
    entries: list[tuple[datetime | None, str]] = [
        (alert.announced_at, "Announced"),
        (alert.no_data_announced_at, "Announced that there is no data"),
        (alert.acknowledged_at, f"Acknowledged by {alert.acknowledged_by}"),
        (alert.recovered_at, "End announced"),
        (alert.resolved_at, "Ended without data" if alert.state == "ended_without_data" else "Recovered"),
    ]
    for step in escalation_of(alert)["steps"]:
        entries.append((datetime.fromisoformat(step["at"]), f"Not acknowledged; sent to {', '.join(step['channels'])}"))
    return sorted((entry for entry in entries if entry[0]), key=lambda entry: entry[0])  # pyright: ignore
