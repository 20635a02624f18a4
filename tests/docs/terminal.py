"""A command on a terminal of its own, as a person runs it."""

import os
import pty
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

COLUMNS = 120

# What sets colours and weights.
STYLES = re.compile(r"\x1b\[[0-9;]*m")


def run_in_terminal(
    command: Sequence[str], *, env: dict[str, str], cwd: Path | None = None
) -> tuple[int, str]:
    """The command's status and what it shows, without colours; what it writes to standard error is lost."""
    ours, theirs = pty.openpty()
    size = {"TERM": "xterm", "COLUMNS": str(COLUMNS)}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            command, env=env | size, cwd=cwd, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        shown = b""
        try:
            while chunk := screen.read(65536):
                shown += chunk
        except OSError:  # how Linux says that the other side is closed
            pass
        return process.wait(), STYLES.sub("", shown.decode()).replace("\r\n", "\n")
