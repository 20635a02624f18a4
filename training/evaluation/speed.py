"""Time the encoders of an exported model on one thread, by batch size.

The result chooses the service's largest batch. All variants are timed in turns, so that other work on the machine slows
all of them alike, and the median of the rounds is kept. The cores should be idle nevertheless.
"""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from capsnet.card import Speed
from capsnet.onnx_model import open_variants

BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 7
SECONDS = 0.1  # of one measurement
# A larger batch costs the service less overhead an image, so one almost as fast as the fastest is preferred.
ALMOST = 0.98


def measure_speeds(folder: Path, batches: tuple[int, ...] = BATCHES) -> dict[str, Speed]:
    """Time every encoder of an exported model; raises CardError if it is invalid."""
    card, models = open_variants(folder, threads=1)
    images = np.random.default_rng(0).random((max(batches), *card.config.image_shape), np.float32)
    rates: dict[str, dict[int, float]] = {precision: {} for precision in models}
    for batch in batches:
        part = images[:batch]
        runs = {name: partial(model.encode, part) for name, model in models.items()}
        for name, runs_a_second in _in_turns(runs).items():
            rates[name][batch] = batch * runs_a_second
    return {name: _speed(rates[name], rates["fp32"]) for name in models}


def _in_turns(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return calls a second of each function, the median of rounds in which all take turns."""
    for run in runs.values():
        run()  # the first run allocates memory
    rounds = [{name: _calls_a_second(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in rounds) for name in runs}


def _calls_a_second(run: Callable[[], object]) -> float:
    calls, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        run()
        calls += 1
    return calls / seconds


def _speed(rates: dict[int, float], exact: dict[int, float]) -> Speed:
    """Return the card's figures, from images a second by batch of a variant and of the encoder in fp32."""
    best = max(batch for batch, rate in rates.items() if rate >= ALMOST * max(rates.values()))
    return Speed(
        processor=processor(),
        images_per_second={str(batch): round(rate, 1) for batch, rate in rates.items()},
        best_batch=best,
        speedup={str(batch): round(rates[batch] / exact[batch], 3) for batch in sorted({min(rates), best})},
    )


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
