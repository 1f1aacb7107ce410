"""Traces reach a collector: from a request through a run to its messages under one id. Without a collector, nothing is imported."""

import json
import logging
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from radar_assets import tracing
from radar_assets.access.roles import Role
from radar_assets.access.tokens import create_token
from radar_assets.collector.telemetry import JsonFormatter
from radar_assets.config import apply_config, load_config
from radar_assets.orchestration.runtime.traced_executor import traced_executor
from radar_assets.settings import Settings, load_settings
from radar_assets.windows import HOUR, Window, hour_key, utc_now
from radar_assets_tests.cli.test_serve import serves, serving
from radar_assets_tests.collector.conftest import serving as collecting_events
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.otlp import Traces, collecting
from radar_assets_tests.patience import eventually
from radar_assets_tests.platform import Platform, event
from radar_assets_tests.processes import free_port

RADAR = {"module_name": "radar_assets.definitions"}
NOTHING_IMPORTED = """
import sys
from radar_assets import tracing
from radar_assets.collector.app import make_app
from radar_assets.definitions import build_defs
from radar_assets.settings import load_settings
build_defs(load_settings().prepare())
with tracing.span("any"):
    assert tracing.traceparent() is None
tracing.flush()
print([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
"""


@dg.op
def breaks() -> None:
    raise RuntimeError("broken")


@dg.job(executor_def=traced_executor)
def broken_job() -> None:
    breaks()


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """A collector that this process and those it starts export to."""
    factory = logging.getLogRecordFactory()
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        tracing._provider.cache_clear()
        yield found
        tracing._provider(os.getpid()).shutdown()
        tracing._provider.cache_clear()
    logging.setLogRecordFactory(factory)


def test_a_request_its_run_and_the_messages_about_it_have_one_trace(
    settings: Settings, traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_ALLOWED_HOSTS", "127.0.0.1")
    hour = Window.of_hour(utc_now()).start - HOUR
    port, trace = free_port(), secrets.token_hex(16)
    with endpoint() as hook, monitored_instance(settings) as instance:
        settings.config_file.write_text(
            f"channels:\n  - {{name: hook, type: webhook, url: '{hook.url}', secrets: [whsec_{'c2Vj' * 8}]}}\n"
            "rules:\n  - {name: some_events, metric: events, operator: gte, threshold: 1, channels: [hook]}\n"
        )
        platform = Platform(load_settings(), instance)
        apply_config(platform.store, load_config(settings.config_file, allowed_hosts=("127.0.0.1",)))
        platform.land(hour, [event("1", hour + timedelta(minutes=5))], "a")
        token, _ = create_token(platform.store, "test", Role.OPERATOR, None, created_by="test")
        with serving(port) as server, daemon(instance, tmp_path, [RADAR]):
            serves(server, port)
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/jobs/hourly_job/runs",
                json.dumps({"partition": hour_key(hour)}).encode(),
                {
                    "Authorization": f"Bearer {token}",
                    "Content-Type": "application/json",
                    "traceparent": f"00-{trace}-{'1' * 16}-01",
                },
            )
            with urllib.request.urlopen(request) as response:
                assert response.headers["X-Trace-Id"] == trace
            eventually(lambda: {"run hourly_job", "deliver message"} <= traces.of(trace).keys())
    found = traces.of(trace)
    (served,) = found["POST /v1/jobs"]
    (run,) = found["run hourly_job"]
    steps = {span.name: span for name, spans in found.items() if name.startswith("step ") for span in spans}
    assert served.parent == "1" * 16
    assert served.attributes["http.response.status_code"] in (201, 202)
    assert run.parent == served.id
    assert run.attributes["dagster.partition"] == hour_key(hour)
    assert {span.parent for span in steps.values()} == {run.id}
    assert "step raw_events" in steps
    commits = {name.removeprefix("commit "): spans[0] for name, spans in found.items() if name.startswith("commit ")}
    assert {"raw_events", "events", "hourly_metrics"} <= commits.keys()
    assert commits["events"].parent == steps["step events"].id
    (delivered,) = found["deliver message"]
    assert delivered.parent in {span.id for span in steps.values()}
    assert not [span for spans in found.values() for span in spans if span.is_failed]
    assert [body["data"]["alerts"][0]["rule"] for _, body in hook.received] == ["some_events"]
    assert {head["traceparent"].split("-")[1] for head in hook.headers} == {trace}


def test_a_run_whose_step_fails_has_failed_spans(traces: Traces, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = dg.execute_job(dg.reconstructable(broken_job), instance, raise_on_error=False)
        assert not result.success
    eventually(lambda: any(span.name == "run broken_job" for span in traces.spans))
    failed = {span.name: span.is_failed for span in traces.spans}
    assert failed == {"step breaks": True, "run broken_job": True}


def test_a_request_to_the_collector_has_a_span_and_its_log_lines_the_same_id(
    settings: Settings, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    trace = secrets.token_hex(16)
    lines: list[dict[str, str]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter().format(record)))

    handler = Lines()
    logging.getLogger("radar.requests").addHandler(handler)
    try:
        with collecting_events(settings) as collector:
            headers = {"traceparent": f"00-{trace}-{'1' * 16}-01", "Authorization": "Bearer unknown"}
            request = urllib.request.Request(f"http://127.0.0.1:{collector.port}/v1/events", b"{}", headers)
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(request)
    finally:
        logging.getLogger("radar.requests").removeHandler(handler)
    assert (error.value.code, error.value.headers["X-Trace-Id"]) == (401, trace)
    assert [line["trace_id"] for line in lines] == [trace]
    eventually(lambda: "POST /v1/events" in traces.of(trace))
    (span,) = traces.of(trace)["POST /v1/events"]
    assert (span.parent, span.attributes["http.response.status_code"]) == ("1" * 16, 401)


@pytest.mark.parametrize("parent", ["", "00-zz-1-01", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_an_invalid_traceparent_begins_a_new_trace(traces: Traces, parent: str) -> None:
    with tracing.span("any", parent=parent):
        assert len(tracing.trace_id()) == 32
        assert set(tracing.trace_id()) != {"0"}


def test_log_records_end_with_the_trace(traces: Traces, caplog: pytest.LogCaptureFixture) -> None:
    tracing.name_trace_in_logs()
    tracing.name_trace_in_logs()
    with caplog.at_level(logging.INFO), tracing.span("any"):
        logging.getLogger("test").info("100%% of %s", "it")
        trace = tracing.trace_id()
    logging.getLogger("test").warning("outside")
    assert [record.getMessage() for record in caplog.records if record.name == "test"] == [
        f"100% of it trace_id={trace}",
        "outside",
    ]


def test_without_a_collector_nothing_is_imported_or_sent(settings: Settings) -> None:
    assert not tracing.is_on()
    command = [sys.executable, "-c", NOTHING_IMPORTED]
    environment = {**os.environ, "RADAR_HOME": str(settings.home)}
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_a_collector_that_is_down_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    tracing._provider.cache_clear()
    try:
        with tracing.span("any"), pytest.raises(ValueError, match="ours"), tracing.span("inner"):
            raise ValueError("ours")
        tracing.flush()
    finally:
        tracing._provider(os.getpid()).shutdown()
        tracing._provider.cache_clear()
