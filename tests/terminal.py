"""A command on a terminal of its own, as a person runs it."""

import os
import pty
import subprocess
from collections.abc import Sequence
from pathlib import Path

COLUMNS = 120


def run_in_terminal(
    command: Sequence[str], *, env: dict[str, str], cwd: Path | None = None
) -> tuple[int, str]:
    """The command's status and what it shows; what it writes to standard error is lost."""
    ours, theirs = pty.openpty()
    plain = {"TERM": "dumb", "COLUMNS": str(COLUMNS)}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            command, env=env | plain, cwd=cwd, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        shown = b""
        try:
            while chunk := screen.read(65536):
                shown += chunk
        except OSError:  # how Linux says that the other side is closed
            pass
        return process.wait(), shown.decode().replace("\r\n", "\n")
