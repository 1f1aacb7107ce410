"""Users and tokens: names, roles and projects, and what is left of secrets in the database."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine

from radar_assets.access import browser_sessions, tokens, users
from radar_assets.access.keys import create_key, hash_key, read_grants, rotate_key
from radar_assets.access.projects import add_project, archive_project, list_projects, rename_project
from radar_assets.access.roles import Principal, Role
from radar_assets.store.database import Store
from radar_assets.store.models import Base, FieldError, Project
from radar_assets.windows import utc_now

PASSWORD = "correct horse battery"


def test_names_are_unique_whatever_their_case(store: Store) -> None:
    users.add_user(store, "Anna", PASSWORD)
    with pytest.raises(FieldError, match="exists already"):
        users.add_user(store, " aNNa ", PASSWORD)
    assert [user.name for user in users.list_users(store)] == ["Anna"]


@pytest.mark.parametrize("password", ["short", "x" * 1025])
def test_an_unusable_password_is_refused_without_being_shown(store: Store, password: str) -> None:
    with pytest.raises(FieldError, match="12 to 1024") as error:
        users.add_user(store, "anna", password)
    assert password not in str(error.value)


def test_a_role_is_for_known_projects_only(store: Store) -> None:
    add_project(store, Project("shop"))
    with pytest.raises(FieldError, match="blog"):
        users.add_user(store, "anna", PASSWORD, Role.OPERATOR, ["shop", "blog"])
    user = users.add_user(store, "anna", PASSWORD, Role.OPERATOR, ["shop"])
    principal = users.user_principal(user)
    assert principal.may(Role.OPERATOR, "shop")
    assert not principal.may(Role.VIEWER, "blog")
    assert not principal.may(Role.VIEWER)


def test_a_token_stands_for_its_role_until_it_is_revoked(store: Store) -> None:
    add_project(store, Project("shop"))
    token, row = tokens.create_token(store, "deploy", Role.OPERATOR, ["shop"], created_by="anna")
    assert token.startswith("radar_")
    expected = Principal("token", row.id, "deploy", Role.OPERATOR, frozenset({"shop"}))
    assert tokens.find_principal(store, token) == expected
    assert tokens.find_principal(store, f"{token}x") is None
    tokens.revoke_token(store, row.id)
    assert tokens.find_principal(store, token) is None


def test_a_token_expires(store: Store) -> None:
    now = utc_now()
    with time_machine.travel(now, tick=False) as clock:
        token, _ = tokens.create_token(store, "deploy", created_by="anna", expires_at=utc_now() + timedelta(days=1))
        clock.shift(timedelta(days=1, seconds=-1))
        assert tokens.find_principal(store, token)
        clock.shift(1)
        assert tokens.find_principal(store, token) is None


def test_a_rotated_token_is_valid_for_the_overlap(store: Store) -> None:
    with time_machine.travel(utc_now(), tick=False) as clock:
        old, row = tokens.create_token(store, "deploy", Role.ADMIN, created_by="anna")
        new, successor = tokens.rotate_token(store, row.id, created_by="bert", overlap=timedelta(hours=2))
        with pytest.raises(FieldError, match="rotated already"):
            tokens.rotate_token(store, row.id, created_by="bert")
        clock.shift(timedelta(hours=2, seconds=-1))
        assert tokens.find_principal(store, old)
        clock.shift(1)
        assert tokens.find_principal(store, old) is None
        assert tokens.find_principal(store, new) == Principal("token", successor.id, "deploy", Role.ADMIN)


def test_a_rotated_key_is_valid_for_the_overlap(store: Store) -> None:
    add_project(store, Project("shop"))
    with time_machine.travel(utc_now(), tick=False) as clock:
        old = create_key(store, "shop", "read", origins=["https://shop.example"])
        new, _ = rotate_key(store, old, timedelta(hours=2))
        grants = read_grants(store)
        assert grants[hash_key(old)] == grants[hash_key(new)]
        clock.shift(timedelta(hours=2))
        assert set(read_grants(store)) == {hash_key(new)}


def test_keys_of_an_archived_project_are_refused_until_it_is_back(store: Store) -> None:
    add_project(store, Project("shop"))
    key = create_key(store, "shop")
    rename_project(store, "shop", "The shop")
    archive_project(store, "shop")
    assert read_grants(store) == {}
    archive_project(store, "shop", archived=False)
    assert set(read_grants(store)) == {hash_key(key)}
    assert [project.name for project in list_projects(store)] == ["The shop"]


def test_no_secret_is_in_any_table(store: Store) -> None:
    users.add_user(store, "anna", PASSWORD, Role.ADMIN)
    link = browser_sessions.make_login_link(store)
    token, row = tokens.create_token(store, "deploy", created_by="anna")
    secrets = [PASSWORD, token, link, tokens.rotate_token(store, row.id, created_by="anna")[0]]
    secrets += [browser_sessions.log_in(store, "anna", PASSWORD, "::1"), browser_sessions.use_login_link(store, link)]
    with pytest.raises(browser_sessions.LoginError):
        # People enter passwords as names by mistake.
        browser_sessions.log_in(store, "my other secret", "wrong", "::1")
    secrets.append("my other secret")
    with store.session(read_only=True) as session:
        rows = [str(row) for table in Base.metadata.sorted_tables for row in session.execute(sa.select(table))]
    assert len(rows) > 5
    assert not [row for row in rows for secret in secrets if secret in row]
