"""`radar key` and `radar collect`: keys are shown exactly once, and problems are reported before anything listens."""

import socket

from radar_assets.access.keys import hash_key, read_grants
from radar_assets.settings import Settings
from radar_assets.store.database import Store, open_store
from radar_assets_tests.cli.conftest import Radar


def grants(settings: Settings) -> dict[str, tuple[str, str]]:
    """The grants of all valid keys, by hash."""
    store: Store = open_store(settings.database)
    try:
        return {digest: (grant.project_id, grant.kind) for digest, grant in read_grants(store).items()}
    finally:
        store.close()


def test_a_key_is_printed_alone_and_stored_as_a_hash(radar: Radar, settings: Settings) -> None:
    radar("project add shop")
    run = radar("key create shop")
    key = run.out.strip()
    assert run.code == 0
    assert (run.out, run.err) == (f"{key}\n", ""), "nothing announces a key that goes into a variable"
    assert grants(settings) == {hash_key(key): ("shop", "write")}
    listed = radar("key list").out
    assert "shop" in listed
    assert key not in listed
    for path in settings.home.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()


def test_in_a_terminal_a_key_is_announced(terminal: Radar, settings: Settings) -> None:
    terminal("project add shop")
    assert terminal("key create shop").out.startswith("New write key of shop, not shown again:\n")


def test_a_key_is_revoked_by_its_id_or_by_itself(radar: Radar, settings: Settings) -> None:
    radar("project add shop")
    first = radar("key create shop").out.strip()
    listed = next(line for line in radar("key list").out.splitlines() if "shop" in line)
    second = radar("key create shop --kind read --origin https://shop.example").out.strip()
    assert grants(settings)[hash_key(second)] == ("shop", "read")
    assert radar(f"key revoke {listed.split()[0]}").code == 0
    assert set(grants(settings)) == {hash_key(second)}
    run = radar(f"key revoke {second}")
    assert run.code == 0
    assert second not in run.out + run.err
    assert grants(settings) == {}
    assert radar(f"key revoke {first}").code == 2
    assert "https://shop.example" in radar("key list").out


def test_a_chosen_key_is_unique_until_it_is_revoked(radar: Radar, settings: Settings) -> None:
    radar("project add shop")
    radar("project add blog")
    assert radar("key create shop --value shop.example").out == "shop.example\n"
    taken = radar("key create blog --value shop.example")
    assert taken.code == 2
    assert "in use" in taken.err
    assert "shop'" not in taken.err
    radar("key revoke shop.example")
    assert radar("key create blog --value shop.example").code == 0
    assert grants(settings) == {hash_key("shop.example"): ("blog", "write")}


def test_an_invalid_key_is_reported_with_its_field(radar: Radar) -> None:
    radar("project add shop")
    for command, problem in {
        "key create nowhere": "project id 'nowhere' is unknown",
        "key create shop --origin shop.example": "origin 'shop.example' is not a web origin",
        "key create shop --value 'a b'": "key value 'a b' must be 1 to 200",
        "key revoke nothing": "radar key list",
        "project limit nowhere": "project id 'nowhere' is unknown",
        "project limit shop --events-per-second 0": "events_per_second 0 must be a whole number above zero",
    }.items():
        run = radar(command)
        assert (run.code, problem in run.err) == (2, True), run


def test_the_latest_limits_of_a_project_apply(radar: Radar, settings: Settings) -> None:
    radar("project add shop --events-per-second 100")
    key = radar("key create shop").out.strip()
    radar("project limit shop --events-per-month 1000")
    store = open_store(settings.database)
    grant = read_grants(store)[hash_key(key)]
    store.close()
    assert (grant.events_per_second, grant.events_per_month) == (None, 1000)


def test_a_port_in_use_is_reported_before_anything_starts(radar: Radar) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = radar(f"collect --port {taken.getsockname()[1]}")
    assert run.code == 1
    assert "--port" in run.err
    assert len(run.err.splitlines()) == 1
