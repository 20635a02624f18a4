"""Who takes part in `bench-serving`: how each is started, and in which environment."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.inference.runtime.device import count_gpus
from app.settings import Settings
from benchmarks.load.servers import Server, free_port, running

ROOT = Path(__file__).resolve().parents[2]
CONTENDERS = Path(__file__).parent / "apps"
ENVIRONMENTS = Path(os.environ.get("BENCH_ENVIRONMENTS") or ROOT / ".venv-benchmarks")


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    `environment` is the name of its own environment, or empty for this project's; `precision` that of the encoder whose
    answers are expected; `settings` are of this service, which the first word of its command starts, and None for
    another server.
    """

    name: str
    environment: str
    command: tuple[str, ...]
    path: str = "/classify"
    precision: str = "fp32"
    settings: dict[str, str] | None = None

    @contextmanager
    def serving(self, model: Path, log: Path) -> Iterator[Server]:
        """The contestant with the encoder in the folder `model`."""
        port = free_port()
        python = ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else sys.executable
        command = (str(python), *(part.format(port=port) for part in self.command))
        if self.settings is None:
            folder, extra = CONTENDERS, {"ENCODER": str(model / "encoder.onnx"), "OMP_NUM_THREADS": "1"}
        else:
            folder, extra = ROOT, service_settings(port, model, self.precision) | self.settings
        with running(command, port, log, folder=folder, environment=extra) as server:
            yield server


def service_settings(port: int, model: Path, precision: str) -> dict[str, str]:
    """This service's environment, with a process a core."""
    settings = {"port": port, "models": model, "precision": precision, "log_format": "json", "device": "cpu"}
    if "workers" in Settings.model_fields:
        settings["workers"] = len(os.sched_getaffinity(0))
    return {f"CAPSNET_{name.upper()}": str(value) for name, value in settings.items()}


PLAIN = "/classify?verify=false"
APP = ("-m", "app")
GRANIAN = (
    "-m",
    "granian",
    "--interface",
    "asgi",
    "--port",
    "{port}",
    "--workers",
    "2",
    "--no-ws",
    "app.main:app",
)
USUAL = ("-m", "uvicorn", "usual_fastapi:app", "--port", "{port}", "--workers", "2")

CONTESTANTS = {
    item.name: item
    for item in (
        Contestant("capsnet fp32", "", APP, PLAIN, settings={}),
        Contestant("capsnet int8", "", APP, PLAIN, "int8", {}),
        Contestant("capsnet fp32, guard", "", APP, settings={}),
        Contestant("capsnet int8, guard", "", APP, precision="int8", settings={}),
        Contestant("capsnet int8, plain uvicorn", "", APP, PLAIN, "int8", {"CAPSNET_SERVER": "uvicorn"}),
        Contestant("capsnet int8, Granian", "granian", GRANIAN, PLAIN, "int8", {}),
        Contestant("FastAPI, 1 worker", "fastapi", ("plain_fastapi.py", "{port}", "1")),
        Contestant("FastAPI, 2 workers", "fastapi", ("plain_fastapi.py", "{port}", "2")),
        Contestant("FastAPI, as usually written", "fastapi", USUAL),
        Contestant("LitServe", "litserve", ("lit.py", "{port}")),
        Contestant("BentoML", "bentoml", ("bento.py", "{port}")),
        Contestant("MLServer", "mlserver", ("mls.py", "{port}")),
        Contestant("Ray Serve", "ray", ("ray_replicas.py", "{port}")),
    )
}
ON_GPU = {"CAPSNET_DEVICE": "cuda", "CAPSNET_REQUIRE_GPU": "1", "CAPSNET_WORKERS": "1"}
if count_gpus():
    for precision in ("fp32", "fp16"):
        row = Contestant(f"capsnet {precision}, GPU", "", APP, PLAIN, precision, ON_GPU)
        CONTESTANTS[row.name] = row


def service(precision: str) -> Contestant:
    """This service by itself, with `auto` or a precision."""
    return Contestant(f"capsnet {precision}", "", APP, PLAIN, precision, {})


def choose(pattern: str) -> list[Contestant]:
    """The contestants whose names hold one of the words in a comma-separated list; all for an empty one."""
    words = [word.strip().lower() for word in pattern.split(",") if word.strip()]
    return [c for c in CONTESTANTS.values() if not words or any(word in c.name.lower() for word in words)]
