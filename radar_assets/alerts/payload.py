"""Alerts as JSON for programs: the data of webhooks. Its schema is published as `webhook.schema.json` beside this module."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from radar_assets.alerts.notices import Notice, Reason
from radar_assets.alerts.rules import Against, Kind, Operator, Severity, WindowName
from radar_assets.alerts.wording import describe
from radar_assets.messaging.channels.webhook import Body


class Alert(BaseModel):
    """One announcement of one alert."""

    model_config = ConfigDict(extra="forbid", title="Alert")

    id: str = Field(description="Of the alert; the same in all messages about it.")
    reason: Reason = Field(
        description="`escalated` if no one has acknowledged it in time; "
        "`no_data` once the metric has no value any more, and `ended_without_data` if that lasts for three days; "
        "`fired_and_recovered` for an alert that was over when it was found, instead of one message for each; "
        "`test` for messages that try out the channel."
    )
    headline: str = Field(description="What happened, in one line for people.")
    rule: str
    description: str = Field(description="Description of the rule; may be empty.")
    kind: Kind
    severity: Severity
    project_id: str | None = Field(description="null for platform alerts.")
    project_name: str | None
    subject: str | None = Field(description="What a platform alert is about, such as a partition or a run.")
    text: str | None = Field(description="What happened, for platform alerts.")
    metric: str | None
    metric_title: str | None
    unit: str | None = Field(description="Unit of the value; `ratio` is a share from 0 to 1.")
    window: WindowName = Field(
        description="Length of the windows that values are computed over; `1d` is a day of the project's time zone."
    )
    started_at: AwareDatetime = Field(description="Start of the first window that broke the rule, in UTC.")
    window_start: AwareDatetime = Field(
        description="Start of the latest window that broke it; of a day, the project's midnight in UTC."
    )
    window_end: AwareDatetime = Field(description="End of that window.")
    ended_at: AwareDatetime | None = Field(description="When it ended; null while it lasts.")
    no_data_since: AwareDatetime | None = Field(
        description="Since when the metric has had no value; null if it has one."
    )
    value: float | None = Field(description="Of the latest window that broke the rule; null if it had none.")
    operator: Operator
    against: Against = Field(
        description="For `change_pct`, the window compared with: the one before, or the one a week before."
    )
    threshold: float = Field(description="For `change_pct`, in percent.")
    baseline: float | None = Field(description="For `change_pct`, the value of the window compared with.")
    ended_value: float | None = Field(description="Value of the window that ended it; null if unknown.")
    ended_baseline: float | None = Field(
        description="For `change_pct`, what that value is compared with; null if unknown."
    )
    usual_low: float | None = Field(description="Lowest value of the same hour and weekday in the four weeks before.")
    usual_high: float | None = Field(description="Highest value of these.")
    check_url: str | None = Field(description="The rule's check in the UI.")

    @classmethod
    def of(cls, notice: Notice) -> "Alert":
        """The announcement of a notice."""
        low, high = notice.usual or (None, None)
        is_metric = notice.metric is not None
        return cls(
            id=notice.alert_id,
            reason=notice.reason,
            headline=describe(notice).headline,
            rule=notice.rule,
            description=notice.description,
            kind=notice.kind,
            severity=notice.severity,
            project_id=notice.project_id or None,
            project_name=notice.project_name or None,
            subject=None if is_metric else notice.subject,
            text=None if is_metric else notice.text,
            metric=notice.metric,
            metric_title=notice.metric_title,
            unit=notice.unit,
            window=notice.window,
            started_at=_utc(notice, notice.started_at),
            window_start=_utc(notice, notice.window_start),
            window_end=_utc(notice, notice.window_end),
            ended_at=_utc(notice, notice.ended_at) if notice.ended_at else None,
            no_data_since=_utc(notice, notice.no_data_since) if notice.no_data_since else None,
            value=notice.value,
            operator=notice.operator,
            against=notice.against,
            threshold=notice.threshold,
            baseline=notice.baseline,
            ended_value=notice.ended_value,
            ended_baseline=notice.ended_baseline,
            usual_low=low,
            usual_high=high,
            check_url=notice.check_url,
        )


class Data(BaseModel):
    """The alerts that a message is about."""

    model_config = ConfigDict(extra="forbid", title="Data")

    alerts: list[Alert] = Field(min_length=1, description="One, or several in a digest.")


class AlertBody(Body):
    __doc__ = Body.__doc__

    model_config = ConfigDict(title="Radar webhook")

    type: Literal[
        "alert.fired",
        "alert.still_firing",
        "alert.escalated",
        "alert.no_data",
        "alert.recovered",
        "alert.fired_and_recovered",
        "alert.ended_without_data",
        "alert.test",
        "alerts.digest",
    ]  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Data


def payload(notices: Sequence[Notice]) -> tuple[str, dict[str, Any]]:
    """The type and the data of a message about some alerts."""
    kind = "alerts.digest" if len(notices) > 1 else f"alert.{notices[0].reason}"
    return kind, Data(alerts=[Alert.of(notice) for notice in notices]).model_dump(mode="json")


def schema() -> dict[str, Any]:
    """The JSON schema of webhooks about alerts, as `webhook.schema.json` has it."""
    address = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": address, **AlertBody.model_json_schema(mode="serialization")}


def _utc(notice: Notice, at: datetime) -> datetime:
    at = notice.moment(at)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
