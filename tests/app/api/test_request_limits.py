"""Requests made to hurt: each is refused in few words, and no other client waits for it."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.kserve_tensors import max_json_bytes
from tests.app.server_process import Server, assert_problem, png, serving, wait_until

# Seconds that a client may wait for `/health/live` beside the worst request; it is about a fifth of that.
LONGEST_WAIT = 1.0
SHORT = 2_000  # bytes of an answer

JSON = {"Content-Type": "application/json"}
POSE = [0.0] * 16


@contextlib.contextmanager
def bystander(server: Server) -> Iterator[list[float]]:
    """A client that asks `/health/live` again and again; gives the seconds that the server let each request wait.

    What it did not compute meanwhile, it did not let wait for: other programs may want the processor as well.
    """
    waits: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not over.is_set():
                start, busy = time.perf_counter(), server.cpu_seconds()
                assert client.get("/health/live").status_code == 200
                waits.append(min(time.perf_counter() - start, server.cpu_seconds() - busy))
                time.sleep(0.002)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        wait_until(lambda: bool(waits))
        try:
            yield waits
        finally:
            over.set()
            asking.result()


def body_of(size: int, start: str, item: str, end: str) -> bytes:
    """JSON of at most that many bytes: as many items as fit."""
    count = (size - len(start) - len(end)) // (len(item) + 1)
    return (start + ",".join([item] * count) + end).encode()


# What /decode reads at most for poses of 16 dimensions: 1,024 * (40 * 16 + 256) bytes.
LIMIT = 917_504

WRONG_BODIES = {
    "a list of lists of letters": body_of(LIMIT, '{"label":1,"poses":[[', '"a"', "]]}"),
    "letters for poses": body_of(LIMIT, '{"label":1,"poses":[', '"a"', "]}"),
    "empty poses": body_of(LIMIT, '{"label":1,"poses":[', "[]", "]}"),
    "wrong labels": body_of(LIMIT, '{"pose":[0],"labels":[', "null", "]}"),
    "a long label": json.dumps({"label": "a" * (LIMIT - 1000), "pose": POSE}).encode(),
    "a long name": json.dumps({"a" * (LIMIT - 100): 1}).encode(),
    "many names": ("{" + ",".join(f'"{number}":1' for number in range(80_000)) + "}").encode(),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
def test_a_body_full_of_errors_is_told_its_first(server: Server, name: str) -> None:
    assert len(WRONG_BODIES[name]) <= LIMIT
    with bystander(server) as waits:
        response = server.client.post("/decode", content=WRONG_BODIES[name], headers=JSON)
    problem = assert_problem(response, 422)
    assert len(problem["errors"]) == 1
    assert len(response.content) < SHORT
    assert max(waits) < LONGEST_WAIT


MOST_JSON = max_json_bytes((1, 28, 28))
TENSOR = '{"inputs":[{"name":"image","datatype":"FP32","shape":[64,1,28,28],"data":['

WRONG_TENSORS = {
    "empty lists": body_of(MOST_JSON, TENSOR, "[]", "]}]}"),
    "lists where an object belongs": body_of(MOST_JSON, '{"inputs":{"a":[', "[1]", "]}}"),
    "parameters without end": body_of(MOST_JSON, '{"inputs":[],"parameters":{"a":[', "[]", "]}}"),
    "many names": ("{" + ",".join(f'"{number}":1' for number in range(140_000)) + "}").encode(),
}


@pytest.mark.parametrize("name", WRONG_TENSORS)
def test_wrong_tensors_of_the_longest_kind_are_refused_in_few_words(server: Server, name: str) -> None:
    assert len(WRONG_TENSORS[name]) <= MOST_JSON
    with bystander(server) as waits:
        response = server.client.post("/v2/models/mnist/infer", content=WRONG_TENSORS[name])
    assert response.status_code == 400
    assert len(response.content) < SHORT
    assert max(waits) < LONGEST_WAIT


def test_a_body_that_no_poses_fill_is_not_read(server: Server) -> None:
    """Five megabytes of wrong numbers: a million errors."""
    body = json.dumps({"label": 1, "poses": [["a"] * 1000] * 1000}).encode()
    with bystander(server) as waits:
        assert_problem(server.client.post("/decode", content=body, headers=JSON), 413, str(LIMIT))
    assert max(waits) < LONGEST_WAIT


def test_the_largest_sensible_body_is_read(server: Server) -> None:
    poses = np.random.default_rng(0).normal(size=(1024, 16)) * 1e-5
    body = json.dumps({"labels": ["7"] * 1024, "poses": poses.tolist()}, indent=4).encode()
    assert 500_000 < len(body) <= LIMIT
    assert server.client.post("/decode", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("&".join(f"a{number:x}=" for number in range(9_000)), "9000 parameters"),
        ("&".join(["dim=1"] * 10_000), "10000 parameters"),
        ("&".join(f"a{number}=" for number in range(2_000)), "'a0'"),
        ("&".join(["dim=x"] * 2_000), "'dim'"),
        ("&".join(f"dim={number}&delta=0" for number in range(1_024)), "'dim'"),
        ("a" * 60_000, "'aaa"),
        ("label=" + "a" * 60_000, "'label'"),
        ("model=" + "a" * 60_000, "'model'"),
    ],
)
def test_a_long_query_is_refused_in_few_words(server: Server, seven: bytes, query: str, word: str) -> None:
    with bystander(server) as waits:
        response = server.client.post(f"/reconstruct?{query}", files={"file": seven})
    assert_problem(response, 422, word)
    assert len(response.content) < SHORT
    assert max(waits) < LONGEST_WAIT


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/models/" + "m" * 50_000, {}, 404),
        ("GET", "/" + "p" * 50_000, {}, 404),
        ("POST", "/classify", {"Content-Type": "t" * 50_000}, 415),
        ("POST", "/classify", {"Content-Type": "image/png", "Content-Encoding": "e" * 50_000}, 415),
    ],
)
def test_what_is_long_is_cut(
    client: httpx.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    problem = assert_problem(client.request(method, path, headers=headers), status, "...")
    assert len(problem["detail"]) < 500


def test_a_form_of_countless_parts_is_not_read_to_its_end(server: Server) -> None:
    part = b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    with bystander(server) as waits:
        response = server.client.post("/classify", content=part * 100_000 + b"--X--\r\n", headers=headers)
    assert_problem(response, 400, "more than 10 parts")
    assert max(waits) < LONGEST_WAIT


def begin(server: Server, declared: int, sent: bytes) -> socket.socket:
    """A connection on which an image of `declared` bytes has begun to come."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n"
    connection.sendall(head.format(declared).encode() + sent)
    return connection


