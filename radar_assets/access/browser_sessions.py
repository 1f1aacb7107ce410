"""Sessions of browsers: logins with passwords or one-time links, their limits, and the end of sessions.

The secret of a session is in the browser's cookie; the store has its hash.
"""

import math
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.access.roles import Principal, Role
from radar_assets.access.users import hash_secret, is_password, name_key, user_principal
from radar_assets.store.database import Store
from radar_assets.store.dialects import lock
from radar_assets.store.models import MAX_NAME, BrowserSession, LoginAttempt, LoginLink, User
from radar_assets.windows import utc_now

IDLE, LIFETIME = timedelta(hours=12), timedelta(days=7)
"""A session ends after this time without a request, and at the latest this time after the login."""
TOUCH = timedelta(minutes=1)
"""How often the time of the last request is written."""
LINK_TTL = timedelta(minutes=15)
WINDOW = timedelta(minutes=15)
MAX_PER_ACCOUNT, MAX_PER_ADDRESS = 10, 50
"""Failed logins within the window, for an account and for an address."""
LOCK_KEY = 0x4C4F47494E
"""Postgres advisory lock for counting attempts: LOGIN in ASCII."""


class LoginError(Exception):
    """The name or the password is wrong, or the user is disabled; the message doesn't say which."""

    def __init__(self) -> None:
        super().__init__("Wrong name or password")


class TooManyAttemptsError(Exception):
    """Too many logins have failed.

    Attributes:
        wait_s: seconds after which the next attempt is possible.
    """

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many failed logins; try again in {math.ceil(wait_s / 60)} min")
        self.wait_s = wait_s


def log_in(store: Store, name: str, password: str, address: str) -> str:
    """Check a password and start a session. Returns its secret, which is always a new one.

    Args:
        address: where the request comes from.

    Raises:
        LoginError: the name or the password is wrong.
        TooManyAttemptsError: too many logins of this account, or from this address, have failed.
    """
    account, address = hash_secret(name_key(name)), address[:MAX_NAME]
    # Counted before the password is checked, so that concurrent attempts can't exceed the limit.
    attempt = _count_attempt(store, account, address)
    with store.session(read_only=True) as session:
        user = session.scalar(sa.select(User).where(User.name_key == name_key(name)))
    checked = user.password_hash if user else None
    if not is_password(checked, password) or user is None:
        raise LoginError
    with store.session() as session:
        # Again, because checking takes a while: the user may be disabled by now, or have another password.
        now_user = session.get(User, user.id, with_for_update=True)
        if now_user is None or now_user.disabled_at or now_user.password_hash != checked:
            raise LoginError
        session.execute(sa.delete(LoginAttempt).where(LoginAttempt.number == attempt))
        # Failures still count for their addresses: a user of one's own must not reset the count of guesses for other users.
        session.execute(sa.update(LoginAttempt).where(LoginAttempt.account == account).values(account=None))
        return _new_session(session, utc_now(), user_id=user.id)


def start_session(session: Session, user: User) -> str:
    """Start a session of a user whose identity has been checked. Returns its secret."""
    return _new_session(session, utc_now(), user_id=user.id)


def principal_of(store: Store, secret: str) -> Principal | None:
    """Who a session belongs to; None if it is unknown or has ended. Their role is as it is now."""
    now, hash = utc_now(), hash_secret(secret)
    query = (
        sa.select(BrowserSession, User)
        .outerjoin(User, BrowserSession.user_id == User.id)
        .where(BrowserSession.hash == hash)
    )
    with store.session(read_only=True) as session:
        found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, user = found
    if now >= min(row.idle_until, row.ends_at) or (user and user.disabled_at):
        return None
    if now - row.used_at >= TOUCH:
        with store.session() as session:
            statement = sa.update(BrowserSession).where(BrowserSession.hash == hash)
            session.execute(statement.values(used_at=now, idle_until=now + IDLE))
    if user:
        return user_principal(user)
    return Principal("shell", row.link_id, f"login link {row.link_id}", Role(row.link_role))


def log_out(store: Store, secret: str) -> None:
    """End a session."""
    with store.session() as session:
        session.execute(sa.delete(BrowserSession).where(BrowserSession.hash == hash_secret(secret)))


def make_login_link(store: Store, role: Role = Role.ADMIN, ttl: timedelta = LINK_TTL) -> str:
    """Make a link with which one browser can log in, for all projects. Returns its secret, for the address."""
    now, secret = utc_now(), secrets.token_urlsafe(32)
    with store.session() as session:
        link = LoginLink(id=secrets.token_hex(4), hash=hash_secret(secret), role=Role(role).value, created_at=now)
        link.expires_at = now + ttl
        session.add(link)
    return secret


def use_login_link(store: Store, secret: str) -> str:
    """Start a session with a link, which is then used up. Returns the session's secret.

    Raises:
        LoginError: the link is unknown, used or expired.
    """
    now = utc_now()
    is_usable = sa.and_(LoginLink.used_at.is_(None), LoginLink.expires_at > now)
    with store.session() as session:
        # In one statement: of concurrent ones, the second waits for the first and then finds the link used.
        use = sa.update(LoginLink).where(LoginLink.hash == hash_secret(secret), is_usable).values(used_at=now)
        used = session.execute(use.returning(LoginLink.id, LoginLink.role)).one_or_none()
        if used is None:
            raise LoginError
        return _new_session(session, now, link_id=used.id, link_role=used.role)


def delete_ended(store: Store) -> int:
    """Delete sessions, links and attempts that have no effect any more. Returns how many sessions were deleted."""
    now = utc_now()
    with store.session() as session:
        ended = sa.or_(BrowserSession.idle_until <= now, BrowserSession.ends_at <= now)
        count = session.scalar(sa.select(sa.func.count()).select_from(BrowserSession).where(ended))
        session.execute(sa.delete(BrowserSession).where(ended))
        session.execute(sa.delete(LoginLink).where(LoginLink.expires_at <= now))
        session.execute(sa.delete(LoginAttempt).where(LoginAttempt.at <= now - WINDOW))
    return count or 0


def _new_session(session: Session, now: datetime, **owner: str) -> str:
    secret = secrets.token_urlsafe(32)
    times = {"created_at": now, "used_at": now, "idle_until": now + IDLE, "ends_at": now + LIFETIME}
    session.add(BrowserSession(hash=hash_secret(secret), **times, **owner))
    return secret


def _count_attempt(store: Store, account: str, address: str) -> int:
    """Count an attempt, and return its number.

    Raises:
        TooManyAttemptsError: there were too many.
    """
    with store.session() as session:
        lock(session, LOCK_KEY)
        now = utc_now()
        session.execute(sa.delete(LoginAttempt).where(LoginAttempt.at <= now - WINDOW))
        waits = [
            _wait(session, LoginAttempt.account == account, MAX_PER_ACCOUNT, now),
            _wait(session, LoginAttempt.address == address, MAX_PER_ADDRESS, now),
        ]
        if any(waits):
            raise TooManyAttemptsError(max(waits))
        attempt = LoginAttempt(account=account, address=address, at=now)
        session.add(attempt)
        session.flush()
        return attempt.number


def _wait(session: Session, of: sa.ColumnElement[bool], limit: int, now: datetime) -> int:
    """Seconds until an attempt is below a limit again; 0 if it is."""
    latest = sa.select(LoginAttempt.at).where(of).order_by(LoginAttempt.at.desc()).offset(limit - 1).limit(1)
    at = session.scalar(latest)
    return 0 if at is None else max(1, math.ceil((at + WINDOW - now).total_seconds()))
