"""`radar channels` lists and tests channels, without showing secrets."""

import pytest

from radar_assets.cli import main
from radar_assets.messaging.channels import parse_channel
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Channel
from radar_assets_tests.messaging.channels.servers import KEY, serving, status


def apply(settings: Settings, *specs: dict) -> None:
    store = open_store(settings.database)
    with store.session() as session:
        for index, spec in enumerate(specs):
            channel = parse_channel(spec, ("127.0.0.1",))
            session.add(Channel(name=channel.name, position=index, spec=channel.model_dump(mode="json")))
    store.close()


def test_channels_are_listed_and_tested(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RADAR_ALLOWED_HOSTS", "10.0.0.0/8, 127.0.0.1")
    with serving() as server:
        url = f"http://127.0.0.1:{server.port}/CANARY"
        apply(
            settings,
            {"type": "webhook", "name": "hook", "url": url, "secrets": [KEY]},
            {"type": "slack", "name": "team", "token": "T0000AAAA/B0000BBBB/CANARYcanary"},
            {"type": "email", "name": "mail", "to": ["ann@shop.example"]},
        )
        assert run("list") == 0
        assert run("test", "hook") == 0
        server.answer(status(410))
        assert run("test", "hook") == 1
        assert run("test", "mail") == 1
        assert run("test", "none") == 2
    shown, said = capsys.readouterr()
    for word in ("hook", "team", "slack", "127.0.0.1", "ann@shop.example", "Sent to hook: 127.0.0.1 has accepted it."):
        assert word in shown
    for word in ("127.0.0.1 answered 410", "set RADAR_SMTP_URL", "'none' is unknown"):
        assert word in said
    assert "CANARY" not in shown + said
    assert b"alert.test" in server.requests[0].body


def test_without_channels_it_says_how_to_declare_one(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert "radar apply" in capsys.readouterr().out


def run(*arguments: str) -> int:
    """Run the command. Returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["channels", *arguments])
    return int(ended.value.code or 0)
