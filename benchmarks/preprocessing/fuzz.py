"""Feed damaged and absurd images to the decoder: `python -m benchmarks.preprocessing.fuzz --minutes 10`.

A finding is an exception other than the two documented ones, an array of another shape or range, an image that takes
more than two seconds of CPU time, or one that makes the process grow beyond a bound. Each is written to a file, and the
exit status is 1.
"""

import argparse
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.preprocessing.damaged_files import mutated, whole_files
from capsnet.config import InputSpec
from capsnet.preprocessing.pipeline import ImageTooLarge, NotAnImage, PreprocessMode, decode

SPECS = (
    InputSpec(channels=1, height=28, width=28, preprocess="mnist"),
    InputSpec(channels=3, height=32, width=48, preprocess="resize"),
)
MODES = get_args(PreprocessMode)
LONGEST = 2.0  # seconds of CPU time
MAX_PIXELS = 4_000_000
MOST_MEMORY = 256  # MiB that one file may add to the process at its highest


def main() -> int:
    """Fuzz, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, about damaged EXIF data
    rng = np.random.default_rng(options.seed)
    valid = list(whole_files().values())
    end = time.monotonic() + 60 * options.minutes
    tried = findings = read = 0
    while time.monotonic() < end:
        data = mutated(valid[rng.integers(len(valid))], rng)
        problem, was_read = examine(data, SPECS[rng.integers(2)], MODES[rng.integers(len(MODES))])
        tried, read = tried + 1, read + was_read
        if problem:
            findings += 1
            _keep(options.findings / f"{options.seed}-{tried}", data, problem)
    print(f"{tried:,} files, {read:,} of them read, {findings} findings; seed {options.seed}")
    return 1 if findings else 0


def examine(data: bytes, spec: InputSpec, mode: str) -> tuple[str, bool]:
    """Return the fault in the answer to a file, or nothing; and whether it was read."""
    begin, peak = time.thread_time(), _peak()
    read = False
    try:
        image = decode(data, spec, preprocess=mode, max_pixels=MAX_PIXELS)
        read = True
    except (NotAnImage, ImageTooLarge):
        image = None
    except Exception:  # noqa: BLE001  (the finding itself)
        return traceback.format_exc(), False
    seconds = time.thread_time() - begin
    if seconds > LONGEST:
        return f"took {seconds:.1f} s of CPU time", read
    if image is not None and not _is_valid(image, spec):
        return f"an array {image.shape} from {image.min()} to {image.max()}", read
    if (grown := _peak() - peak) > MOST_MEMORY:
        return f"{grown} MiB of memory", read
    return "", read


def _peak() -> int:
    """Return the peak memory of the process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _is_valid(image: np.ndarray, spec: InputSpec) -> bool:
    shape = (spec.channels, spec.height, spec.width)
    return image.shape == shape and bool(np.isfinite(image).all()) and 0 <= image.min() <= image.max() <= 1


def _keep(path: Path, data: bytes, problem: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".bin").write_bytes(data)
    path.with_suffix(".txt").write_text(problem)
    print(f"FINDING {path}.bin: {problem.strip().splitlines()[-1]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
