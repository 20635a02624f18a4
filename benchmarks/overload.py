"""`make bench-overload`: measure whether the service still answers what it can under far too many requests.

The loads are closed loops of 32 to 2,000 clients, each of which asks again as soon as it has its answer, and open loops
at a multiple of the sustained rate (`openloop.py`). That rate is what 128 clients of wrk get. The machine's speed
drifts, so it is measured before and after each load for half as long, and the load is compared with the mean of both.

Meanwhile a probe asks for `/health/live` ten times a second. The load takes its share of the same cores, and more of it
at ten times the rate. So the answers are also given for each second that the service's processes computed.
"""

import re
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.competitors.registry import PLAIN, ROOT, service
from benchmarks.load import openloop, payloads, wrk
from benchmarks.load.servers import Server, wait_until_answering
from benchmarks.load.watch import Probes, Watch
from benchmarks.output import RESULTS, save

HEADERS = {"Content-Type": payloads.MULTIPART}
DEFAULT_MODELS = [ROOT / "artifacts" / "mnist"]
SUSTAINED_CLIENTS = 128  # whose rate is the sustained one
NORMAL_ANSWERS = 10  # consecutive answers of normal latency that show recovery
GIVE_UP = 30.0
# 499 is a request whose client left: wrk leaves with one under way on each connection.
EXPECTED = ("200", "499", "503")
# Status and number of answers in a line of the service's metrics.
COUNTED = re.compile(r'^capsnet_http_requests_total\{.*status="(\d+)".*\} (\S+)$', re.MULTILINE)
# Aims: shares of the sustained answers a second, seconds that an answer may take, milliseconds of a probe (99 of
# 100), megabytes a minute, and seconds until all is normal again.
SHARE, SHARE_AT_10, WAIT, PROBE, GROWTH, RECOVERY = 0.95, 0.85, 2.5, 50.0, 5.0, 2.0


def main(
    seconds: Annotated[int, typer.Option(min=4, help="Of each load.")] = 20,
    factors: Annotated[str, typer.Option(help="Times the sustainable load, in an open loop.")] = "2,10",
    clients: Annotated[str, typer.Option(help="That ask again at once.")] = "32,128,512,2000",
    connections: Annotated[int, typer.Option(help="Of the open loop.")] = 4000,
    precision: Annotated[str, typer.Option()] = "auto",
    model: Annotated[list[Path], typer.Option(help="Exported model; repeat for several.")] = DEFAULT_MODELS,
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
) -> None:
    """Measure, print and write overload.json."""
    openloop.allow_many_connections()
    console = Console()
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    figures = []
    for each in model:
        with tempfile.TemporaryDirectory() as folder:
            bench = _Bench(Path(folder), seconds, connections)
            with service(precision).serving(each.resolve(), Path(folder) / "log") as server:
                figures.append({"model": each.name, **bench.all_loads(server, clients, factors)})
        console.print(table(figures[-1]))
    options = {"seconds": seconds, "connections": connections, "precision": precision}
    path = save("overload", options, figures, output)
    console.print(f"written: {path}", highlight=False)


