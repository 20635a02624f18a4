"""`make bench-serving`: compare this service with other servers of the same encoder.

A PNG as multipart in, lengths and poses as JSON out, 512 images in rotation, wrk on the same machine. In each round
every competitor is started, must give the reference's answers, is warmed up and then measured at each number of
clients. All take turns, so that other work on the machine slows all of them alike. The median of the rounds counts.
"""

import json
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.competitors.registry import COMPETITORS, ROOT, Competitor, choose
from benchmarks.load import payloads, wrk
from benchmarks.load.servers import Server, ServerError, wait_until_answering
from benchmarks.output import RESULTS, save
from capsnet.card import CardError
from capsnet.onnx_model import open_variants

CHECKED = 8  # images whose answers are compared with the reference's
TOLERANCE = 1e-3
HEADERS = {"Content-Type": payloads.MULTIPART}


def main(
    contenders: Annotated[str, typer.Option(help="Words of names, separated by commas; default: all.")] = "",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 4,
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,8,32,128",
    model: Annotated[Path, typer.Option(help="Exported model.")] = ROOT / "artifacts" / "mnist",
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
) -> None:
    """Measure, print and write serving.json."""
    chosen = choose(contenders)
    loads = [int(number) for number in clients.split(",")]
    console = Console()
    console.print(machine.describe_in_words(machine.describe()), highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        race = Race(model.resolve(), Path(folder), loads, seconds, console)
        for number in range(rounds):
            for competitor in chosen:
                race.measure(competitor, number)
    rows = race.rows()
    console.print(table(rows, loads))
    options = {"rounds": rounds, "seconds": seconds, "clients": loads, "model": model.name}
    path = save("serving", options, rows, output)
    console.print(f"written: {path}", highlight=False)


class Race:
    """The measurements so far, and what they need."""

    def __init__(self, model: Path, folder: Path, clients: list[int], seconds: int, console: Console) -> None:
        digits = payloads.digits()
        files = [payloads.png(each) for each in digits]
        self._forms = [payloads.multipart([file]) for file in files]
        self._bodies = payloads.write_bodies(folder / "bodies", self._forms)
        _, variants = open_variants(model)
        images = payloads.floats(digits[:CHECKED])
        self._expected = {precision: variant.encode(images) for precision, variant in variants.items()}
        self._model, self._folder, self._console = model, folder, console
        self._clients, self._seconds = clients, seconds
        self._loads: dict[str, dict[int, list[wrk.Load]]] = {}
        self._failures: dict[str, str] = {}

    def measure(self, competitor: Competitor, number: int) -> None:
        """Start one competitor, check its answers and measure it; a failure is reported and the others go on."""
        log = self._folder / f"{competitor.name}.{number}.log"
        try:
            if competitor.precision not in self._expected:
                raise CardError(f"the model has no {competitor.precision} variant")
            with competitor.serving(self._model, log) as server:
                wait_until_answering(server, competitor.path, self._forms[0], HEADERS)
                self._check(server, competitor)
                self._load(server, competitor, self._clients[-1], 1)  # warm up
                for clients in self._clients:
                    load = self._load(server, competitor, clients, self._seconds)
                    rounds = self._loads.setdefault(competitor.name, {}).setdefault(clients, [])
                    rounds.append(load)
                    self._say(competitor, number, clients, load)
        except (ServerError, CardError, wrk.LoadError, OSError) as error:
            self._failures[competitor.name] = str(error)
            self._console.print(f"{competitor.name}: failed: {error}", highlight=False)

    def _check(self, server: Server, competitor: Competitor) -> None:
        """Raise ServerError unless lengths and poses are those of the encoder, in any server."""
        for index in range(CHECKED):
            status, body = server.post(competitor.path, self._forms[index], HEADERS)
            answer: dict[str, Any] = json.loads(body) if status == 200 else {}
            for name, expected in zip(
                ("lengths", "poses"), self._expected[competitor.precision], strict=True
            ):
                found = np.array(answer.get(name, []))
                if found.shape != expected[index].shape or np.abs(found - expected[index]).max() > TOLERANCE:
                    raise ServerError(f"gave other {name} than the encoder: {status} {body[:100]!r}")

    def _load(self, server: Server, competitor: Competitor, clients: int, seconds: int) -> wrk.Load:
        url = server.url(competitor.path)
        return wrk.run(url, self._bodies, clients=clients, seconds=seconds, content_type=payloads.MULTIPART)

    def _say(self, competitor: Competitor, number: int, clients: int, load: wrk.Load) -> None:
        bad = f", {load.not_200} not 200, {load.broken} broken" if load.not_200 or load.broken else ""
        self._console.print(
            f"round {number + 1}, {competitor.name}, {clients} clients: {load.rate:,.0f}/s, "
            f"p99 {load.p99_ms:.1f} ms{bad}",
            highlight=False,
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each competitor: medians by number of clients, and all rounds."""
        return [
            {
                "name": name,
                "failure": self._failures.get(name),
                "loads": [
                    self._row(clients, rounds) for clients, rounds in self._loads.get(name, {}).items()
                ],
            }
            for name in COMPETITORS
            if name in self._loads or name in self._failures
        ]

    @staticmethod
    def _row(clients: int, rounds: list[wrk.Load]) -> dict[str, Any]:
        return {
            "clients": clients,
            "rate": round(statistics.median(load.rate for load in rounds), 1),
            "p50_ms": statistics.median(load.p50_ms for load in rounds),
            "p99_ms": statistics.median(load.p99_ms for load in rounds),
            "bad": sum(load.not_200 + load.broken for load in rounds),
            "rounds": [asdict(load) for load in rounds],
        }


def table(rows: list[dict[str, Any]], clients: list[int]) -> Table:
    """Return requests a second and the 99th percentile of the latency, by number of clients."""
    made = Table(title="requests/s (p99 in ms)", title_justify="left")
    made.add_column("server")
    for number in clients:
        made.add_column(f"{number} clients", justify="right")
    for row in rows:
        cells = {load["clients"]: f"{load['rate']:,.0f} ({load['p99_ms']:.1f})" for load in row["loads"]}
        made.add_row(row["name"], *(cells.get(number, "failed") for number in clients))
    return made


if __name__ == "__main__":
    typer.run(main)
