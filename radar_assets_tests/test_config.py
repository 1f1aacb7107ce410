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
    return [line.removeprefix(f"{path}").removeprefix(", ").removeprefix(": ") for line in lines]


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
    with pytest.raises(ConfigError, match=r"radar\.yaml: file not found; create it"):
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
        "line 4: metrics[1].name of Bad Name: invalid metric name 'Bad Name'; use snake_case, e.g. monthly_searches",
        "line 5: metrics[1].expression of Bad Name: line 2, column 17: unknown column evnt in events; did you mean event?",
        "line 8: metrics[2].name of searches: metric name searches is already in use",
        "line 9: metrics[2].expression of searches: line 1, column 5: expecting )",
        "line 10: metrics[2].good of searches: must be 'up' or 'down'",
        "line 11: metrics[3].name: required field is missing",
        'line 13: metrics[3]: unknown field "colour"; known fields: '
        "name, source, expression, title, description, unit, good",
        "line 14: metrics[4].name of events: metric name events is already in use",
        "line 16: metrics[4].source of events: must be 'events' or 'sessions'",
        "line 15: metrics[4].expression of events: must be text; put the value in quotes",
        "line 17: metrics[5]: must be a mapping of fields to values",
        'line 18: unknown field "alarms"; known fields: metrics, channels, rules',
    ]


@pytest.mark.parametrize(
    "name", ["revenue", "project_id", "hour", "date", "x; drop", "a__b", "_a", "1a", "é", "a" * 61]
)
def test_taken_and_invalid_names_are_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"metrics:\n- name: '{name}'\n  expression: count(*)\n")
    [mistake] = mistakes(path)
    assert mistake.startswith(f"line 2: metrics[0].name of {name}: ")


@pytest.mark.parametrize(
    "text, mistake",
    [
        ("metrics: [", "line 1: invalid YAML"),
        ("metrics:\n\t- x", "line 2: invalid YAML"),
        ("metrics: []\nmetrics: []\n", 'line 2: duplicate key "metrics"'),
        ("metrics:\n- name: a\n  expression: count(*)\n  name: b\n", 'line 4: duplicate key "name"'),
        ("- 1", "line 1: must be a mapping of fields to values"),
        ("metrics: 5", "line 1: metrics: must be a list"),
        ("&a [*a]", "line 1: must be a mapping of fields to values"),
        ("--- 1\n--- 2", "line 2: invalid YAML"),
        ("metrics: !!python/object/apply:os.system ['true']", "line 1: invalid YAML"),
        ("? [a]\n: 1", "line 1: invalid YAML"),
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
        "line 5: channels[0].url of hook: ",
        "line 6: channels[1] of pigeon: unknown type \"pigeon\"; use one of 'discord', ",
        "line 8: rules[0].metric of a: unknown metric seaches; did you mean searches?",
        "line 9: rules[1].operator of b: must be 'gt'",
        "line 10: rules[2].threshold of c: not a number",
        "line 11: rules[3].threshold of d: not a finite number",
        "line 13: rules[5].name of a: rule name a is already in use",
        "line 14: rules[6].window of f: visits has daily values only; use 1d",
        "line 15: rules[7] of g: thresholds of change_pct must be all negative (falls) or all positive (rises)",
        "line 16: rules[8] of h: threshold is required",
        "line 17: rules[9].threshold of i: not a number",
        'line 18: rules[10].projects of j: must be a list of project ids, or "*" for all projects',
        "line 19: rules[11].renotify_every of k: invalid duration 'often'; use e.g. 30m, 4h or 2d",
        "line 20: rules[12].for of l: must be greater than or equal to 1",
        "line 21: rules[13].name of schema_equals_contract: rule name schema_equals_contract is already in use",
        "line 22: rules[14].kind of m: anomaly is not supported yet",
        "line 23: rules[15] of n: watch requires kind: error",
        'line 24: rules[16] of o: unknown field "treshold"; did you mean "threshold"?',
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
        f"line 2: metrics[0].title of a: {says}",
        f"line 3: metrics[1].description of b: {says}",
        f"line 4: metrics[2].unit of c: {says}",
        f"line 7: rules[0].description of e: {says}",
    ]


def test_an_undeclared_channel_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "rules:\n- {name: e, metric: events, operator: gt, threshold: 1, channels: [nobody]}\n")
    assert mistakes(path) == ["line 2: rules[0].channels of e: unknown channel nobody; declare it under channels"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rule: []", 'line 1: unknown field "rule"; did you mean "rules"?'),
        (
            "channels:\n- {name: a, type: email, too: [team@shop.example], to: [team@shop.example]}",
            'line 2: channels[0] of a: unknown field "too"; did you mean "to"?',
        ),
        (
            "channels:\n- {name: a, type: slack, token: T0/B0/abcdefgh, webhook_id: 12345}",
            'line 2: channels[0] of a: unknown field "webhook_id"; known fields: name, type, token',
        ),
        (
            "rules:\n- {name: a, metric: events, threshold: 1, overrides: {shop: {treshold: 2}}}",
            'line 2: rules[0].overrides.shop of a: unknown field "treshold"; did you mean "threshold"?',
        ),
        (
            "rules:\n- {name: a, metric: events, threshold: 1, quiet_hours: {from: '1:00', start: '1:00', end: '2:00'}}",
            'line 2: rules[0].quiet_hours of a: unknown field "from"; known fields: start, end, timezone',
        ),
        (
            "rules:\n- {name: a, metric: events, threshold: 1, four: 2}",
            'line 2: rules[0] of a: unknown field "four"; did you mean "for"?',
        ),
    ],
)
def test_unknown_fields_are_reported_with_the_fields_of_their_own_section(tmp_path: Path, text: str, hint: str) -> None:
    assert hint in mistakes(written(tmp_path, text))


def test_definitions_read_the_metrics_whatever_the_other_sections_say(tmp_path: Path) -> None:
    text = "metrics:\n- {name: searches, expression: count(*)}\nrules:\n- {name: a}\nchannels: 5\n"
    (searches,) = load_metrics(written(tmp_path, text))
    assert searches.name == "searches"
