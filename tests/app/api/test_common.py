"""What holds for every route: problems, request ids, methods, pages, the log."""

import asyncio
import json
import re
import socket
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter

from app.api.application import create_app
from app.api.schemas.responses import Card, LiveAnswer, ModelsAnswer, ReadyAnswer
from app.settings import Settings
from capsnet.card import ModelCard
from tests.app.both_ways import both_ways
from tests.app.server_process import Server, assert_problem, serving
from tests.app.tiny_model import runs_of, write_tiny_model

server = both_ways()


def test_live_and_ready_say_so(client: httpx.Client) -> None:
    live = client.get("/health/live")
    assert live.status_code == 200
    LiveAnswer.model_validate(live.json(), strict=True)
    ready = client.get("/health/ready").json()
    ReadyAnswer.model_validate(ready, strict=True)
    assert ready == {"status": "ready", "provider": "CPUExecutionProvider", "models": ["mnist", "pair"]}


def test_models_are_listed_with_card_and_provider(client: httpx.Client, tiny_models: Path) -> None:
    answer = client.get("/models").json()
    ModelsAnswer.model_validate_json(client.get("/models").content, strict=True)
    assert answer["default"] == "mnist"
    assert [card["name"] for card in answer["models"]] == ["mnist", "pair"]
    for card in answer["models"]:
        serving = card.pop("serving")
        assert serving == {
            "precision": "fp32",
            "precision_reason": "the model has no int8",
            "provider": "CPUExecutionProvider",
        }
        assert ModelCard.from_json(json.dumps(card)) == ModelCard.load(tiny_models / card["name"])


def test_one_model_is_shown(client: httpx.Client) -> None:
    response = client.get("/models/pair")
    TypeAdapter(Card).validate_json(response.content, strict=True)
    assert response.json() == client.get("/models").json()["models"][1]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/models/mnist/", "(did you mean '/models/mnist'?)"),
        ("/Models", "(did you mean '/models'?)"),
        ("/v2/models/mnist/weights", "'/v2/models/mnist/weights'; /docs"),
    ],
)
def test_what_was_meant_is_guessed_where_it_can_be(client: httpx.Client, path: str, hint: str) -> None:
    response = client.get(path)  # below /v2 an error has another form
    assert response.status_code == 404
    assert hint in response.text


def test_names_are_guessed_in_any_case_and_numbers_never(client: httpx.Client, seven: bytes) -> None:
    ask = partial(client.post, files={"file": seven})
    assert_problem(ask("/classify?model=MNIST"), 404, "did you mean 'mnist'?")
    problem = assert_problem(ask("/reconstruct?label=11"), 422, "'11'", "from 0 to 9")
    assert "did you mean" not in problem["detail"]


def test_an_unknown_model_is_404(client: httpx.Client) -> None:
    assert_problem(client.get("/models/pear"), 404, "'pear'", "did you mean 'pair'?")


