"""Roles, and who a request comes from. The tables of who may do what are in `api/` and `cli/`, next to what they protect."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What a user or token may do; each role includes those before it.

    A viewer reads. An operator also starts and stops runs, and acknowledges alerts. An admin also changes users, tokens and projects.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, and what they may do.

    Attributes:
        kind: how they identified themselves. "shell" stands for the command line, whose users own the home.
        id: id of the user or token.
        name: what audit log and run tags call them.
        projects: ids of the projects that the role is for; None for all projects and the platform itself.
    """

    kind: Literal["user", "token", "shell"]
    id: str
    name: str
    role: Role
    projects: frozenset[str] | None = None

    def may(self, role: Role, project_id: str | None = None) -> bool:
        """Whether they may do what a role may.

        Args:
            project_id: the project concerned. None: what concerns all projects, such as runs, the Dagster UI and users, which are
                only for roles for all projects.
        """
        return self.role.includes(role) and (self.projects is None or project_id in self.projects)


@dataclass(frozen=True)
class Grants:
    """Which roles the groups of an OpenID provider or a proxy have.

    Attributes:
        of_groups: role of each group, as `parse` reads it.
        default: role of people whose groups have none.
    """

    of_groups: Mapping[str, str]
    default: Role | None = None

    def role_of(self, groups: Collection[str]) -> tuple[Role, frozenset[str] | None] | None:
        """The highest role of some groups, and the projects that it is for; None if they have no role."""
        found = [self.parse(self.of_groups[group]) for group in groups if group in self.of_groups]
        if not found:
            return (self.default, None) if self.default else None
        highest = max((role for role, _ in found), key=list(Role).index)
        projects = [ids for role, ids in found if role is highest]
        return highest, None if None in projects else frozenset().union(*filter(None, projects))

    @staticmethod
    def parse(granted: str) -> tuple[Role, frozenset[str] | None]:
        """Read a role, and the projects after its colon.

        Raises:
            ValueError: there is no such role, or no project after the colon.
        """
        name, colon, ids = granted.partition(":")
        if name not in list(Role):
            raise ValueError(f"there is no role {name!r}; use viewer, operator or admin")
        projects = frozenset(filter(None, (id.strip() for id in ids.split(","))))
        if colon and not projects:
            raise ValueError(f"{granted!r} has no project after its colon")
        return Role(name), projects if colon else None
