"""Choose the device that computes, once at the start; it never changes silently.

ONNX Runtime lists CUDA among its providers on machines without a GPU, and a session that asks for CUDA there silently
becomes a CPU session. So this module first asks the driver for GPUs, and then the session for its provider.
"""

import contextlib
import ctypes
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import structlog

from ...errors import DeviceError, ModelError, first_line
from ...settings import Settings
from .control_groups import quota_cores

log = structlog.get_logger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

PROVIDER = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}

# cuDNN's default, the exhaustive search, would measure again at every new batch size. Tensor cores are fastest with
# channels last.
CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
    "prefer_nhwc": "1",
}

# Two, so that one batch is prepared while the other computes. A recorded graph allows one run at a time.
GPU_SLOTS = 2
RECORDED_SLOTS = 1


@dataclass(frozen=True)
class Device:
    """A device, and how many batches run on it at the same time.

    `records` has CUDA record each batch size as a graph and replay it; `cache` is where TensorRT keeps its engines.
    """

    provider: str
    slots: int
    records: bool = False
    cache: Path = Path("tensorrt")

    @property
    def is_gpu(self) -> bool:
        """Tell whether the provider is one for GPUs."""
        return self.provider != CPU

    def session(self, graph: Path, max_batch: int = 64) -> onnxruntime.InferenceSession:
        """Load a graph that will run with at most `max_batch` rows.

        Raises
        ------
        ModelError
            If ONNX Runtime cannot load the file.
        DeviceError
            If the session ended up on another provider.
        """
        try:
            session = onnxruntime.InferenceSession(
                graph, _session_options(self), self._providers(graph, max_batch)
            )
        except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
            raise ModelError(f"{graph}: ONNX Runtime cannot load it: {first_line(error)}") from None
        session.disable_fallback()  # or a failing run would move to the CPU unasked
        if (actual := session.get_providers()[0]) != self.provider:
            raise DeviceError(
                f"{graph.name} was to run on {self.provider}, but ONNX Runtime put it on {actual}"
            )
        return session

    def _providers(self, graph: Path, max_batch: int) -> list[str | tuple[str, dict[str, str]]]:
        """Return the providers to ask ONNX Runtime for; TensorRT leaves what it cannot do to CUDA."""
        if not self.is_gpu:
            return [CPU]
        if self.provider == TENSORRT:
            options = tensorrt_options(graph, self.cache.expanduser(), max_batch)
            return [(TENSORRT, options), (CUDA, CUDA_OPTIONS)]
        return [(CUDA, CUDA_OPTIONS | ({"enable_cuda_graph": "1"} if self.records else {}))]


def tensorrt_options(graph: Path, cache: Path, max_batch: int) -> dict[str, str]:
    """Return options that keep engines and timings on disk, for all batches up to `max_batch`.

    Building engines takes minutes. Without the profile of shapes TensorRT would build again for each larger batch.
    """
    inputs = onnxruntime.InferenceSession(graph, providers=[CPU]).get_inputs()

    def shapes(batch: int) -> str:
        return ",".join(f"{node.name}:{'x'.join(map(str, [batch, *node.shape[1:]]))}" for node in inputs)

    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": str(int(".fp16." in graph.name)),
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(max_batch),
        "trt_profile_max_shapes": shapes(max_batch),
    }


def _session_options(device: Device) -> onnxruntime.SessionOptions:
    """Return options for one thread a run, without spinning: the slots run in parallel."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors come as exceptions; its log lines are not JSON
    if not device.is_gpu:
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def choose_device(settings: Settings, probe: Path) -> Device:
    """Return the device that the settings ask for: auto, cpu, cuda or tensorrt.

    Parameters
    ----------
    probe
        A graph to load as a test of the GPU.

    Raises
    ------
    DeviceError
        If the device is not available; says why.
    """
    onnxruntime.set_default_logger_severity(3)
    wanted, require_gpu = settings.device, settings.require_gpu
    cpu = Device(CPU, cores_of_one(settings.workers))
    if wanted == "cpu" and require_gpu:
        raise DeviceError(
            "CAPSNET_DEVICE is 'cpu' and CAPSNET_REQUIRE_GPU is set; they contradict each other"
        )
    if wanted == "cpu":
        return cpu
    try:
        return _gpu(settings, probe)
    except DeviceError as error:
        if require_gpu or wanted != "auto":
            variable = "CAPSNET_REQUIRE_GPU is set" if wanted == "auto" else f"CAPSNET_DEVICE is {wanted!r}"
            raise DeviceError(f"{variable}, but {error}") from None
        say = log.warning if count_gpus() else log.info
        say("no GPU in use, computing on the CPU", reason=str(error))
        return cpu


def _gpu(settings: Settings, probe: Path) -> Device:
    """Return a GPU through CUDA or TensorRT after a test run; raises DeviceError."""
    kind = "cuda" if settings.device == "auto" else settings.device
    records = settings.cuda_graphs and kind == "cuda"
    device = Device(
        PROVIDER[kind], RECORDED_SLOTS if records else GPU_SLOTS, records, settings.tensorrt_cache
    )
    if not count_gpus():
        raise DeviceError("the NVIDIA driver offers no GPU")
    if device.provider not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"this build of ONNX Runtime has no {device.provider}; the one that has comes by `make serve RUNTIME=gpu` "
            "in a clone, or by pip uninstall onnxruntime and pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    with contextlib.redirect_stdout(io.StringIO()) as said:
        onnxruntime.preload_dlls()
        try:
            run_once(device.session(probe))
        except DeviceError as error:
            hint = "are CUDA and cuDNN installed, as pip install 'onnxruntime-gpu[cuda,cudnn]' does?"
            missing = next(iter(said.getvalue().splitlines()), "")
            raise DeviceError(f"{error}; {hint} {missing}".rstrip()) from None
    return device


def run_once(session: onnxruntime.InferenceSession) -> None:
    """Run a graph on zeros; raises DeviceError if it fails: some devices load what they cannot compute."""
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    feeds = {
        node.name: np.zeros([size if isinstance(size, int) else 1 for size in node.shape], types[node.type])
        for node in session.get_inputs()
    }
    try:
        session.run(None, feeds)
    except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
        raise DeviceError(f"a graph that it has loaded does not run: {first_line(error)}") from None


def count_gpus() -> int:
    """Return how many NVIDIA GPUs the driver offers."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def cores_of_one(workers: int) -> int:
    """Return the cores for each of several processes that share the machine: at least one."""
    return max(1, available_cores() // workers)


def available_cores() -> int:
    """Return the whole cores that this process may use, by affinity and quotas of control groups; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cores()
    return cores if quota is None else max(1, min(cores, int(quota)))
