"""Models are loaded and unloaded while the service runs: over all workers, and without a failed request."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from capsnet.card import ModelCard
from tests.app.server_process import PLAIN, Server, count_ready, png, serving, wait_until
from tests.app.tiny_model import write_card, write_tiny_model

KEY = {"x-api-key": "admin"}
CLIENTS = 4
IMAGE = png(np.full((28, 28), 200, np.uint8))

needs_workers = pytest.mark.skipif(PLAIN or sys.platform != "linux", reason="needs the workers of app/server")


def put_model(folder: Path, name: str, version: str = "1.0.0", **changes: Any) -> None:
    """Write a model beside the folder and move it in, as an operator should."""
    fresh = folder.parent / f"{name}-{version}.new"
    card = write_tiny_model(fresh, name=name, **changes)
    write_card(fresh, card, version=version)
    if (folder / name).exists():
        (folder / name).rename(folder.parent / f"{name}-{version}.old")
    fresh.rename(folder / name)


@contextlib.contextmanager
def service(folder: Path, **settings: object) -> Iterator[tuple[Server, Path]]:
    """A service with the model `mnist` in a folder of its own."""
    models = folder / "models"
    models.mkdir()
    put_model(models, "mnist")
    with serving(folder / "log", models=models, admin_keys="admin", **settings) as server:
        yield server, models


def change(server: Server, name: str, how: str, key: dict[str, str] = KEY) -> httpx.Response:
    return server.client.post(f"/v2/repository/models/{name}/{how}", headers=key)


def index(server: Server) -> dict[str, str]:
    answer = server.client.post("/v2/repository/index").raise_for_status().json()
    return {entry["name"]: entry["state"] for entry in answer}


def versions(server: Server, name: str) -> set[str]:
    """The versions that eight new connections, which the workers share, see; empty for none."""
    found: set[str] = set()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for _ in range(8)]
        for client in clients:
            answer = client.get(f"/v2/models/{name}")
            found |= (
                set(answer.json()["versions"]) if answer.status_code == 200 else {f"{answer.status_code}"}
            )
    return found


class Load(threading.Thread):
    """A client that asks without a pause, and counts the answers."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._url = server.url
        self.stopping = threading.Event()
        self.statuses: list[int | str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self.stopping.is_set():
                try:
                    answer = client.post("/classify?model=mnist&verify=true", files={"file": IMAGE})
                    self.statuses.append(answer.status_code)
                except httpx.HTTPError as error:
                    self.statuses.append(repr(error))


@contextlib.contextmanager
def load_on(server: Server) -> Iterator[Callable[[], int]]:
    """Clients that ask all the time; no request of theirs may fail. Gives the number of answers."""
    clients = [Load(server) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield lambda: sum(len(client.statuses) for client in clients)
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()
    statuses = [status for client in clients for status in client.statuses]
    assert set(statuses) == {200}
    print(f"{len(statuses)} requests, none failed")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=needs_workers)])
def test_no_request_fails_while_models_come_change_and_go(workers: int, tmp_path: Path) -> None:
    with service(tmp_path, workers=workers) as (server, models), load_on(server) as answers:
        wait_until(lambda: answers() > 20, 60)
        put_model(models, "second")
        assert index(server) == {"mnist": "READY", "second": "UNAVAILABLE"}
        assert change(server, "second", "load").json() == {
            "name": "second",
            "version": "1.0.0",
            "state": "READY",
        }
        assert versions(server, "second") == {"1.0.0"}
        put_model(models, "mnist", "2.0.0", spread=0.04, pose_dim=8)
        assert change(server, "mnist", "load").status_code == 200
        assert versions(server, "mnist") == {"2.0.0"}
        before = answers()
        wait_until(lambda: answers() > before + 10, 60)
        assert change(server, "second", "unload").status_code == 200
        assert versions(server, "second") == {"404"}
        assert index(server) == {"mnist": "READY", "second": "UNAVAILABLE"}


@pytest.mark.skipif(PLAIN or not hasattr(signal, "SIGHUP"), reason="needs app/server and SIGHUP")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=needs_workers)])
def test_a_hangup_reads_the_folder_again(workers: int, tmp_path: Path) -> None:
    with service(tmp_path, workers=workers) as (server, models), load_on(server):
        put_model(models, "second")
        put_model(models, "mnist", "2.0.0")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: versions(server, "second") == {"1.0.0"}, 60)
        wait_until(lambda: versions(server, "mnist") == {"2.0.0"}, 60)
        shutil.rmtree(models / "second")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: versions(server, "second") == {"404"}, 60)
        # A broken model takes nothing away.
        (models / "mnist" / "decoder.onnx").write_bytes(b"broken")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the former models stay loaded" in server.log.read_text(), 60)
        assert versions(server, "mnist") == {"2.0.0"}


@needs_workers
def test_a_worker_that_takes_the_place_of_another_serves_what_the_others_do(tmp_path: Path) -> None:
    with service(tmp_path, workers=2) as (server, models):
        put_model(models, "second")
        put_model(models, "third")
        assert change(server, "second", "load").status_code == 200
        assert change(server, "third", "load").status_code == 200
        assert change(server, "third", "unload").status_code == 200
        # One that is killed before it is ready is replaced without ever being counted.
        wait_until(lambda: count_ready(server) == 2, 90)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        before = children.read_text().split()
        os.kill(int(before[0]), signal.SIGKILL)
        wait_until(lambda: count_ready(server) == 3, 90)
        assert versions(server, "second") == {"1.0.0"}
        assert versions(server, "third") == {"404"}
        assert change(server, "third", "load").status_code == 200  # no worker waits for the dead one


