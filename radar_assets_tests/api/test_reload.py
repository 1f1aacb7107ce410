"""The UI reloads definitions when partitions have to start earlier or end later."""

import json
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from radar_assets.access.projects import ensure_projects
from radar_assets.api import reload
from radar_assets.api.server import dagster_ui, loaded_workspace
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.first_day import begin_by
from radar_assets.store.models import Project
from radar_assets.windows import DAY, utc_now
from radar_assets_tests.api.conftest import UI, listening, workspace_of
from radar_assets_tests.patience import eventually

QUERY = """
{ assetNodeOrError(assetKey: {path: ["dated"]}) { ... on AssetNode { partitionKeysByDimension { partitionKeys } } } }
"""


def partitions(ui: UI) -> list[str]:
    """The partitions that the UI knows of the asset."""
    body = json.dumps({"query": QUERY})
    _, _, text = ui.request("POST", "/graphql", body, {"Content-Type": "application/json"})
    node = json.loads(text)["data"]["assetNodeOrError"]
    return node["partitionKeysByDimension"][0]["partitionKeys"] if node else []


def test_partitions_start_earlier_and_end_later_soon_after_data_or_projects_need_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LOOK_EVERY_S", 0.2)
    store = open_store(settings.database)
    today = utc_now().date()
    with (
        loaded_workspace(settings, workspace_of(tmp_path, "radar_assets_tests.dated_assets")) as workspace,
        dg.DagsterInstance.ephemeral() as instance,
        listening(dagster_ui(workspace), UI(instance, "")) as ui,
    ):
        assert partitions(ui) == days_of(today, 0, 0)
        begin_by(store, today - 2 * DAY)
        assert eventually(lambda: partitions(ui) == days_of(today, -2, 0))
        # Tomorrow begins earlier in Auckland, and the first hours of the first day belong to the day before in Honolulu.
        ensure_projects(store, [Project("kiwi", timezone="Pacific/Auckland")])
        assert eventually(lambda: partitions(ui) == days_of(today, -2, 1))
        ensure_projects(store, [Project("aloha", timezone="Pacific/Honolulu")])
        assert eventually(lambda: partitions(ui) == days_of(today, -3, 1))


def days_of(today: date, first: int, last: int) -> list[str]:
    """Keys of days, by their distance from today."""
    return [str(today + place * DAY) for place in range(first, last + 1)]
