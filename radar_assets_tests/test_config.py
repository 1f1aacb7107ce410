"""The configuration file: its content, and how mistakes are reported."""

from pathlib import Path

import pytest

from radar_assets.config import Config, ConfigError, load_config, load_metrics
from radar_assets.metrics.registry import STANDARD_METRICS, registry


def written(folder: Path, text: str) -> Path:
    path = folder / "radar.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> list[str]:
    """The lines of the error from loading the file, without the path."""
    with pytest.raises(ConfigError) as error:
        load_config(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}") for line in lines)
    return [line.removeprefix(f"{path}:").strip() for line in lines]


def test_custom_metrics_follow_the_standard_ones_in_the_registry(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
        metrics:
          - name: searches
            title: Searches on the site
            expression: count(*) filter (where event = 'search')
            unit: events
            good: up
          - name: pages_in_germany
            source: sessions
            expression: |
              sum(page_views)
                filter (where country = 'DE')
        """,
    )
    searches, pages = load_config(path).metrics
    assert (searches.title, searches.unit, searches.good) == ("Searches on the site", "events", "up")
    assert (searches.source, searches.grains) == ("events", ("hour", "day"))
    assert (pages.title, pages.grains) == ("Pages in germany", ("day",))
    assert "filter (where country = 'DE')" in pages.description
    assert registry([searches, pages]) == (*STANDARD_METRICS, searches, pages)


def test_a_missing_or_empty_file_configures_nothing(tmp_path: Path) -> None:
    assert load_config(tmp_path / "radar.yaml") == Config()
    assert load_config(written(tmp_path, "")) == Config()
    assert load_config(written(tmp_path, "# nothing yet\n")) == Config()
    assert load_config(written(tmp_path, "metrics: []\n")) == Config()


def test_a_file_named_by_the_user_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"radar\.yaml: file not found; radar init writes one"):
        load_config(tmp_path / "radar.yaml", required=True)


def test_each_mistake_is_reported_with_line_field_and_metric(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
metrics:
  - name: searches
    expression: count(*) filter (where event = 'search')
  - name: Bad Name
    expression: |
      count(*)
        filter (where evnt = 'x')
  - name: searches
    expression: sum(revenue
    good: sideways
  - title: Without a name
    expression: count(*)
    colour: red
  - name: events
    expression: yes
    source: clicks
  - 5
alarms: []
""",
    )
    assert mistakes(path) == [
        "4: metric Bad Name: name: invalid metric name 'Bad Name'; use snake_case, e.g. monthly_searches",
        "5: metric Bad Name: expression: line 2, column 17: unknown column evnt in events; did you mean event?",
        "8: metric searches: name: metric name searches is already in use",
        "9: metric searches: expression: line 1, column 5: expecting )",
        '10: metric searches: good: "sideways" is not valid; use one of up, down',
        '11: metrics[3]: required field "name" is missing',
        '13: metrics[3]: unknown field "colour"; known fields: '
        "name, source, expression, title, description, unit, good",
        "14: metric events: name: metric name events is already in use",
        '16: metric events: "clicks" is not a source; use one of events, sessions',
        "15: metric events: expression: must be text; put the value in quotes",
        "17: metrics[5]: must be a mapping of fields to values",
        '18: unknown field "alarms"; known fields: pages, internal_traffic, event_names, metrics, channels, rules, health',
    ]


@pytest.mark.parametrize(
    "name", ["revenue", "project_id", "hour", "date", "x; drop", "a__b", "_a", "1a", "é", "a" * 61]
)
def test_taken_and_invalid_names_are_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"metrics:\n- name: '{name}'\n  expression: count(*)\n")
    [mistake] = mistakes(path)
    assert mistake.startswith(f"2: metric {name}: name: ")


