"""List the competitors of `bench-serving`: how each is started, and in which environment."""

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
APPS = Path(__file__).parent / "apps"
ENVIRONMENTS = Path(os.environ.get("BENCH_ENVIRONMENTS") or ROOT / ".venv-benchmarks")


@dataclass(frozen=True)
class Competitor:
    """One row of the table.

    `environment` is the name of its own environment, or empty for this project's. `precision` is that of the encoder
    whose answers are expected. `settings` are those of this service, and None for another server.
    """

    name: str
    environment: str
    command: tuple[str, ...]
    path: str = "/classify"
    precision: str = "fp32"
    settings: dict[str, str] | None = None

    @contextmanager
    def serving(self, model: Path, log: Path) -> Iterator[Server]:
        """Run the competitor with the encoder in the folder `model`."""
        port = free_port()
        python = ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else sys.executable
        command = (str(python), *(part.format(port=port) for part in self.command))
        if self.settings is None:
            folder, extra = APPS, {"ENCODER": str(model / "encoder.onnx"), "OMP_NUM_THREADS": "1"}
        else:
            folder, extra = ROOT, service_settings(port, model, self.precision) | self.settings
        with running(command, port, log, folder=folder, environment=extra) as server:
            yield server


def service_settings(port: int, model: Path, precision: str) -> dict[str, str]:
    """Return this service's environment, with one process a core."""
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

COMPETITORS = {
    item.name: item
    for item in (
        Competitor("capsnet fp32", "", APP, PLAIN, settings={}),
        Competitor("capsnet int8", "", APP, PLAIN, "int8", {}),
        Competitor("capsnet fp32, guard", "", APP, settings={}),
        Competitor("capsnet int8, guard", "", APP, precision="int8", settings={}),
        Competitor("capsnet int8, plain uvicorn", "", APP, PLAIN, "int8", {"CAPSNET_SERVER": "uvicorn"}),
        Competitor("capsnet int8, Granian", "granian", GRANIAN, PLAIN, "int8", {}),
        Competitor("FastAPI, 1 worker", "fastapi", ("plain_fastapi.py", "{port}", "1")),
        Competitor("FastAPI, 2 workers", "fastapi", ("plain_fastapi.py", "{port}", "2")),
        Competitor("FastAPI, as usually written", "fastapi", USUAL),
        Competitor("LitServe", "litserve", ("lit.py", "{port}")),
        Competitor("BentoML", "bentoml", ("bento.py", "{port}")),
        Competitor("MLServer", "mlserver", ("mls.py", "{port}")),
        Competitor("Ray Serve", "ray", ("ray_replicas.py", "{port}")),
    )
}
ON_GPU = {"CAPSNET_DEVICE": "cuda", "CAPSNET_REQUIRE_GPU": "1", "CAPSNET_WORKERS": "1"}
if count_gpus():
    for precision in ("fp32", "fp16"):
        row = Competitor(f"capsnet {precision}, GPU", "", APP, PLAIN, precision, ON_GPU)
        COMPETITORS[row.name] = row


def service(precision: str) -> Competitor:
    """Return this service as a competitor, with `auto` or a precision."""
    return Competitor(f"capsnet {precision}", "", APP, PLAIN, precision, {})


def choose(pattern: str) -> list[Competitor]:
    """Return the competitors whose names contain a word of a comma-separated list; all for an empty one."""
    words = [word.strip().lower() for word in pattern.split(",") if word.strip()]
    return [c for c in COMPETITORS.values() if not words or any(word in c.name.lower() for word in words)]