@pytest.mark.parametrize(
    "path", ["/nothing", "/classify/", "/models/a/b", "/%ff", "/docs/assets/nothing.js", "/static/../app"]
)
def test_an_unknown_path_is_a_404_problem(client: httpx.Client, path: str) -> None:
    assert_problem(client.get(path), 404, "/docs")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classify", "POST"),
        ("HEAD", "/classify", "POST"),
        ("PUT", "/reconstruct", "POST"),
        ("DELETE", "/models", "GET, HEAD"),
        ("POST", "/health/ready", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("PATCH", "/decode", "POST"),
    ],
)
def test_a_wrong_method_is_a_405_problem_with_allow(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    if method != "HEAD":
        assert_problem(response, 405, method, allowed)


@pytest.mark.parametrize("path", ["/", "/models", "/models/mnist", "/health/live", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == str(get.num_bytes_downloaded)


@pytest.mark.parametrize("path", ["/models?modle=1", "/models/mnist?x", "/decode?pose=1"])
def test_query_parameters_that_are_not_known_are_refused(client: httpx.Client, path: str) -> None:
    method = "POST" if path.startswith("/decode") else "GET"
    assert_problem(client.request(method, path), 422, "this route takes none")


@pytest.mark.parametrize("request_id", ["abc", "A-b_c.9", "x" * 128])
def test_a_sane_request_id_is_kept(client: httpx.Client, request_id: str) -> None:
    response = client.get("/nothing", headers={"X-Request-ID": request_id})
    assert response.headers["x-request-id"] == request_id
    assert response.json()["request_id"] == request_id


@pytest.mark.parametrize("request_id", [b"", b"x" * 129, b"a b", b'a"b', b"a\xe9", b"{}"])
def test_any_other_is_replaced(client: httpx.Client, request_id: bytes) -> None:
    response = client.get("/health/live", headers={b"X-Request-ID": request_id})
    assert len(response.headers["x-request-id"]) == 32


def test_every_request_has_its_own_id(client: httpx.Client) -> None:
    ids = {client.get("/health/live").headers["x-request-id"] for _ in range(10)}
    assert len(ids) == 10


def test_the_log_has_one_line_a_request(server: Server) -> None:
    server.client.get("/nothing", headers={"X-Request-ID": "log-test"})
    give_up = time.monotonic() + 10
    while "log-test" not in server.log.read_text() and time.monotonic() < give_up:
        time.sleep(0.01)  # it is written once the answer is on its way
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "log-test"]
    assert (line["event"], line["method"], line["path"], line["status"]) == (
        "request",
        "GET",
        "/nothing",
        404,
    )
    assert line["duration_ms"] > 0
    assert not any(line.get("path") == "/health/ready" and line["status"] == 200 for line in lines)
    assert any(
        line["event"] == "model loaded" and {"provider", "precision_reason"} <= line.keys() for line in lines
    )


def test_an_error_inside_is_a_500_that_tells_nothing_and_a_log_that_tells_all(
    tmp_path: Path, seven: bytes
) -> None:
    """A model whose weights are huge answers with lengths that are not finite: an unexpected error."""
    write_tiny_model(tmp_path / "models" / "mnist", spread=7e37)
    with serving(tmp_path / "log", models=tmp_path / "models", log_format="json") as running:
        response = running.client.post("/classify", files={"file": seven}, headers={"X-Request-ID": "boom"})
        problem = assert_problem(response, 500, "the log has it")
        assert "finite" not in response.text
        assert running.client.get("/health/ready").status_code == 200
        for _ in range(2):
            assert_problem(running.client.post("/classify", files={"file": seven}), 500)
        # All images were in vain, but a blank one is not: no client's image turns readiness red.
        assert running.client.get("/health/ready").status_code == 200
        assert '"a graph fails"' in running.log.read_text()
    line, *_ = [line for line in running.log.read_text().splitlines() if '"unexpected error"' in line]
    entry = json.loads(line)
    assert entry["request_id"] == problem["request_id"] == "boom"
    assert entry["level"] == "error"
    assert "FloatingPointError: model 'mnist' gave lengths that are not finite" in entry["exception"]


def test_readiness_turns_red_where_a_graph_fails_and_green_where_it_runs_again(
    tmp_path: Path, seven: bytes
) -> None:
    """An encoder whose runs 2 to 7 fail in ONNX Runtime, as where a device is lost; the first is the start's."""
    folder = next(
        folder
        for seed in range(1, 1000)
        if write_tiny_model(folder := tmp_path / f"{seed}" / "mnist", luck=seed)
        and runs_of(folder / "encoder.onnx", 8) == ".xxxxxx."
    )
    with serving(tmp_path / "log", models=folder, log_format="json") as running:
        ready = []
        for _ in range(3):
            ready.append(running.client.get("/health/ready").status_code)
            assert_problem(running.client.post("/classify", files={"file": seven}), 500)
        for _ in range(3):  # runs 5 to 7, of a blank image
            problem = assert_problem(running.client.get("/health/ready"), 503, "'mnist'", "CPU", "Gather")
            ready.append(problem["status"])
        ready += [running.client.get("/health/ready").status_code for _ in range(2)]
    assert ready == [200, 200, 200, 503, 503, 503, 200, 200]
    events = [json.loads(line) for line in running.log.read_text().splitlines()]
    (failed,) = [event for event in events if event["event"] == "a graph fails"]
    assert (failed["graph"], failed["level"]) == ("mnist: encoder", "error")
    assert "Gather" in failed["reason"]
    assert [event["graph"] for event in events if event["event"] == "a graph runs again"] == [failed["graph"]]


def test_a_client_that_leaves_during_its_body_harms_no_other(server: Server) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0)) as connection:
            connection.sendall(
                b"POST /classify HTTP/1.1\r\nHost: x\r\nX-Request-ID: leaver\r\nContent-Type: image/png\r\n"
                b"Content-Length: 5000\r\n\r\nhalf an image"
            )
    assert server.client.get("/health/ready").status_code == 200
    assert "unexpected error" not in server.log.read_text()


