"""Types of arguments that several commands share."""

import re
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter


def _is_span(_type: Any, text: str | None) -> None:
    from radar_assets.alerts.rules import parse_span

    if text is not None:
        parse_span(text)


Span = Annotated[str, Parameter(validator=_is_span)]
"""A duration such as 30m, 4h or 2d, for `alerts.rules.parse_span`."""

Moment = Annotated[str, Parameter(show_default=False)]
"""A time in UTC in ISO 8601, a duration before now such as 2h, or the name of a pin."""


def moment_of(text: str) -> datetime | str:
    """The time that a `Moment` stands for, or the name of a pin."""
    from radar_assets.alerts.rules import parse_span
    from radar_assets.lakehouse.history import to_moment
    from radar_assets.windows import utc_now

    return utc_now() - parse_span(text) if re.fullmatch(r"\d+[mhd]", text) else to_moment(text)
