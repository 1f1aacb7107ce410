"""Projects: list, add and limit. Keys of projects are in `keys.py`, the counting against limits in `limits.py`."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.store.database import Store
from radar_assets.store.dialects import insert
from radar_assets.store.models import FieldError, Project


def list_projects(store: Store) -> list[Project]:
    """All projects, by id."""
    with store.session(read_only=True) as session:
        # Sorted here, because the collation depends on the database.
        return sorted(session.scalars(sa.select(Project)), key=lambda project: project.id)


def add_project(store: Store, project: Project) -> None:
    """Add a project.

    Raises:
        FieldError: the id exists already.
    """
    if not ensure_projects(store, [project]):
        raise FieldError("project id", project.id, "exists already")


def ensure_projects(store: Store, projects: Iterable[Project]) -> list[str]:
    """Add projects that don't exist yet, leaving others unchanged. Returns the ids of the added ones."""
    fields = sa.inspect(Project).column_attrs.keys()
    rows = [{field: getattr(project, field) for field in fields} for project in projects]
    if not rows:
        return []
    with store.session() as session:
        statement = insert(session, Project).on_conflict_do_nothing().returning(Project.id)
        return sorted(session.scalars(statement, rows))


def limit_project(store: Store, project_id: str, events_per_second: int | None, events_per_month: int | None) -> None:
    """Set the limits of a project; None stands for the default in the settings.

    Raises:
        FieldError: the project is unknown, or a limit is not above zero.
    """
    with store.session() as session:
        project = locked_project(session, project_id)
        project.events_per_second, project.events_per_month = events_per_second, events_per_month


def rename_project(store: Store, project_id: str, name: str) -> None:
    """Change the name that people see. The id stays, because senders use it.

    Raises:
        FieldError: the project is unknown, or the name is invalid.
    """
    with store.session() as session:
        locked_project(session, project_id).name = name


def archive_project(store: Store, project_id: str, *, archived: bool = True) -> None:
    """Stop accepting the events of a project, or accept them again. Its data is kept.

    Raises:
        FieldError: the project is unknown.
    """
    with store.session() as session:
        locked_project(session, project_id).is_active = not archived


def locked_project(session: Session, project_id: str) -> Project:
    """A project, which nobody else changes until the transaction ends.

    Raises:
        FieldError: the project is unknown.
    """
    project = session.get(Project, project_id, with_for_update=True)
    if project is None:
        raise FieldError("project id", project_id, "is unknown; radar project list shows them")
    return project
