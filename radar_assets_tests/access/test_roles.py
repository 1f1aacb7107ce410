"""Roles: each includes those before it, for all projects or some."""

import pytest

from radar_assets.access.roles import Principal, Role


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR}),
        (Role.ADMIN, {Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    ],
)
def test_a_role_includes_those_before_it(role: Role, expected: set[Role]) -> None:
    assert {other for other in Role if role.includes(other)} == expected
    assert {other for other in Role if Principal("user", "1", "ana", role).may(other, "shop")} == expected


def test_a_role_for_some_projects_is_for_no_other() -> None:
    ana = Principal("token", "1", "ana", Role.ADMIN, frozenset({"shop"}))
    assert ana.may(Role.ADMIN, "shop")
    assert not ana.may(Role.VIEWER, "blog")
    assert not ana.may(Role.VIEWER)
    assert not Principal("user", "2", "bo", Role.ADMIN, frozenset()).may(Role.VIEWER, "shop")
