"""The proxy before several processes of the service: Debian's nginx with docker/nginx.conf.template."""

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.server_process import Server, assert_problem, png, serving, wait_until
from tests.app.tiny_model import write_tiny_model
from tests.docker.nginx import Proxy, plain_configuration, prefix_configuration, proxying
from training.data.datasets import DatasetPart

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="needs nginx, as in Debian's nginx-light"
)

PROCESSES = 3
LIMIT = 20_000  # bytes


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("behind")
    write_tiny_model(folder / "models" / "mnist")
    settings = {
        "models": folder / "models",
        "log_format": "json",
        "trusted_proxies": "127.0.0.0/8",  # as in the compose file, where clients may come from the gateway
        "max_upload": LIMIT,
    }
    with ExitStack() as stack:
        yield [stack.enter_context(serving(folder / f"{n}.log", **settings)) for n in range(PROCESSES)]


@pytest.fixture(scope="module")
def proxy(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxying([server.port for server in servers], tmp_path_factory.mktemp("nginx") / "run") as running:
        yield running


@pytest.fixture(scope="module")
def seven(digits: DatasetPart) -> bytes:
    return png(digits.images[0, 0])


def lines(file: Path, **fields: str) -> list[dict[str, str]]:
    """The lines of a JSON log with these fields."""
    entries = [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in entries if fields.items() <= entry.items()]


def classify(proxy: Proxy, image: bytes, **headers: str) -> httpx.Response:
    return proxy.client.post("/classify", content=image, headers={"Content-Type": "image/png"} | headers)


# So many that ten of them come to a process even where a busy machine makes it slow: nginx gives such a one fewer.
REQUESTS = 240


def test_the_work_is_spread_over_all_processes(proxy: Proxy, servers: list[Server], seven: bytes) -> None:
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: classify(proxy, seven).status_code, range(REQUESTS)))
    assert statuses == [200] * REQUESTS
    wait_until(lambda: sum(len(lines(server.log, path="/classify")) for server in servers) >= REQUESTS)
    assert min(len(lines(server.log, path="/classify")) for server in servers) >= 10


def test_the_proxy_has_four_processes_on_a_host_of_any_size(proxy: Proxy) -> None:
    """As many as the host has cores would outgrow the limits of the container, where these are many."""
    pid = (proxy.log.parent / "nginx.pid").read_text().strip()
    assert len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) == 4


def logged(servers: list[Server], request_id: str) -> dict[str, str]:
    """The one line that any of the processes has on a request, as soon as it is written."""
    wait_until(lambda: any(lines(server.log, request_id=request_id) for server in servers))
    (line,) = [line for server in servers for line in lines(server.log, request_id=request_id)]
    return line


def test_the_id_of_a_request_is_one_from_client_to_log(proxy: Proxy, servers: list[Server]) -> None:
    given = proxy.client.get("/models", headers={"X-Request-ID": "from-the-client"})
    made = proxy.client.get("/models")
    assert given.headers["x-request-id"] == "from-the-client"
    for request_id in ("from-the-client", made.headers["x-request-id"]):
        assert logged(servers, request_id)["path"] == "/models"
        wait_until(lambda wanted=request_id: bool(lines(proxy.log, request_id=wanted)))  # type: ignore[misc]


@pytest.mark.parametrize("said", ["", "198.51.100.1", "198.51.100.1, 127.0.0.1"])
def test_the_service_learns_the_address_of_the_client_and_not_what_it_says(
    proxy: Proxy, servers: list[Server], said: str
) -> None:
    headers = {"X-Forwarded-For": said} if said else {}
    request_id = proxy.client.get("/models", headers=headers).headers["x-request-id"]
    assert logged(servers, request_id)["client"] == "127.0.0.2"


