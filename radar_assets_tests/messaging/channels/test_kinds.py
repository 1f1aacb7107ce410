"""A kind of channel is one module: once added to the package, it can be declared and used."""

import subprocess
import sys
from pathlib import Path

from radar_assets_tests.messaging.channels.servers import Server, status

PAGER = """
from typing import Any, Literal

from radar_assets.messaging.chat.base import HostedChat, Token
from radar_assets.messaging.message import Message


class Pager(HostedChat):
    plugin = ("gotify", "NotifyGotify")
    type: Literal["pager"]
    token: Token

    def options(self, message: Message) -> dict[str, Any]:
        return {**self.endpoint(), "token": self.token.get_secret_value()}
"""
SEND = """
import importlib.util, sys
from pathlib import Path

# As if the module were a file of the package.
name = "radar_assets.messaging.channels"
spec = importlib.util.find_spec(name)
spec.submodule_search_locations.append(sys.argv[1])
sys.modules[name] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)

from radar_assets.alerts.rendering import trial_message
from radar_assets.config import load_config
from radar_assets.messaging.channel import Transport
from radar_assets.windows import utc_now

(channel,) = load_config(Path(sys.argv[2]), allowed_hosts=["127.0.0.1"]).channels
channel.send(trial_message(utc_now()), Transport(["127.0.0.1"]))
print(channel.type_name(), channel.where)
"""


def test_a_chat_is_added_with_one_module(server: Server, tmp_path: Path) -> None:
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "pager.py").write_text(PAGER)
    config = tmp_path / "radar.yaml"
    fields = f"type: pager, name: on-call, host: 127.0.0.1, port: {server.port}, tls: false, token: AbcdefgHijkl"
    config.write_text(f"channels: [{{{fields}}}]\n")
    server.answer(status(200, b"{}"))
    command = [sys.executable, "-c", SEND, str(tmp_path / "kinds"), str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "pager 127.0.0.1\n", done.stderr
    assert b"nothing is wrong" in server.requests[0].body
