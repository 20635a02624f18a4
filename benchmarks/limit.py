"""`make bench-limit`: measure how much of the CPU's speed each layer of the service leaves.

raw         session.run in a thread a core, at the batch at which that is fastest
engine      the same through the service's queue, in this process: one image a request, and 16
HTTP        wrk: single PNGs, batches of 64 as raw tensors (/v2), batches of 64 as PNGs (/classify/batch)

All take turns in each round, and the median of the rounds counts.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.inference.service import InferenceService
from app.settings import Settings
from benchmarks import machine
from benchmarks.competitors.registry import PLAIN, ROOT, service
from benchmarks.load import payloads, wrk
from benchmarks.load.servers import Server, wait_until_answering
from benchmarks.output import RESULTS, save
from capsnet.onnx_model import OnnxModel, open_variants

BATCH = 64
RAW_BATCHES = (1, 4, 16, 64)
WAITING = 256  # images in the engine at a time: enough to keep its batches full
SEVERAL = 16
CLIENTS = 32
BATCH_CLIENTS = 4

Measurement = Callable[[float], float]


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each measurement.")] = 5,
    precisions: Annotated[str, typer.Option(help="Variants of the encoder.")] = "fp32,int8",
    model: Annotated[Path, typer.Option(help="Exported model.")] = ROOT / "artifacts" / "mnist",
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
) -> None:
    """Measure, print and write limit.json."""
    console = Console()
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    _, variants = open_variants(model, threads=1)
    rows: list[dict[str, Any]] = []
    for precision in precisions.split(","):
        if precision not in variants:
            console.print(f"skipped: the model has no {precision} variant", highlight=False)
            continue
        rates = measure(model.resolve(), precision, variants[precision], rounds, seconds, console)
        rows.append({"precision": precision, "images_per_second": rates})
    console.print(table(rows))
    path = save("limit", {"rounds": rounds, "seconds": seconds, "model": model.name}, rows, output)
    console.print(f"written: {path}", highlight=False)


def measure(
    model: Path, precision: str, encoder: OnnxModel, rounds: int, seconds: float, console: Console
) -> dict[str, float]:
    """Return images a second by layer, medians of the rounds."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        competitor = service(precision)
        with competitor.serving(model, Path(folder) / "log") as server:
            layers: dict[str, Measurement] = {
                **{f"raw, batch {batch}": partial(raw, encoder, batch) for batch in RAW_BATCHES},
                "engine": partial(engine, model, precision, 1),
                f"engine, requests of {SEVERAL}": partial(engine, model, precision, SEVERAL),
                **over_http(server, Path(folder), console),
            }
            for number in range(rounds):
                for name, layer in layers.items():
                    found.setdefault(name, []).append(layer(seconds))
                    console.print(f"round {number + 1}, {precision}, {name}: {found[name][-1]:,.0f} images/s")
    return {name: round(statistics.median(rates), 1) for name, rates in found.items()}


def raw(encoder: OnnxModel, batch: int, seconds: float) -> float:
    """Return images a second of session.run alone, in a thread a core over one session."""
    images = payloads.floats(payloads.digits()[:batch])
    end = time.perf_counter() + seconds

    def loop(_: int) -> int:
        runs = 0
        while time.perf_counter() < end:
            encoder.encode(images)
            runs += 1
        return runs

    cores = len(os.sched_getaffinity(0))
    start = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        runs = sum(pool.map(loop, range(cores)))
    return batch * runs / (time.perf_counter() - start)


def engine(model: Path, precision: str, together: int, seconds: float) -> float:
    """Return images a second through the service's queue and engine, with `together` submitted at a time."""
    return asyncio.run(_engine(model, precision, together, seconds))


async def _engine(model: Path, precision: str, together: int, seconds: float) -> float:
    images = list(payloads.floats(payloads.digits()))
    running = InferenceService.load(Settings(models=model, precision=precision, device="cpu"))
    queue = running.models.get(None).encoder
    start = time.monotonic()

    async def call(number: int) -> int:
        done, first = 0, number * together
        while (now := time.monotonic()) < start + seconds:
            capsules = await queue.submit(images[first : first + together], now + 30)
            done += together
            first = (first + together) % (len(images) - together + 1)
        assert np.isfinite(capsules[-1].lengths).all()  # once: checking each would count as the engine's time
        return done

    done = sum(await asyncio.gather(*map(call, range(WAITING // together))))
    rate = done / (time.monotonic() - start)
    await running.close()
    return rate


def over_http(server: Server, folder: Path, console: Console) -> dict[str, Measurement]:
    """Return the routes of this service as measurements; skip a missing one with a message."""
    digits = payloads.digits()
    files = [payloads.png(each) for each in digits]
    forms = [payloads.multipart([file]) for file in files]
    starts = range(0, len(files), BATCH)
    tensors = [payloads.binary_tensors(payloads.floats(digits[start : start + BATCH])) for start in starts]
    binary = {"Inference-Header-Content-Length": str(tensors[0][1])}
    wait_until_answering(server, PLAIN, forms[0], {"Content-Type": payloads.MULTIPART})
    kinds = [
        ("HTTP, single PNGs", PLAIN, forms, payloads.MULTIPART, {}, 1),
        (
            f"HTTP, /v2 tensors by {BATCH}",
            "/v2/models/mnist/infer",
            [body for body, _ in tensors],
            "application/octet-stream",
            binary,
            BATCH,
        ),
        (
            f"HTTP, PNGs by {BATCH}",
            "/classify/batch?verify=false",
            [payloads.multipart(files[start : start + BATCH]) for start in starts],
            payloads.MULTIPART,
            {},
            BATCH,
        ),
    ]
    layers: dict[str, Measurement] = {}
    for index, (name, path, bodies, content_type, headers, images) in enumerate(kinds):
        status, answer = server.post(path, bodies[0], {"Content-Type": content_type, **headers})
        if status != 200:
            console.print(f"skipped: {name}: {path} answered {status} {answer[:120]!r}", highlight=False)
            continue
        load = partial(
            wrk.run,
            server.url(path),
            payloads.write_bodies(folder / f"bodies-{index}", bodies),
            clients=CLIENTS if images == 1 else BATCH_CLIENTS,
            content_type=content_type,
            headers=headers,
        )
        layers[name] = partial(_images_a_second, load, images)
    return layers


def _images_a_second(load: Callable[..., wrk.Load], images: int, seconds: float) -> float:
    return images * load(seconds=seconds).rate


def table(rows: list[dict[str, Any]]) -> Table:
    """Return a row for each layer; the share is that of the fastest raw batch."""
    made = Table(title="images/s (share of raw)", title_justify="left")
    made.add_column("layer")
    for row in rows:
        made.add_column(str(row["precision"]), justify="right")
    rates = [row["images_per_second"] for row in rows]
    for name in dict.fromkeys(name for each in rates for name in each):
        made.add_row(name, *(cell(each, name) for each in rates))
    return made


def cell(rates: dict[str, float], name: str) -> str:
    """Return the images a second of a layer and its share of the fastest raw batch."""
    fastest = max(rate for layer, rate in rates.items() if layer.startswith("raw"))
    return f"{rates[name]:,.0f} ({100 * rates[name] / fastest:.0f} %)" if name in rates else "-"


if __name__ == "__main__":
    typer.run(main)
