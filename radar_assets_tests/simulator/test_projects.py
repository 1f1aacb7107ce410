"""The simulated projects."""

from zoneinfo import ZoneInfo

import pytest

from radar_assets.simulator.projects import simulated_projects


def test_projects_have_ids_of_their_own_names_and_real_time_zones():
    projects = simulated_projects(200)
    assert len({project.id for project in projects}) == 200
    assert len({project.name for project in projects}) == 200
    for project in projects:
        assert ZoneInfo(project.timezone)
        assert project.id.replace("-", "").isalnum()
        assert project.host == f"{project.id}.example"


def test_more_projects_begin_with_the_same_ones():
    assert simulated_projects(50)[:3] == simulated_projects(3)
    assert [project.id for project in simulated_projects(3)] == ["lumen-shop", "harbor-crm", "pico-games"]


def test_projects_get_smaller():
    sizes = [project.size for project in simulated_projects(20)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 20 * sizes[-1]


def test_no_projects_at_all_are_refused():
    with pytest.raises(ValueError, match="projects=0"):
        simulated_projects(0)
