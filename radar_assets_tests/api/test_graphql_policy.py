"""The GraphQL policy: which role may send what, whatever form the document has, and the tags that launches get."""

import json
from typing import Any

import pytest
from dagster_graphql.schema import create_schema
from graphql import GraphQLSchema, parse, validate

from radar_assets.access.audit_details import MAX_ITEMS, audit_details
from radar_assets.access.roles import Principal, Role
from radar_assets.api.graphql_policy import MUTATIONS, NEVER, PolicyError, judge
from radar_assets.api.trigger_tags import TRIGGERED_BY

SCHEMA: GraphQLSchema = create_schema().graphql_schema
PEOPLE = {role: Principal("user", f"{role}-1", f"the {role}", role) for role in Role}
OPERATOR = PEOPLE[Role.OPERATOR]


def refusal(query: object, principal: Principal = OPERATOR, **more: Any) -> int:
    """The status with which a request is refused; 0 if it is allowed."""
    try:
        judge({"query": query}, principal, **more)
    except PolicyError as error:
        return error.status
    return 0


def fields(type: str) -> set[str]:
    """The fields of a type of Dagster's schema."""
    return set(getattr(SCHEMA.type_map[type], "fields"))  # noqa: B009


def test_every_mutation_of_the_installed_dagster_has_a_role_or_is_never_allowed() -> None:
    """After an upgrade of Dagster: decide on each new mutation."""
    assert fields("Mutation") == {*MUTATIONS, *NEVER}
    assert not NEVER & set(MUTATIONS)


def test_no_other_field_has_the_name_of_a_mutation() -> None:
    """Tags are added by name, wherever the field is in the document."""
    others = [name for name, type in SCHEMA.type_map.items() if hasattr(type, "fields") and name != "Mutation"]
    assert not any(fields(name) & fields("Mutation") for name in others)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", [*sorted(fields("Mutation")), "unknownMutation"])
def test_a_mutation_needs_its_role_and_an_unknown_one_is_refused(name: str, role: Role) -> None:
    may = name in MUTATIONS and role.includes(MUTATIONS[name])
    assert refusal(f"mutation {{ {name} {{ __typename }} }}", PEOPLE[role]) == (0 if may else 403)


def test_viewers_use_no_mutation_and_all_queries() -> None:
    assert Role.VIEWER not in MUTATIONS.values()
    assert refusal("{ version }", PEOPLE[Role.VIEWER]) == 0


@pytest.mark.parametrize("role", Role)
def test_a_role_for_some_projects_gets_nothing(role: Role) -> None:
    principal = Principal("user", "1", "ann", role, frozenset({"shop"}))
    assert refusal("{ version }", principal) == 403
    assert refusal("subscription { x }", principal, transport="websocket") == 403


@pytest.mark.parametrize(
    "query",
    [
        "mutation { wipeAssets }",
        "mutation { version: wipeAssets }",
        "mutation { ... { wipeAssets } }",
        "mutation { ... on Mutation { ... { wipeAssets } } }",
        "mutation { ...A } fragment A on Mutation { ...B } fragment B on Mutation { wipeAssets }",
        "mutation { ...A } fragment A on Mutation { ...A wipeAssets }",
        "query Read { version } mutation Write { wipeAssets }",
        "mutation { wipeAssets @skip(if: true) }",
        "mutation { reloadWorkspace { __typename } wipeAssets }",
        "subscription { wipeAssets }",
        "subscription { version }",
    ],
)
def test_no_form_of_a_document_hides_a_mutation(query: str) -> None:
    assert refusal(query) == 403


@pytest.mark.parametrize("query", ["mutation { wipeAssets }", "query { version }", "{ version } subscription { x }"])
def test_websockets_are_for_subscriptions_only(query: str) -> None:
    assert refusal(query, PEOPLE[Role.ADMIN], transport="websocket") == 403


@pytest.mark.parametrize(
    "payload",
    [
        [{"query": "{ version }"}],
        "{ version }",
        None,
        {},
        {"query": None},
        {"query": ["{ version }"]},
        {"query": "{"},
        {"query": ""},
        {"query": "fragment A on Query { version }"},
        {"query": "type A { a: Int }"},
        {"query": "{ a " + "{ a " * 20_000},
        {"query": "{ a" + " a" * 20_001 + " }"},
        {"query": "{ version }", "variables": "{}"},
        {"query": "{ version }", "operationName": 1},
    ],
    ids=lambda value: json.dumps(value)[:30],
)
def test_what_is_not_one_readable_request_is_refused(payload: object) -> None:
    with pytest.raises(PolicyError) as error:
        judge(payload, PEOPLE[Role.ADMIN])
    assert error.value.status == 400


