"""The simulated projects."""

from zoneinfo import ZoneInfo

import pytest

from radar_assets.simulator.projects import simulated_projects


def test_projects_have_unique_ids_names_and_real_time_zones():
    projects = simulated_projects(200)
    assert len({project.id for project in projects}) == 200
    assert len({project.name for project in projects}) == 200
    for project in projects:
        assert ZoneInfo(project.timezone)
        assert project.id.replace("-", "").isalnum()
        assert project.host == f"{project.id}.example"


def test_the_first_projects_are_in_time_zones_of_every_kind():
    zones = [project.timezone for project in simulated_projects(6)]
    assert zones[:3] == ["Europe/Berlin", "America/New_York", "Pacific/Auckland"]
    assert set(zones[3:]) == {"Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Honolulu"}


def test_longer_lists_start_with_the_same_projects():
    assert simulated_projects(50)[:3] == simulated_projects(3)
    assert [project.id for project in simulated_projects(3)] == ["lumen-shop", "harbor-crm", "pico-games"]


def test_projects_get_smaller():
    sizes = [project.size for project in simulated_projects(20)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 20 * sizes[-1]


def test_zero_projects_are_refused():
    with pytest.raises(ValueError, match="projects=0"):
        simulated_projects(0)
