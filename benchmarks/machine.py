"""Describe the machine of a measurement; benchmarks print and store this."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.evaluation.speed import processor

PACKAGES = ("fastapi", "uvicorn", "onnxruntime-gpu", "onnxruntime", "numpy", "orjson", "pillow", "torch")


def describe() -> dict[str, Any]:
    """Return processor, cores, memory, versions, load, commit and time."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": _instructions(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "commit": _commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that affect the figures."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe_in_words(machine: dict[str, Any]) -> str:
    """Return the description in two lines."""
    listed = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, load average {machine['load_average'][0]}, commit {machine['commit']}, "
        f"{machine['time']}\nPython {machine['python']}, {listed}"
    )


def _instructions() -> str:
    """Return the widest instructions that decide how fast 8-bit arithmetic is."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX VNNI", "avx512f": "AVX-512", "avx2": "AVX2"}
    return next((words for flag, words in names.items() if f" {flag}" in flags), platform.machine())


def _commit() -> str:
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return "unknown"
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True
    )
    return result.stdout.strip() or "unknown"
