"""The tables of the operational store, one module an area. Each table is a declarative class together with a migration."""

from radar_assets.store.models.access import ApiKey, Project, TimeZoneChange
from radar_assets.store.models.alerts import (
    ALERT_STATES,
    OPEN_STATES,
    Alert,
    AlertBreach,
    AlertHour,
    AlertRule,
    WaitingWindow,
)
from radar_assets.store.models.api import IdempotencyKey
from radar_assets.store.models.audit import AuditCheckpoint, AuditEntry, AuditHead
from radar_assets.store.models.base import MAX_NAME, Base, Declared, FieldError
from radar_assets.store.models.collector import DailySalt, MonthlyUsage
from radar_assets.store.models.health import HealthResult
from radar_assets.store.models.home import HomeStart
from radar_assets.store.models.messaging import Channel, Delivery, Suppression
from radar_assets.store.models.people import ApiToken, BrowserSession, LoginAttempt, LoginLink, User

__all__ = [
    "ALERT_STATES",
    "MAX_NAME",
    "OPEN_STATES",
    "Alert",
    "AlertBreach",
    "AlertHour",
    "AlertRule",
    "ApiKey",
    "ApiToken",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditHead",
    "Base",
    "BrowserSession",
    "Channel",
    "DailySalt",
    "Declared",
    "Delivery",
    "FieldError",
    "HealthResult",
    "HomeStart",
    "IdempotencyKey",
    "LoginAttempt",
    "LoginLink",
    "MonthlyUsage",
    "Project",
    "Suppression",
    "TimeZoneChange",
    "User",
    "WaitingWindow",
]
