"""Tell changes of the served models to all processes of the service, through a folder that they share.

One file holds, for each model, the last change and its number. Each process checks the file several times a second,
makes the changes that it has not made yet, and writes its progress to a file of its own, with what it serves. Only the
last change of a model counts, so all processes end with the same models, in whatever order they read the changes.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

FILE = "models.json"
PROGRESS = "models-{pid}.progress"

Change = Literal["load", "unload"]


@dataclass
class Changes:
    """The changes since the start of the service.

    Attributes
    ----------
    number
        That of the last change.
    reload
        The number of the last time at which the whole folder was read again; 0 for never.
    models
        For each model that was changed since then, the number of its last change, and what that was.
    """

    number: int = 0
    reload: int = 0
    models: dict[str, tuple[int, Change]] = field(default_factory=dict)

    @property
    def unloaded(self) -> set[str]:
        """Return the models in the folder that are not to be served."""
        return {name for name, (_, change) in self.models.items() if change == "unload"}


class SharedChanges:
    """The changes that the processes of one folder share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._seen: tuple[int, int] | None = None

    def read(self) -> Changes:
        """Return the changes up to now."""
        try:
            return Changes(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return Changes()

    def is_new(self) -> bool:
        """Tell whether there may be a change since the last call; costs one system call."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return False
        now = status.st_mtime_ns, status.st_ino
        is_new, self._seen = now != self._seen, now
        return is_new

    def look_again(self) -> None:
        """Take the last change as new once more: it could not be made."""
        self._seen = None

    def add(self, name: str, change: Change) -> int:
        """Record a change of one model, and return its number."""
        return self._write(lambda known: known.models.update({name: (known.number, change)}))

    def add_reload(self) -> int:
        """Record that the whole folder is to be read again, and return the number of that change."""

        def forget(known: Changes) -> None:
            known.reload, known.models = known.number, {}

        return self._write(forget)

    def _write(self, change: Callable[[Changes], Any]) -> int:
        with (self._folder / f"{FILE}.lock").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            known = self.read()
            known.number += 1
            change(known)
            new = self._folder / f"{FILE}.new"
            new.write_text(json.dumps(vars(known)))
            new.replace(self._file)
        return known.number

    def set_progress(self, number: int, served: Mapping[str, str], error: str = "") -> None:
        """Record that this process has made all changes up to `number`, and the error of the last.

        `served` are the models that it serves now, each with a hash that other files of it would not have.
        """
        own = self._folder / PROGRESS.format(pid=os.getpid())
        new = own.with_suffix(".new")
        new.write_text(json.dumps({"number": number, "served": dict(served), "error": error}))
        new.replace(own)

    def leave(self) -> None:
        """Remove the progress of this process, so that no other waits for it."""
        (self._folder / PROGRESS.format(pid=os.getpid())).unlink(missing_ok=True)

    def behind(self, number: int) -> tuple[set[int], list[str]]:
        """Return the processes that have not made the changes up to `number` yet, and the errors of the others."""
        waiting, errors = set(), []
        for pid, progress in self._living():
            if progress["number"] < number:
                waiting.add(pid)
            elif progress["error"]:
                errors.append(progress["error"])
        return waiting, errors

    def served(self) -> dict[str, str] | None:
        """Return what the process serves that has made the last changes; None where none lives."""
        last = max((progress for _, progress in self._living()), key=itemgetter("number"), default=None)
        return last and last["served"]

    def forget_the_dead(self) -> None:
        """Forget all changes if no process that followed them lives any more: this is another start of the service."""
        self.leave()  # a former process may have had this one's number
        if not any(self._living()):
            self._file.unlink(missing_ok=True)

    def _living(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield number and progress of each process that lives, and remove the progress of the others."""
        for file in self._folder.glob(PROGRESS.format(pid="*")):
            pid = int(file.stem.partition("-")[2])
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                if _is_alive(pid):
                    yield pid, json.loads(file.read_text())
                else:
                    file.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
