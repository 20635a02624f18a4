"""What a device must do before it is used, as far as a CPU can tell."""

import threading
from pathlib import Path
from typing import Any

import pytest

from app.errors import DeviceError
from app.inference.batching.batcher import Batcher
from app.inference.model_repository import open_model
from app.inference.models import load_model
from app.inference.runtime.device import CPU, Device, run_once
from app.inference.runtime.engine import Engine
from app.settings import Settings
from tests.app.tiny_model import runs_of, write_tiny_model


def test_a_graph_is_run_before_its_device_is_taken(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "sound")
    for name in ("encoder.onnx", "decoder.onnx"):
        run_once(Device(CPU, 1).session(tmp_path / "sound" / name))
    failing = next(
        folder
        for seed in range(1, 1000)
        if write_tiny_model(folder := tmp_path / f"{seed}", luck=seed)
        and runs_of(folder / "encoder.onnx", 2) == ".x"
    )
    session = Device(CPU, 1).session(failing / "encoder.onnx")
    run_once(session)
    with pytest.raises(DeviceError, match=r"a graph that it has loaded does not run: .*Gather"):
        run_once(session)


@pytest.mark.parametrize("records", [True, False])
def test_recordings_are_made_in_the_thread_that_replays_them(
    records: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_model(tmp_path / "mnist")
    batcher, threads = Batcher(1, 8, "slot"), []
    warm_up = Engine.warm_up

    def note(engine: Engine, *shapes: Any) -> None:
        threads.append(threading.current_thread().name)
        warm_up(engine, *shapes)

    monkeypatch.setattr(Engine, "warm_up", note)
    load_model(open_model(tmp_path / "mnist"), Device(CPU, 1, records), batcher, Settings(), lambda *_: ())
    assert threads[0].startswith("slot") is records
