"""Run several processes on one port: a supervisor starts, watches and ends them, and serves nothing itself.

All workers accept from one socket, which they inherit. A worker with more connections than another leaves new ones to
it (`connection_balancer`). When a worker dies, another accepts the waiting connections.
It replaces a killed worker in 0.5 s, uvicorn's own in 1.5 to 1.8 s, and a worker with a blocked event loop in 11 s,
which uvicorn's does not see: a thread answers its heartbeat. A subclass of uvicorn's was tried and would save about 110
lines (docs/log/serving.md, uvicorn's supervisor). This one goes when uvicorn's heartbeat comes from the loop.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from ..errors import StartupError
from ..inference.runtime.control_groups import memory_limit
from ..inference.shared_changes import SharedChanges
from ..settings import Settings
from .connection_balancer import CLOSED
from .shared_memory import sharing_numbers
from .sockets import StartLock, bind_exclusive, url

log = structlog.get_logger(__name__)

# A worker sends this when it takes requests; any other text is the reason why it cannot start.
READY = b"\x06"

# A ready worker sends this every so many seconds. One that is silent for HANG_S is killed and replaced: its connections
# would never be answered.
ALIVE = b"."
HEARTBEAT_S = 1.0
HANG_S = 10.0

# Seconds for a second check of a silent worker: perhaps it was the supervisor that had stopped.
SECOND_CHECK_S = 1.0

# A worker that lived for less than so many seconds is replaced after a pause, which doubles each time.
SHORT_LIFE_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0

# After so many failed starts in a row the service ends, where no other worker serves.
MOST_FAILED_STARTS = 4

# Seconds for workers to end by themselves: a little more than their own limit (`app.server.server`).
END_TIMEOUT_S = 9.5


class Supervisor:
    """Keeps `settings.workers` processes running until a signal ends them all.

    Parameters
    ----------
    on_end
        Called with the process id of each ended worker.
    expected
        The fingerprint of what the workers should serve.
    """

    def __init__(self, settings: Settings, on_end: Callable[[int], None], expected: bytes) -> None:
        self._settings = settings
        self._expected = expected
        self._on_end = on_end
        self._processes: set[Process] = set()
        self._ready = 0
        self._ever_ready = False
        self._stopping = asyncio.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises
        ------
        StartupError
            If the address or a folder for metrics is not available, or the workers cannot start; says why.
        """
        workers = self._settings.workers
        with (
            _folder() as folder,
            _reserved(self._settings) as (self._start_lock, self._listening),
            sharing_numbers("connections", [CLOSED] * workers) as (self._counts, self._connections),
            sharing_numbers("decode-memory", [0] * workers) as (self._memory, self._decoding),
        ):
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # for the metrics of all workers
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        hangup = self._asked_to_end if ends_at_hangup() else self._asked_to_reload
        for number, react in (
            (signal.SIGTERM, self._asked_to_end),
            (signal.SIGINT, self._asked_to_end),
            (signal.SIGHUP, hangup),
        ):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, react, number)
        numbers = range(self._settings.workers)
        keepers = [asyncio.create_task(self._keep_one_running(number)) for number in numbers]
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stop, *keepers], return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        self._listening.close()  # the workers close theirs once no client waits
        self._signal_all(signal.SIGTERM)
        await asyncio.wait(keepers, timeout=END_TIMEOUT_S)
        self._signal_all(signal.SIGKILL)
        await asyncio.gather(*keepers)

    def _asked_to_reload(self, number: int) -> None:
        """Have all workers read the models' folder again."""
        SharedChanges(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])).add_reload()

    def _asked_to_end(self, number: int) -> None:
        """Begin to end; a later SIGINT ends all workers at once."""
        if self._stopping.is_set() and number == signal.SIGINT:
            self._signal_all(signal.SIGKILL)
        self._stopping.set()

    def _signal_all(self, number: int) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep_one_running(self, number: int) -> None:
        """Start worker `number`, and another one whenever it ends, until all are to end.

        Raises
        ------
        StartupError
            If workers cannot start, and none serves.
        """
        losses = _RestartPolicy()
        while not self._stopping.is_set():
            end = await self._run_one(number)
            if self._stopping.is_set():
                return
            losses.count(end)
            if not self._ready and (reason := losses.give_up_reason(end, self._ever_ready)):
                raise StartupError(reason)
            log.error(f"{end}; another takes its place", in_seconds=losses.pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), losses.pause)

    async def _run_one(self, number: int) -> "_WorkerExit":
        """Start a worker and wait for its end."""
        channel, its_end = socket.socketpair()
        with its_end:
            files = [self._memory, self._counts, self._listening.fileno()]
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", f"{__package__}.worker", *map(str, [its_end.fileno(), number, *files]),
                    pass_fds=[its_end.fileno(), *files], start_new_session=True,  # a Ctrl-C is for the supervisor
                )  # fmt: skip
            except OSError as error:  # no memory or no more processes, which may pass
                channel.close()
                return _WorkerExit(False, f"it could not be started: {error}", 1, 0.0)
        self._processes.add(process)
        started = time.monotonic()
        reader, writer = await asyncio.open_connection(sock=channel)
        writer.write(self._expected)
        message = await _read(reader, 1)
        if was_ready := message == READY:
            self._ready += 1
            log.info("a worker is ready", pid=process.pid, ready=self._ready)
            if not self._ever_ready:
                self._ever_ready = True
                self._start_lock.close()  # the system refuses another service from now on, because this one listens
                log.info("listening", address=url(self._settings), workers=self._settings.workers)
                self._warn_of_memory(process.pid)
            await _read_heartbeats(reader, process)
        message += await _read(reader)
        status = await process.wait()
        writer.close()
        self._ready -= was_ready
        self._processes.remove(process)
        self._connections[number] = CLOSED
        self._decoding[number] = 0
        self._on_end(process.pid)
        refusal = "" if was_ready else message.decode(errors="replace")
        return _WorkerExit(was_ready, refusal, status, time.monotonic() - started)

    def _warn_of_memory(self, pid: int) -> None:
        """Warn where the memory limit cannot hold as many workers as this one, and what they decode."""
        limit, workers = memory_limit(), self._settings.workers
        needed = workers * _memory_of(pid) + self._settings.decode_memory
        if limit is not None and needed > limit:
            log.warning(
                "the memory limit is too small for the workers and CAPSNET_DECODE_MEMORY; the system may end workers",
                limit=limit,
                needed=needed,
                workers=workers,
            )


