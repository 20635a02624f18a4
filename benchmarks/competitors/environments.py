"""Make the environments of the competitors, one for each file in requirements/: `make bench-serving` runs this.

Their folder is .venv-benchmarks, or BENCH_ENVIRONMENTS. They are made again only when their file has changed.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.competitors.registry import ENVIRONMENTS, choose

REQUIREMENTS = Path(__file__).parent / "requirements"


def make(name: str) -> None:
    """Make one environment, unless it exists."""
    folder, pins = ENVIRONMENTS / name, REQUIREMENTS / f"{name}.txt"
    stamp, digest = folder / "installed", hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"installing {name} into {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", str(pins)], check=True)
    stamp.write_text(digest)


def main() -> None:
    """Make the environments of the competitors named on the command line."""
    for name in dict.fromkeys(c.environment for c in choose(",".join(sys.argv[1:])) if c.environment):
        make(name)


if __name__ == "__main__":
    main()
