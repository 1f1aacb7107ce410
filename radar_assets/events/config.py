"""The sections `pages` and `internal_traffic` of `radar.yaml`. They are read whenever definitions load, so nothing is stored."""

from collections.abc import Hashable, Iterable

from pydantic import field_validator

from radar_assets.events.declarations import Declarations, ProjectPages
from radar_assets.events.internal_traffic import InternalTraffic
from radar_assets.sections import Section


class EventsSection(Section):
    """What a team declares about its pages and its own traffic. It applies to events that are built from then on.

    Attributes:
        pages: how the pages of projects are told apart.
        internal_traffic: what marks events as internal; metrics leave them out.
    """

    pages: tuple[ProjectPages, ...] = ()
    internal_traffic: tuple[InternalTraffic, ...] = ()

    @property
    def declarations(self) -> Declarations:
        """The sections, as events are built by them."""
        return Declarations(self.pages, self.internal_traffic)

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
