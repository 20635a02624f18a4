"""`make bench-training`: measure the speed of training beside the arithmetic limit and a plain loop.

Each architecture is trained in two ways, in turns, for some seconds each: with this project's trainer as `fit` runs
it, and with a plain loop: a Dataset that shifts one image at a time in Python, a DataLoader, float32, PyTorch's own
memory format, Adam. Both have the same network, batch and augmentation (the paper's shift by up to two pixels), and
both read the loss of every step.

The limit is the speed of a large product of matrices on this machine, in the precision of the trainer, divided by the
operations that a step needs for an image, forward and backward.

`--chunks 128,16` compares CapsNet's training with predictions and routing of so many images at a time instead.
`--memory` compares steps that keep the memory which the step before freed, as `fit` does, with steps that return it.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import machine
from benchmarks.gpu import SIDE, calls_a_second
from benchmarks.output import RESULTS, save
from benchmarks.report import markdown, training_rows
from capsnet.config import InputSpec, ModelConfig
from model.architectures.registry import ARCHITECTURES, build
from model.nn import layers
from training.data.datasets import DatasetInfo, DatasetPart
from training.trainer.config import TrainConfig
from training.trainer.losses import margin_loss, reconstruction_loss
from training.trainer.run import fast_precision, keep_freed_memory
from training.trainer.run_config import RunConfig
from training.trainer.run_state import EpochResult, TrainingProgress
from training.trainer.trainer import Trainer

SHIFT = 2  # pixels
WARM = 2  # steps before the clock starts
SPEC = InputSpec(channels=1, height=28, width=28, preprocess="mnist")
INFO = DatasetInfo(name="mnist", classes=tuple("0123456789"), input=SPEC)

# Runs for at least so many seconds; images a second.
Measure = Callable[[float], float]


def main(
    architectures: Annotated[str, typer.Option()] = ",".join(sorted(ARCHITECTURES)),
    batch: Annotated[int, typer.Option(min=2)] = 128,
    images: Annotated[
        int, typer.Option(min=1000, help="Of the data set; its content costs nothing.")
    ] = 60_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 15.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
    chunks: Annotated[
        str, typer.Option(help="Images that CapsNet routes at a time, with commas between; writes no file.")
    ] = "",
    memory: Annotated[
        bool, typer.Option("--memory", help="Compare freed memory kept and returned; writes no file.")
    ] = False,
) -> None:
    """Measure, print and write training.json."""
    console = Console()
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = random_data(images)
    keep_freed_memory()
    if chunks or memory:
        rows = []
        for architecture in ("capsnet",) if chunks else architectures.split(","):
            with tempfile.TemporaryDirectory() as folder:
                trainer = ours(run_config(architecture, batch), data, device, Path(folder))
                ways = chunked(trainer, chunks) if chunks else with_memory(trainer)
                measured = in_turns(ways, rounds, seconds)
            rows += [
                [architecture, way, f"{rate:,.0f}", f"{images / rate:,.0f}"] for way, rate in measured.items()
            ]
        heading = ["architecture", "way", "images/s", f"s an epoch of {images:,}"]
        console.print(markdown(heading, rows), highlight=False)
        return
    figures = []
    for architecture in architectures.split(","):
        config = run_config(architecture, batch)
        with tempfile.TemporaryDirectory() as folder:
            this = ours(config, data, device, Path(folder))
            rates = in_turns({"this": this, "plain": plain(config, data, device)}, rounds, seconds)
        found = {"architecture": architecture, "precision": config.precision, "limit": limit(config, device)}
        figures.append(found | rates)
        console.print(f"{architecture}: {rates}", highlight=False)
    console.print(markdown(*training_rows(figures)), highlight=False, soft_wrap=True)
    options = {"device": str(device), "threads": torch.get_num_threads(), "batch": batch}
    path = save("training", options | {"seconds": seconds, "rounds": rounds}, figures, output)
    console.print(f"written: {path}", highlight=False)


def in_turns(trainers: dict[str, Measure], rounds: int, seconds: float) -> dict[str, float]:
    """Return images a second, the median of rounds in which all take turns."""
    measured = [{name: trainer(seconds) for name, trainer in trainers.items()} for _ in range(rounds)]
    return {name: round(statistics.median(each[name] for each in measured), 1) for name in trainers}


def random_data(count: int) -> DatasetPart:
    """Return as many random images as wanted, in the shape of MNIST."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, SPEC.channels, SPEC.height, SPEC.width), np.uint8)
    return DatasetPart(pixels, random.integers(0, len(INFO.classes), count, np.int64))


def run_config(architecture: str, batch: int) -> RunConfig:
    """Return the settings that `fit` would use, with the paper's augmentation."""
    return RunConfig(
        dataset="mnist",
        network=ModelConfig(architecture=architecture),
        input=SPEC,
        epochs=10_000,
        batch_size=batch,
        augmentation="whole-shift",
        precision=fast_precision("auto"),
    )