class _Bench:
    """The loads of one model, each beside a watch on memory, processor time and probes."""

    def __init__(self, folder: Path, seconds: int, connections: int) -> None:
        self.forms = [payloads.multipart([payloads.png(each)]) for each in payloads.digits()]
        self.bodies = payloads.write_bodies(folder / "bodies", self.forms)
        self.one = folder / "form"
        self.one.write_bytes(self.forms[0])
        self.seconds = seconds
        self.connections = connections

    def all_loads(self, server: Server, clients: str, factors: str) -> dict[str, Any]:
        """Measure closed loops, then open loops, each between two measurements of the sustained rate."""
        wait_until_answering(server, PLAIN, self.forms[0], HEADERS)
        self._normal = statistics.median(self._seconds_of_one(server) for _ in range(50))
        self._closed(server, SUSTAINED_CLIENTS, 3)  # warm up
        self._sustained = self._measure_sustained(server)
        loads = [
            self._compared(
                f"{int(number):,} clients", server, partial(self._closed, server, int(number), self.seconds)
            )
            for number in clients.split(",")
        ]
        loads += [
            self._compared(f"{float(factor):g} times", server, partial(self._open, server, float(factor)))
            for factor in factors.split(",")
        ]
        rate = statistics.mean(load["sustained"] for load in loads)
        return {"sustained": round(rate, 1), "alone_ms": round(1e3 * self._normal, 2), "loads": loads}

    def _measure_sustained(self, server: Server) -> dict[str, Any]:
        return self._watched(server, partial(self._closed, server, SUSTAINED_CLIENTS, self.seconds / 2))

    def _compared(self, name: str, server: Server, load: Callable[[], dict[str, float]]) -> dict[str, Any]:
        """Return the figures of a load, and their shares of what was sustained just before and after it."""
        before = self._sustained
        figures = {"load": name} | self._watched(server, load)
        self._sustained = self._measure_sustained(server)
        rate, for_a_core_second = (
            (before[name] + self._sustained[name]) / 2 for name in ("answered_200", "for_a_core_second")
        )
        figures["sustained"] = round(rate, 1)
        figures["share"] = round(figures["answered_200"] / rate, 3)
        figures["share_for_a_core_second"] = round(figures["for_a_core_second"] / for_a_core_second, 3)
        return figures | {"met": _met(figures)}

    def _closed(self, server: Server, clients: int, seconds: float) -> dict[str, float]:
        before = failures(server)
        load = wrk.run(
            server.url(PLAIN), self.bodies, clients=clients, seconds=seconds, content_type=payloads.MULTIPART
        )
        failed = failures(server) - before  # wrk tells only how many answers were not 200
        figures = {
            "answered_200": load.rate,
            "refused": (load.not_200 - failed) / load.seconds,
            "other": load.broken + failed,
        }
        return figures | {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms}

    def _open(self, server: Server, factor: float) -> dict[str, float]:
        rate = factor * self._sustained["answered_200"]
        # Each connection sends at its own slow rate, and all in step: with fewer they are always under way.
        arrivals = openloop.run(
            server.url(PLAIN), self.one, payloads.MULTIPART,
            rate=rate, seconds=self.seconds, connections=min(self.connections, round(WAIT * rate)),
        )  # fmt: skip
        other = arrivals.broken + sum(
            count for status, count in arrivals.statuses.items() if status not in (200, 503)
        )
        figures = {"answered_200": arrivals.rate(200), "refused": arrivals.rate(503), "other": float(other)}
        return figures | {"p50_ms": arrivals.percentile(50), "p99_ms": arrivals.percentile(99)}

    def _watched(self, server: Server, load: Callable[[], dict[str, float]]) -> dict[str, Any]:
        """Return the figures of a load, and its effect on the service."""
        started, used = time.perf_counter(), server.processor_seconds()
        with Watch(server) as memory, Probes(server) as probes:
            figures = load()
            used = server.processor_seconds() - used
        cores = used / (time.perf_counter() - started)
        return {name: round(value, 1) for name, value in figures.items()} | {
            "for_a_core_second": round(figures["answered_200"] / cores, 1),
            "cores": round(cores, 2),
            "probe_p99_ms": round(probes.percentile(99), 1),
            "growth_mb_a_minute": round(memory.growth(after=self.seconds / 4), 1),
            "largest_mb": round(memory.largest),
            "recovery_s": round(self._seconds_until_normal(server), 2),
        }

    def _seconds_of_one(self, server: Server) -> float:
        start = time.perf_counter()
        status, _ = server.post(PLAIN, self.forms[0], HEADERS)
        return time.perf_counter() - start if status == 200 else float("inf")

    def _seconds_until_normal(self, server: Server) -> float:
        """Return seconds until the first of `NORMAL_ANSWERS` in a row that take at most three times the usual time."""
        start, since, normal = time.perf_counter(), 0.0, 0
        while normal < NORMAL_ANSWERS and (now := time.perf_counter() - start) < GIVE_UP:
            if self._seconds_of_one(server) > 3 * self._normal + 0.01:
                normal = 0
            else:
                since = now if normal == 0 else since
                normal += 1
        return since if normal == NORMAL_ANSWERS else GIVE_UP


def failures(server: Server) -> float:
    """Return how many answers of a service, by its own count, were none of `EXPECTED`."""
    counted = COUNTED.findall(server.get("/metrics")[1].decode())
    return sum(float(count) for status, count in counted if status not in EXPECTED)


def _met(load: dict[str, Any]) -> dict[str, bool]:
    """Return which aims a load met."""
    share = SHARE_AT_10 if load["load"] == "10 times" else SHARE
    return {
        "only 200 and 503": not load["other"],
        f"{share:.0%} of the sustained answers": load["share"] >= share,
        f"{share:.0%} for each second of the service's processors": load["share_for_a_core_second"] >= share,
        f"answers within {WAIT:g} s": load["p99_ms"] < 1e3 * WAIT,
        f"probes within {PROBE:g} ms": load["probe_p99_ms"] < PROBE,
        f"memory grows under {GROWTH:g} MB a minute": load["growth_mb_a_minute"] < GROWTH,
        f"normal within {RECOVERY:g} s": load["recovery_s"] < RECOVERY,
    }


COLUMNS = {
    "answered_200": "200/s",
    "share": "of sustained",
    "share_for_a_core_second": "of that a core-second",
    "refused": "503/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "probe_p99_ms": "probe p99 ms",
    "largest_mb": "MB",
    "growth_mb_a_minute": "MB a minute",
    "recovery_s": "normal after s",
}


def rows(figures: dict[str, Any]) -> list[list[str]]:
    """Return the cells of the loads of one model, with the aims that each missed."""
    return [
        [load["load"]]
        + [f"{load[name]:.0%}" if name.startswith("share") else f"{load[name]:,}" for name in COLUMNS]
        + ["; ".join(aim for aim, met in load["met"].items() if not met) or "nothing"]
        for load in figures["loads"]
    ]


def table(figures: dict[str, Any]) -> Table:
    """Return a row for each load."""
    made = Table(title=f"{figures['model']}: {figures['sustained']:,.0f}/s sustained", title_justify="left")
    made.add_column("")
    for name in COLUMNS.values():
        made.add_column(name, justify="right")
    made.add_column("missed")
    for row in rows(figures):
        made.add_row(*row)
    return made


if __name__ == "__main__":
    typer.run(main)