def _memory_of(pid: int) -> int:
    """Return the bytes that a process has for itself, without the files that it shares with others."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


async def _read(reader: asyncio.StreamReader, most: int = -1) -> bytes:
    """Read what a worker sends; empty where it crashed before it read what to serve."""
    with contextlib.suppress(ConnectionError):  # a reset, or a broken pipe where it ended before the write
        return await reader.read(most)
    return b""


async def _read_heartbeats(reader: asyncio.StreamReader, process: Process) -> None:
    """Read the heartbeats of a ready worker until it ends; kill one that falls silent."""
    silent = 0.0
    while silent <= HANG_S:
        seconds = SECOND_CHECK_S if silent else HANG_S
        try:
            if not await asyncio.wait_for(_read(reader, 4096), seconds):
                return
            silent = 0.0
        except TimeoutError:
            silent += seconds
    log.error("a worker hangs and is ended", pid=process.pid, silent_seconds=silent)
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def ends_at_hangup() -> bool:
    """Tell whether SIGHUP ends the service: a terminal sends it when it closes. Elsewhere SIGHUP reloads."""
    return sys.stdin is not None and sys.stdin.isatty()


class _WorkerExit(NamedTuple):
    """How a worker ended."""

    was_ready: bool
    refusal: str
    status: int
    seconds: float

    def __str__(self) -> str:
        how = f"by signal {-self.status}" if self.status < 0 else f"with status {self.status}"
        return f"a worker has ended {how}{'' if self.was_ready else ' before it was ready'}" + (
            f": {self.refusal}" if self.refusal else ""
        )


class _RestartPolicy:
    """Counts the lost workers of one number in a row: how long to wait for the next, and when to give up."""

    def __init__(self) -> None:
        self._failed_starts = self._short_lives = 0

    def count(self, end: _WorkerExit) -> None:
        """Count one lost worker."""
        self._failed_starts = 0 if end.was_ready else self._failed_starts + 1
        short = not end.was_ready or end.seconds < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0

    @property
    def pause(self) -> float:
        """Return the seconds before the next start; none after the first loss."""
        return (
            min(FIRST_PAUSE_S * 2.0 ** (self._short_lives - 2), LONGEST_PAUSE_S)
            if self._short_lives > 1
            else 0.0
        )

    def give_up_reason(self, end: _WorkerExit, ever_ready: bool) -> str:
        """Return why a further start is useless, or nothing: a reason at the first start, or too many losses."""
        if end.refusal and not ever_ready:
            return end.refusal
        if self._failed_starts >= MOST_FAILED_STARTS:
            return f"{end}; {self._failed_starts} times in a row"
        return ""


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the workers' metrics, removed at the end; raises StartupError."""
    try:
        return tempfile.TemporaryDirectory(prefix="capsnet-metrics-")
    except OSError as error:
        raise StartupError(
            f"CAPSNET_WORKERS above 1 needs a folder for temporary files, which TMPDIR may name: {error}"
        ) from None


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[tuple[StartLock, socket.socket]]:
    """Hold the address while workers come and go; raises StartupError if it is not available."""
    if sys.platform == "win32":
        raise StartupError(
            "CAPSNET_WORKERS above 1 needs a system on which processes inherit sockets, such as Linux"
        )
    with contextlib.closing(StartLock(settings)) as lock, bind_exclusive(settings) as listening:
        yield lock, listening
