"""`radar project`."""

from radar_assets_tests.cli.conftest import Radar, cells


def test_an_added_project_is_listed(radar: Radar) -> None:
    assert "No projects yet" in radar("project list").out
    assert radar("project add shop --name 'The Shop' --timezone Europe/Berlin").code == 0
    assert radar("project add '[b]\x1b[31m' --any-id").code == 0
    out = radar("project list").out
    assert cells(out)["shop"][:2] == ["The Shop", "Europe/Berlin"]
    assert "[b]\\x1b[31m" in out


def test_an_invalid_project_is_refused(radar: Radar) -> None:
    assert radar("project add shop").code == 0
    again = radar("project add shop")
    assert (again.code, again.err) == (2, "radar: project id 'shop' exists already\n")
    nowhere = radar("project add other --timezone Mars/Base")
    assert nowhere.code == 2
    assert "Europe/Berlin" in nowhere.err


def test_an_id_that_is_hard_to_repeat_is_refused_with_a_better_one(radar: Radar) -> None:
    run = radar("project add 'Bad Name!'")
    assert (run.code, run.out) == (2, "")
    assert "use e.g. radar project add bad-name --name 'Bad Name!'" in run.err
    assert radar("project add bad-name --name 'Bad Name!'").code == 0
    assert radar("project add '!!!'").err.endswith("commands; --any-id accepts it\n")
    assert radar("project add 'Bad Name!' --any-id").code == 0, "senders may use it already"
    assert [*cells(radar("project list").out)][1:] == ["Bad Name!", "bad-name"]
