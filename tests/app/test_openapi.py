"""The OpenAPI document: complete, true to the answers, and safe to fuzz."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.answers import Card
from model.contract import ModelCard
from tests.app.support import Server

ROUTES = [
    "post /classify",
    "post /reconstruct",
    "post /decode",
    "get /models",
    "get /models/{name}",
    "get /health/live",
    "get /health/ready",
]


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


def test_errors_are_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (name, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_card_is_documented_field_by_field() -> None:
    assert set(Card.model_fields) == set(ModelCard.__dataclass_fields__) | {"serving"}


RIGHT = [(name, GenerationMode.POSITIVE) for name in ROUTES]
WRONG = [(name, GenerationMode.NEGATIVE) for name in ROUTES if name.startswith("post")]


@pytest.mark.parametrize(("name", "mode"), RIGHT + WRONG)
def test_fuzzing_finds_no_server_error_and_no_undocumented_answer(
    server: Server, name: str, mode: GenerationMode
) -> None:
    """Requests made from the document: right ones, and ones that break it in one place."""
    method, path = name.split()
    operation = schemathesis.openapi.from_url(f"{server.url}/openapi.json")[path][method]

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
