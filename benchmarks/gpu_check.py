"""`make gpu-check`: check everything that needs a GPU in one run of less than eight minutes; one table at the end.

Each row tests what a machine without a GPU cannot. The CUDA provider with buffers on the GPU gives the answers of the
CPU at every batch size, in fp32 and fp16, with recorded graphs and with TensorRT. The service gives them over HTTP.
Training in bfloat16 and compiled has the losses of the CPU. A resumed run ends with the weights of an uninterrupted
one.

Without a GPU it says `not run`. With `--stand-in` all of it runs on the CPU instead. That proves this script, and the
buffers and batch sizes; it proves nothing about a GPU, and the table says so.
"""

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from app.inference.runtime.device import CPU, CUDA, TENSORRT, Device, count_gpus
from app.inference.runtime.engine import Engine
from app.inference.runtime.io_binding import BoundGraph, batch_sizes
from benchmarks import machine
from benchmarks.competitors.registry import PLAIN, ROOT, service_settings
from benchmarks.load import payloads
from benchmarks.load.servers import Server, free_port, running, wait_until_answering
from benchmarks.output import RESULTS, save
from capsnet.card import IMAGE, LABEL, POSES, ModelCard

MAX_BATCH = 64
# A GPU may multiply in TF32, whose 10 bits of mantissa leave 5e-4 of a length; fp16 has as many.
TOLERANCE = {"fp32": 5e-3, "fp16": 2e-2, "int8": 5e-3}
IMAGES = 3000
LOSS_TOLERANCE = 0.05
SECONDS_OF_A_RUN = 300
HEADERS = {"Content-Type": payloads.MULTIPART}
PASSED, FAILED, NOT_RUN = "passed", "FAILED", "not run"

Floats = np.ndarray


class NotHere(Exception):
    """A check needs something that this machine does not have; the message names it."""


@dataclass
class Row:
    """One line of the table."""

    area: str
    check: str
    result: str
    found: str
    seconds: float


class Checks:
    """The rows so far; a failed check reports why, and the others go on."""

    def __init__(self, console: Console) -> None:
        self.rows: list[Row] = []
        self._console = console

    def run(self, area: str, check: str, work: Callable[[], str]) -> None:
        """Run one check; `work` returns its finding, raises NotHere or fails."""
        started = time.monotonic()
        try:
            result, found = PASSED, work()
        except NotHere as error:
            result, found = NOT_RUN, str(error)
        except Exception as error:  # noqa: BLE001  # whatever a provider or a compiler raises is what was found
            lines = str(error).strip().splitlines() or [type(error).__name__]
            result, found = FAILED, lines[0]
        row = Row(area, check, result, found, round(time.monotonic() - started, 1))
        self.rows.append(row)
        self._console.print(f"{result}: {area}, {check}: {found} ({row.seconds:.0f} s)", highlight=False)

    def table(self, title: str) -> Table:
        """Return all rows as a table for a terminal."""
        made = Table(title=title, title_justify="left")
        for name in ("area", "check", "result", "found", "s"):
            made.add_column(name, justify="right" if name == "s" else "left")
        for row in self.rows:
            made.add_row(row.area, row.check, row.result, row.found, f"{row.seconds:.0f}")
        return made


