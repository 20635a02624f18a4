"""`make soak`: run every kind of client at the same time, for minutes, and check answers and leaks.

Good clients of several kinds compare each 200 with the output of the graph for that image. Bad clients send bodies that
are no images, wrong types, slow bodies and half bodies, or leave. `HOSTILE` adds one client of each kind that once took
memory, files or time without end.
"""

import asyncio
import contextlib
import io
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from benchmarks import machine
from benchmarks.competitors.registry import ROOT, service
from benchmarks.load import payloads
from benchmarks.load.servers import Server, wait_until_answering
from benchmarks.load.watch import Watch
from benchmarks.output import RESULTS, save
from capsnet.onnx_model import open_variants

TOLERANCE = 1e-3
GROWTH = 1.0  # megabytes a minute
MORE_FILES = 20  # descriptors beyond those at the beginning, when all clients are gone
AFTERWARDS_S = 35.0  # for connections that linger
HOSTILE_PAUSE = 0.5  # seconds between two connections of a hostile client, to leave CPU time to the good ones
DROP = 0.05  # seconds between the pieces of a slow body
NOISE = random.Random(0).randbytes(3000)
# Requests that no client should send, and the statuses that answer them.
BAD: list[tuple[str, bytes, str, set[int]]] = [
    ("/classify", NOISE, "image/png", {400}),
    ("/classify", b"", "image/png", {400, 422}),
    ("/classify", b"{}", "application/json", {415}),
    ("/classify?model=nobody", NOISE, "image/png", {404}),
    ("/classify?top_k=0", NOISE, "image/png", {422}),
    ("/classify", b"--x\r\n", "multipart/form-data; boundary=y", {400, 422}),
    ("/reconstruct?dim=99&delta=1", NOISE, "image/png", {422}),
    ("/nowhere", NOISE, "image/png", {404}),
    ("/classify", b"--b\r\n" * 400_000, "multipart/form-data; boundary=b", {400}),
    ("/classify", b"\0" * 5_000_000, "text/plain", {415}),
    ("/classify", b"\0\0\0\x18ftypheic" + NOISE * 100, "image/heic", {400}),
]
CHUNKED = (
    b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
)
CHUNK = b"10000\r\n" + bytes(65_536) + b"\r\n"


def request(path: str, body: bytes, content_type: str) -> bytes:
    """Return the bytes of a POST over a connection that stays open."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _blank_webp(side: int) -> bytes:
    """Return an image file of few bytes and many pixels."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "WebP", lossless=True)
    return file.getvalue()


@dataclass(frozen=True)
class Hostile:
    """The bytes of a hostile client: sent once, then repeated, until it is cut off or leaves after some seconds."""

    begin: bytes
    again: bytes = b""
    reads: bool = True
    seconds: float = 3.0
    pause: float = 0.0  # seconds between two pieces


