"""The settings of alerts."""

from pydantic import Field

from radar_assets.messaging.settings import MessagingSettings
from radar_assets.orchestration.settings import UISettings


class AlertSettings(MessagingSettings, UISettings):
    """Alerts: when they are announced."""

    alert_max_age_h: float = Field(
        default=24,
        gt=0,
        description="Alerts whose latest window ended more than this many hours ago are recorded but not announced.",
    )
    alerts_days: float = Field(
        default=400,
        ge=7,
        description="Days for which alerts are kept in the store after they ended, a year and a month for comparisons. "
        "The table of alerts keeps them.",
    )
    alert_throttle_per_hour: int = Field(
        default=10,
        ge=1,
        description="Maximum announcements per hour of one project, kind and severity. "
        "The rest follows as a digest at the end of the hour.",
    )
