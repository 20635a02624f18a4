"""Time the encoders of an exported model on one thread, by batch size, and measure the memory of each.

The result chooses the service's largest batch. All variants are timed in turns, so that other work on the machine slows
all of them alike, and the median of the rounds is kept. The cores should be idle nevertheless. Memory is measured in a
fresh process for each encoder, where no other graph has left free pages.
"""

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from capsnet.card import IMAGE, Speed, encoder_file
from capsnet.onnx_model import open_variants, session

BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 7
SECONDS = 0.1  # of one measurement
# A larger batch costs the service less overhead an image, so one almost as fast as the fastest is preferred.
ALMOST = 0.98
# Linux: the resident memory of this process, among others, in pages.
STATM = Path("/proc/self/statm")


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
    speeds = {}
    for name, by_batch in rates.items():
        best = max(batch for batch, rate in by_batch.items() if rate >= ALMOST * max(by_batch.values()))
        speeds[name] = Speed(
            processor=processor(),
            images_per_second={str(batch): round(rate, 1) for batch, rate in by_batch.items()},
            best_batch=best,
            speedup={
                str(batch): round(by_batch[batch] / rates["fp32"][batch], 3)
                for batch in sorted({min(by_batch), best})
            },
            memory_mb=session_memory(folder / encoder_file(name), (best, *card.config.image_shape)),
        )
    return speeds


def session_memory(encoder: Path, shape: tuple[int, ...]) -> float | None:
    """Return the resident memory in MB that a graph's session adds to a process, with a run of a batch of `shape`.

    None on a system that does not say how much memory is resident.
    """
    if not STATM.exists():
        return None
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_memory_added, encoder, shape).result()


def _memory_added(encoder: Path, shape: tuple[int, ...]) -> float:
    images = np.random.default_rng(0).random(shape, np.float32)
    before = _resident()
    opened = session(encoder, 1)
    opened.run(None, {IMAGE: images})
    return round((_resident() - before) / 1e6, 1)


def _resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
