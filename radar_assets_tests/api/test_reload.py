"""The UI reloads definitions when the home's first day moves back."""

import json
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from radar_assets.api import reload
from radar_assets.api.server import ui_of
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.first_day import begin_by
from radar_assets.windows import utc_now
from radar_assets_tests.api.conftest import PATIENCE_S, UI, listening, workspace_of

QUERY = """
{ assetNodeOrError(assetKey: {path: ["dated"]}) { ... on AssetNode { partitionKeysByDimension { partitionKeys } } } }
"""


def partitions(ui: UI) -> list[str]:
    """The partitions that the UI knows of the asset."""
    body = json.dumps({"query": QUERY})
    _, _, text = ui.request("POST", "/graphql", body, {"Content-Type": "application/json"})
    node = json.loads(text)["data"]["assetNodeOrError"]
    return node["partitionKeysByDimension"][0]["partitionKeys"] if node else []


def test_partitions_start_earlier_soon_after_older_data_has_landed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LOOK_EVERY_S", 0.2)
    store = open_store(settings.database)
    today = utc_now().date()
    with (
        ui_of(settings, workspace_of(tmp_path, "radar_assets_tests.dated_assets")) as app,
        dg.DagsterInstance.ephemeral() as instance,
        listening(app, UI(instance, "")) as ui,
    ):
        assert partitions(ui)[0] == str(today)
        begin_by(store, today - timedelta(days=2))
        deadline = time.monotonic() + PATIENCE_S
        while (found := partitions(ui))[0] == str(today) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert found[:3] == [str(today - timedelta(days=place)) for place in (2, 1, 0)]
