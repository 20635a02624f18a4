"""The `capsnet` command as it is typed: a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.app.server_process import ROOT, environment

LIMIT = 60  # seconds for one command on a busy machine


def start(*words: str | Path, server: str, **more: Any) -> subprocess.Popen[bytes]:
    variables = environment(server=server) | {"PYTHONPATH": str(ROOT)} | more.pop("variables", {})
    command = [sys.executable, "-m", "capsnet", *map(str, words)]
    return subprocess.Popen(
        command, env=variables, stderr=subprocess.PIPE, **{"stdout": subprocess.PIPE, **more}
    )


def capsnet(
    *words: str | Path, server: str, status: int = 0, stdin: bytes = b"", **more: Any
) -> tuple[str, str]:
    """What the command wrote to standard output and standard error; it must leave with this status."""
    process = start(*words, server=server, stdin=subprocess.PIPE, **more)
    out, err = process.communicate(stdin, timeout=LIMIT)
    assert process.returncode == status, err.decode()
    return out.decode(), err.decode()