def test_a_body_that_does_not_come_is_408_and_its_connection_closed(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    """Also where a byte comes now and then."""
    with serving(tmp_path / "log", models=tiny_models, request_timeout=1) as running:
        with begin(running, 5000, b"half") as connection:
            for _ in range(5):
                time.sleep(0.15)
                connection.sendall(b".")
            response = http.client.HTTPResponse(connection)
            response.begin()
            problem = json.loads(response.read())
            assert (response.status, response.headers["Connection"]) == (408, "close")
            assert problem["type"] == "urn:problem-type:capsnet:request-timeout"
            assert problem["detail"] == "the body did not come within 1 s"
            assert connection.recv(1) == b""
        assert running.client.post("/classify", files={"file": seven}).status_code == 200


def test_all_bodies_share_a_limit_of_bytes(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    """Space for ten bodies of the largest size; what clients promise and do not send takes none."""
    size = 200_000
    with serving(tmp_path / "log", models=tiny_models, max_upload=size) as running:

        def ask() -> httpx.Response:
            return running.client.post("/classify", files={"file": seven})

        all_but_complete: list[socket.socket] = []
        with contextlib.ExitStack() as connections:
            for _ in range(30):
                connections.enter_context(begin(running, size, b""))
            assert ask().status_code == 200
            while ask().status_code == 200:
                assert len(all_but_complete) < 100
                all_but_complete.append(connections.enter_context(begin(running, size, bytes(size - 1))))
                time.sleep(0.02)
            assert len(all_but_complete) >= 10
            refused = ask()
            assert_problem(refused, 503, str(10 * size))
            assert refused.headers["retry-after"] == "1"
            assert running.client.get("/health/ready").status_code == 200
        wait_until(lambda: ask().status_code == 200)


def test_large_images_take_turns_and_small_ones_pass(server: Server, seven: bytes) -> None:
    pixels = np.zeros((3600, 3600), np.uint8)
    pixels[900:2700, 1700:1900] = 255
    large = png(pixels)  # 13 megapixels
    done: list[str] = []

    def ask(name: str, image: bytes) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/classify?verify=false", files={"file": image}).status_code == 200
        done.append(name)

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, "large", large) for _ in range(5)]
        wait_until(lambda: len(done) >= 1)
        for each in [*asked, pool.submit(ask, "small", seven)]:
            each.result()
    assert done.index("small") <= 3
