"""Loads are compared with what the service sustains at the same time, however the machine's speed drifts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import overload
from benchmarks.load.servers import Server
from tests.app.server_process import serving
from tests.app.tiny_model import write_tiny_model


def test_a_load_is_compared_with_the_rates_before_and_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that becomes faster by a tenth with each measurement gives every load its whole share."""
    bench = overload._Bench(tmp_path, seconds=8, connections=100)
    speed, asked = 1000.0, []

    def measure(server: Server, load: "partial[dict[str, float]]") -> dict[str, Any]:
        nonlocal speed
        asked.append(load.args[1:])
        speed += 100
        figures = dict.fromkeys(("other", "p99_ms", "probe_p99_ms", "growth_mb_a_minute", "recovery_s"), 0.0)
        return figures | {"answered_200": speed, "for_a_core_second": speed / 2}

    def nothing(*_: object) -> float:
        return 0.001

    monkeypatch.setattr(overload, "wait_until_answering", nothing)
    for name, fake in {"_seconds_of_one": nothing, "_closed": nothing, "_watched": measure}.items():
        monkeypatch.setattr(bench, name, cast(Callable[..., Any], fake))
    figures = bench.all_loads(cast(Server, None), clients="32,2000", factors="2,10")
    assert asked == [(128, 4), (32, 8), (128, 4), (2000, 8), (128, 4), (2.0,), (128, 4), (10.0,), (128, 4)]
    assert [load["sustained"] for load in figures["loads"]] == [1200, 1400, 1600, 1800]
    assert {load["share"] for load in figures["loads"]} == {1.0}
    assert {load["share_for_a_core_second"] for load in figures["loads"]} == {1.0}
    assert figures["sustained"] == 1500


def test_answers_that_are_neither_200_nor_503_are_counted(tmp_path: Path) -> None:
    """Where they were taken for refusals, a service that fails would seem to shed load."""
    write_tiny_model(tmp_path / "models" / "mnist")
    with serving(tmp_path / "log", models=tmp_path / "models") as running:
        server = Server(cast(Any, running.process), running.port, running.log)
        before = overload.failures(server)
        for status, path in ((200, "/models"), (404, "/nothing"), (404, "/models/none"), (405, "/classify")):
            assert server.get(path)[0] == status
        assert overload.failures(server) - before == 3
