"""Servers as processes: start one, wait until it answers, ask it, watch its memory, end it."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_LIMIT = 120.0
END_LIMIT = 20.0


class ServerError(RuntimeError):
    """A server did not start or did not answer; the message ends with the last lines of its log."""


class Server:
    """A server and all its processes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def resident(self) -> int:
        """The memory of all its processes together, bytes; what they share is counted in each."""
        pages = 0
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """What all its processes have computed so far, seconds."""
        ticks = 0
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(OSError):
                user, system = stat(pid)[11:13]
                ticks += int(user) + int(system)
        return ticks / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """The file descriptors of all its processes together."""
        count = 0
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(OSError):
                count += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return count

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def processes_of(first: int) -> set[int]:
    """A process, those of its session, and all their descendants: workers may be in sessions of their own."""
    children: dict[int, set[int]] = {}
    new = {first}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            _, parent, _, session, *_ = stat(pid)
            children.setdefault(int(parent), set()).add(pid)
            if int(session) == first:
                new.add(pid)
    found: set[int] = set()
    while new:
        found |= new
        new = {child for pid in new for child in children.get(pid, set())} - found
    return found


def stat(pid: int) -> list[str]:
    """What `/proc` says of a process from its state on: state, parent, group, session and so on; raises OSError."""
    # The name before that, in brackets, may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _began(pid: int) -> str:
    """The moment at which a process began, which tells it from others that get its id later; empty if it is gone."""
    try:
        return stat(pid)[19]
    except OSError:
        return ""


def free_port() -> int:
    """A port that no process listens on, nor on the one after it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, log: Path, *, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server, and end it and all its processes."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, port, log)
    finally:
        _end(process)


def wait_until_answering(server: Server, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The first answer 200 to a request; raises ServerError if none comes."""
    give_up = time.monotonic() + START_LIMIT
    last: object = "nothing listens"
    while time.monotonic() < give_up and server.process.poll() is None:
        try:
            status, answer = server.post(path, body, headers)
            if status == 200:
                return answer
            last = status, answer[:200]
        except OSError as error:
            last = error
        except http.client.HTTPException as error:
            last = error
        time.sleep(0.1)
    raise ServerError(f"no answer ({last}):\n{server.tail()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, and kill the remaining processes that were started here."""
    left = {pid: _began(pid) for pid in processes_of(process.pid)}
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_LIMIT)
    for pid, began in left.items():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if began and _began(pid) == began:
                os.kill(pid, signal.SIGKILL)
    process.wait()