@needs_workers
def test_a_worker_that_would_serve_other_files_than_the_others_does_not_start(tmp_path: Path) -> None:
    with service(tmp_path, workers=2) as (server, models):
        put_model(models, "second")
        assert change(server, "second", "load").status_code == 200
        wait_until(lambda: count_ready(server) == 2, 90)
        put_model(models, "second", "2.0.0")  # put there, and not loaded
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        wait_until(lambda: "its workers must agree" in server.log.read_text(), 60)
        assert versions(server, "second") == {"1.0.0"}
        put_model(models, "second")
        wait_until(lambda: count_ready(server) == 3, 90)
        assert versions(server, "second") == {"1.0.0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with service(tmp_path_factory.mktemp("one"), api_keys="client") as (running, models):
        put_model(models, "broken")
        (models / "broken" / "encoder.onnx").write_bytes(b"no graph")
        (models / "cardless").mkdir()
        (models / "cardless" / "encoder.onnx").touch()
        running.client.headers["x-api-key"] = "client"
        yield running


def test_changes_need_a_key_of_their_own(server: Server) -> None:
    for key in ({}, {"x-api-key": "client"}, {"x-api-key": "wrong"}):
        refused = change(server, "mnist", "load", key)
        assert refused.status_code == 401
        assert set(refused.json()) == {"error"}
        use = "open this service" if key.get("x-api-key") == "wrong" else "may load and unload models"
        assert f"the key is none of those that {use}" in refused.json()["error"]
    assert httpx.get(f"{server.url}/models", headers=KEY).status_code == 200  # it opens the rest as well


def test_a_fault_is_named_and_changes_nothing(server: Server) -> None:
    for name, how, status, words in [
        ("broken", "load", 400, "encoder.onnx"),
        ("nothing", "load", 404, "no model is called"),
        ("nothing", "unload", 404, "no model is called"),
        ("mnist", "unload", 400, "default model"),
    ]:
        refused = change(server, name, how)
        assert refused.status_code == status
        assert words in refused.json()["error"]
    assert index(server) == {"broken": "UNAVAILABLE", "cardless": "UNAVAILABLE", "mnist": "READY"}
    only_ready = server.client.post("/v2/repository/index", json={"ready": True}).json()
    assert [entry["name"] for entry in only_ready] == ["mnist"]
    assert server.client.post("/v2/repository/index", content=b"[1]").status_code == 400


def test_of_two_models_of_one_name_none_is_loaded(tmp_path: Path) -> None:
    with service(tmp_path) as (server, models):
        put_model(models, "second")
        put_model(models, "second-new", "2.0.0")
        card = ModelCard.load(models / "second-new")
        write_card(models / "second-new", card, name="second")
        refused = change(server, "second", "load")
        assert refused.status_code == 400
        assert "second-new: is called 'second', and so is" in refused.json()["error"]
        shutil.rmtree(models)
        gone = server.client.post("/v2/repository/index")
        assert (gone.status_code, "there is no such folder" in gone.json()["error"]) == (400, True)


def test_a_load_is_finished_where_its_client_leaves(tmp_path: Path) -> None:
    with service(tmp_path) as (server, models):
        put_model(models, "second")
        begin = time.monotonic()
        assert change(server, "second", "load").status_code == 200
        seconds = time.monotonic() - begin
        assert change(server, "second", "unload").status_code == 200
        for number, pause in enumerate((0.0, seconds / 4, seconds / 2)):
            name = f"left-{number}"
            put_model(models, name)
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                path = f"POST /v2/repository/models/{name}/load HTTP/1.1\r\n".encode()
                client.sendall(path + b"Host: x\r\nX-API-Key: admin\r\nContent-Length: 0\r\n\r\n")
                time.sleep(pause)
            wait_until(lambda name=name: index(server)[name] == "READY", 30)  # type: ignore[misc]


def test_a_model_that_has_not_changed_is_loaded_at_once(server: Server) -> None:
    before = server.log.read_text().count("model loaded")
    assert change(server, "mnist", "load").status_code == 200
    assert server.log.read_text().count("model loaded") == before


def test_configuration_and_statistics_follow_the_protocol(server: Server) -> None:
    config = server.client.get("/v2/models/mnist/config").raise_for_status().json()
    assert config["max_batch_size"] == 64
    assert config["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": [1, 28, 28]}]
    assert [output["dims"] for output in config["output"]] == [[10], [10, 16], [1, 28, 28]]
    assert config["parameters"]["precision"] == {"string_value": "fp32"}

    def statistics() -> dict[str, Any]:
        answer = server.client.get("/v2/models/mnist/versions/1.0.0/stats").raise_for_status().json()
        (entry,) = answer["model_stats"]
        found: dict[str, Any] = entry
        return found

    before = statistics()
    for _ in range(3):
        server.client.post("/classify", files={"file": IMAGE}).raise_for_status()
    after = statistics()
    assert after["inference_count"] == before["inference_count"] + 3
    times = after["inference_stats"]
    assert times["success"]["count"] == before["inference_stats"]["success"]["count"] + 3
    assert times["success"]["ns"] == times["queue"]["ns"] + times["compute_infer"]["ns"] > 0


def test_without_such_keys_no_client_changes_anything(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "models" / "mnist")
    with serving(tmp_path / "log", models=tmp_path / "models") as running:
        refused = change(running, "mnist", "load")
        assert refused.status_code == 403
        assert "CAPSNET_ADMIN_KEYS" in refused.json()["error"]