@pytest.mark.parametrize("size", [LIMIT + 1, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_of_the_service_is_refused_in_its_words(
    proxy: Proxy, size: int, chunked: bool
) -> None:
    body = (b"x" * 1000 for _ in range(size // 1000 + 1)) if chunked else b"x" * size
    # nginx closes a connection from which it has not read a refused body to its end, and does not say so before. So
    # each request has one of its own.
    response = httpx.post(
        f"{proxy.url}/classify", content=body, headers={"Content-Type": "image/png"}, timeout=60
    )
    assert_problem(response, 413, str(LIMIT))


def test_a_body_of_the_limit_is_let_through(proxy: Proxy) -> None:
    response = proxy.client.post("/classify", content=b"x" * LIMIT, headers={"Content-Type": "image/png"})
    assert_problem(response, 400)


@pytest.mark.parametrize(
    "path", ["/metrics", "/digits/metrics", "/digits/digits/metrics", "/a//metrics", "/%6Detrics"]
)
def test_metrics_of_one_process_are_not_shown_as_those_of_all(proxy: Proxy, path: str) -> None:
    response = proxy.client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 404


def test_a_process_that_is_killed_is_left_out(proxy: Proxy, servers: list[Server], seven: bytes) -> None:
    servers[1].process.kill()
    servers[1].process.wait()
    for _ in range(20):
        assert classify(proxy, seven).status_code == 200
        assert proxy.client.get("/models").status_code == 200


@contextmanager
def closing_backend(requests: list[bytes]) -> Iterator[int]:
    """The port of a server that reads a request and closes the connection, as a process that is killed at work."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if received := connection.recv(65536):
                        requests.append(received)
                    else:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield port
        finally:
            socket.create_connection(("127.0.0.1", port)).close()  # nothing comes: the end
            thread.join()


@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("POST", 1)])
def test_only_what_is_safe_is_sent_again(tmp_path: Path, method: str, tries: int) -> None:
    requests: list[bytes] = []
    with (
        closing_backend(requests) as first,
        closing_backend(requests) as second,
        proxying([first, second], tmp_path / "run") as proxy,
    ):
        response = proxy.client.request(method, "/classify", content=b"image" if method == "POST" else None)
    assert len(requests) == tries
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["request_id"]) == (503, response.headers["x-request-id"])


def test_an_early_refusal_passes_an_nginx_in_which_nothing_is_set(
    servers: list[Server], tmp_path: Path
) -> None:
    """It sends `Connection: close` and the whole body; a reset would make 502 of each of these answers."""
    with proxying([servers[0].port], tmp_path / "plain", plain_configuration) as proxy:
        large = bytes(5_000_000)
        for _ in range(3):
            assert_problem(classify(proxy, large), 413)
            assert_problem(classify(proxy, large, **{"Content-Type": "text/plain"}), 415)
            assert_problem(proxy.client.post("/nothing", content=large), 404)
            assert_problem(proxy.client.post("/classify?top_k=x", content=large), 422)


@pytest.mark.parametrize("strips", [True, False], ids=["taken off", "kept"])
@pytest.mark.parametrize("fast_path", [1, 0])
def test_everything_works_below_a_path(
    servers: list[Server], seven: bytes, tmp_path: Path, strips: bool, fast_path: int
) -> None:
    """The page and all that it links, the documentation, and each kind of request; nothing is asked above the path."""
    write_tiny_model(tmp_path / "models" / "mnist")
    settings = {"models": tmp_path / "models", "root_path": "/digits", "fast_path": fast_path}
    with (
        serving(tmp_path / "log", **settings) as server,
        proxying([server.port], tmp_path / "nginx", prefix_configuration(strips=strips)) as proxy,
    ):
        client = proxy.client
        for page in ("/digits/", "/digits/docs"):
            answer = client.get(page)
            assert answer.status_code == 200
            for link in re.findall(r"""(?:src|href)=["']([^"'#?]+)["']""", answer.text):
                if not link.startswith(("data:", "https:")):
                    target = httpx.URL(f"{proxy.url}{page}").join(link)
                    assert client.get(target).status_code == 200, (page, link)
        document = client.get("/digits/openapi.json").json()
        assert document["servers"][0]["url"] == "/digits"
        assert re.search(r"url: ['\"]openapi\.json|/digits/openapi\.json", client.get("/digits/docs").text)
        image: dict[str, Any] = {"headers": {"Content-Type": "image/png"}, "content": seven}
        assert client.post("/digits/classify", **image).status_code == 200
        assert client.post("/digits/reconstruct", **image).status_code == 200
        assert client.get("/digits/v2/models/mnist").status_code == 200
        problem = client.post("/digits/classify?top_k=x", **image)
        assert problem.json()["status"] == 422
        assert client.get("/digits/health/ready").status_code == 200
        assert server.client.get("/health/ready").status_code == 200  # a probe comes past the proxy
