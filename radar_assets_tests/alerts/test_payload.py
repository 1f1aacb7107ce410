"""The body of a webhook about alerts matches the schema that the package ships."""

import json
from datetime import timedelta
from importlib import resources

import jsonschema
import pytest

from radar_assets.alerts.payload import schema
from radar_assets.messaging.channels.webhook import Body
from radar_assets_tests.messaging.channels.servers import NOON, message, notice

SHIPPED = json.loads((resources.files("radar_assets.alerts") / "webhook.schema.json").read_text())


@pytest.mark.parametrize(
    "notices",
    [
        [notice()],
        [notice(reason="recovered", ended_at=NOON + timedelta(hours=3))],
        [notice(reason="fired_and_recovered", ended_at=NOON + timedelta(hours=3), ended_value=0.02)],
        [notice(reason="no_data", no_data_since=NOON + timedelta(hours=3))],
        [
            notice(
                reason="ended_without_data", ended_at=NOON + timedelta(hours=3), no_data_since=NOON + timedelta(hours=3)
            )
        ],
        [notice(reason="still_firing", value=None, usual=None, check_url=None)],
        [notice(reason="test")],
        [
            notice(
                project_id="", project_name="", metric=None, unit=None, value=None, text="a run failed", subject="1f2e"
            )
        ],
        [notice(operator="change_pct", baseline=0.02), notice(severity="low")],
    ],
)
def test_a_body_matches_the_schema(notices: list) -> None:
    body = json.loads(Body.of(message(*notices)).model_dump_json())
    jsonschema.Draft202012Validator(SHIPPED, format_checker=jsonschema.FormatChecker()).validate(body)
    assert body["type"] == ("alerts.digest" if len(notices) > 1 else f"alert.{notices[0].reason}")
    assert body["data"]["alerts"][0]["started_at"] == "2026-05-12T12:00:00Z"


def test_the_shipped_schema_matches_the_model() -> None:
    """Written with `json.dumps(schema(), indent=2)`."""
    assert schema() == SHIPPED
    jsonschema.Draft202012Validator.check_schema(SHIPPED)
