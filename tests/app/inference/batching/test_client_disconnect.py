"""Callers who leave while their work waits: it is not computed, and the others are served sooner."""

import json
import socket
import time
from pathlib import Path

from tests.app.server_process import Server, one_core, serving, wait_until

LEAVERS = 10
POSES = 600


def slow_request(server: Server) -> socket.socket:
    """A connection on which many poses have been asked for; one item a batch makes them slow."""
    body = json.dumps({"label": 1, "poses": [[0.1] * 16] * POSES}).encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = "POST /decode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    connection.sendall(head.format(len(body)).encode() + body)
    return connection


def seconds_behind(server: Server, connections: list[socket.socket]) -> float:
    """How long a request waits behind these, which have all been accepted."""
    start = time.perf_counter()
    with slow_request(server) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"
    for each in connections:
        each.close()
    return time.perf_counter() - start


def statuses(log: Path) -> list[int]:
    lines = map(json.loads, log.read_text().splitlines())
    return [line["status"] for line in lines if line.get("path") == "/decode"]


def test_what_waits_for_a_client_who_has_left_is_not_computed(tiny_models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    limits = {"max_batch": 1, "max_queue": 100_000, "request_timeout": 300}
    with one_core(), serving(log, models=tiny_models, log_format="json", **limits) as running:
        seconds_behind(running, [])
        behind_all = seconds_behind(running, [slow_request(running) for _ in range(LEAVERS)])
        wait_until(lambda: len(statuses(log)) == LEAVERS + 2)
        leavers = [slow_request(running) for _ in range(LEAVERS)]
        time.sleep(0.2)  # in the queue
        for each in leavers:
            each.close()
        behind_none = seconds_behind(running, [])
        wait_until(lambda: len(statuses(log)) == 2 * LEAVERS + 3)
    assert statuses(log)[LEAVERS + 2 :].count(499) >= LEAVERS * 2 // 3
    assert behind_none < behind_all / 2
    assert "Traceback" not in log.read_text()
