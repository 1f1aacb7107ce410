"""Time zones of projects: the calendar that they make, and their changes."""

import secrets
from datetime import date

import sqlalchemy as sa

from radar_assets.access.projects import locked_project
from radar_assets.calendar import ALWAYS, Calendar, ZoneChange
from radar_assets.store.database import Store, existing_store
from radar_assets.store.dialects import lock
from radar_assets.store.models import Project, TimeZoneChange
from radar_assets.windows import utc_now

LOCK_KEY = 0x5A4F4E4553
"""Postgres advisory lock for changing time zones: ZONES in ASCII."""


def read_calendar(store: Store) -> Calendar:
    """The days of all projects, as their time zones are now."""
    with store.session(read_only=True) as session:
        zones = {row.id: row.timezone for row in session.execute(sa.select(Project.id, Project.timezone))}
        changes = list(session.scalars(sa.select(TimeZoneChange).order_by(TimeZoneChange.number)))
    for change in reversed(changes):
        zones[change.project_id] = change.previous
    return Calendar(zones, [ZoneChange(each.id, each.project_id, each.first_day, each.timezone) for each in changes])


def known_calendar(database: str) -> Calendar:
    """The same before anything is made, when there may be no store yet, or one of an older schema: days of UTC.

    Args:
        database: SQLAlchemy URL, as for `open_store`.
    """
    store = existing_store(database)
    if store is None:
        return Calendar({})
    try:
        return (
            read_calendar(store) if sa.inspect(store.engine).has_table(TimeZoneChange.__tablename__) else Calendar({})
        )
    finally:
        store.close()


def set_time_zone(store: Store, project_id: str, timezone: str, first_day: date = ALWAYS) -> bool:
    """Change the time zone of a project. Daily tables are stale from the first day on, until they are rebuilt.

    Args:
        first_day: the first day in the new zone. It begins when it begins in the previous zone.

    Returns:
        Whether the zone is another one from that day on.

    Raises:
        FieldError: the project is unknown, or the zone is not an IANA time zone.
    """
    with store.session() as session:
        # Changes must become visible in the order of their numbers: one that appeared before the last one that a table
        # was built with would never make the table stale.
        lock(session, LOCK_KEY)
        project = locked_project(session, project_id)
        made = sa.select(TimeZoneChange).where(TimeZoneChange.project_id == project_id)
        later = session.scalar(made.where(TimeZoneChange.first_day > first_day).limit(1))
        previous = project.timezone
        if previous == timezone and later is None:
            return False
        project.timezone = timezone
        change = TimeZoneChange()
        change.id, change.project_id, change.first_day = secrets.token_hex(4), project_id, first_day
        change.previous, change.timezone, change.changed_at = previous, timezone, utc_now()
        session.add(change)
        return True
