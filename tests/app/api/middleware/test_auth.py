"""Authentication: keys, rates, addresses behind proxies, origins, and what a browser is told.

One server stands for all: it trusts this machine as a proxy, so that every test can come from an address of its own.
"""

import asyncio
import base64
import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from app.api.application import create_app
from app.api.authentication import warn_if_unauthenticated
from app.settings import Settings
from tests.app.server_process import Server, assert_problem, run_app, serving

KEYS = ["first-of-the-keys", "second-of-the-keys", "third-of-the-keys", "fourth-of-the-keys"]
FILE_KEY = "one-out-of-the-file"
ORIGIN = "https://pages.example"
LIMIT = 12  # an hour: one more every five minutes, which no test takes


@pytest.fixture(scope="module")
def guarded(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for keys, and bounds rates."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text(f"\n  {FILE_KEY}\r\n")
    settings = {
        "models": tiny_models,
        "api_keys": ", ".join(KEYS),
        "api_keys_file": folder / "keys",
        "rate_limit": f"{LIMIT}/hour",
        "trusted_proxies": "10.0.0.0/8,127.0.0.1",
        "cors_origins": f"{ORIGIN},http://localhost:5173",
        "log_format": "json",
    }
    with serving(folder / "log", **settings) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def asked_from(server: Server, address: str, **headers: str) -> httpx.Response:
    return server.client.get("/models", headers={"X-Forwarded-For": address, **headers})


def test_without_a_key_there_is_a_401_that_says_how_to_send_one(guarded: Server) -> None:
    response = asked_from(guarded, "192.0.2.1")
    assert_problem(response, 401, "asks for a key", "Authorization: Bearer", "X-API-Key")
    assert response.headers["www-authenticate"] == 'Bearer realm="capsnet"'


@pytest.mark.parametrize(
    "headers",
    [
        bearer("wrong"),
        bearer(KEYS[0] + "x"),
        bearer(KEYS[0][:-1]),
        bearer(f"{KEYS[0]},{KEYS[1]}"),
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong", "X-API-Key": KEYS[0]},
    ],
)
def test_with_a_wrong_key_there_is_a_401(guarded: Server, headers: dict[str, str]) -> None:
    response = asked_from(guarded, "192.0.2.2", **headers)
    assert_problem(response, 401, "none of those")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        bearer(KEYS[0]),
        {"Authorization": f"bearer  {KEYS[0]}"},
        {"X-API-Key": KEYS[0]},
        {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": KEYS[0]},
        bearer(FILE_KEY),
    ],
)
def test_a_key_opens_in_either_header(guarded: Server, headers: dict[str, str]) -> None:
    assert guarded.client.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/docs/assets/swagger-ui.css",
        "/openapi.json",
        "/metrics",
        "/health/live",
        "/health/ready",
    ],
)
def test_what_people_and_probes_must_see_needs_no_key_and_counts_for_nothing(
    guarded: Server, path: str
) -> None:
    response = guarded.client.get(path)
    assert response.status_code == 200
    assert "ratelimit-limit" not in response.headers


@pytest.mark.parametrize(
    "path", ["/nothing", "/health", "//docs", "/docsx", "/metrics/", "/health/live/../../models"]
)
def test_what_only_looks_open_is_not(guarded: Server, path: str) -> None:
    url = f"{guarded.url}{path}"
    assert_problem(guarded.client.get(httpx.URL(url), headers={"X-Forwarded-For": "192.0.2.3"}), 401)


def test_a_body_is_not_waited_for_where_the_key_is_missing(guarded: Server) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.4\r\nContent-Type: image/png\r\n"
            b"Content-Length: 5000000\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")


def test_neither_keys_nor_bodies_nor_queries_are_logged(guarded: Server) -> None:
    headers = bearer(KEYS[1]) | {"X-Request-ID": "quiet", "Content-Type": "image/png"}
    guarded.client.post(
        "/classify?verify=false&secret=s3cret", content=b"the-bytes-of-an-image", headers=headers
    )
    give_up = time.monotonic() + 10
    while "quiet" not in guarded.log.read_text() and time.monotonic() < give_up:
        time.sleep(0.01)
    log = guarded.log.read_text()
    assert '"quiet"' in log
    for secret in (*KEYS, FILE_KEY, "s3cret", "the-bytes", "wrong"):
        assert secret not in log
    (line,) = [json.loads(line) for line in log.splitlines() if '"quiet"' in line]
    assert (line["path"], line["status"]) == ("/classify", 422)


def test_a_client_may_do_so_much_and_is_told_what_is_left(guarded: Server) -> None:
    answers = [asked_from(guarded, "ignored", **bearer(KEYS[2])) for _ in range(LIMIT + 1)]
    assert [answer.status_code for answer in answers] == [200] * LIMIT + [429]
    remaining = [int(answer.headers["ratelimit-remaining"]) for answer in answers]
    assert remaining == [*range(LIMIT - 1, -1, -1), 0]
    assert answers[0].headers["ratelimit-policy"] == "12;w=3600"
    assert answers[0].headers["ratelimit-limit"] == "12"
    refused = answers[-1]
    assert_problem(refused, 429, "12 requests in 3600 s")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert 3300 <= int(refused.headers["ratelimit-reset"]) <= 3600
    assert asked_from(guarded, "ignored", **bearer(KEYS[3])).status_code == 200


