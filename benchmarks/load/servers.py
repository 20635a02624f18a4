"""Run servers as processes: start one, wait until it answers, send requests, watch its memory, end it."""

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
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of the answer to a GET."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer to a POST."""
        return self._ask("POST", path, body, headers)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def resident(self) -> int:
        """Return the memory of all its processes together, bytes; shared pages count in each."""
        pages = 0
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """Return the CPU time of all its processes so far, seconds."""
        ticks = 0
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(OSError):
                user, system = stat(pid)[11:13]
                ticks += int(user) + int(system)
        return ticks / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """Return the number of file descriptors of all its processes."""
        count = 0
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(OSError):
                count += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return count

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def processes_of(first: int) -> set[int]:
    """Return a process, those of its session, and all their descendants: workers may have sessions of their own."""
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
    """Return the fields of `/proc/PID/stat` from the state on: state, parent, group, session …; raises OSError."""
    # The name before the state, in brackets, may contain blanks and brackets.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _began(pid: int) -> str:
    """Return the start time of a process, which distinguishes it from later ones with its id; empty if it is gone."""
    try:
        return stat(pid)[19]
    except OSError:
        return ""


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, log: Path, *, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server; at the end, end it and all its processes."""
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
    """Return the first answer 200 to a request; raises ServerError if none comes."""
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
    """Send SIGTERM, wait, and kill the remaining processes that were started here."""
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
