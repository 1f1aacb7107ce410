"""What a team declares about its pages, its own traffic and its events in `radar.yaml`, as far as `events` is built by it."""

from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from radar_assets.events.event_names import EventName
from radar_assets.events.internal_traffic import InternalTraffic


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


@dataclass(frozen=True)
class Declarations:
    """The sections of the event layer."""

    pages: tuple[ProjectPages, ...] = ()
    internal_traffic: tuple[InternalTraffic, ...] = ()
    event_names: tuple[EventName, ...] = ()

    @cached_property
    def hash_routed(self) -> frozenset[str]:
        """The projects in which the fragment of the URL belongs to the page, whatever the sender says."""
        return frozenset(pages.project for pages in self.pages if pages.hash_routing)


NOTHING_DECLARED = Declarations()


def nothing_declared() -> Declarations:
    """The declarations of a team that has none."""
    return NOTHING_DECLARED
