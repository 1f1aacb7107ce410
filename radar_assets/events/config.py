"""The sections `pages`, `internal_traffic` and `event_names` of `radar.yaml`. They are read whenever definitions load, and by the
collector whenever the file changes, so nothing is stored.
"""

from collections.abc import Hashable, Iterable

from pydantic import field_validator

from radar_assets.events.declarations import Declarations, ProjectPages
from radar_assets.events.event_names import EventName
from radar_assets.events.internal_traffic import InternalTraffic
from radar_assets.sections import Section


class EventsSection(Section):
    """What a team declares about its pages, its own traffic and its events. It applies to events that are built from then on.

    Attributes:
        pages: how the pages of projects are told apart.
        internal_traffic: what marks events as internal; metrics leave them out.
        event_names: names that count as purchases, refunds, sign-ups and so on, besides the standard names.
    """

    pages: tuple[ProjectPages, ...] = ()
    internal_traffic: tuple[InternalTraffic, ...] = ()
    event_names: tuple[EventName, ...] = ()

    @property
    def declarations(self) -> Declarations:
        """The sections, as events are built by them."""
        return Declarations(self.pages, self.internal_traffic, self.event_names)

    @field_validator("pages")
    @classmethod
    def _one_entry_a_project(cls, pages: tuple[ProjectPages, ...]) -> tuple[ProjectPages, ...]:
        _unique(page.project for page in pages)
        return pages

    @field_validator("internal_traffic")
    @classmethod
    def _unique_names(cls, rules: tuple[InternalTraffic, ...]) -> tuple[InternalTraffic, ...]:
        _unique(rule.name for rule in rules)
        return rules


def _unique(names: Iterable[Hashable]) -> None:
    seen = set[Hashable]()
    for name in names:
        if name in seen:
            raise ValueError(f'"{name}" occurs more than once')
        seen.add(name)
