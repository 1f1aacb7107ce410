"""Rules, and the alerts that fired."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Double, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import MAX_NAME, Base, Declared

ALERT_STATES = ("firing", "no_data", "resolved", "ended_without_data")
"""States of an alert. Without data are those whose metric has no value since the last window that broke the rule."""
OPEN_STATES = ("firing", "no_data")
"""Those of alerts that have not ended."""


class AlertRule(Declared):
    """A rule, whose declaration is an `alerts.rules.Rule`."""

    __tablename__ = "alert_rules"


class Alert(Base):
    """Consecutive windows in which a project broke a rule. Times are naive, UTC.

    Windows of rules over days are dates of the project, from midnight to midnight, so that they stay the same if its time zone
    changes. That concerns `started_at`, `fired_at`, `ended_at`, `covered_*`, `no_data_since` and the numbers in `details`.

    Attributes:
        id: UUID; it stays the same when late data move the start or the end.
        project_id: empty where the alert is about the platform itself, such as a failed run.
        kind, severity: those of the rule when it last fired.
        subject: what a platform alert is about, such as a partition or a run; empty for those of projects.
        started_at: start of the first window that broke the rule; with rule, project and subject it is the alert's key.
        fired_at: start of the first window at which the rule had been broken for long enough.
        ended_at: end of the last such window so far.
        state: one of `ALERT_STATES`.
        details: the numbers of its latest window, for messages (`alerts.findings.Breach`).
        announced_at: when the first announcement was put into the outbox; None if it was only recorded.
        renotified_at: when it was last announced.
        covered_from, covered_until: the span of windows that were announced, including those that late data have cleared
            since; None if it was only recorded. None of these windows is announced again.
        recovered_at: when its end was announced; None again if it resumes.
        acknowledged_at, acknowledged_by, snoozed_until: set by people.
        escalation: the steps of its escalation that were sent (`alerts.escalation`); None before the first.
        no_data_since: in the states without data, since when the metric has had no value; else None.
        no_data_announced_at: when it was first announced that the metric has no value.
        resolved_at: when it was found to have ended, also without data.
        updated_at: when it last changed.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("rule", "project_id", "subject", "started_at", name="uq_alerts_key"),
        Index("ix_alerts_state", "state"),
        Index("ix_alerts_updated_at", "updated_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    rule: Mapped[str] = mapped_column(String(MAX_NAME))
    project_id: Mapped[str] = mapped_column(String(MAX_NAME))
    subject: Mapped[str] = mapped_column(String(MAX_NAME), default="")
    kind: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(8))
    started_at: Mapped[datetime] = mapped_column(DateTime)
    fired_at: Mapped[datetime] = mapped_column(DateTime)
    ended_at: Mapped[datetime] = mapped_column(DateTime)
    state: Mapped[str] = mapped_column(String(24))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    announced_at: Mapped[datetime | None] = mapped_column(DateTime)
    renotified_at: Mapped[datetime | None] = mapped_column(DateTime)
    covered_from: Mapped[datetime | None] = mapped_column(DateTime)
    covered_until: Mapped[datetime | None] = mapped_column(DateTime)
    recovered_at: Mapped[datetime | None] = mapped_column(DateTime)
    acknowledged_at: Mapped[datetime | None] = mapped_column(DateTime)
    acknowledged_by: Mapped[str | None] = mapped_column(String(MAX_NAME))
    snoozed_until: Mapped[datetime | None] = mapped_column(DateTime)
    escalation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    no_data_since: Mapped[datetime | None] = mapped_column(DateTime)
    no_data_announced_at: Mapped[datetime | None] = mapped_column(DateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime)
    updated_at: Mapped[datetime] = mapped_column(DateTime)


class AlertBreach(Base):
    """A window of an alert: the value that broke the rule. Times are naive, UTC, or dates as for the alert.

    Attributes:
        value: None if it is missing although it was expected.
    """

    __tablename__ = "alert_breaches"
    __table_args__ = (Index("ix_alert_breaches_window_start", "window_start"),)

    alert_id: Mapped[str] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True)
    window_start: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    window_end: Mapped[datetime] = mapped_column(DateTime)
    value: Mapped[float | None] = mapped_column(Double)
    threshold: Mapped[float] = mapped_column(Double)


class AlertHour(Base):
    """An hour (UTC) in which alerts fired, and when they last changed; decides which hours of the table `alerts` are stale.

    Attributes:
        version: increases with each change of any alert; deleted alerts leave no other trace.
    """

    __tablename__ = "alert_hours"

    hour: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, index=True)


class WaitingWindow(Base):
    """A window of five minutes that could not be judged yet, because segments that may have events of it were not loaded.

    Attributes:
        start: naive, UTC.
    """

    __tablename__ = "waiting_windows"

    start: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