def main(
    stand_in: Annotated[bool, typer.Option(help="Run on the CPU where there is no GPU.")] = False,
    models: Annotated[Path, typer.Option(help="Folder of exported models.")] = ROOT / "artifacts",
    images: Annotated[int, typer.Option(min=500, help="Training images of the trial runs.")] = IMAGES,
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
) -> None:
    """Check, print one table and write gpu_check.json; exit 1 if anything failed."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    has_gpu = count_gpus() > 0 and torch.cuda.is_available()
    if not has_gpu and not stand_in:
        console.print("not run: no GPU here. `make gpu-check STAND_IN=1` tries the script itself on the CPU")
        return
    name = torch.cuda.get_device_name() if has_gpu else "CPU in place of a GPU"
    checks, started = Checks(console), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        check_graphs(checks, models, has_gpu, work)
        check_service(checks, models, has_gpu, work)
        check_speed(checks, has_gpu, work)
        check_training(checks, has_gpu, images, work)
    minutes = (time.monotonic() - started) / 60
    title = f"gpu-check on {name}: {minutes:.1f} minutes"
    console.print(checks.table(title))
    figures = {"device": name, "minutes": round(minutes, 1), "rows": [asdict(row) for row in checks.rows]}
    path = save("gpu_check", {"images": images, "stand_in": not has_gpu}, figures, output)
    console.print(f"written: {path}", highlight=False)
    if any(row.result == FAILED for row in checks.rows):
        raise typer.Exit(1)


# -------------------------------------------------------------------------------------------------------------- graphs


def check_graphs(checks: Checks, models: Path, has_gpu: bool, work: Path) -> None:
    """Compare every shipped model in every precision with the CPU, at every batch size."""
    if has_gpu:
        checks.run("graphs", "CUDA can be loaded", cuda_loads)
    for folder in sorted(path.parent for path in models.glob("*/card.json")):
        card = ModelCard.load(folder)
        for precision in card.variants:
            if has_gpu and precision == "int8":  # made for CPUs
                continue
            for backend, device in devices(has_gpu, work).items():
                name = f"{card.name} {precision}, {backend}"
                checks.run("graphs", name, lambda: compare(folder, card, precision, device))  # noqa: B023


def cuda_loads() -> str:
    """Return the versions of ONNX Runtime and CUDA, and the name of the GPU."""
    onnxruntime.preload_dlls()
    if CUDA not in onnxruntime.get_available_providers():
        raise RuntimeError("this ONNX Runtime has no CUDA provider: make gpu-check RUNTIME=gpu")
    return (
        f"ONNX Runtime {onnxruntime.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
    )


def devices(has_gpu: bool, work: Path) -> dict[str, Device]:
    """Return each backend that can run a graph on a GPU; on a CPU the buffers alone."""
    if not has_gpu:
        return {"buffers": Device(CPU, 1)}
    return {
        "CUDA": Device(CUDA, 2),
        "CUDA graphs": Device(CUDA, 1, records=True),
        "TensorRT": Device(TENSORRT, 2, cache=work / "tensorrt"),
    }


def compare(folder: Path, card: ModelCard, precision: str, device: Device) -> str:
    """Compare lengths, poses and drawings with those of the CPU; return the largest differences."""
    if device.provider == TENSORRT and TENSORRT not in onnxruntime.get_available_providers():
        raise NotHere("ONNX Runtime lists no TensorRT")
    encoder, decoder = folder / card.variants[precision].encoder.file, folder / card.decoder.file
    reference = Engine(Device(CPU, 1), encoder, decoder, MAX_BATCH)
    encode, decode = graph_functions(device, encoder, decoder)
    random = np.random.default_rng(0)
    largest = {"lengths": 0.0, "poses": 0.0, "drawing": 0.0}
    agreed = total = 0
    for size in (*batch_sizes(MAX_BATCH), MAX_BATCH - 1, 3):  # the last two are padded
        batch = strokes(random, size, card.config.image_shape)
        expected, found = reference.encode(batch), encode(batch)
        labels = expected[0].argmax(axis=1)
        drawn = reference.decode(expected[1], labels), decode(expected[1], labels)
        for name, (a, b) in zip(largest, (*zip(expected, found, strict=True), drawn), strict=True):
            if a.shape != b.shape or not np.isfinite(b).all():
                raise RuntimeError(f"batch of {size}: {name} of shape {b.shape}, or not finite")
            largest[name] = max(largest[name], float(np.abs(a - b).max()))
        agreed += int((found[0].argmax(axis=1) == labels).sum())
        total += size
    differences = ", ".join(f"{name} {value:.1e}" for name, value in largest.items())
    limit = TOLERANCE[precision]
    if max(largest.values()) > limit or agreed < 0.99 * total:
        raise RuntimeError(
            f"differs by more than {limit:g}: {differences}; {agreed} of {total} classes agree"
        )
    return f"largest difference: {differences}; {agreed} of {total} classes agree"


def graph_functions(
    device: Device, encoder: Path, decoder: Path
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return encode and decode with buffers on the device, as the service uses them on a GPU."""
    if device.is_gpu:
        engine = Engine(device, encoder, decoder, MAX_BATCH)
        return engine.encode, engine.decode
    graphs = [
        BoundGraph(device.session(file), "cpu", batch_sizes(MAX_BATCH), 1) for file in (encoder, decoder)
    ]
    return (
        lambda images: graphs[0].run({IMAGE: images}),
        lambda poses, label: graphs[1].run({POSES: poses, LABEL: label})[0],
    )


