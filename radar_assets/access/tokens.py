"""API tokens: create, rotate, revoke and look up. A token is shown once and stored as a hash."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from radar_assets.access.roles import Principal, Role
from radar_assets.access.users import hash_secret, known_projects
from radar_assets.store.database import Store, find_by_id
from radar_assets.store.models import MAX_NAME, ApiToken, FieldError
from radar_assets.windows import utc_now

PREFIX = "radar_"
"""Start of all tokens, by which secret scanners recognise them."""
OVERLAP = timedelta(hours=24)
"""How long a rotated token stays valid by default."""


def create_token(
    store: Store,
    name: str,
    role: Role = Role.VIEWER,
    projects: Iterable[str] | None = None,
    *,
    created_by: str,
    expires_at: datetime | None = None,
) -> tuple[str, ApiToken]:
    """Create a token. Returns it, which can't be read again later, and its row.

    Args:
        projects: ids of the projects that the role is for; None for all.
        created_by: name of whoever creates it.

    Raises:
        FieldError: a project is unknown, or the name or the expiry is invalid.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise FieldError("token name", name, f"must be 1 to {MAX_NAME} printable characters")
    now = utc_now()
    if expires_at is not None and expires_at <= now:
        raise FieldError("token expiry", expires_at.isoformat(), "is in the past")
    with store.session() as session:
        secret, row = _new_token(name, Role(role), known_projects(session, projects), created_by, now, expires_at)
        session.add(row)
    return secret, row


def list_tokens(store: Store) -> list[ApiToken]:
    """All tokens, by age."""
    with store.session(read_only=True) as session:
        return list(session.scalars(sa.select(ApiToken).order_by(ApiToken.created_at, ApiToken.id)))


def revoke_token(store: Store, id: str) -> ApiToken:
    """Revoke a token; it stops working at once.

    Args:
        id: its id, or the start of it.

    Raises:
        FieldError: the id is unknown or ambiguous.
    """
    with store.session() as session:
        token = find_by_id(session, ApiToken, id, "token id", "radar token list")
        token.revoked_at = token.revoked_at or utc_now()
        return token


def rotate_token(
    store: Store,
    id: str,
    *,
    created_by: str,
    overlap: timedelta = OVERLAP,
    expires_at: datetime | None = None,
) -> tuple[str, ApiToken]:
    """Create the successor of a token, with its name, role and projects. The old one stays valid for the overlap.

    Args:
        expires_at: of the new token. Default: as long from now as the old one was valid.

    Raises:
        FieldError: the id is unknown or ambiguous, or the token is not valid or was rotated already.
    """
    now = utc_now()
    with store.session() as session:
        found = find_by_id(session, ApiToken, id, "token id", "radar token list")
        old = session.get_one(ApiToken, found.id, with_for_update=True, populate_existing=True)
        if not _is_valid(old, now):
            raise FieldError("token id", id, "is revoked or expired; create a new token with radar token create")
        if old.replaced_at is not None:
            raise FieldError("token id", id, "was rotated already; rotate its successor, or revoke it")
        if expires_at is None and old.expires_at is not None:
            expires_at = now + (old.expires_at - old.created_at)
        old.replaced_at = now
        old.expires_at = min(filter(None, (old.expires_at, now + overlap)))
        secret, row = _new_token(old.name, Role(old.role), old.projects, created_by, now, expires_at)
        session.add(row)
    return secret, row


def find_principal(store: Store, token: str) -> Principal | None:
    """Who a token stands for; None if it is unknown, revoked or expired."""
    with store.session(read_only=True) as session:
        row = session.scalar(sa.select(ApiToken).where(ApiToken.hash == hash_secret(token)))
    if row is None or not _is_valid(row, utc_now()):
        return None
    projects = None if row.projects is None else frozenset(row.projects)
    return Principal("token", row.id, row.name, Role(row.role), projects)


def _new_token(
    name: str,
    role: Role,
    projects: Iterable[str] | None,
    created_by: str,
    now: datetime,
    expires_at: datetime | None,
) -> tuple[str, ApiToken]:
    secret = PREFIX + secrets.token_hex(24)
    row = ApiToken(id=secrets.token_hex(4), name=name, hash=hash_secret(secret), role=role.value)
    row.projects, row.created_by = None if projects is None else list(projects), created_by[:MAX_NAME]
    row.created_at, row.expires_at = now, expires_at
    return secret, row


def _is_valid(token: ApiToken, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)
