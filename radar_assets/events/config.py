"""The sections `pages` and `internal_traffic` of `radar.yaml`. They are read whenever definitions load, so nothing is stored."""

from collections.abc import Hashable, Iterable

from pydantic import BaseModel, ConfigDict, Field, field_validator

from radar_assets.events.internal_traffic import InternalTraffic
from radar_assets.sections import Section


class ProjectPages(BaseModel):
    """How the pages of a project are told apart.

    Attributes:
        project: id of the project.
        hash_routing: whether the fragment of a URL is part of the page, as in `https://app.example/#/pricing`. Only needed if the
            sender doesn't say so itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: str = Field(min_length=1, max_length=200)
    hash_routing: bool = False


class EventsSection(Section):
    """What a team declares about its pages and its own traffic. It applies to events that are built from then on.

    Attributes:
        pages: how the pages of projects are told apart.
        internal_traffic: what marks events as internal; metrics leave them out.
    """

    pages: tuple[ProjectPages, ...] = ()
    internal_traffic: tuple[InternalTraffic, ...] = ()

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