@pytest.mark.parametrize(
    "text, mistake",
    [
        ("metrics: [", "1: invalid YAML"),
        ("metrics:\n\t- x", "2: invalid YAML"),
        ("metrics: []\nmetrics: []\n", '2: duplicate key "metrics"'),
        ("metrics:\n- name: a\n  expression: count(*)\n  name: b\n", '4: duplicate key "name"'),
        ("- 1", "1: must be a mapping of fields to values"),
        ("metrics: 5", "1: metrics: must be a list"),
        ("&a [*a]", "1: must be a mapping of fields to values"),
        ("--- 1\n--- 2", "2: invalid YAML"),
        ("metrics: !!python/object/apply:os.system ['true']", "1: invalid YAML"),
        ("? [a]\n: 1", "1: invalid YAML"),
        ("\x00", "invalid YAML"),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(written(tmp_path, text))[0].startswith(mistake)


def test_a_file_that_is_not_text_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "radar.yaml"
    path.write_bytes(b"\xff\xfe")
    assert mistakes(path)[0].startswith("can't read the file: ")
    path.unlink()
    path.mkdir()
    assert mistakes(path)[0].startswith("can't read the file: ")


def test_mistakes_in_rules_and_channels_are_reported_with_their_place(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
metrics:
  - {name: searches, expression: count(*)}
  - {name: visits, source: sessions, expression: count(*)}
channels:
  - {name: hook, type: webhook, url: "http://169.254.169.254/", secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}
  - {name: pigeon, type: pigeon}
rules:
  - {name: a, metric: seaches, operator: gt, threshold: 1}
  - {name: b, metric: searches, operator: above, threshold: 1}
  - {name: c, metric: searches, operator: gt, threshold: "1"}
  - {name: d, metric: searches, operator: gt, threshold: .nan}
  - {name: e, metric: searches, operator: gt, threshold: 1, channels: [nobody]}
  - {name: a, metric: searches, operator: gt, threshold: 1}
  - {name: f, metric: visits, operator: gt, threshold: 1, window: 1h}
  - {name: g, metric: searches, operator: change_pct, threshold: 0}
  - {name: h, metric: searches}
  - {name: i, metric: searches, operator: gt, threshold: yes}
  - {name: j, metric: searches, operator: gt, threshold: 1, projects: shop}
  - {name: k, metric: searches, operator: gt, threshold: 1, renotify_every: often}
  - {name: l, metric: searches, operator: gt, threshold: 1, for: 0}
  - {name: schema_equals_contract, metric: searches, operator: gt, threshold: 1}
  - {name: m, metric: searches, kind: anomaly}
  - {name: n, watch: daemon}
  - {name: o, metric: searches, operator: gt, threshold: 1, treshold: 2}
""",
    )
    found = mistakes(path)
    expected = [
        "5: channel hook: url: ",
        "6: channel pigeon: unknown type \"pigeon\"; use one of 'discord', ",
        "8: rule a: metric: unknown metric seaches; did you mean searches?",
        '9: rule b: "above" is not an operator; use one of gt, ',
        "10: rule c: threshold: not a number",
        "11: rule d: threshold: not a finite number",
        "13: rule a: name: rule name a is already in use",
        "14: rule f: window: visits has daily values only; use 1d",
        "15: rule g: thresholds of change_pct must be all negative (falls) or all positive (rises)",
        "16: rule h: threshold is required",
        "17: rule i: threshold: not a number",
        '18: rule j: projects: must be a list of project ids, or "*" for all projects',
        "19: rule k: renotify_every: invalid duration 'often'; use e.g. 30m, 4h or 2d",
        "20: rule l: for: must be greater than or equal to 1",
        "21: rule schema_equals_contract: name: rule name schema_equals_contract is already in use",
        "22: rule m: kind: anomaly is not supported yet",
        "23: rule n: watch requires kind: error",
        '24: rule o: unknown field "treshold"; did you mean "threshold"?',
    ]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
    assert "whsec_Mf" not in "".join(found)


@pytest.mark.parametrize(
    "text", ["![a](http://evil.example/x.png)", "Look: ![a][b]", "![b]", "<img src=//evil.example>", "<PICTURE >"]
)
def test_images_in_texts_are_refused(tmp_path: Path, text: str) -> None:
    path = written(
        tmp_path,
        f"""\
metrics:
  - {{name: a, expression: count(*), title: "{text}"}}
  - {{name: b, expression: count(*), description: "{text}"}}
  - {{name: c, expression: count(*), unit: "{text}"}}
  - {{name: d, expression: "count(*) filter (where event = '`![a](//evil.example)`')"}}
rules:
  - {{name: e, metric: events, threshold: 1, description: "{text}"}}
  - {{name: f, metric: events, threshold: 1, description: "Wow! [The runbook](https://shop.example) says <5"}}
""",
    )
    says = "contains an image, which every reader's browser would load; link to it instead"
    assert mistakes(path) == [
        f"2: metric a: title: {says}",
        f"3: metric b: description: {says}",
        f"4: metric c: unit: {says}",
        f"7: rule e: description: {says}",
    ]


def test_an_undeclared_channel_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "rules:\n- {name: e, metric: events, operator: gt, threshold: 1, channels: [nobody]}\n")
    assert mistakes(path) == ["2: rule e: channels: unknown channel nobody; declare it under channels"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rule: []", '1: unknown field "rule"; did you mean "rules"?'),
        (
            "channels:\n- {name: a, type: email, too: [team@shop.example], to: [team@shop.example]}",
            '2: channel a: unknown field "too"; did you mean "to"?',
        ),
        (
            "channels:\n- {name: a, type: slack, token: T0/B0/abcdefgh, webhook_id: 12345}",
            '2: channel a: unknown field "webhook_id"; known fields: name, type, token',
        ),
        (
            "rules:\n- {name: a, metric: events, threshold: 1, overrides: {shop: {treshold: 2}}}",
            '2: rule a: overrides.shop: unknown field "treshold"; did you mean "threshold"?',
        ),
        (
            "rules:\n- {name: a, metric: events, threshold: 1, quiet_hours: {from: '1:00', start: '1:00', end: '2:00'}}",
            '2: rule a: quiet_hours: unknown field "from"; known fields: start, end, timezone',
        ),
        (
            "rules:\n- {name: a, metric: events, threshold: 1, four: 2}",
            '2: rule a: unknown field "four"; did you mean "for"?',
        ),
    ],
)
def test_unknown_fields_are_reported_with_the_fields_of_their_own_section(tmp_path: Path, text: str, hint: str) -> None:
    assert hint in mistakes(written(tmp_path, text))


def test_definitions_read_the_metrics_whatever_the_other_sections_say(tmp_path: Path) -> None:
    text = "metrics:\n- {name: searches, expression: count(*)}\nrules:\n- {name: a}\nchannels: 5\n"
    (searches,) = load_metrics(written(tmp_path, text))
    assert searches.name == "searches"


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        (">=", '">=" is not an operator; use gte (or gt, lt, lte, eq, change_pct)'),
        ("=", '"=" is not an operator; use eq (or gt, gte, lt, lte, change_pct)'),
        ("change", '"change" is not an operator; use change_pct (or gt, gte, lt, lte, eq)'),
        ("above", '"above" is not an operator; use one of gt, gte, lt, lte, eq, change_pct'),
    ],
)
def test_the_operator_that_was_meant_is_suggested(tmp_path: Path, operator: str, says: str) -> None:
    path = written(tmp_path, f"rules:\n- {{name: e, metric: events, operator: '{operator}', threshold: 1}}\n")
    assert mistakes(path) == [f"2: rule e: {says}"]
