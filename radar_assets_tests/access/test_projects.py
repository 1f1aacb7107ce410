"""Projects in the store, on both databases and with several processes."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from radar_assets.access.projects import add_project, ensure_projects, list_projects
from radar_assets.lakehouse.catalog import Catalog
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import FieldError, Project
from radar_assets.tables import TABLES
from radar_assets.windows import utc_now
from radar_assets_tests.processes import run_at_once

PROCESSES = 4
PROJECTS = 15
HOSTILE = [
    "o'brien\"; drop table projects; --",
    "../../etc/passwd",
    "%s {0} $1 :id",
    "🛰️ radar",
    "\u202eright-to-left",
    "  ",
    "line\nbreak\ttab",
    "x" * 200,
]


def fields(project: Project) -> tuple[object, ...]:
    return project.id, project.name, project.timezone, project.created_at, project.is_active


def test_a_project_is_read_as_it_was_added(store: Store) -> None:
    added = Project("shop", "The shop", "Europe/Berlin", datetime(2026, 3, 1, 12, 30, 15, 250), is_active=False)
    add_project(store, added)
    assert [fields(project) for project in list_projects(store)] == [
        ("shop", "The shop", "Europe/Berlin", datetime(2026, 3, 1, 12, 30, 15, 250), False)
    ]


def test_an_id_is_enough_for_a_project(store: Store) -> None:
    before = utc_now()
    add_project(store, Project("shop"))
    [project] = list_projects(store)
    assert (project.name, project.timezone, project.is_active) == ("shop", "UTC", True)
    assert before <= project.created_at <= utc_now()


def test_a_time_with_a_zone_is_kept_in_utc(store: Store) -> None:
    add_project(store, Project("shop", created_at=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2)))))
    assert list_projects(store)[0].created_at == datetime(2026, 2, 28, 23)
    assert Project("app", created_at=datetime(2026, 3, 1, tzinfo=UTC)).created_at == datetime(2026, 3, 1)


def test_ensuring_projects_adds_the_missing_and_leaves_the_others(store: Store) -> None:
    assert ensure_projects(store, [Project("b", "first"), Project("a")]) == ["a", "b"]
    assert ensure_projects(store, [Project("b", "second"), Project("c"), Project("c")]) == ["c"]
    assert ensure_projects(store, []) == []
    assert [(project.id, project.name) for project in list_projects(store)] == [("a", "a"), ("b", "first"), ("c", "c")]


def test_adding_a_project_twice_is_refused_by_its_id(store: Store) -> None:
    add_project(store, Project("shop", "first"))
    with pytest.raises(FieldError, match="project id 'shop' exists already"):
        add_project(store, Project("shop", "second"))
    assert list_projects(store)[0].name == "first"


def test_ids_can_be_any_text_and_sort_the_same_on_every_database(store: Store) -> None:
    ids = [*HOSTILE, "Zebra", "ant", "Ähre"]
    ensure_projects(store, (Project(id) for id in ids))
    assert [project.id for project in list_projects(store)] == sorted(ids)


def test_a_session_that_raises_is_rolled_back(store: Store) -> None:
    with pytest.raises(RuntimeError, match="stop"), store.session() as session:
        session.add(Project("shop"))
        session.flush()
        raise RuntimeError("stop")
    assert list_projects(store) == []


def test_a_change_is_validated_like_a_new_project(store: Store) -> None:
    add_project(store, Project("shop"))
    with pytest.raises(FieldError, match="project timezone"), store.session() as session:
        session.get_one(Project, "shop").timezone = "Berlin"
    assert list_projects(store)[0].timezone == "UTC"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": ""}, "project id '' must be a text of 1 to 200 characters"),
        ({"id": "x" * 201}, "project id .* must be a text of 1 to 200 characters"),
        ({"id": None}, "project id None must be a text"),
        ({"id": "a\0b"}, "project id .* must not hold a NUL"),
        ({"id": "\ud83d"}, "project id .* lone surrogate"),
        ({"name": ""}, "project name '' must be a text of 1 to 200 characters"),
        ({"timezone": "Berlin"}, "project timezone 'Berlin' is not an IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "project timezone .* is not an IANA time zone"),
        ({"timezone": None}, "project timezone None is not an IANA time zone"),
        ({"created_at": "2026-01-01"}, "project created_at .* must be a time"),
        ({"is_active": "no"}, "project is_active 'no' must be true or false"),
    ],
)
def test_invalid_values_are_refused_with_the_field(values: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"id": "shop", **values}
    with pytest.raises(FieldError, match=message):
        Project(**arguments)


def start_and_write(rank: int, url: str, warehouse: str) -> None:
    """Run by each of several processes on an empty database: a first start, then separate and shared writes."""
    if rank == 0:
        Catalog(url, warehouse, TABLES).snapshot("events")  # creates its tables in the same database
    store = open_store(url)
    for number in range(PROJECTS):
        ensure_projects(store, [Project(f"shared-{number}"), Project(f"own-{rank}-{number}")])
        assert any(project.id == f"own-{rank}-{number}" for project in list_projects(store))


def test_processes_can_start_and_write_concurrently_on_an_empty_database(database_url: str, tmp_path: Path) -> None:
    run_at_once(start_and_write, database_url, (tmp_path / "warehouse").as_uri(), processes=PROCESSES)
    expected = {f"shared-{number}" for number in range(PROJECTS)}
    expected |= {f"own-{rank}-{number}" for rank in range(PROCESSES) for number in range(PROJECTS)}
    assert {project.id for project in list_projects(open_store(database_url))} == expected