@pytest.mark.parametrize(
    "body", [{"files": {"file": b"no image"}}, {"content": b"no image", "headers": {"Content-Type": "image/png"}},
             {"content": b"x", "headers": {"Content-Type": "text/plain"}}],
    ids=["form", "body", "wrong type"],
)  # fmt: skip
def test_a_problem_says_what_is_left_too(guarded: Server, body: dict[str, Any]) -> None:
    headers = body.get("headers", {}) | bearer(KEYS[3])
    answer = guarded.client.post("/classify", **body | {"headers": headers})
    assert answer.status_code in (400, 415)
    assert int(answer.headers["ratelimit-remaining"]) < LIMIT
    assert len(answer.headers.get_list("ratelimit-limit")) == 1


def test_keys_cannot_be_guessed_faster_than_the_rate(guarded: Server) -> None:
    answers = [asked_from(guarded, "192.0.2.5", **bearer(f"guess-{n}")) for n in range(LIMIT + 2)]
    assert [answer.status_code for answer in answers] == [401] * LIMIT + [429] * 2
    remaining = [int(answer.headers["ratelimit-remaining"]) for answer in answers]
    assert remaining == [*range(LIMIT - 1, -1, -1), 0, 0]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("198.51.100.1", "198.51.100.2", False),
        ("198.51.100.3", "198.51.100.3:4711", True),
        # What the client wrote itself stands to the left of what the nearest proxy that is trusted saw.
        ("198.51.100.4", "203.0.113.9, 198.51.100.4", True),
        ("198.51.100.5", "198.51.100.5, 10.1.2.3, 10.9.9.9", True),
        ("198.51.100.6, 203.0.113.1", "198.51.100.6, 203.0.113.2", False),
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("198.51.100.7", "::ffff:198.51.100.7", True),
        ("no address", "no other address", True),
    ],
)
def test_whose_bucket_a_request_is_taken_from(guarded: Server, first: str, second: str, same: bool) -> None:
    for _ in range(LIMIT):
        asked_from(guarded, first)
    assert asked_from(guarded, second).status_code == (429 if same else 401)


def test_without_a_trusted_proxy_what_it_says_is_not_believed(tiny_models: Path) -> None:
    """Before the lifespan begins all is answered 503; authentication comes before that."""

    async def ask() -> list[int]:
        app = create_app(Settings(models=tiny_models, device="cpu", rate_limit="2/hour"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return [
                (await client.get("/models", headers={"X-Forwarded-For": f"192.0.2.{n}"})).status_code
                for n in range(4)
            ]

    assert asyncio.run(ask()) == [503, 503, 429, 429]


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:5173"])
def test_a_listed_origin_may_ask_and_read(guarded: Server, origin: str) -> None:
    leave = guarded.client.options(
        "/classify",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-request-id",
        },
    )
    assert leave.status_code == 200
    assert leave.headers["access-control-allow-origin"] == origin
    assert "POST" in leave.headers["access-control-allow-methods"]
    refused = asked_from(guarded, "192.0.2.6", Origin=origin)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == origin
    shown = refused.headers["access-control-expose-headers"]
    assert {"X-Request-ID", "Retry-After", "RateLimit-Remaining", "WWW-Authenticate"} <= set(
        shown.split(", ")
    )
    assert "access-control-allow-credentials" not in refused.headers


@pytest.mark.parametrize(
    "origin", ["https://pages.example.evil", "http://pages.example", "null", f"{ORIGIN}:8443"]
)
def test_no_other_origin_may(guarded: Server, origin: str) -> None:
    leave = guarded.client.options(
        "/classify", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in leave.headers
    answer = guarded.client.get("/health/live", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/models", "/nothing", "/health/live", "/openapi.json", "/metrics"])
def test_an_answer_is_data_to_a_browser_and_nothing_else(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_run_the_files_of_this_service_alone(client: httpx.Client, path: str) -> None:
    policy = client.get(path).headers["content-security-policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["script-src"].startswith("'self'")
    assert "unsafe" not in policy
    assert "*" not in policy


def test_the_script_that_stands_in_the_documentation_is_allowed_by_its_hash(client: httpx.Client) -> None:
    page = client.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in page.headers["content-security-policy"]


def test_the_document_says_how_keys_are_sent(guarded: Server, client: httpx.Client) -> None:
    asked, free = (each.get("/openapi.json").json() for each in (guarded.client, client))
    assert asked["components"]["securitySchemes"] == free["components"]["securitySchemes"]
    assert asked["paths"]["/classify"]["post"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert free["paths"]["/classify"]["post"]["security"] == [{}, {"bearer": []}, {"apiKey": []}]
    assert {"401", "429"} <= free["paths"]["/classify"]["post"]["responses"].keys()
    assert "security" not in asked["paths"]["/health/ready"]["get"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\n \n", "holds no key"),
        (b"\xff\xfe", "decode"),
        (b"fine\n\ntwo words", "line 3: sign 4 is ' '; .* no spaces"),
    ],
)
def test_a_key_file_that_opens_nothing_stops_the_start(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Exception, match=words):
        create_app(Settings(models=tmp_path, api_keys_file=file))


def test_a_wrong_key_setting_stops_the_start_and_is_not_shown() -> None:
    result = run_app(api_keys=" , ,")
    assert result.returncode == 1
    assert result.stderr == "capsnet: CAPSNET_API_KEYS: names nothing; leave it unset for none\n"


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "192.0.2.1"}, True),
        ({"host": "0.0.0.0", "api_keys": "a-key"}, False),
        ({"host": "0.0.0.0", "api_keys_file": "keys"}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
    ],
)
def test_a_service_that_is_open_to_the_world_without_keys_is_warned_of(
    settings: dict[str, str], warned: bool
) -> None:
    with structlog.testing.capture_logs() as events:
        warn_if_unauthenticated(Settings(**settings))  # type: ignore[arg-type]
    assert [event["log_level"] for event in events] == ["warning"] * warned
    assert all("CAPSNET_API_KEYS" in event["event"] for event in events)
