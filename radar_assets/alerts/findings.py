"""The result of evaluating a rule, which the ledger records and announces."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from radar_assets.alerts.rules import Rule
from radar_assets.windows import Window

Key = tuple[str, str]
"""Project id and subject."""


@dataclass(frozen=True)
class Breach:
    """A window in which a project broke a rule, for as many windows in a row as the rule wants.

    Attributes:
        project_id: empty for the platform's own alerts.
        subject: what the platform's alerts tell apart, such as a partition or a run; empty for those of projects.
        since: start of the first window of those in a row. At most `for_windows - 1` windows before this one are looked at.
        value: None where there should have been one.
        threshold: what it was held against, overrides applied.
        baseline: value of the window that a change is measured from; None without one.
        usual: the lowest and highest value of the same hour and weekday in the four weeks before; None where there are none.
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
class Findings:
    """What was found when a rule was judged.

    Attributes:
        judged: the windows that were judged, in order, for each project that could be; a project that is not there was not
            judged, and what is known of it stays as it is. Windows may have gaps between them.
        breaches: those of the judged windows that broke the rule, by project and window. No others did.
    """

    rule: Rule
    judged: dict[Key, Sequence[Window]]
    breaches: Sequence[Breach]