def test_the_playground_is_made_of_files_of_this_host(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "http://" not in page.text
    assert "https://" not in page.text
    files = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
    types = {name.rpartition(".")[2]: client.get(f"/{name}").headers["content-type"] for name in files}
    assert types == {
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
    }


def test_the_playground_allows_no_inline_script_or_style(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
    assert (
        re.findall(
            r"<style|<script(?! type=\"(?:module\" src=|application/json\"))|\son\w+=|\sstyle=", page.text
        )
        == []
    )


@pytest.mark.parametrize(
    "path", ["/", "/static/js/main.js", "/static/css/page.css", "/static/samples/mnist.png"]
)
def test_the_playgrounds_files_under_their_own_names_are_asked_about(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_docs_need_no_other_host(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "//cdn" not in page
    for asset in ("docs/assets/swagger-ui-bundle.js", "docs/assets/swagger-ui.css"):
        assert f'="{asset}"' in page  # relative: a proxy may put a path before all of them
        assert len(client.get(f"/{asset}").content) > 100_000
    assert "url: 'openapi.json'" in page


def test_behind_a_path_that_a_proxy_takes_off_the_document_says_where_the_routes_are(
    tiny_models: Path,
) -> None:
    async def ask() -> tuple[httpx.Response, httpx.Response]:
        app = create_app(Settings(models=tiny_models, device="cpu", root_path="/digits"))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/openapi.json"), await client.post("/images/classify")

    document, wrong = asyncio.run(ask())
    assert document.json()["servers"] == [{"url": "/digits"}]
    assert wrong.status_code == 404
    assert "did you mean" not in wrong.text  # /classify is not what was meant


def test_a_path_that_a_proxy_keeps_opens_and_hides_the_same_routes(tiny_models: Path) -> None:
    async def ask(*paths: str) -> list[tuple[int, str]]:
        settings = Settings(models=tiny_models, device="cpu", root_path="/digits", api_keys=["right"])
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answers = [await client.get(path) for path in paths]
        return [(answer.status_code, answer.headers.get("location", "")) for answer in answers]

    known = ["/digits/health/live", "/digits/models", "/digits/metrics", "/digits", "/health/live"]
    assert asyncio.run(ask(*known)) == [(200, ""), (401, ""), (200, ""), (307, "/digits/"), (200, "")]
    assert asyncio.run(ask("/digits?lang=de&model=a%20b")) == [(307, "/digits/?lang=de&model=a%20b")]
    # What only looks like it: the rest of a longer name, the path twice, and one with dots.
    others = [
        "/digitsx/health/live",
        "/digits/digits/health/live",
        "/digits//health/live",
        "/digits/%2e%2e/models",
    ]
    assert {status for status, _ in asyncio.run(ask(*others))} == {401}


def test_a_path_that_is_nearly_a_route_is_told_which(client: httpx.Client) -> None:
    assert_problem(client.post("/Clasify/"), 404, "(did you mean '/classify'?)")


def test_before_the_start_nothing_is_ready(tiny_models: Path) -> None:
    """The application as a server has it before the lifespan begins."""

    async def ask() -> list[httpx.Response]:
        app = create_app(Settings(models=tiny_models, device="cpu"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return [
                await client.get("/health/live"),
                await client.get("/health/ready"),
                await client.get("/models"),
            ]

    live, ready, models = asyncio.run(ask())
    assert live.status_code == 200
    assert_problem(ready, 503, "starting or shutting down")
    assert ready.headers["retry-after"] == "1"
    assert_problem(models, 503)


@pytest.mark.parametrize("path", ["/models/a%20b%3Fc", "/models/%0Aabc", "/models/%C3%A9", "/models/a:b"])
def test_the_instance_of_a_problem_is_a_uri_reference(client: httpx.Client, path: str) -> None:
    problem = client.get(path).json()
    assert problem["instance"] == path
    assert problem["status"] == 404
