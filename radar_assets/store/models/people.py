"""People and programs that use Radar: users, API tokens, sessions of browsers, login links and attempts to log in.

Secrets are stored as hashes only. All times are naive, in UTC.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import JSON, DateTime, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import MAX_NAME, Base


class User(Base):
    """A person who can log in.

    Attributes:
        name: login name.
        name_key: the name as it is compared, regardless of case.
        password_hash: Argon2id, with its parameters; None for users who log in elsewhere.
        role: a value of `access.roles.Role`.
        projects: ids of the projects that the role is for; None for all.
        disabled_at: when they were locked out.
        oidc_subject: who they are elsewhere: issuer and subject at an OpenID provider, or their name at a proxy.
    """

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(MAX_NAME))
    name_key: Mapped[str] = mapped_column(String(2 * MAX_NAME), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    projects: Mapped[Sequence[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime)
    oidc_subject: Mapped[str | None] = mapped_column(String(500), unique=True)


class ApiToken(Base):
    """A secret with which a program calls the API.

    Attributes:
        hash: SHA-256 of the token, in hexadecimal.
        created_by: name of whoever created it.
        expires_at: invalid from then on; None for no expiry.
        replaced_at: when it was rotated; it then expires after the overlap.
        revoked_at: invalid from then on.
    """

    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(MAX_NAME))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    projects: Mapped[Sequence[str] | None] = mapped_column(JSON(none_as_null=True))
    created_by: Mapped[str] = mapped_column(String(MAX_NAME))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime)
    replaced_at: Mapped[datetime | None] = mapped_column(DateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime)


class BrowserSession(Base):
    """A browser that is logged in, until it has been idle for too long or a fixed time is reached.

    Attributes:
        hash: SHA-256 of the session's secret.
        user_id: who logged in; None for sessions of login links.
        link_id, link_role: the same for sessions of login links.
    """

    __tablename__ = "browser_sessions"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"), index=True)
    link_id: Mapped[str | None] = mapped_column(String(16))
    link_role: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    used_at: Mapped[datetime] = mapped_column(DateTime)
    idle_until: Mapped[datetime] = mapped_column(DateTime)
    ends_at: Mapped[datetime] = mapped_column(DateTime)


class LoginLink(Base):
    """A link with which a browser can log in once.

    Attributes:
        hash: SHA-256 of the link's secret.
        role: of the session, for all projects.
    """

    __tablename__ = "login_links"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    expires_at: Mapped[datetime] = mapped_column(DateTime)
    used_at: Mapped[datetime | None] = mapped_column(DateTime)


class LoginAttempt(Base):
    """A login that failed, or is being checked.

    Attributes:
        account: SHA-256 of the name that was entered, because people enter passwords there by mistake. None once its user has
            logged in.
        address: where it came from.
    """

    __tablename__ = "login_attempts"

    number: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str | None] = mapped_column(String(64), index=True)
    address: Mapped[str] = mapped_column(String(MAX_NAME), index=True)
    at: Mapped[datetime] = mapped_column(DateTime, index=True)
