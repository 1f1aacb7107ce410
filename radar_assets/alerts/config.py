"""The section `rules` of `radar.yaml`. Rules refer to metrics and channels, which are validated before them."""

from typing import Annotated

from radar_assets.alerts.rules import Rule
from radar_assets.sections import Section
from radar_assets.store.declared import StoredAs
from radar_assets.store.models import AlertRule


class RulesSection(Section):
    """The alert rules.

    Attributes:
        rules: alert rules.
    """

    rules: Annotated[tuple[Rule, ...], StoredAs("rule", AlertRule)] = ()
