"""`make bench-gpu`: time the encoder on a GPU, by batch, with every backend, beside the arithmetic limit.

ONNX Runtime with CUDA in fp32 and fp16, with CUDA graphs, with TensorRT; PyTorch eager and compiled. On a machine
without a GPU it says so and measures the CPU instead: each variant on all cores, and PyTorch.

The limit is the speed of a large product of matrices in the same precision, divided by the operations that the network
needs for an image.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from app.inference.runtime.device import count_gpus
from benchmarks import machine
from benchmarks.competitors.registry import ROOT
from benchmarks.output import RESULTS, save
from capsnet.card import IMAGE, LENGTHS, POSES, ModelCard
from capsnet.config import ModelConfig
from model.architectures.registry import build
from model.export.exporter import Encoder

ROUNDS = 5
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product is the limit
CUDA = "CUDAExecutionProvider"
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "1"}

Run = Callable[[], object]
# Takes images (B,C,H,W); returns a function that encodes them once, and waits until it is done.
Backend = Callable[[np.ndarray], Run]


def main(
    batches: Annotated[str, typer.Option()] = "1,8,64,256,1024",
    seconds: Annotated[float, typer.Option(min=0.05, help="Of each measurement.")] = 0.5,
    model: Annotated[Path, typer.Option(help="Exported model.")] = ROOT / "artifacts" / "mnist",
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
) -> None:
    """Measure, print and write gpu.json."""
    console = Console()
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    card = ModelCard.load(model)
    has_gpu = count_gpus() > 0 and torch.cuda.is_available()
    if not has_gpu:
        console.print("no GPU here: these are figures of the processor, on all of its cores", highlight=False)
    device = torch.device("cuda" if has_gpu else "cpu")
    backends = {**onnx_backends(model, card, has_gpu), **torch_backends(card.config, device)}
    sizes = [int(size) for size in batches.split(",")]
    rates = {
        name: by_batch(backend, card, sizes, seconds, console, name) for name, backend in backends.items()
    }
    limits = {name: limit(card.config, device, dtype) for name, dtype in limit_types(device).items()}
    console.print(table(rates, limits, sizes))
    figures = {"gpu": torch.cuda.get_device_name() if has_gpu else None, "rates": rates, "limits": limits}
    path = save("gpu", {"batches": sizes, "seconds": seconds, "model": model.name}, figures, output)
    console.print(f"written: {path}", highlight=False)


def by_batch(
    backend: Backend, card: ModelCard, sizes: list[int], seconds: float, console: Console, name: str
) -> dict[str, float]:
    """Return images a second by batch; print why a backend that this machine lacks is left out."""
    rates = {}
    for size in sizes:
        images = np.random.default_rng(0).random((size, *card.config.image_shape), np.float32)
        try:
            rates[str(size)] = round(size * calls_a_second(backend(images), seconds), 1)
        except Exception as error:  # noqa: BLE001  # whatever a provider or a compiler raises where it is missing
            console.print(
                f"{name}, batch {size}: not measured: {str(error).splitlines()[0]}", highlight=False
            )
            break
    return rates


def calls_a_second(run: Run, seconds: float) -> float:
    """Return calls a second, the median over rounds."""
    for _ in range(3):
        run()
    rates = []
    for _ in range(ROUNDS):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds / ROUNDS:
            run()
            calls += 1
        rates.append(calls / elapsed)
    return statistics.median(rates)


def onnx_backends(model: Path, card: ModelCard, has_gpu: bool) -> dict[str, Backend]:
    """Return ONNX Runtime with every variant; on a GPU also as a CUDA graph, and through TensorRT."""
    backends: dict[str, Backend] = {}
    for precision, variant in card.variants.items():
        file = model / variant.encoder.file
        if not has_gpu:
            backends[f"ONNX Runtime, {precision}"] = _plain(file)
        elif precision != "int8":
            backends[f"CUDA, {precision}"] = _bound(file, card, [(CUDA, CUDA_OPTIONS)])
            graphs = {**CUDA_OPTIONS, "enable_cuda_graph": "1"}
            backends[f"CUDA graph, {precision}"] = _bound(file, card, [(CUDA, graphs)])
            tensorrt = {"trt_fp16_enable": str(precision == "fp16")}
            backends[f"TensorRT, {precision}"] = _bound(file, card, [("TensorrtExecutionProvider", tensorrt)])
    return backends


def _plain(file: Path) -> Backend:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: lambda: session.run(None, {IMAGE: images})


def _bound(file: Path, card: ModelCard, providers: list[tuple[str, dict[str, str]]]) -> Backend:
    """Return a session whose inputs and outputs stay on the GPU: one for each batch, as a CUDA graph has one shape."""

    def prepare(images: np.ndarray) -> Run:
        onnxruntime.preload_dlls()
        session = onnxruntime.InferenceSession(file, providers=providers)
        if session.get_providers()[0] != providers[0][0]:
            raise RuntimeError(f"{providers[0][0]} cannot be had here")
        classes, pose_dim = card.config.num_classes, card.config.pose_dim
        shapes = {LENGTHS: (len(images), classes), POSES: (len(images), classes, pose_dim)}
        binding = session.io_binding()
        binding.bind_ortvalue_input(IMAGE, onnxruntime.OrtValue.ortvalue_from_numpy(images, "cuda", 0))
        for name, shape in shapes.items():
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cuda", 0)
            binding.bind_ortvalue_output(name, value)
        return lambda: session.run_with_iobinding(binding)

    return prepare


def torch_backends(config: ModelConfig, device: torch.device) -> dict[str, Backend]:
    """Return PyTorch with random weights, which cost as much as trained ones: eager and compiled."""
    encoder = Encoder(build(config)).eval().to(device)
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    short = {torch.float16: "fp16", torch.bfloat16: "bf16"}[half]
    compiled = torch.compile(encoder, mode="max-autotune" if device.type == "cuda" else None)
    return {
        "PyTorch eager, fp32": _torch(encoder, device, None),
        f"PyTorch eager, {short}": _torch(encoder, device, half),
        "PyTorch compiled, fp32": _torch(compiled, device, None),
        f"PyTorch compiled, {short}": _torch(compiled, device, half),
    }


def _torch(encoder: Callable[..., Any], device: torch.device, dtype: torch.dtype | None) -> Backend:
    def prepare(images: np.ndarray) -> Run:
        batch = torch.from_numpy(images).to(device)

        def run() -> None:
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
                encoder(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    return prepare


def limit_types(device: torch.device) -> dict[str, torch.dtype]:
    """Return the precisions whose limit is given."""
    if device.type == "cuda":
        return {"fp32": torch.float32, "fp16": torch.float16}
    return {"fp32": torch.float32, "bf16": torch.bfloat16}


def limit(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> float:
    """Return images a second, if the whole network were as fast as a large product of matrices."""
    side = SIDE[device.type]
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()

    operations = calls_a_second(product, 1.0) * 2 * side**3
    return round(operations / operations_an_image(config), 1)


def operations_an_image(config: ModelConfig) -> int:
    """Return the additions and multiplications of the encoder for one image."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        Encoder(build(config)).eval()(torch.zeros(1, *config.image_shape))
    return int(counter.get_total_flops())


def table(rates: dict[str, dict[str, float]], limits: dict[str, float], sizes: list[int]) -> Table:
    """Return images a second: a row for each backend, a column for each batch."""
    made = Table(title="images/s by batch", title_justify="left")
    made.add_column("")
    for size in sizes:
        made.add_column(str(size), justify="right")
    for name, found in rates.items():
        made.add_row(name, *(f"{found[str(s)]:,.0f}" if str(s) in found else "-" for s in sizes))
    for name, most in limits.items():
        made.add_row(f"limit of arithmetic, {name}", *[""] * (len(sizes) - 1), f"{most:,.0f}")
    return made


if __name__ == "__main__":
    typer.run(main)
