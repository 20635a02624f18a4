"""The memory of one step serves the next."""

import subprocess
import sys

import pytest

from training.trainer.run import keep_freed_memory

# Steps that write 40 MB each; the pages that the system has to map for ten of them, once memory has been laid out.
STEPS = """
import resource, torch
from training.trainer.run import keep_freed_memory
keep_freed_memory(keep={keep})
step = lambda: torch.empty(10_000_000).fill_(1.0)
for _ in range(40):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(*, keep: bool) -> int:
    """Return the pages mapped in ten late steps of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS.format(keep=keep)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


def test_a_step_maps_no_pages_again() -> None:
    if not keep_freed_memory(keep=False):
        pytest.skip("glibc's mallopt is absent")
    kept, returned = pages(keep=True), pages(keep=False)
    assert kept < 0.01 * returned
