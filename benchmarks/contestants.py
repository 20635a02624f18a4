"""Who takes part in `bench-serving`: how each is started, and in which environment."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings
from benchmarks.servers import Server, free_port, running

ROOT = Path(__file__).resolve().parent.parent
CONTENDERS = Path(__file__).parent / "contenders"
ENVIRONMENTS = Path(os.environ.get("BENCH_ENVIRONMENTS") or ROOT / ".venv-benchmarks")


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    `environment` is the name of its own environment, or empty for this service; `precision` that of the encoder whose
    answers are expected.
    """

    name: str
    environment: str
    command: tuple[str, ...]
    path: str = "/classify"
    precision: str = "fp32"

    @contextmanager
    def serving(self, model: Path, log: Path) -> Iterator[Server]:
        """The contestant with the encoder in the folder `model`."""
        port = free_port()
        if self.environment:
            python = ENVIRONMENTS / self.environment / "bin" / "python"
            command = (str(python), *(part.format(port=port) for part in self.command))
            extra = {"ENCODER": str(model / "encoder.onnx"), "OMP_NUM_THREADS": "1"}
            folder = CONTENDERS
        else:
            command, folder = (sys.executable, *self.command), ROOT
            extra = service_settings(port, model, self.precision)
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
USUAL = ("-m", "uvicorn", "usual_fastapi:app", "--port", "{port}", "--workers", "2")

CONTESTANTS = {
    item.name: item
    for item in (
        Contestant("capsnet fp32", "", APP, PLAIN),
        Contestant("capsnet int8", "", APP, PLAIN, "int8"),
        Contestant("capsnet fp32, guard", "", APP),
        Contestant("capsnet int8, guard", "", APP, precision="int8"),
        Contestant("FastAPI, 1 worker", "fastapi", ("plain_fastapi.py", "{port}", "1")),
        Contestant("FastAPI, 2 workers", "fastapi", ("plain_fastapi.py", "{port}", "2")),
        Contestant("FastAPI, as usually written", "fastapi", USUAL),
        Contestant("LitServe", "litserve", ("lit.py", "{port}")),
        Contestant("BentoML", "bentoml", ("bento.py", "{port}")),
        Contestant("MLServer", "mlserver", ("mls.py", "{port}")),
        Contestant("Ray Serve", "ray", ("ray_replicas.py", "{port}")),
    )
}


def service(precision: str) -> Contestant:
    """This service by itself, with `auto` or a precision."""
    return Contestant(f"capsnet {precision}", "", APP, PLAIN, precision)


def choose(pattern: str) -> list[Contestant]:
    """The contestants whose names hold one of the words in a comma-separated list; all for an empty one."""
    words = [word.strip().lower() for word in pattern.split(",") if word.strip()]
    return [c for c in CONTESTANTS.values() if not words or any(word in c.name.lower() for word in words)]
