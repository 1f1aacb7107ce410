"""Alert rules, as teams declare them in `radar.yaml`.

The fields of rules and their validation belong here. `evaluation.py` judges rules, and `ledger.py` records the findings.
"""

import math
import re
from datetime import UTC, datetime, time, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from radar_assets.calendar import zone_info, zone_names
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
Against = Literal["previous", "same_weekday"]
Watch = Literal["failed_runs", "stuck_runs", "slow_runs", "late_partitions", "daemon", "health"]
ALL_PROJECTS = "*"


TAKEN = frozenset(
    {
        "daily_equals_recount_of_events",
        "event_ids_are_unique",
        "every_accepted_line_is_an_event_or_a_copy",
        "every_delivery_arrived",
        "files_are_intact",
        "platform_is_healthy",
        "schema_equals_contract",
    }
)
"""Names of the assets' own checks. Rules can't have these names, because each rule is a check too."""


def _a_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic takes it from here
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def parse_span(text: str) -> timedelta:
    """Parse a duration such as 30m, 4h or 2d.

    Raises:
        ValueError: the text is not a duration.
    """
    written = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text, re.ASCII)
    if written is None:
        raise ValueError(f"invalid duration {text!r:.40}; use e.g. 30m, 4h or 2d")
    return int(written[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[written[2]]


def _a_span(value: object) -> object:
    """Parse a duration of the file. Stored durations, in ISO 8601, are left to pydantic."""
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):
        return value
    return parse_span(str(value))


def _a_time(value: object) -> object:
    """Parse a time of day. YAML reads 22:00 and 22:00:30 as numbers in base 60; no time gives 22 or 2200."""
    if isinstance(value, int) and not isinstance(value, bool):
        if 60 <= value < 24 * 60:
            return time(value // 60, value % 60)
        if 3600 <= value < 24 * 3600:
            return time(value // 3600, value // 60 % 60, value % 60)
        raise ValueError(f"invalid time {value}; use e.g. 22:00")
    if not isinstance(value, str | time):
        raise ValueError("invalid time; use e.g. 22:00")  # noqa: TRY004 - pydantic takes it from here
    return value


Number = Annotated[float, BeforeValidator(_a_number)]
Span = Annotated[timedelta, BeforeValidator(_a_span)]
TimeOfDay = Annotated[time, BeforeValidator(_a_time)]


class FrozenModel(BaseModel):
    """Base of declarations: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class QuietHours(FrozenModel):
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
        if value not in zone_names():
            raise ValueError(f"{value!r} is not an IANA time zone; use e.g. Europe/Berlin")
        return value


class Override(FrozenModel):
    """Settings of a rule that differ for one project.

    Attributes:
        threshold: used instead of the rule's threshold.
        enabled: whether the rule judges this project.
    """

    threshold: Number | None = None
    enabled: bool = True


def _declared(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Check channels. The validation context may contain `channels`, the declared names."""
    declared = (info.context or {}).get("channels")
    for name in names:
        if declared is not None and name not in declared:
            raise ValueError(f"unknown channel {name:.80}; declare it under channels")
    return names


class EscalationStep(FrozenModel):
    """Channels that are notified if no one acknowledges an alert.

    Attributes:
        after: time since the alert was announced, such as 15m.
        channels: names of the channels to notify.
    """

    after: Span
    channels: Annotated[tuple[str, ...], AfterValidator(_declared)] = Field(min_length=1)


class Rule(FrozenModel):
    """One alert rule, which is one asset check.

    Attributes:
        name: snake case; also the name of the check.
        description: shown with the check and in messages.
        kind: `threshold` judges a metric; `error` judges a metric or what `watch` names. `anomaly` is reserved.
        watch: what to watch of Radar itself instead of a metric, for `error` only: `failed_runs` (after retries),
            `stuck_runs` (running without logging), `slow_runs` (far longer than usual for their job), `late_partitions`,
            `daemon` (its heartbeat), or `health` (of each component).
        metric: name of a metric that has values for the window.
        projects: ids, or `*` for all projects.
        overrides: differences for single projects.
        window: the span that each value covers; `1d` is a day of the project's time zone.
        operator: how to compare the value with the threshold. `change_pct` compares the change in percent against the window
            in `against`: a negative threshold fires on a fall at least as large, a positive one on a rise.
        threshold: the number to compare with.
        against: for `change_pct`, the previous window or the same one a week before. If three of the last four weeks are
            known, the change from their median has to be as large too, so that an outage a week ago doesn't distort today.
        minimum: for `change_pct`, the least value of the compared window; smaller values are not judged. A rise from 0 to more than
            the minimum fires, whatever the threshold.
        severity: `high` and `critical` fail the check, `low` and `medium` warn.
        for_windows: how many windows in a row have to break the rule (`for` in the file).
        renotify_every: repeat the message at this interval while the alert lasts. Off by default.
        recovery: whether to announce the end.
        quiet_hours: when only critical alerts are announced.
        channels: names of the channels to notify.
        escalation: which channels to notify next, by time since the alert was announced, while it lasts and no one has acknowledged
            or snoozed it.
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
    against: Against = "same_weekday"
    minimum: Annotated[Number, Field(ge=0)] = 0
    severity: Severity = "medium"
    for_windows: int = Field(default=1, ge=1, le=100, alias="for")
    renotify_every: Span | None = None
    recovery: bool = True
    quiet_hours: QuietHours | None = None
    channels: Annotated[tuple[str, ...], AfterValidator(_declared)] = ()
    escalation: tuple[EscalationStep, ...] = Field(default=(), max_length=10)
    enabled: bool = True

    @property
    def step(self) -> timedelta:
        """Length of the windows."""
        return WINDOWS[self.window]

    def judges(self, project_id: str) -> bool:
        """Whether the rule applies to a project."""
        override = self.overrides.get(project_id)
        if override and not override.enabled:
            return False
        return self.projects == ALL_PROJECTS or project_id in self.projects

    def is_quiet(self, at: datetime) -> bool:
        """Whether a time (naive, UTC) lies in the quiet hours."""
        if self.quiet_hours is None:
            return False
        local = at.replace(tzinfo=UTC).astimezone(zone_info(self.quiet_hours.timezone)).time()
        start, end = self.quiet_hours.start, self.quiet_hours.end
        return start <= local < end if start <= end else local >= start or local < end

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str, info: ValidationInfo) -> str:
        """Check the name. The validation context may contain `rules`, the rule names so far."""
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 60:
            raise ValueError(f"invalid rule name {name!r}; use snake_case, e.g. checkout_errors_high")
        names: set[str] = set() if info.context is None else info.context.setdefault("rules", set())
        if name in TAKEN or name in names:
            raise ValueError(f"rule name {name} is already in use")
        names.add(name)
        return name

    @field_validator("description")
    @classmethod
    def _shows_no_image(cls, description: str, info: ValidationInfo) -> str:
        """Refuse images. Stored rules of an earlier version may contain one; they are validated without a context."""
        return description if info.context is None else refuse_images(description)

    @field_validator("metric")
    @classmethod
    def _is_registered(cls, name: str | None, info: ValidationInfo) -> str | None:
        """Check the metric. The validation context may contain `metrics`, the registry by name."""
        metrics: dict[str, Metric] | None = (info.context or {}).get("metrics")
        if name is not None and metrics is not None and name not in metrics:
            near = get_close_matches(name, metrics, 1)
            hint = f"did you mean {near[0]}?" if near else f"known metrics: {', '.join(metrics)}"
            raise ValueError(f"unknown metric {name:.80}; {hint}")
        return name

    @field_validator("projects", mode="before")
    @classmethod
    def _are_projects(cls, value: object) -> object:
        is_list = isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value)
        if value != ALL_PROJECTS and not is_list:
            raise ValueError('must be a list of project ids, or "*" for all projects')
        return value

    @field_validator("escalation")
    @classmethod
    def _comes_in_order(cls, steps: tuple[EscalationStep, ...], info: ValidationInfo) -> tuple[EscalationStep, ...]:
        times = [step.after for step in steps]
        if times != sorted(set(times)):
            raise ValueError("each step must come later than the one before it")
        if steps and not info.data.get("channels", True):
            raise ValueError("requires channels, which are notified first")
        return steps

    @field_validator("window")
    @classmethod
    def _has_values(cls, window: WindowName, info: ValidationInfo) -> WindowName:
        metric = ((info.context or {}).get("metrics") or {}).get(info.data.get("metric"))
        if metric is not None and window != "1d" and "hour" not in metric.grains:
            raise ValueError(f"{metric.name} has daily values only; use 1d")
        return window

    @field_validator("kind")
    @classmethod
    def _can_be_judged(cls, kind: Kind, info: ValidationInfo) -> Kind:
        if kind == "anomaly" and "metrics" in (info.context or {}):
            raise ValueError("anomaly is not supported yet; use threshold or error")
        return kind

    @model_validator(mode="after")
    def _fits_together(self) -> "Rule":
        if self.watch and self.kind != "error":
            raise ValueError("watch requires kind: error")
        if self.watch and self.metric:
            raise ValueError("metric and watch can't be combined; remove one")
        if not self.watch and not self.metric:
            raise ValueError("metric is required")
        if self.metric and self.kind != "anomaly" and self.threshold is None:
            raise ValueError("threshold is required")
        if self.operator == "change_pct" and self.threshold is not None:
            thresholds = [override.threshold for override in self.overrides.values() if override.threshold is not None]
            if self.threshold == 0 or any(own * self.threshold <= 0 for own in thresholds):
                raise ValueError("thresholds of change_pct must be all negative (falls) or all positive (rises)")
        return self


def load_rules(store: "Store") -> list[Rule]:
    """The rules that were applied, in the order of the file."""
    from radar_assets.store.declared import stored_specs
    from radar_assets.store.models import AlertRule

    with store.session(read_only=True) as session:
        return [Rule.model_validate(spec) for spec in stored_specs(session, AlertRule)]


def stored_rules(url: str) -> list[Rule]:
    """Like `load_rules`, but empty if the store or its table doesn't exist yet: definitions load before anything is created.

    Args:
        url: SQLAlchemy URL, such as `HomeSettings.database`.
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
