"""Rules: what a team wants to be told of, as `radar.yaml` says it.

What a rule may say, and what of it is refused, belongs here; how it is judged is in `evaluation.py`, what follows in `ledger.py`.
"""

import math
import re
import zoneinfo
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from radar_assets.markdown import refuse_images
from radar_assets.messaging.message import PRIORITIES, Priority

if TYPE_CHECKING:
    from radar_assets.metrics.registry import Metric
    from radar_assets.store.database import Store

WindowName = Literal["5m", "1h", "1d"]
WINDOWS: dict[WindowName, timedelta] = {
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
Operator = Literal["gt", "gte", "lt", "lte", "eq", "change_pct"]
Severity = Priority
SEVERITIES = PRIORITIES
Kind = Literal["threshold", "error", "anomaly"]
Watch = Literal["failed_runs", "stuck_runs", "late_partitions", "daemon"]
ALL_PROJECTS = "*"


TAKEN = frozenset(
    {
        "daily_equals_recount_of_events",
        "event_ids_are_unique",
        "every_accepted_line_is_an_event_or_a_copy",
        "every_delivery_arrived",
        "files_are_intact",
        "schema_equals_contract",
    }
)
"""Names of the checks that the assets have anyway; a rule is a check beside them."""


def _a_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is no number")  # noqa: TRY004 - pydantic takes it from here
    if not math.isfinite(value):
        raise ValueError("is no finite number")
    return value


def parse_span(text: str) -> timedelta:
    """A length of time as people write it, such as 30m, 4h or 2d.

    Raises:
        ValueError: it is none.
    """
    written = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text, re.ASCII)
    if written is None:
        raise ValueError(f"{text!r:.40} is no length of time; write it as 30m, 4h or 2d")
    return int(written[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[written[2]]


def _a_span(value: object) -> object:
    """What is written in the file is a span; what is stored is in ISO 8601."""
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):
        return value
    return parse_span(str(value))


def _a_time(value: object) -> object:
    """A time of the day. YAML takes 22:00 for a number to the base of 60, and 22:00:30 too; no time gives 22 or 2200."""
    if isinstance(value, int) and not isinstance(value, bool):
        if 60 <= value < 24 * 60:
            return time(value // 60, value % 60)
        if 3600 <= value < 24 * 3600:
            return time(value // 3600, value // 60 % 60, value % 60)
        raise ValueError(f"{value} is no time of the day; write it as 22:00")
    if not isinstance(value, str | time):
        raise ValueError("is no time of the day; write it as 22:00")  # noqa: TRY004 - pydantic takes it from here
    return value


@cache
def _time_zones() -> set[str]:
    """Names of the time zones. To list them reads their whole database (18 ms), and every process of a run loads all rules."""
    return zoneinfo.available_timezones()


Number = Annotated[float, BeforeValidator(_a_number)]
Span = Annotated[timedelta, BeforeValidator(_a_span)]
TimeOfDay = Annotated[time, BeforeValidator(_a_time)]


class Model(BaseModel):
    """Base of what is declared: it can't be changed, and has no field that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class QuietHours(Model):
    """Hours in which only critical alerts are announced. Others are announced at the end of the hours if they last.

    Attributes:
        start, end: times of day; the hours may span midnight.
        timezone: IANA time zone of both.
    """

    start: TimeOfDay
    end: TimeOfDay
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _is_time_zone(cls, value: str) -> str:
        if value not in _time_zones():
            raise ValueError(f"{value!r} is no IANA time zone; write one such as Europe/Berlin")
        return value


class Override(Model):
    """What differs for one project.

    Attributes:
        threshold: used instead of the rule's threshold.
        enabled: whether the rule judges this project.
    """

    threshold: Number | None = None
    enabled: bool = True


class Rule(Model):
    """One alert rule, which is one asset check.

    Attributes:
        name: snake case; also the name of the check.
        description: shown with the check and in messages.
        kind: `threshold` judges a metric; `error` judges a metric or what `watch` names. `anomaly` is reserved.
        watch: what to watch of Radar itself instead of a metric, for `error` only: `failed_runs` (after retries),
            `stuck_runs` (running without logging), `late_partitions`, or `daemon` (its heartbeat).
        metric: name of a metric that has values for the window.
        projects: ids, or `*` for all projects.
        overrides: differences for single projects.
        window: the span that each value covers.
        operator: how to compare the value with the threshold. `change_pct` compares the change in percent against the window
            in `against`: a negative threshold fires on a fall at least as large, a positive one on a rise.
        threshold: the number to compare with.
        against: for `change_pct`, the previous window or the same one a week before. If three of the last four weeks are
            known, the change from their median has to be as large too, so that an outage a week ago doesn't distort today.
        minimum: for `change_pct`, the least value of the compared window; smaller values are not judged.
        severity: `high` and `critical` fail the check, `low` and `medium` warn.
        for_windows: how many windows in a row have to break the rule (`for` in the file).
        renotify_every: repeat the message at this interval while the alert lasts. Off by default.
        recovery: whether to announce the end.
        quiet_hours: when only critical alerts are announced.
        channels: names of the channels to notify.
        enabled: a disabled rule keeps its check but never fires.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    description: str = ""
    kind: Kind = "threshold"
    watch: Watch | None = None
    metric: str | None = None
    projects: Literal["*"] | tuple[str, ...] = ALL_PROJECTS
    overrides: dict[str, Override] = {}
    window: WindowName = "1h"
    operator: Operator = "gt"
    threshold: Number | None = None
    against: Literal["previous", "same_weekday"] = "same_weekday"
    minimum: Annotated[Number, Field(ge=0)] = 0
    severity: Severity = "medium"
    for_windows: int = Field(default=1, ge=1, le=100, alias="for")
    renotify_every: Span | None = None
    recovery: bool = True
    quiet_hours: QuietHours | None = None
    channels: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def step(self) -> timedelta:
        """Length of the windows."""
        return WINDOWS[self.window]

    @property
    def lag(self) -> timedelta:
        """How far before a window the one lies that it is compared with; zero without one."""
        if self.operator != "change_pct":
            return timedelta(0)
        return self.step if self.against == "previous" else timedelta(days=7)

    def judges(self, project_id: str) -> bool:
        """Whether a project is among those that the rule is about."""
        override = self.overrides.get(project_id)
        if override and not override.enabled:
            return False
        return self.projects == ALL_PROJECTS or project_id in self.projects

    def is_quiet(self, at: datetime) -> bool:
        """Whether a time (naive, UTC) lies in the quiet hours."""
        if self.quiet_hours is None:
            return False
        zone = zoneinfo.ZoneInfo(self.quiet_hours.timezone)
        local = at.replace(tzinfo=zoneinfo.ZoneInfo("UTC")).astimezone(zone).time()
        start, end = self.quiet_hours.start, self.quiet_hours.end
        return start <= local < end if start <= end else local >= start or local < end

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str, info: ValidationInfo) -> str:
        """The context may have `rules`, the set of names that the configuration has given so far."""
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 60:
            raise ValueError(f"{name!r} is no name for a rule; write it as checkout_errors_high")
        names: set[str] | None = (info.context or {}).get("rules")
        if name in TAKEN or (names is not None and name in names):
            raise ValueError(f"the name {name} is taken")
        if names is not None:
            names.add(name)
        return name

    @field_validator("description")
    @classmethod
    def _shows_no_image(cls, description: str, info: ValidationInfo) -> str:
        """Rules of an earlier version may have one; they have no context."""
        return description if info.context is None else refuse_images(description)

    @field_validator("metric")
    @classmethod
    def _is_registered(cls, name: str | None, info: ValidationInfo) -> str | None:
        """The context may have `metrics`, the registry by name."""
        metrics: dict[str, Metric] | None = (info.context or {}).get("metrics")
        if name is not None and metrics is not None and name not in metrics:
            near = get_close_matches(name, metrics, 1)
            hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(metrics)}"
            raise ValueError(f"there is no metric {name:.80}; {hint}")
        return name

    @field_validator("projects", mode="before")
    @classmethod
    def _are_projects(cls, value: object) -> object:
        is_list = isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value)
        if value != ALL_PROJECTS and not is_list:
            raise ValueError('is no list of project ids; write "*" for all projects')
        return value

    @field_validator("channels")
    @classmethod
    def _are_declared(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """The context may have `channels`, the names of those that there are."""
        declared = (info.context or {}).get("channels")
        for name in names:
            if declared is not None and name not in declared:
                raise ValueError(f"the channel {name:.80} is not there; declare it under channels")
        return names

    @field_validator("window")
    @classmethod
    def _has_values(cls, window: WindowName, info: ValidationInfo) -> WindowName:
        metric = ((info.context or {}).get("metrics") or {}).get(info.data.get("metric"))
        if metric is not None and window != "1d" and "hour" not in metric.grains:
            raise ValueError(f"{metric.name} has values of whole days only; write 1d")
        return window

    @field_validator("kind")
    @classmethod
    def _can_be_judged(cls, kind: Kind, info: ValidationInfo) -> Kind:
        if kind == "anomaly" and "metrics" in (info.context or {}):
            raise ValueError("nothing finds anomalies yet; write threshold or error")
        return kind

    @model_validator(mode="after")
    def _fits_together(self) -> "Rule":
        if self.watch and self.kind != "error":
            raise ValueError("watch is for rules of kind error")
        if self.watch and self.metric:
            raise ValueError("has a metric and a watch; keep one of them")
        if not self.watch and not self.metric:
            raise ValueError("has no metric; name one of the registry")
        if self.metric and self.kind != "anomaly" and self.threshold is None:
            raise ValueError("has no threshold")
        if self.operator == "change_pct" and self.threshold is not None:
            thresholds = [override.threshold for override in self.overrides.values() if override.threshold is not None]
            if self.threshold == 0 or any(own * self.threshold <= 0 for own in thresholds):
                raise ValueError("a change_pct is a fall below zero or a rise above, for all projects alike")
        return self


def load_rules(store: "Store") -> list[Rule]:
    """The rules that were applied, in the order of the file."""
    import sqlalchemy as sa

    from radar_assets.store.models import AlertRule

    with store.session(read_only=True) as session:
        rows = session.scalars(sa.select(AlertRule).order_by(AlertRule.place, AlertRule.name))
        return [Rule.model_validate(row.spec) for row in rows]


def stored_rules(url: str) -> list[Rule]:
    """The same, where there may be no store yet, or one without their table: definitions load before anything is made.

    Args:
        url: SQLAlchemy URL, such as `Settings.database`.
    """
    import sqlalchemy as sa

    from radar_assets.store.database import existing_store
    from radar_assets.store.models import AlertRule

    store = existing_store(url)
    if store is None:
        return []
    try:
        return load_rules(store) if sa.inspect(store.engine).has_table(AlertRule.__tablename__) else []
    finally:
        store.close()
