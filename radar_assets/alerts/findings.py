"""The result of evaluating a rule, which the ledger records and announces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from radar_assets.alerts.rules import Rule
from radar_assets.windows import Window

Key = tuple[str, str]
"""Project id and subject."""


@dataclass(frozen=True)
class Breach:
    """A window in which a project broke a rule, the last of as many consecutive ones as the rule requires.

    Windows are in UTC; those of a day are dates of the project, from midnight to midnight.

    Attributes:
        project_id: empty for the platform's own alerts.
        subject: what a platform alert is about, such as a partition or a run; empty for alerts of projects.
        since: start of the first of the consecutive windows. At most `for_windows - 1` earlier windows are considered.
        value: None if it is missing although it was expected.
        threshold: what the value was compared with, with overrides applied.
        baseline: value of the window that a change is measured from; None without one.
        usual: the lowest and highest value of the same hour and weekday in the four weeks before; None if unknown.
        text: what happened, for the platform's own alerts, which have no numbers.
    """

    project_id: str
    window: Window
    since: datetime
    value: float | None
    threshold: float
    baseline: float | None = None
    usual: tuple[float, float] | None = None
    subject: str = ""
    text: str = ""


@dataclass(frozen=True)
class Kept:
    """The value of a window that kept the rule, and the value that it is compared with, if any."""

    value: float
    baseline: float | None = None


@dataclass(frozen=True)
class Findings:
    """The findings of judging a rule, which the ledger records.

    Attributes:
        judged: the judged windows of each project, in order, possibly with gaps. A missing project was not judged, so its alerts
            don't change.
        breaches: the judged windows that broke the rule, by project and window. All other judged windows kept it.
        asked: the requested windows. Those that were not judged have too little data.
        kept: values of windows that kept the rule, by project and start, for projects with an open alert.
        silent: for projects with an open alert, the span of the latest requested windows in which the metric has no value although
            everything is loaded; empty if it has a value in the latest.
    """

    rule: Rule
    judged: dict[Key, Sequence[Window]]
    breaches: Sequence[Breach]
    asked: Sequence[Window] = ()
    kept: Mapping[tuple[str, datetime], Kept] = field(default_factory=dict)
    silent: Mapping[Key, Window] = field(default_factory=dict)
