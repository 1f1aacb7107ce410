"""Notices: the facts of an announcement, as the outbox stores them. Their words are in `wording.py`."""

from datetime import datetime
from typing import Literal

from radar_assets.alerts.rules import WINDOWS, Against, FrozenModel, Kind, Operator, Severity, WindowName
from radar_assets.calendar import ALWAYS, ZoneFrom, begin_of

KIND = "alert"
"""Kind of the deliveries whose contents are notices."""
Reason = Literal[
    "fired", "still_firing", "escalated", "no_data", "recovered", "fired_and_recovered", "ended_without_data", "test"
]


class Notice(FrozenModel):
    """One announcement of one alert, with everything that is said about it.

    Times are naive, UTC; of rules over days, they are midnights of the project's dates (`moment` has them in UTC).

    Attributes:
        reason: `escalated` if no one has acknowledged it in time; `no_data` and `ended_without_data` for an alert whose metric has no
            value any more; `fired_and_recovered` for one that was over when it was found; `test` for messages that try out a channel.
        project_id, project_name: empty for platform alerts.
        timezone: IANA name of the project's time zone, whose local time decides what is compared.
        zones: all time zones that it has had; empty if only that one.
        metric, metric_title, unit: None for platform alerts.
        window_start, window_end: the latest window that broke the rule.
        usual: lowest and highest value of the same hour and weekday in the four weeks before.
        ended_value, ended_baseline: value of the window that ended the alert, and the value that it is compared with; None while
            it lasts.
        no_data_since: since when the metric has had no value; None if it has one.
        announced_at: when it was first announced; None for notices of an earlier version.
        text: what happened, for platform alerts.
        is_reminded: whether the rule sends reminders while the alert lasts.
        check_url: the rule's check in the UI; None if RADAR_UI_URL is not set.
    """

    reason: Reason
    alert_id: str
    rule: str
    description: str = ""
    kind: Kind
    severity: Severity
    project_id: str = ""
    project_name: str = ""
    timezone: str = "UTC"
    zones: tuple[ZoneFrom, ...] = ()
    subject: str = ""
    metric: str | None = None
    metric_title: str | None = None
    unit: str | None = None
    window: WindowName = "1h"
    operator: Operator = "gt"
    against: Against = "same_weekday"
    started_at: datetime
    window_start: datetime
    window_end: datetime
    ended_at: datetime | None = None
    value: float | None = None
    threshold: float = 0
    baseline: float | None = None
    usual: tuple[float, float] | None = None
    ended_value: float | None = None
    ended_baseline: float | None = None
    no_data_since: datetime | None = None
    announced_at: datetime | None = None
    text: str = ""
    is_reminded: bool = True
    check_url: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the alert has ended."""
        return self.is_recovered or self.reason == "ended_without_data"

    @property
    def is_recovered(self) -> bool:
        """Whether the alert has ended because a window kept the rule."""
        return self.reason in ("recovered", "fired_and_recovered")

    @property
    def zone(self) -> str:
        """The time zone that its times are in."""
        return self.timezone if self._is_of_days else "UTC"

    def moment(self, at: datetime) -> datetime:
        """One of its times in UTC."""
        if not self._is_of_days:
            return at
        return begin_of(self.zones or (ZoneFrom(ALWAYS, self.timezone),), at.date())

    @property
    def _is_of_days(self) -> bool:
        return self.metric is not None and self.window == "1d"

    @property
    def shown_until(self) -> datetime:
        """End of the last window that charts show: the one that ended the alert, or else the latest one that broke the rule."""
        return self.window_end + WINDOWS[self.window] if self.ended_value is not None else self.window_end


def trial_notice(now: datetime) -> Notice:
    """The notice for trying out a channel.

    Args:
        now: naive, UTC.
    """
    return Notice(
        reason="test",
        alert_id="test",
        rule="test",
        description="A test message, sent with radar channels test.",
        kind="threshold",
        severity="low",
        started_at=now,
        window_start=now,
        window_end=now,
    )