def strokes(random: np.random.Generator, count: int, shape: tuple[int, int, int]) -> Floats:
    """Draw images (N,C,H,W) in [0,1] of a few light strokes, which resemble digits more than noise does."""
    _, height, width = shape
    made = np.empty((count, *shape), np.float32)
    for image in made:
        canvas = Image.new("L", (4 * width, 4 * height))
        points = random.integers(round(0.8 * width), round(3.2 * width), (random.integers(2, 6), 2))
        ImageDraw.Draw(canvas).line([tuple(map(int, p)) for p in points], 255, round(0.3 * width))
        image[:] = np.asarray(canvas.resize((width, height)), np.float32) / 255
    return made


# ------------------------------------------------------------------------------------------------------------- service


def check_service(checks: Checks, models: Path, has_gpu: bool, work: Path) -> None:
    """Start the service on the device and compare what it answers over HTTP with the service on the CPU."""
    for precision in ("fp32", "fp16") if has_gpu else ("fp32",):
        settings = {"CAPSNET_DEVICE": "cuda", "CAPSNET_REQUIRE_GPU": "1"} if has_gpu else {}
        settings |= {"CAPSNET_WORKERS": "1", "CAPSNET_PRECISION": precision}
        served = having(models, precision, work / f"models-{precision}")
        checks.run("service", f"/classify over HTTP, {precision}", lambda: answers(served, settings, work))  # noqa: B023


def having(models: Path, precision: str, folder: Path) -> Path:
    """Return a folder with links to the models that have a variant: the service does not start with others."""
    folder.mkdir()
    for card in sorted(models.resolve().glob("*/card.json")):
        if precision in ModelCard.load(card.parent).variants:
            (folder / card.parent.name).symlink_to(card.parent, target_is_directory=True)
    return folder


def answers(models: Path, settings: dict[str, str], work: Path) -> str:
    """Compare the answers to 64 images, and return the requests a second of 32 clients."""
    forms = [payloads.multipart([payloads.png(each)]) for each in payloads.digits()[:64]]
    with serving(models, {"CAPSNET_DEVICE": "cpu", "CAPSNET_WORKERS": "1"}, work) as server:
        expected = [classify(server, form) for form in forms]
    with serving(models, settings, work) as server:
        found = [classify(server, form) for form in forms]
        with ThreadPoolExecutor(32) as pool:
            started = time.monotonic()
            list(pool.map(lambda form: classify(server, form), forms * 8))
            rate = 8 * len(forms) / (time.monotonic() - started)
    largest = max(
        abs(a - b) for x, y in zip(expected, found, strict=True) for a, b in zip(x[1], y[1], strict=True)
    )
    agreed = sum(x[0] == y[0] for x, y in zip(expected, found, strict=True))
    if largest > TOLERANCE["fp16"] or agreed < len(forms):
        raise RuntimeError(f"lengths differ by {largest:.1e}; {agreed} of {len(forms)} classes agree")
    return f"lengths within {largest:.1e}; {agreed} of {len(forms)} classes agree; {rate:.0f} requests/s, 32 threads"


@contextmanager
def serving(models: Path, settings: dict[str, str], work: Path) -> Iterator[Server]:
    """Run the service with these models, as a process of its own, once it answers."""
    port, form = free_port(), payloads.multipart([payloads.png(payloads.digits()[0])])
    environment = service_settings(port, models.resolve(), "fp32") | settings
    command = (sys.executable, "-m", "app")
    with running(command, port, work / "log", folder=ROOT, environment=environment) as server:
        wait_until_answering(server, PLAIN, form, HEADERS)
        yield server


