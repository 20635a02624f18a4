"""The OpenAPI document: complete, true to the answers, and safe to fuzz."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.api.openapi_examples import EXAMPLES
from app.api.schemas.responses import Card
from capsnet import card, config
from capsnet.card import Metrics, ModelCard
from tests.app.server_process import Server
from tests.app.tiny_model import write_tiny_model

ROUTES = [
    "post /classify",
    "post /classify/batch",
    "post /read",
    "post /reconstruct",
    "post /sweep",
    "post /transform",
    "post /explain",
    "post /decode",
    "get /models",
    "get /models/{name}",
    "get /health/live",
    "get /health/ready",
    "get /v2",
    "get /v2/health/live",
    "get /v2/health/ready",
    "get /v2/models/{name}",
    "get /v2/models/{name}/ready",
    "get /v2/models/{name}/config",
    "get /v2/models/{name}/stats",
    "post /v2/models/{name}/infer",
    "get /v2/models/{name}/versions/{version}",
    "get /v2/models/{name}/versions/{version}/ready",
    "get /v2/models/{name}/versions/{version}/config",
    "get /v2/models/{name}/versions/{version}/stats",
    "post /v2/models/{name}/versions/{version}/infer",
    "post /v2/repository/index",
    "post /v2/repository/models/{name}/load",
    "post /v2/repository/models/{name}/unload",
    "get /metrics",
]


# Written again by `make openapi`: the author of a change sees what changes for its readers.
SNAPSHOT = Path(__file__).with_name("openapi.json")


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    answer: dict[str, Any] = server.client.get("/openapi.json").json()
    return answer


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_has_the_routes_of_the_service(document: dict[str, Any]) -> None:
    assert sorted(name for name, _ in operations(document)) == sorted(ROUTES)


def test_operation_ids_are_names(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert {"classify", "classify_batch", "reconstruct", "sweep", "decode", "list_models", "infer"} <= set(
        ids
    )
    assert len(set(ids)) == len(ids) == len(ROUTES)
    assert all(each.isidentifier() and len(each) <= 25 for each in ids)


def test_the_document_is_the_one_that_is_known(document: dict[str, Any]) -> None:
    if os.environ.get("WRITE_OPENAPI"):
        SNAPSHOT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    known = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert document == known, "the OpenAPI document has changed; where that is meant, run `make openapi`"


def test_every_operation_has_a_command_to_paste(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == EXAMPLES.keys()
    for name, operation in operations(document):
        assert operation["x-codeSamples"][0]["source"] == EXAMPLES[name]
        assert EXAMPLES[name] in operation["description"]


def test_numbers_have_bounds(document: dict[str, Any]) -> None:
    """Fields of requests have bounds: a number its range, a list its longest length."""
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            for schema in parameter["schema"].get("anyOf", [parameter["schema"]]):
                if schema.get("type") in ("integer", "number"):
                    assert {"minimum", "maximum"} <= schema.keys(), (name, parameter["name"])
                if schema.get("type") == "array":
                    assert "maxItems" in schema, (name, parameter["name"])


def test_everything_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            # A field that is an object of its own is described there.
            assert described.get("description") or described.get("$ref"), (name, field)
        assert schema["description"], name


def test_errors_are_problems_and_those_of_the_protocol_its_own(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        kind = "application/json" if " /v2" in name else "application/problem+json"
        schema = "ProtocolError" if " /v2" in name else "Problem"
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"] == {
                    kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}
                }, name
        if name.startswith("post"):
            documented = operation["responses"].keys() | ({"404"} if name.endswith("/index") else set())
            assert {"400", "404", "413", "415", "500", "503"} <= documented, name
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_card_is_documented_as_the_contract_has_it(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    kinds = {kind for each in (card, config) for kind in vars(each).values() if is_part_of_card(kind)}
    for kind in (Card, *kinds):
        words = {each.name: each.metadata["description"] for each in dataclasses.fields(kind)}
        properties = schemas[kind.__name__]["properties"]
        assert {name: schema["description"] for name, schema in properties.items()} == words
        assert schemas[kind.__name__]["additionalProperties"] is False
        assert "---" not in schemas[kind.__name__]["description"]


def is_part_of_card(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind is not ModelCard


def test_figures_of_a_model_without_a_guard_are_a_documented_answer(tmp_path: Path) -> None:
    written = write_tiny_model(tmp_path / "mnist")
    metrics = Metrics(
        dataset="mnist", images=1, errors=0, error=0, margin_loss=0, reconstruction_mse=0, accepted=None
    )
    answer = dataclasses.asdict(written.with_metrics({"fp32": metrics}))
    answer["serving"] = {
        "precision": "fp32",
        "precision_reason": "the model has no int8",
        "provider": "CPUExecutionProvider",
    }
    read = TypeAdapter(Card).validate_json(json.dumps(answer), strict=True)
    assert read.variants["fp32"].metrics == metrics


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    """The document as schemathesis reads it."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


RIGHT = [(name, GenerationMode.POSITIVE) for name in ROUTES]
WRONG = [
    (name, GenerationMode.NEGATIVE) for name in ROUTES if name.startswith("post") and "version" not in name
]


@pytest.mark.parametrize(("name", "mode"), RIGHT + WRONG)
def test_fuzzing_finds_no_server_error_and_no_undocumented_answer(
    schema: Any, name: str, mode: GenerationMode
) -> None:
    """Requests made from the document: right ones, and ones that break it in one place."""
    method, path = name.split()
    operation = schema[path][method]

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def fuzz(case: schemathesis.Case[Any]) -> None:
        checks = [
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ]
        case.call_and_validate(checks=checks)

    fuzz()
