"""Types of arguments that several commands share."""

from typing import Annotated, Any

from cyclopts import Parameter


def _is_span(_type: Any, text: str) -> None:
    from radar_assets.alerts.rules import parse_span

    parse_span(text)


Span = Annotated[str, Parameter(validator=_is_span)]
"""A duration such as 30m, 4h or 2d, for `alerts.rules.parse_span`."""
