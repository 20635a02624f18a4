"""The short way to /classify gives what FastAPI's way gives, and demands as much."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from app.api.application import create_app
from app.api.dependencies import get_service, get_settings, reject_duplicate_params
from app.api.fast_route import LONGEST_QUERY, _parameters
from app.api.routes.classify import FAST_ROUTE
from app.api.schemas.requests import ClassifyParameters
from app.settings import Settings
from tests.app.server_process import Server

QUERIES = [
    "verify=false",
    "top_k=3",
    "top_k=3&verify=0&model=mnist",
    "preprocess=none&verify=off",
    "model=mnist",
]


@pytest.mark.parametrize("query", QUERIES)
def test_both_ways_give_the_same(client: httpx.Client, seven: bytes, query: str) -> None:
    """A query string that is long goes FastAPI's way; letters written as escapes make one long."""
    escaped = "".join(char if char in "=&_" else f"%{ord(char):02X}" for char in query)
    long = escaped + "&" * (LONGEST_QUERY + 1 - len(escaped))
    short_answer = client.post(f"/classify?{query}", files={"file": seven})
    long_answer = client.post(f"/classify?{long}", files={"file": seven})
    assert short_answer.status_code == long_answer.status_code == 200
    assert short_answer.json() == long_answer.json()
    assert set(short_answer.headers) == set(long_answer.headers)


def test_the_route_demands_nothing_that_the_short_way_does_not(
    tiny_models: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a dependency added to the route, as a key to be shown, the short way would be a way round it."""
    monkeypatch.setenv("CAPSNET_MODELS", str(tiny_models))
    app = create_app(Settings.load())
    contexts = [
        context
        for router in app.routes
        for context in getattr(router, "effective_route_contexts", list)()
        if context.original_route is FAST_ROUTE["route"]
    ]
    (context,) = contexts
    demanded = {dependency.call for dependency in context.dependant.dependencies}
    assert demanded == {reject_duplicate_params, get_service, get_settings}


names = st.sampled_from(["model", "preprocess", "top_k", "verify", "Verify", "x"])
values = st.sampled_from(["", "1", "0", "false", "mnist", "none", "-1", "10001", "nine", "ü"])


@given(st.lists(st.tuples(names, values), max_size=4))
def test_only_what_is_right_and_given_once_is_plain(pairs: list[tuple[str, str]]) -> None:
    query = str(QueryParams(pairs)).encode()
    found = _parameters(ClassifyParameters, query)
    given_names = [name for name, _ in pairs]
    if len(set(given_names)) < len(given_names):
        assert found is None
        return
    try:
        expected = ClassifyParameters.model_validate(dict(pairs))
    except ValueError:
        expected = None
    assert found == expected


def test_what_is_wrong_is_told_as_ever(server: Server, seven: bytes) -> None:
    for query, word in [
        ("top_k=0", "top_k"),
        ("verify=x", "verify"),
        ("verify=1&verify=0", "once"),
        ("x=1", "'x'"),
    ]:
        response = server.client.post(f"/classify?{query}", files={"file": seven})
        assert response.status_code == 422
        assert word in response.json()["detail"]