class Enough(Exception):
    """The time of a measurement is over."""


class Stopwatch:
    """Times a run, and ends it by raising `Enough`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began: float | None = None

    def start(self, position: TrainingProgress, steps: int) -> None:
        """Note the first step; the clock starts after `WARM` steps."""
        self.first, self.steps = position.epoch * steps + position.step, steps

    def step(self, position: TrainingProgress, loss: float) -> None:
        """Check the clock after each reported step."""
        done = position.epoch * self.steps + position.step - self.first
        if self.began is None:
            if done >= WARM:
                self.began, self.warm = time.perf_counter(), done
        elif (elapsed := time.perf_counter() - self.began) >= self.seconds:
            self.rate = (done - self.warm) / elapsed
            raise Enough

    def epoch(self, result: EpochResult, *, best: bool) -> None:
        """Ignore the end of an epoch: it is part of the measurement."""


def ours(config: RunConfig, data: DatasetPart, device: torch.device, folder: Path) -> Measure:
    """Return a measurement of the trainer behind `python -m training fit`, which continues at each call."""
    fabric = Fabric(accelerator=device.type, devices=1, precision=config.precision)
    trainer = Trainer(fabric, config, INFO, data, folder, {})

    def run(seconds: float) -> float:
        watch = Stopwatch(seconds)
        try:
            trainer.run(watch)
        except Enough:
            return watch.rate * config.batch_size
        raise AssertionError("a measurement ends by Enough")

    return run


def chunked(trainer: Measure, counts: str) -> dict[str, Measure]:
    """Return measurements of a trainer that predicts and routes so many images at a time."""

    def run(count: int, seconds: float) -> float:
        layers.CHUNK = count
        return trainer(seconds)

    return {f"{count} images at a time": partial(run, int(count)) for count in counts.split(",")}


def with_memory(trainer: Measure) -> dict[str, Measure]:
    """Return measurements of a trainer in a process that keeps the memory it frees, and in one that returns it."""

    def run(keep: bool, seconds: float) -> float:
        keep_freed_memory(keep=keep)
        return trainer(seconds)

    return {"memory kept": partial(run, True), "memory returned": partial(run, False)}


class ShiftedImages(Dataset[tuple[Tensor, int]]):
    """One image at a time, moved by up to two pixels on each axis."""

    def __init__(self, data: DatasetPart) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.data.images[index]).float() / 255
        padded = torch.nn.functional.pad(image, [SHIFT] * 4)
        top, left = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
        height, width = image.shape[1:]
        return padded[:, top : top + height, left : left + width], int(self.data.labels[index])


def plain(config: RunConfig, data: DatasetPart, device: torch.device) -> Measure:
    """Return a measurement of the loop that public repositories write; on a GPU with loading processes."""
    network = build(config.network).train().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    workers = min(8, os.cpu_count() or 1) if device.type == "cuda" else 0
    loader = DataLoader(
        ShiftedImages(data), config.batch_size, shuffle=True, num_workers=workers, drop_last=True
    )

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    def run(seconds: float) -> float:
        watch, position = Stopwatch(seconds), TrainingProgress()
        watch.start(position, 1)
        try:
            for images, labels in forever():
                loss = loss_of(network, images.to(device), labels.to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                position.step += 1
                watch.step(position, loss.item())
        except Enough:
            return watch.rate * config.batch_size
        raise AssertionError("a measurement ends by Enough")

    return run


def loss_of(network: Callable[..., Any], images: Tensor, labels: Tensor) -> Tensor:
    """Return margin loss and weighted reconstruction loss."""
    lengths, _, drawn = network(images, labels)
    margin = margin_loss(lengths, torch.nn.functional.one_hot(labels, lengths.shape[1]))
    return (margin + TrainConfig.reconstruction_weight * reconstruction_loss(drawn, images)).mean()


def limit(config: RunConfig, device: torch.device) -> float:
    """Return images a second, if a whole step were as fast as a large product of matrices."""
    side = SIDE[device.type]
    kind = torch.bfloat16 if config.precision == "bf16-mixed" else torch.float32
    a, b = (torch.rand(side, side, device=device).to(kind) for _ in range(2))

    def product() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()

    return round(calls_a_second(product, 1.0) * 2 * side**3 / operations_an_image(config.network), 1)


def operations_an_image(config: ModelConfig) -> int:
    """Return the additions and multiplications of a step for one image, forward and backward."""
    network, images = build(config).train(), torch.zeros(2, *config.image_shape)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(loss_of(network, images, torch.zeros(2, dtype=torch.long)))
    return int(counter.get_total_flops()) // len(images)


if __name__ == "__main__":
    typer.run(main)
