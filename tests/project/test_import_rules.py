"""What an interpreter really loads: the import rules of pyproject.toml, seen from the other side."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Prints the top-level packages from outside the standard library that importing a module brings with it.
PROGRAM = """
import importlib, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(name for name in loaded - set(sys.stdlib_module_names) if not name.startswith("_")))
"""


def packages_loaded_by(module: str) -> set[str]:
    command = [sys.executable, "-c", PROGRAM, module]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("capsnet.card", {"capsnet"}),
        ("capsnet.preprocessing.image_file", {"capsnet", "numpy", "PIL", "defusedxml"}),
        ("capsnet.preprocessing.pipeline", {"capsnet", "numpy", "PIL", "defusedxml"}),
        ("capsnet.guard", {"capsnet", "numpy", "PIL", "defusedxml"}),
    ],
)
def test_the_seam_loads_only_what_it_may(module: str, allowed: set[str]) -> None:
    assert packages_loaded_by(module) <= allowed


def test_the_service_loads_neither_torch_nor_training() -> None:
    loaded = packages_loaded_by("app.api.application")
    assert "fastapi" in loaded
    assert loaded.isdisjoint(
        {"torch", "model", "training", "lightning_fabric", "onnx", "onnxscript", "safetensors"}
    )


def test_a_model_in_this_process_needs_no_connection() -> None:
    loaded = packages_loaded_by("capsnet.predictor")
    assert loaded <= {"capsnet", "defusedxml", "numpy", "orjson", "PIL"}


def test_the_command_loads_no_runtime_and_no_server() -> None:
    loaded = packages_loaded_by("capsnet.cli.main")
    assert "typer" in loaded
    assert loaded.isdisjoint(
        {"fastapi", "numpy", "onnxruntime", "pydantic", "starlette", "structlog", "uvicorn"}
    )
