"""Run wrk as the load, and read its figures."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "post.lua"
MARK = "RESULT "


class LoadError(RuntimeError):
    """The load could not be made."""


@dataclass(frozen=True)
class Load:
    """The figures of one run of wrk. `broken` counts socket errors and timeouts."""

    requests: int
    seconds: float
    not_200: int
    broken: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def rate(self) -> float:
        """Return requests a second that were answered 200: fast errors do not count."""
        return (self.requests - self.not_200) / self.seconds


def parse(output: str) -> Load:
    """Return the figures that wrk and its script print; raises LoadError if they are missing."""
    for line in output.splitlines():
        if line.startswith(MARK):
            return Load(**json.loads(line.removeprefix(MARK)))
    raise LoadError(f"wrk printed no figures:\n{output}")


def run(
    url: str,
    bodies: Path,
    *,
    clients: int,
    seconds: float,
    content_type: str,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Let `clients` connections post the bodies in rotation, each sending as soon as it has its answer.

    Raises
    ------
    LoadError
        If wrk is not installed or fails.
    """
    more = [text for pair in (headers or {}).items() for text in pair]
    command = [
        "wrk",
        "-t1",
        f"-c{clients}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(SCRIPT),
    ]
    command += [url, "--", str(bodies), content_type, *more]
    return parse(output_of(command, package="wrk", seconds=seconds))


def output_of(command: list[str], *, package: str, seconds: float) -> str:
    """Run a program that loads a server for so many seconds, and return what it prints.

    Raises
    ------
    LoadError
        If it is not installed (Debian has it in `package`), or fails.
    """
    program = command[0]
    if shutil.which(program) is None:
        raise LoadError(f"{program} is not installed; on Debian: apt-get install {package}")
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if result.returncode:
        raise LoadError(f"{program} ended with {result.returncode}: {result.stdout}{result.stderr}")
    return result.stdout
