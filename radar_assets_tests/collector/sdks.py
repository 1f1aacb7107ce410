"""Applications with unmodified SDKs of other systems. Each sends the same visit, as far as its SDK can express it."""

# Snowplow's package doesn't mark its public names.
# pyright: reportPrivateImportUsage=false

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from radar_assets_tests.programs import find_program

NODE = Path(__file__).parent / "node"
VISIT = {"url": "https://shop.example/basket?utm_source=news", "title": "Basket"}
ORDER = {"order_id": "7", "revenue": 14.99}
PATIENCE_S = 120

Sdk = Callable[[str, str], None]
"""Sends a visit to a URL with a key. Returns when it is delivered."""


def segment_python(url: str, key: str) -> None:
    from segment.analytics.client import Client

    _send_visit(Client(key, host=url, on_error=_fail, gzip=True))


def rudder_python(url: str, key: str) -> None:
    from rudderstack.analytics.client import Client

    _send_visit(Client(key, host=url, on_error=_fail, gzip=True))


def _send_visit(client: Any) -> None:
    """Send the visit with a client of Segment or of RudderStack, whose SDK is derived from Segment's."""
    client.identify("ann", {"plan": "pro"})
    client.page("ann", name="Basket", category="Shop", properties=VISIT)
    client.screen("ann", name="Start")
    client.track("ann", "Order Completed", ORDER)
    client.group("ann", "acme", {"size": 3})
    client.alias("a-1", "ann")
    client.flush()
    client.join()


def posthog_python(url: str, key: str) -> None:
    from posthog import Posthog

    client = Posthog(key, host=url, on_error=_fail, gzip=True)
    page = {"$current_url": VISIT["url"], "title": VISIT["title"], "$session_id": "s-1"}
    client.capture("$pageview", distinct_id="ann", properties=page)
    client.capture("Order Completed", distinct_id="ann", properties=ORDER)
    client.set(distinct_id="ann", properties={"plan": "pro"})
    client.group_identify("company", "acme", {"size": 3})
    client.alias("a-1", "ann")
    assert not client.feature_enabled("new-basket", "ann", send_feature_flag_events=False)
    client.shutdown()


def snowplow_python(url: str, key: str, method: str = "post") -> None:
    from snowplow_tracker import (
        Emitter,
        PagePing,
        PageView,
        SelfDescribing,
        SelfDescribingJson,
        StructuredEvent,
        Subject,
        Tracker,
    )

    subject = Subject().set_user_id("ann").set_domain_user_id("a-1").set_domain_session_id("s-1")
    host, port = url.removeprefix("http://").split(":")
    failed: list[object] = []
    emitter = Emitter(
        host,
        protocol="http",
        port=int(port),
        method=method,  # pyright: ignore[reportArgumentType]
        on_failure=lambda _sent, events: failed.extend(events),
    )
    tracker = Tracker("python", emitter, subject, key, encode_base64=method == "post")
    order = SelfDescribingJson("iglu:com.example/order_completed/jsonschema/1-0-0", dict(ORDER))
    tracker.track(PageView(VISIT["url"], VISIT["title"], "https://www.google.com/"))
    tracker.track(PagePing(VISIT["url"], VISIT["title"], max_y=900))
    tracker.track(StructuredEvent("shop", "add", value=2))
    tracker.track(SelfDescribing(order))
    tracker.flush()
    assert not failed


def snowplow_python_pixel(url: str, key: str) -> None:
    snowplow_python(url, key, method="get")


def node(sdk: str) -> Sdk:
    """An application of Node; see `node/send.js`."""

    def send(url: str, key: str) -> None:
        run = subprocess.run(
            ["node", str(NODE / "send.js"), sdk, url, key],
            env={**os.environ, "NODE_PATH": str(_node_modules())},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert run.returncode == 0, run.stderr

    return send


def _node_modules() -> Path:
    """The SDKs that the lock file names, installed once in the user's cache."""
    find_program("node", "nodejs", "the SDKs for Node")
    npm = find_program("npm", "npm", "the SDKs for Node")
    digest = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radar-sdks"
    folder = cache / digest
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{digest}.lock", timeout=PATIENCE_S):
        if not (folder / "ready").exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(NODE / name, folder)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
            (folder / "ready").touch()
    return folder / "node_modules"


def _fail(error: Exception, _events: object) -> None:
    raise AssertionError(error)


SDKS: dict[str, Sdk] = {
    "segment-python": segment_python,
    "segment-node": node("segment"),
    "rudder-python": rudder_python,
    "rudder-node": node("rudder"),
    "posthog-python": posthog_python,
    "posthog-node": node("posthog"),
    "snowplow-python": snowplow_python,
    "snowplow-python-pixel": snowplow_python_pixel,
    "snowplow-node": node("snowplow"),
    "umami-node": node("umami"),
}
