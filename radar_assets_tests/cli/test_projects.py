"""`radar project`."""

from radar_assets_tests.cli.conftest import Radar


def test_an_added_project_is_listed(radar: Radar) -> None:
    assert "No projects yet" in radar("project list").out
    assert radar("project add shop --name 'The Shop' --timezone Europe/Berlin").code == 0
    assert radar("project add '[b]\x1b[31m'").code == 0
    out = radar("project list").out
    row = next(line for line in out.splitlines() if "shop" in line)
    assert [cell.strip() for cell in row.split("│")][:3] == ["shop", "The Shop", "Europe/Berlin"]
    assert "[b]\\x1b[31m" in out


def test_an_invalid_project_is_refused(radar: Radar) -> None:
    assert radar("project add shop").code == 0
    again = radar("project add shop")
    assert (again.code, again.err) == (1, "radar: project id 'shop' exists already\n")
    nowhere = radar("project add other --timezone Mars/Base")
    assert nowhere.code == 1
    assert "Europe/Berlin" in nowhere.err