def classify(server: Server, form: bytes) -> tuple[str, list[float]]:
    """Return the label and the lengths of one image."""
    status, body = server.post(PLAIN, form, HEADERS)
    if status != 200:
        raise RuntimeError(f"/classify answered {status}: {body[:100]!r}")
    answer = json.loads(body)
    return answer["predictions"][0]["label"], answer["lengths"]


# --------------------------------------------------------------------------------------------------------------- speed


def check_speed(checks: Checks, has_gpu: bool, work: Path) -> None:
    """Run the two benchmarks that have a GPU's row, briefly."""
    checks.run("speed", "bench-gpu", lambda: bench_gpu(work))
    checks.run("speed", "bench-serving", lambda: bench_serving(has_gpu, work))


def bench_gpu(work: Path) -> str:
    """Return the largest rate of each backend of the encoder."""
    command(["-m", "benchmarks.gpu", "--seconds", "0.25", "--batches", "1,64,1024", "--output", str(work)])
    rates = json.loads((work / "gpu.json").read_text())["figures"]["rates"]
    return "; ".join(f"{backend} {max(found.values()):,.0f}/s" for backend, found in rates.items() if found)


def bench_serving(has_gpu: bool, work: Path) -> str:
    """Return the requests a second with 32 clients, on the GPU and on the CPU."""
    if shutil.which("wrk") is None:
        raise NotHere("wrk is not installed")
    names = "capsnet fp32,gpu" if has_gpu else "capsnet fp32"
    options = ["--rounds", "1", "--seconds", "3", "--clients", "32", "--output", str(work)]
    command(["-m", "benchmarks.serving", "--contenders", names, *options])
    rows = json.loads((work / "serving.json").read_text())["figures"]
    if failures := [f"{row['name']}: {row['failure']}" for row in rows if row["failure"]]:
        raise RuntimeError("; ".join(failures))
    return "; ".join(f"{row['name']} {row['loads'][0]['rate']:,.0f}/s" for row in rows)


# ------------------------------------------------------------------------------------------------------------ training

# Every option that `fit` would choose, so that all runs are alike.
RECIPE = (
    *("--image-size", "28", "--channels", "1", "--preprocess", "resize", "--augmentation", "none"),
    *("--validation", "500", "--batch-size", "128", "--learning-rate", "0.001"),
    *("--warmup", "0", "--ema", "0"),
    *("--minutes", "5"),
)
ARCHITECTURES = ("capsnet", "efficient", "residual", "shared", "cnn-small", "cnn-residual")


def check_training(checks: Checks, has_gpu: bool, images: int, work: Path) -> None:
    """Train an epoch of each architecture in several modes and compare losses; interrupt a run and resume it."""
    data = work / "data"
    write_digits(data, images)
    device = "cuda" if has_gpu else "cpu"
    modes = {
        "fp32": ["--accelerator", device, "--precision", "32-true"],
        "bf16": ["--accelerator", device, "--precision", "bf16-mixed"],
        "bf16, compiled": ["--accelerator", device, "--precision", "bf16-mixed", "--compile"],
    }
    reference = ["--accelerator", "cpu", "--precision", "32-true"]
    losses: dict[str, float] = {}
    at_once = 4 if has_gpu else 1

    def train(architecture: str, name: str, options: list[str]) -> float:
        folder = work / f"{architecture}-{name}".replace(", ", "-")
        return fit(data, folder, architecture, ["--epochs", "1", *options])

    for architecture in ARCHITECTURES:
        checks.run(
            "training",
            f"{architecture}, CPU fp32",
            lambda: record(losses, architecture, train(architecture, "cpu", reference)),  # noqa: B023
        )
    jobs = [
        (architecture, name, options)
        for architecture in ARCHITECTURES
        for name, options in modes.items()
        if has_gpu or (name != "fp32" and (name == "bf16" or architecture == "efficient"))
    ]
    with ThreadPoolExecutor(at_once) as pool:
        runs = [(job, pool.submit(train, *job)) for job in jobs]
        for (architecture, name, _), run in runs:
            checks.run(
                "training",
                f"{architecture}, {device} {name}",
                lambda: near(losses.get(architecture), run.result()),  # noqa: B023
            )
    for precision in ("32-true", "bf16-mixed"):
        options = ["--accelerator", device, "--precision", precision]
        checks.run("training", f"resumed run, {precision}", lambda: resumed(data, work, options))  # noqa: B023


