"""`radar user`, `token` and `audit`, and keys and projects that change: what they print, store, refuse and record."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from radar_assets.access.browser_sessions import LoginError, use_login_link
from radar_assets.access.browser_sessions import principal_of as session_principal
from radar_assets.access.keys import hash_key, read_grants
from radar_assets.access.roles import Role
from radar_assets.access.tokens import find_principal
from radar_assets.access.users import is_password
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import AuditEntry, User
from radar_assets.windows import utc_now
from radar_assets_tests.cli.conftest import HOUR, Radar, Run, cells

PASSWORD = "correct horse battery"


def with_input(radar: Radar, monkeypatch: pytest.MonkeyPatch, command: str, text: str = PASSWORD) -> Run:
    """Run a command with a line on its standard input."""
    with monkeypatch.context() as streams:
        streams.setattr("sys.stdin", io.StringIO(f"{text}\n"))
        return radar(command)


def user_of(settings: Settings, name: str) -> User:
    """A user as stored."""
    store = open_store(settings.database)
    with store.session(read_only=True) as session:
        user = session.scalars(sa.select(User).where(User.name == name)).one()
    store.close()
    return user


def principal_of(settings: Settings, token: str) -> tuple[Role, frozenset[str] | None] | None:
    """Role and projects of a token; None if it is invalid."""
    store = open_store(settings.database)
    principal = find_principal(store, token)
    store.close()
    return principal and (principal.role, principal.projects)


def is_in_files(settings: Settings, secret: str) -> bool:
    """Whether a secret is readable in any file of the home."""
    files = (path for path in settings.home.rglob("*") if path.is_file())
    return any(secret.encode() in path.read_bytes() for path in files)


def recorded(radar: Radar) -> list[dict[str, Any]]:
    """The audit log, the first entry first."""
    return json.loads(radar("audit list --format json").out)[::-1]


def test_a_user_is_added_changed_and_disabled(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No users yet" in radar("user list").out
    radar("project add shop")
    added = with_input(radar, monkeypatch, "user add ada --role operator --project shop --password-stdin")
    assert (added.code, added.out, added.err) == (0, "Added operator ada.\n", "")
    assert is_password(user_of(settings, "ada").password_hash, PASSWORD)
    changed = with_input(radar, monkeypatch, "user set-password ada --password-stdin", "another long password")
    assert changed.code == 0
    assert is_password(user_of(settings, "ada").password_hash, "another long password")
    assert radar("user set-role ada viewer").code == 0
    assert cells(radar("user list").out)["ada"][:2] == ["viewer", "all"]
    assert radar("user disable ada").code == 0
    assert user_of(settings, "ada").disabled_at
    assert radar("user enable ada").code == 0
    assert user_of(settings, "ada").disabled_at is None
    assert not any(is_in_files(settings, secret) for secret in (PASSWORD, "another long password"))
    actions = ["project.add", "user.add", "user.set_password", "user.set_role", "user.disable", "user.enable"]
    assert [entry["action"] for entry in recorded(radar)] == actions


def test_users_that_can_not_be_are_refused(radar: Radar, monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_input(radar, monkeypatch, "user add ada --password-stdin").code == 0
    for command, problem in {
        "user add ADA --password-stdin": "'ADA' exists already",
        "user add eva --project nowhere --password-stdin": "project id 'nowhere' is unknown",
        "user add eva --role boss --password-stdin": "boss",
        "user add eva": "--password-stdin",
        "user set-role nobody admin": "user name 'nobody' is unknown",
        "user disable nobody": "user name 'nobody' is unknown",
    }.items():
        run = with_input(radar, monkeypatch, command)
        assert (run.code, problem in run.err, run.out) == (2, True, ""), run
        assert PASSWORD not in run.err
    short = with_input(radar, monkeypatch, "user add eva --password-stdin", "short1")
    assert (short.code, "must have" in short.err, "short1" in short.err) == (2, True, False)
    assert [entry["object"] for entry in recorded(radar)] == ["ada"], "what is refused changes nothing"


def test_a_token_is_printed_once_rotated_and_revoked(radar: Radar, settings: Settings) -> None:
    radar("project add shop")
    created = radar("token create deploy --role operator --project shop --expires 90d")
    token = created.out.strip()
    assert (created.code, created.out, created.err) == (0, f"{token}\n", "")
    assert principal_of(settings, token) == (Role.OPERATOR, frozenset({"shop"}))
    id = json.loads(radar("token list --format json").out)[0]["id"]
    rotated = radar(f"token rotate {id} --overlap 2h")
    successor = rotated.out.strip()
    assert (rotated.code, rotated.out, successor != token) == (0, f"{successor}\n", True)
    with time_machine.travel(utc_now() + timedelta(hours=1), tick=False):
        assert principal_of(settings, token) == principal_of(settings, successor)
    with time_machine.travel(utc_now() + timedelta(hours=3), tick=False):
        assert principal_of(settings, token) is None
        assert principal_of(settings, successor) == (Role.OPERATOR, frozenset({"shop"}))
    second = next(row["id"] for row in json.loads(radar("token list --format json").out) if row["id"] != id)
    revoked = radar(f"token revoke {second}")
    assert (revoked.code, revoked.out) == (0, f"Revoked token {second}, deploy.\n")
    assert principal_of(settings, successor) is None
    later = [radar("token list").out, radar("token list --format json").out, radar("audit list --format json").out]
    for secret in (token, successor):
        assert not any(secret in out for out in later)
        assert not is_in_files(settings, secret)


def test_in_a_terminal_a_token_is_announced(terminal: Radar) -> None:
    assert terminal("token create deploy").out.startswith("New token deploy, not shown again:\n")


def test_tokens_that_can_not_be_are_refused(radar: Radar) -> None:
    radar("token create deploy")
    id = json.loads(radar("token list --format json").out)[0]["id"]
    radar(f"token rotate {id}")
    for command, problem in {
        "token create ''": "token name",
        "token create other --project nowhere": "project id 'nowhere' is unknown",
        "token create other --expires never": "never",
        "token rotate zzzz": "radar token list",
        f"token rotate {id}": "was rotated already",
        "token revoke zzzz": "radar token list",
    }.items():
        run = radar(command)
        assert (run.code, problem in run.err, run.out) == (2, True, ""), run


def test_a_rotated_key_and_its_successor_are_valid_for_the_overlap(radar: Radar, settings: Settings) -> None:
    radar("project add shop")
    old = radar("key create shop --kind read").out.strip()
    rotated = radar(f"key rotate {old} --overlap 2h")
    new = rotated.out.strip()
    assert (rotated.code, rotated.out, rotated.err) == (0, f"{new}\n", "")
    store = open_store(settings.database)
    valid = {digest: (grant.project_id, grant.kind) for digest, grant in read_grants(store).items()}
    with time_machine.travel(utc_now() + timedelta(hours=3), tick=False):
        later = set(read_grants(store))
    store.close()
    assert valid == dict.fromkeys(map(hash_key, (old, new)), ("shop", "read"))
    assert later == {hash_key(new)}
    assert not any(secret in radar("audit list --format json").out for secret in (old, new))
    unknown = radar("key rotate nothing")
    assert (unknown.code, "radar key list" in unknown.err, unknown.out) == (2, True, "")
    endless = radar(f"key rotate {new} --overlap soon")
    assert (endless.code, "soon" in endless.err, endless.out) == (2, True, "")


def test_a_project_is_renamed_archived_and_brought_back(radar: Radar, settings: Settings) -> None:
    radar("project add shop")
    key = hash_key(radar("key create shop").out.strip())
    assert radar("project rename shop 'The Shop'").out == "shop is now called The Shop.\n"
    assert cells(radar("project list").out)["shop"][0] == "The Shop"
    store = open_store(settings.database)
    assert radar("project archive shop").code == 0
    assert key not in read_grants(store)
    assert radar("project unarchive shop").code == 0
    assert key in read_grants(store)
    store.close()
    for command in ("project rename nowhere Name", "project archive nowhere", "project unarchive nowhere"):
        run = radar(command)
        assert (run.code, run.err) == (2, "radar: project id 'nowhere' is unknown; radar project list shows them\n")
    actions = ["project.add", "key.create", "project.rename", "project.archive", "project.unarchive"]
    assert [entry["action"] for entry in recorded(radar)] == actions


def test_the_audit_log_is_listed_and_a_changed_entry_is_found(radar: Radar, settings: Settings) -> None:
    assert "The audit log is empty" in radar("audit list").out
    for id in ("shop", "blog", "app"):
        radar(f"project add {id}")
    listed = json.loads(radar("audit list --limit 2 --format json").out)
    assert [(entry["number"], entry["object"]) for entry in listed] == [(3, "app"), (2, "blog")]
    assert [entry["object"] for entry in json.loads(radar("audit list --project shop --format json").out)] == ["shop"]
    intact = radar("audit verify")
    assert (intact.code, intact.out) == (0, f"The audit log is intact: 3 entries so far. {listed[0]['hash']}\n")
    store = open_store(settings.database)
    with store.session() as session:
        session.execute(sa.update(AuditEntry).where(AuditEntry.number == 2).values(principal_name="eve"))
    store.close()
    changed = radar("audit verify")
    assert (changed.code, changed.out) == (1, "")
    assert changed.err == "The audit log is not intact: entry 2 was changed.\n"


def test_commands_that_change_tables_files_or_backups_are_recorded(
    radar: Radar, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "lines.ndjson"
    page = {"event": "page", "anonymous_id": "v", "timestamp": HOUR.isoformat(), "url": "https://shop.example/"}
    file.write_text(f"{json.dumps(page)}\n")
    assert radar(f"import {file} --format ndjson --project shop --build").code == 0
    assert radar("snapshots pin before events").code == 0
    assert radar("snapshots unpin before").code == 0
    assert radar("snapshots unpin before").code != 0
    assert radar("replay-rejected --dry-run").code == 0
    assert radar("replay-rejected").code == 0
    assert radar("maintain --dry-run").code == 0
    assert radar("maintain").code == 0
    assert radar(f"backup {tmp_path / 'backup'}").code == 0
    actions = ["project.add", "import", "snapshots.pin", "snapshots.unpin", "replay-rejected", "maintain"]
    assert [entry["action"] for entry in recorded(radar)] == [*actions, "backup.create"]
    assert radar(f"restore {tmp_path / 'backup'}").code == 0
    assert [entry["action"] for entry in recorded(radar)] == [*actions, "backup.restore"]
    assert radar("audit verify").code == 0


def test_a_person_from_elsewhere_is_linked_to_a_user(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada", "bob"):
        with_input(radar, monkeypatch, f"user add {name} --password-stdin")
    assert "RADAR_OIDC_ISSUER" in radar("user link ada 7").err
    monkeypatch.setenv("RADAR_OIDC_ISSUER", "https://id.example")
    assert radar("user link ada 7").code == 0
    assert user_of(settings, "ada").oidc_subject == "https://id.example 7"
    assert "belongs to the user ada" in radar("user link bob 7").err
    assert radar("user link Bob --proxy").code == 0
    assert user_of(settings, "bob").oidc_subject == "proxy bob"
    assert radar("user link ada --remove").code == 0
    assert user_of(settings, "ada").oidc_subject is None
    for wrong in ("user link ada", "user link ada 7 --proxy", "user link ada --proxy --remove"):
        assert "give either" in radar(wrong).err
    assert [entry["action"] for entry in recorded(radar)][2:] == ["user.link"] * 3


def test_another_login_link_works_once_and_for_a_quarter_of_an_hour(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "radar serve" in radar("user login-link").err
    monkeypatch.setenv("RADAR_UI_URL", "https://radar.example/")
    links = [radar("user login-link").out.strip() for _ in range(2)]
    assert all(link.startswith("https://radar.example/login/link?secret=") for link in links)
    first, second = (link.partition("secret=")[2] for link in links)
    store = open_store(settings.database)
    found = session_principal(store, use_login_link(store, first))
    assert found and found.role == Role.ADMIN
    with pytest.raises(LoginError):
        use_login_link(store, first)
    with time_machine.travel(utc_now() + timedelta(minutes=16), tick=False), pytest.raises(LoginError):
        use_login_link(store, second)
    store.close()
    assert not any(secret in json.dumps(recorded(radar)) for secret in (first, second))
