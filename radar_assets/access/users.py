"""Users: add, change and disable them, and check their passwords. Their logins are in `browser_sessions.py`."""

import hashlib
import secrets
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.access.roles import Principal, Role
from radar_assets.store.database import Store
from radar_assets.store.dialects import lock
from radar_assets.store.models import MAX_NAME, BrowserSession, FieldError, Project, User
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_PASSWORD, MAX_PASSWORD = 12, 1024
LOCK_KEY = 0x5553455253
"""Postgres advisory lock for changing users: USERS in ASCII."""


def add_user(
    store: Store,
    name: str,
    password: str | None,
    role: Role = Role.VIEWER,
    projects: Iterable[str] | None = None,
) -> User:
    """Add a user.

    Args:
        password: None if they only log in elsewhere.
        projects: ids of the projects that the role is for; None for all.

    Raises:
        FieldError: the name exists, a project is unknown, or the name or password is invalid.
    """
    user = User(
        id=secrets.token_hex(4),
        name=valid_name(name),
        name_key=name_key(name),
        password_hash=None if password is None else hash_password(password),
        role=Role(role).value,
        created_at=utc_now(),
    )
    with store.session() as session:
        lock(session, LOCK_KEY)
        if session.scalar(sa.select(User.id).where(User.name_key == user.name_key)):
            raise FieldError("user name", name, "exists already")
        user.projects = known_projects(session, projects)
        session.add(user)
    return user


def list_users(store: Store) -> list[User]:
    """All users, by name."""
    with store.session(read_only=True) as session:
        return sorted(session.scalars(sa.select(User)), key=lambda user: user.name_key)


def set_password(store: Store, name: str, password: str) -> User:
    """Change the password of a user and end their sessions.

    Raises:
        FieldError: the user is unknown, or the password is invalid.
    """
    password_hash = hash_password(password)
    with store.session() as session:
        user = find_user(session, name)
        user.password_hash = password_hash
        _end_sessions(session, user)
        return user


def set_role(store: Store, name: str, role: Role, projects: Iterable[str] | None = None) -> User:
    """Change the role of a user, and the projects it is for, from their next request on.

    Raises:
        FieldError: the user or a project is unknown.
    """
    with store.session() as session:
        user = find_user(session, name)
        user.role, user.projects = Role(role).value, known_projects(session, projects)
        return user


def disable_user(store: Store, name: str) -> User:
    """Lock a user out: their sessions end, and they can't log in.

    Raises:
        FieldError: the user is unknown.
    """
    with store.session() as session:
        user = find_user(session, name)
        user.disabled_at = user.disabled_at or utc_now()
        _end_sessions(session, user)
        return user


def enable_user(store: Store, name: str) -> User:
    """Let a user log in again.

    Raises:
        FieldError: the user is unknown.
    """
    with store.session() as session:
        user = find_user(session, name)
        user.disabled_at = None
        return user


def find_user(session: Session, name: str) -> User:
    """The user of a name, locked for a change.

    Raises:
        FieldError: the user is unknown.
    """
    user = session.scalar(sa.select(User).where(User.name_key == name_key(name)).with_for_update())
    if user is None:
        raise FieldError("user name", name, "is unknown; radar user list shows them")
    return user


def user_principal(user: User) -> Principal:
    """What a user may do."""
    projects = None if user.projects is None else frozenset(user.projects)
    return Principal("user", user.id, user.name, Role(user.role), projects)


def known_projects(session: Session, projects: Iterable[str] | None) -> list[str] | None:
    """The ids of projects, sorted.

    Raises:
        FieldError: one is unknown, or there are none.
    """
    if projects is None:
        return None
    wanted = sorted(set(projects))
    if not wanted:
        raise FieldError("projects", wanted, "must not be empty; leave it out for all projects")
    for id in wanted:
        if session.get(Project, id) is None:
            raise FieldError("project id", id, "is unknown; radar project list shows them")
    return wanted


def name_key(name: str) -> str:
    """A login name as it is compared."""
    return name.strip().casefold()


def hash_password(password: str) -> str:
    """The Argon2id hash of a password.

    Raises:
        FieldError: it is too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        # Without the value, which the error would show.
        raise FieldError("password", "***", f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return _hasher().hash(password.encode(errors="surrogatepass"))


def is_password(password_hash: str | None, password: str) -> bool:
    """Whether a password matches a hash. Takes equally long if there is no hash, so that names can't be guessed from the time."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(password_hash or _dummy_hash(), password.encode(errors="surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _dummy_hash() -> str:
    return _hasher().hash(secrets.token_bytes(16))


def hash_secret(secret: str) -> str:
    """The hash under which a random secret is stored. A slow hash would add nothing to it."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def valid_name(name: str) -> str:
    """A login name, without spaces around it.

    Raises:
        FieldError: it is too long, empty or not printable.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise FieldError("user name", name, f"must be 1 to {MAX_NAME} printable characters")
    return name


def _end_sessions(session: Session, user: User) -> None:
    session.execute(sa.delete(BrowserSession).where(BrowserSession.user_id == user.id))