def record(losses: dict[str, float], name: str, loss: float) -> str:
    """Record a loss to compare others with."""
    losses[name] = loss
    return f"loss {loss:.4f}"


def near(expected: float | None, loss: float) -> str:
    """Compare a loss with the CPU's."""
    if expected is None:
        raise NotHere("the CPU's run failed")
    losses = f"loss {loss:.4f}, CPU {expected:.4f}"
    if not abs(loss - expected) <= LOSS_TOLERANCE * expected:
        raise RuntimeError(f"{losses}: more than {LOSS_TOLERANCE:.0%} apart")
    return losses


def fit(data: Path, folder: Path, architecture: str, options: list[str]) -> float:
    """Train with `python -m training fit`; return the loss of the last epoch."""
    chosen = ["--dataset", f"folder:{data}", "--architecture", architecture, "--output", str(folder)]
    command(["-m", "training", "fit", *chosen, *RECIPE, *options])
    with (folder / "log.csv").open() as log:
        return float(list(csv.DictReader(log))[-1]["loss"])


def resumed(data: Path, work: Path, options: list[str]) -> str:
    """Compare the weights of a run of two epochs with those of one that was stopped after the first."""
    whole, broken = (Path(tempfile.mkdtemp(dir=work)) for _ in range(2))
    two = ["--epochs", "2", *options]
    fit(data, whole, "efficient", two)
    fit(data, broken, "efficient", [*two, "--until", "1"])
    fit(data, broken, "efficient", [*two, "--resume"])
    one, other = (load_file(folder / "last.safetensors") for folder in (whole, broken))
    largest = max(float(np.abs(one[name].astype(float) - other[name].astype(float)).max()) for name in one)
    if not largest <= 1e-2:
        raise RuntimeError(f"the weights differ by {largest:.1e}")
    return "equal in every bit" if largest == 0 else f"weights within {largest:.1e}"


def write_digits(folder: Path, count: int) -> None:
    """Write images of drawn digits as PNG files, in a sub-folder for each of the ten classes."""
    random = np.random.default_rng(0)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(digit(random, number % 10)).save(folder / str(number % 10) / f"{number}.png")


def digit(random: np.random.Generator, label: int) -> np.ndarray:
    """Draw a digit (28,28): Pillow's own letters, turned, moved, scaled and blurred a little."""
    canvas = Image.new("L", (112, 112))
    font = ImageFont.load_default(float(random.uniform(64, 92)))
    ImageDraw.Draw(canvas).text(
        (56, 56), str(label), 255, font, anchor="mm", stroke_width=int(random.integers(0, 4))
    )
    x, y = random.uniform(-10, 10, 2)
    turned = canvas.rotate(random.uniform(-20, 20), Image.Resampling.BILINEAR, translate=(int(x), int(y)))
    small = np.asarray(turned.resize((28, 28), Image.Resampling.BOX), np.float32)
    return np.clip(small + random.normal(0, 8, small.shape), 0, 255).astype(np.uint8)


def command(words: list[str]) -> str:
    """Run Python with these words; return what it printed.

    Raises
    ------
    RuntimeError
        If it fails or takes too long; with the last line that it printed.
    """
    try:
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_OF_A_RUN
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took more than {SECONDS_OF_A_RUN} s") from None
    if done.returncode:
        raise RuntimeError(((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1])
    return done.stdout


if __name__ == "__main__":
    typer.run(main)
