"""People whom an OpenID provider or a proxy has identified: their users are added and changed to match.

A user belongs to the subject that it was added for. Names are not trusted: a person who has the name or the address of a user with
another subject, or with none, is refused until an admin links the two.
"""

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.access import audit
from radar_assets.access.browser_sessions import LoginError, start_session
from radar_assets.access.roles import Principal, Role
from radar_assets.access.users import LOCK_KEY, find_user, name_key, user_principal, valid_name
from radar_assets.store.database import Store
from radar_assets.store.dialects import lock
from radar_assets.store.models import FieldError, Project, User
from radar_assets.windows import utc_now

MAX_SUBJECT = 500


class NotAdmittedError(LoginError):
    """The person is known elsewhere, but can't be admitted; the message says why."""

    def __init__(self, reason: str) -> None:
        Exception.__init__(self, reason)


@dataclass(frozen=True)
class OutsidePerson:
    """A person as identified elsewhere.

    Attributes:
        subject: who they are, for ever; of `oidc_subject` or `proxy_subject`.
        name: login name if they are new.
        role: None if they have none, and are refused.
        projects: that the role is for; None for all.
    """

    subject: str
    name: str
    role: Role | None
    projects: frozenset[str] | None = None


def oidc_subject(issuer: str, subject: str) -> str:
    """The subject of a person at an OpenID provider, which is unique only together with the issuer."""
    return f"{issuer} {subject}"


def proxy_subject(name: str) -> str:
    """The subject of a person whom the proxy calls by a name. Differs from all of `oidc_subject`, which begin with a URL."""
    return f"proxy {name_key(name)}"


def admit(store: Store, person: OutsidePerson, address: str = "") -> Principal:
    """Add the user of a person, or give it the role that they have now. Returns what they may do.

    Args:
        address: where the request comes from, for the audit log.

    Raises:
        NotAdmittedError: they are disabled, have no role, or their name is that of another user.
    """
    with store.session(read_only=True) as session:
        if (found := _current(session, person)) is not None:
            return user_principal(found)
    with store.session() as session:
        return user_principal(_admitted(session, person, address))


def log_in_elsewhere(store: Store, person: OutsidePerson, address: str = "") -> str:
    """Admit a person and start a session. Returns its secret.

    Raises:
        NotAdmittedError: as of `admit`.
    """
    with store.session() as session:
        return start_session(session, _admitted(session, person, address))


def link_user(store: Store, name: str, subject: str | None) -> User:
    """Let a person from elsewhere log in as an existing user.

    Args:
        subject: of `oidc_subject` or `proxy_subject`; None to undo it.

    Raises:
        FieldError: the user is unknown, or another one has the subject.
    """
    with store.session() as session:
        lock(session, LOCK_KEY)
        user = find_user(session, name)
        if subject is not None:
            if not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
                raise FieldError("subject", subject, f"must be 1 to {MAX_SUBJECT} printable characters")
            other = session.scalar(sa.select(User).where(User.oidc_subject == subject, User.id != user.id))
            if other is not None:
                raise FieldError("subject", subject, f"belongs to the user {other.name}")
        user.oidc_subject = subject
        return user


def _current(session: Session, person: OutsidePerson) -> User | None:
    """The user of a person, if nothing has to be changed."""
    user = session.scalar(sa.select(User).where(User.oidc_subject == person.subject))
    if user is None or user.disabled_at or person.role is None:
        return None
    return user if (user.role, user.projects) == (person.role.value, _known(session, person)) else None


def _admitted(session: Session, person: OutsidePerson, address: str) -> User:
    lock(session, LOCK_KEY)
    user = session.scalar(sa.select(User).where(User.oidc_subject == person.subject).with_for_update())
    if user is not None and user.disabled_at:
        raise NotAdmittedError("Your user is disabled; ask an admin.")
    if person.role is None:
        raise NotAdmittedError("None of your groups has a role here; ask an admin.")
    projects = _known(session, person)
    if user is None:
        user = _new_user(session, person, projects)
        action = "user.add"
    elif (user.role, user.projects) != (person.role.value, projects):
        user.role, user.projects = person.role.value, projects
        action = "user.set_role"
    else:
        return user
    session.flush()
    audit.record(
        session,
        user_principal(user),
        action,
        user.name,
        address=address,
        details={"id": user.id, "role": user.role, "projects": user.projects, "subject": person.subject},
    )
    return user


def _new_user(session: Session, person: OutsidePerson, projects: list[str] | None) -> User:
    if len(person.subject) > MAX_SUBJECT:
        raise NotAdmittedError("Your subject is too long.")
    try:
        name = valid_name(person.name)
    except FieldError as error:
        raise NotAdmittedError(f"Your login name can't be used: {error}.") from error
    if session.scalar(sa.select(User.id).where(User.name_key == name_key(name))):
        # Their password may be in other hands than the name elsewhere, and the other way round.
        raise NotAdmittedError(
            f"There is a user {name} already, who is not known to be you. "
            "If you are the same person, an admin can link the two with radar user link."
        )
    assert person.role
    user = User(
        id=secrets.token_hex(4),
        name=name,
        name_key=name_key(name),
        password_hash=None,
        role=person.role.value,
        projects=projects,
        created_at=utc_now(),
        oidc_subject=person.subject,
    )
    session.add(user)
    return user


def _known(session: Session, person: OutsidePerson) -> list[str] | None:
    """The projects of a role that exist."""
    if person.projects is None:
        return None
    known = sorted(session.scalars(sa.select(Project.id).where(Project.id.in_(person.projects))))
    if not known:
        raise NotAdmittedError("The projects that your role is for don't exist; ask an admin.")
    return known
