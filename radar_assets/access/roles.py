"""Roles, and who a request comes from. The tables of who may do what are in `api/` and `cli/`, next to what they protect."""

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