HOSTILE = {
    "head without end": Hostile(b"GET /health/live HTTP/1.1\r\n", b"x: " + b"a" * 10_000 + b"\r\n"),
    "trailers without end": Hostile(CHUNKED + b"1\r\na\r\n0\r\n", b"x: " + b"a" * 10_000 + b"\r\n"),
    "no HTTP": Hostile(b"\x16\x03\x01 TLS\r\n\r\n" * 100),
    "body without end": Hostile(CHUNKED + CHUNK * 30, seconds=8.0),
    "body beyond the limit": Hostile(CHUNKED, CHUNK),
    "answered before its body": Hostile(
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"a"
    ),
    "reads nothing": Hostile(
        b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60, reads=False, seconds=20.0
    ),
    "metrics without end": Hostile(
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "nothing at all": Hostile(b"", seconds=8.0),
    "head in drops": Hostile(b"GET /health/live HTTP/1.1\r\nx: ", b"a", seconds=8.0, pause=DROP),
    "body in drops": Hostile(
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 90000\r\n\r\n",
        b"a",
        seconds=8.0,
        pause=DROP,
    ),
    "trailers in drops": Hostile(CHUNKED + b"1\r\na\r\n0\r\nx: ", b"a", seconds=8.0, pause=DROP),
    "answered, then in drops": Hostile(
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"a", seconds=8.0, pause=DROP
    ),
    "another protocol with a body": Hostile(
        b"POST /classify HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nabcde"
    ),
    "two lengths": Hostile(
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
    ),
    "a long query": Hostile(b"GET /models?" + b"a=1&" * 15_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a deep body": Hostile(request("/v2/models/mnist/infer", b"[" * 200_000, "application/json")),
    "many pixels": Hostile(request("/classify", _blank_webp(5_000), "image/webp")),
    "too many pixels": Hostile(request("/classify", _blank_webp(7_000), "image/webp")),
}


def main(
    minutes: Annotated[float, typer.Option(min=0.05)] = 10,
    precision: Annotated[str, typer.Option()] = "fp32",
    model: Annotated[Path, typer.Option(help="Exported model.")] = ROOT / "artifacts" / "mnist",
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
    pause: Annotated[
        float, typer.Option(help="Seconds that a good or bad client rests after each turn.")
    ] = 0,
) -> None:
    """Soak, print and write soak.json; exit with 1 if an answer was wrong or memory grew."""
    console = Console()
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        service(precision).serving(model.resolve(), Path(folder) / "log") as server,
    ):
        soak = Soak(server, model, precision, pause)
        form = payloads.multipart([payloads.png(payloads.digits()[0])])
        wait_until_answering(server, "/classify", form, {"Content-Type": payloads.MULTIPART})
        files = server.open_files()
        with Watch(server) as watch:
            asyncio.run(soak.run(60 * minutes))
        time.sleep(AFTERWARDS_S)
        more_files = server.open_files() - files
    growth = watch.growth(after=60 * min(2, minutes / 3))
    figures = {
        "minutes": minutes,
        "answers": dict(sorted(soak.answers.items())),
        "wrong": soak.wrong[:20],
        "growth_mb_a_minute": round(growth, 3),
        "median_mb_by_third": [round(size, 1) for size in watch.medians()],
        "largest_mb": round(watch.largest, 1),
        "more_files": more_files,
        "met": {
            "every answer right": not soak.wrong,
            f"under {GROWTH:g} MB a minute": growth < GROWTH,
            f"at most {MORE_FILES} files more": more_files <= MORE_FILES,
        },
    }
    console.print_json(json.dumps(figures))
    path = save("soak", {"precision": precision, "model": model.name, "pause": pause}, figures, output)
    console.print(f"written: {path}", highlight=False)
    sys.exit(not all(figures["met"].values()))  # type: ignore[attr-defined]


class Soak:
    """The clients, their answers, and the errors in these."""

    def __init__(self, server: Server, model: Path, precision: str, pause: float) -> None:
        digits = payloads.digits()
        self._port = server.port
        self._files = [payloads.png(each) for each in digits]
        _, variants = open_variants(model)
        self._expected = variants[precision].encode(payloads.floats(digits))
        self._end, self._pause = 0.0, pause
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def run(self, seconds: float) -> None:
        """Run all clients together, until the time is over."""
        self._end = time.monotonic() + seconds
        good = [self._raw, self._form, self._verified, self._raw, self._form, self._verified]
        clients = [*good, self._slow, self._bad, self._half, self._leave]
        clients += [partial(self._hostile, name) for name in HOSTILE]
        await asyncio.gather(*(self._repeat(client, kind) for kind, client in enumerate(clients)))

    async def _hostile(self, name: str, _: int) -> None:
        """Run one connection of a hostile client; the server may end it in any way, but must go on serving."""
        kind = HOSTILE[name]
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(kind.seconds):
                writer.write(kind.begin)
                reading = asyncio.create_task(_discard(reader)) if kind.reads else None
                while kind.again and not (reading and reading.done()):
                    writer.write(kind.again)
                    await writer.drain()
                    await asyncio.sleep(kind.pause)
                await (reading or asyncio.sleep(kind.seconds))
        writer.transport.abort()
        self.answers[f"hostile: {name}"] += 1
        await asyncio.sleep(HOSTILE_PAUSE)

    async def _repeat(self, client: Callable[[int], Awaitable[None]], kind: int) -> None:
        for turn in itertools.count(37 * kind):
            if time.monotonic() > self._end:
                return
            try:
                await client(turn % len(self._files))
            except (OSError, EOFError, TimeoutError) as error:
                self.wrong.append(f"{client}: {error!r}")
            await asyncio.sleep(self._pause)

    async def _raw(self, index: int) -> None:
        await self._ask("/classify?verify=false", self._files[index], "image/png", index)

    async def _form(self, index: int) -> None:
        body = payloads.multipart([self._files[index]])
        await self._ask("/classify?verify=false", body, payloads.MULTIPART, index)

    async def _verified(self, index: int) -> None:
        await self._ask("/classify?top_k=3", self._files[index], "image/png", index)

    async def _slow(self, index: int) -> None:
        await self._ask("/classify", self._files[index], "image/png", index, pieces=12)

    async def _bad(self, index: int) -> None:
        path, body, kind, allowed = BAD[index % len(BAD)]
        status, _ = await self._exchange(request(path, body, kind))
        self.answers[f"{status} (bad input)"] += 1
        if status not in allowed:
            self.wrong.append(f"{path} with {body[:20]!r} as {kind} was answered {status}, not {allowed}")

    async def _half(self, index: int) -> None:
        """Send half a body, pause, and leave."""
        whole = request("/classify", self._files[index], "image/png")
        await self._send_and_leave(whole[: -len(self._files[index]) // 2], 0.5)

    async def _leave(self, index: int) -> None:
        """Send a whole request, and leave before its answer."""
        await self._send_and_leave(request("/classify", self._files[index], "image/png"), 0.001)
        await asyncio.sleep(DROP)  # else these fast clients would make most of the traffic

    async def _send_and_leave(self, data: bytes, seconds: float) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(data)
        await asyncio.sleep(seconds)
        writer.transport.abort()
        self.answers["left"] += 1

    async def _ask(self, path: str, body: bytes, kind: str, index: int, pieces: int = 1) -> None:
        """Send one valid request; its answer must be a 503 or right."""
        status, answer = await self._exchange(request(path, body, kind), pieces)
        self.answers[str(status)] += 1
        if status == 200:
            self._check(json.loads(answer), index)
        elif status != 503:
            self.wrong.append(f"{path}: {status} {answer[:200]!r}")

    def _check(self, answer: dict[str, Any], index: int) -> None:
        for name, expected in zip(("lengths", "poses"), self._expected, strict=True):
            difference = np.abs(np.array(answer[name]) - expected[index]).max()
            if not difference < TOLERANCE:
                self.wrong.append(f"image {index}: {name} differ by {difference}")

    async def _exchange(self, data: bytes, pieces: int = 1) -> tuple[int, bytes]:
        """Send a request, in pieces with pauses between them, and read the answer."""
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                step = -(-len(data) // pieces)
                for start in range(0, len(data), step):
                    writer.write(data[start : start + step])
                    await writer.drain()
                    if pieces > 1:
                        await asyncio.sleep(DROP)
                return await _answer(reader)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


async def _discard(reader: asyncio.StreamReader) -> None:
    """Read until the server closes the connection, which it may do with a reset."""
    with contextlib.suppress(OSError):
        while await reader.read(65_536):
            pass


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    return int(head[9:12]), await reader.readexactly(int(fields[b"content-length"]))


if __name__ == "__main__":
    typer.run(main)