def test_dagster_receives_only_what_was_judged() -> None:
    allowed = judge({"query": "{ version }", "extensions": {}, "id": 1, "variables": None}, OPERATOR)
    assert allowed.payload == {"query": "{ version }", "variables": {}, "operationName": None}


SELECTOR = '{repositoryName: "a", repositoryLocationName: "b", jobName: "c"}'
FORGED = '{key: "radar/triggered_by", value: "someone else"}'


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("mutation A($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }", "p"),
        ("mutation A($p: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $p) { __typename } }", "list"),
        ("mutation A($p: ExecutionParams!) { launchMultipleRuns(executionParamsList: [$p, $p]) { __typename } }", "p"),
        (f"mutation {{ launchRun(executionParams: {{selector: {SELECTOR}}}) {{ __typename }} }}", ""),
        (
            f"mutation {{ launchRun(executionParams: {{selector: {SELECTOR}, "
            f"executionMetadata: {{tags: {FORGED}}}}}) {{ __typename }} }}",
            "",
        ),
        (
            "mutation ($s: ReexecutionStrategy = ALL_STEPS, $unset: Boolean) { launchRunReexecution("
            'reexecutionParams: {parentRunId: "x", strategy: $s, useParentRunTags: $unset}) { __typename } }',
            "",
        ),
        (
            "query Q($id: ID!) { runOrError(runId: $id) { __typename } } mutation M { ...F } "
            f"fragment F on Mutation {{ launchRun(executionParams: {{selector: {SELECTOR}}}) {{ __typename }} }}",
            "",
        ),
        (
            "mutation { launchPartitionBackfill(backfillParams: {allPartitions: true, "
            f"tags: [{FORGED}]}}) {{ __typename }} }}",
            "",
        ),
    ],
)
def test_a_launch_gets_the_name_of_who_triggered_it_and_no_other(query: str, variables: str) -> None:
    params = {
        "selector": {"repositoryName": "a", "repositoryLocationName": "b", "jobName": "c"},
        "executionMetadata": {"tags": [{"key": TRIGGERED_BY, "value": "someone else"}, {"key": "a", "value": "b"}]},
    }
    given = {"p": {"p": params}, "list": {"p": [params, params]}, "": {}}[variables]
    payload = judge({"query": query, "variables": given, "operationName": None}, OPERATOR).payload
    document = parse(payload["query"])
    assert validate(SCHEMA, document) == []
    used = {name: value for name, value in payload["variables"].items() if name.startswith("radar_")}
    text = json.dumps(used)
    assert '{"key": "radar/triggered_by", "value": "the operator"}' in text
    assert "someone else" not in text
    assert ('{"key": "a", "value": "b"}' in text) == bool(variables), "tags of the request stay"
    assert "$p" not in payload["query"], "the arguments of the request are not used"


def test_arguments_of_the_audit_log_have_no_secrets() -> None:
    request = judge(
        {
            "query": "mutation A($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }",
            "variables": {
                "p": {
                    "runConfigData": json.dumps({"ops": {"a": {"password": "hunter2", "url": "http://u:hunter2@h"}}}),
                    "executionMetadata": {
                        "tags": [{"key": "api_token", "value": "hunter2"}, {"key": "a", "value": "b"}]
                    },
                    "accessKey": {"id": "hunter2"},
                    "stepKeys": ["https://example.com/?token=hunter2&a=b"],
                }
            },
        },
        OPERATOR,
    )
    kept = json.dumps(audit_details(dict(request.mutations[0].arguments)))
    assert "hunter2" not in kept
    assert '{"key": "a", "value": "b"}' in kept
    assert "https://example.com/?token=***&a=b" in kept


def test_arguments_of_the_audit_log_are_short() -> None:
    kept = audit_details({"long": "x" * 10_000, "many": list(range(1_000)), "deep": json.loads("[" * 50 + "]" * 50)})
    assert len(kept["many"]) == MAX_ITEMS + 1
    assert len(json.dumps(kept)) < 2_000


@pytest.mark.parametrize("text", ["password: hunter2", "hunter2", "{", "? [a]\n: 2026-01-01"])
def test_run_config_that_is_not_an_object_is_masked(text: str) -> None:
    assert "hunter2" not in json.dumps(audit_details({"runConfigData": text}))
