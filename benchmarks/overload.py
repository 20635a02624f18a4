"""`make bench-overload`: far more requests than can be answered, for a minute. Does the service stay itself?

First wrk finds what the service sustains, with as many clients as keep it busy; then requests arrive, in an open loop,
at a multiple of that. Answers may be 200 or 503 and nothing else; those that are answered must not wait much longer
than in the saturated service; memory stays flat; and when it is over, it is over.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.contenders.registry import PLAIN, ROOT, service
from benchmarks.load import openloop, pictures, wrk
from benchmarks.load.memory import Watch
from benchmarks.load.servers import Server, wait_until_answering
from benchmarks.output import RESULTS, save

HEADERS = {"Content-Type": pictures.MULTIPART}
CALM = 10  # answers in a row at the normal pace that show that it is over
GIVE_UP = 30.0
# Aims: times the p99 at saturation, megabytes a minute, seconds until all is normal again.
WAIT, GROWTH, RECOVERY = 3.0, 5.0, 2.0


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Of each overload.")] = 60,
    factors: Annotated[str, typer.Option(help="Times the sustainable load.")] = "2,10",
    clients: Annotated[int, typer.Option(help="That saturate the service.")] = 128,
    precision: Annotated[str, typer.Option()] = "auto",
    model: Annotated[Path, typer.Option(help="Exported model.")] = ROOT / "artifacts" / "mnist",
    output: Annotated[Path, typer.Option(help="Folder of the JSON file.")] = RESULTS,
) -> None:
    """Measure, print and write overload.json."""
    openloop.allow_many_connections()
    console = Console()
    console.print(machine.in_words(machine.describe()), highlight=False)
    forms = [pictures.multipart([pictures.png(each)]) for each in pictures.digits()]
    with tempfile.TemporaryDirectory() as folder:
        bodies = pictures.write_bodies(Path(folder) / "bodies", forms)
        with service(precision).serving(model.resolve(), Path(folder) / "log") as server:
            wait_until_answering(server, PLAIN, forms[0], HEADERS)
            normal = statistics.median(_seconds_of_one(server, forms[0]) for _ in range(50))
            url, kind = server.url(PLAIN), pictures.MULTIPART
            wrk.run(url, bodies, clients=clients, seconds=3, content_type=kind)  # warm up
            saturated = wrk.run(url, bodies, clients=clients, seconds=min(10, seconds), content_type=kind)
            console.print(
                f"sustained: {saturated.rate:,.0f}/s, p99 {saturated.p99_ms:.1f} ms; alone {1e3 * normal:.1f} ms",
                highlight=False,
            )
            figures = [
                overload(server, forms, float(factor), saturated, seconds, normal)
                for factor in factors.split(",")
            ]
    console.print(table(figures))
    options = {"seconds": seconds, "clients": clients, "precision": precision, "model": model.name}
    sustained = {"sustained": saturated.rate, "p99_ms": saturated.p99_ms, "alone_ms": 1e3 * normal}
    path = save("overload", options, {**sustained, "overloads": figures}, output)
    console.print(f"written: {path}", highlight=False)


def overload(
    server: Server, forms: list[bytes], factor: float, saturated: wrk.Load, seconds: int, normal: float
) -> dict[str, Any]:
    """One overload, and what it did."""
    requests = [openloop.request(PLAIN, form, pictures.MULTIPART) for form in forms]
    with Watch(server) as watch:
        arrivals = openloop.run(server.port, requests, factor * saturated.rate, seconds)
    recovery = _seconds_until_normal(server, forms[0], normal)
    p99, others = arrivals.percentile(99), set(arrivals.statuses) - {200, 503}
    growth = watch.growth(after=seconds / 4)
    return {
        "factor": factor,
        "intended": round(arrivals.intended / seconds, 1),
        "sent": round(arrivals.sent / seconds, 1),
        "answered_200": round(arrivals.statuses[200] / seconds, 1),
        "answered_503": round(arrivals.statuses[503] / seconds, 1),
        "other_answers": sum(arrivals.statuses[status] for status in others),
        "broken": arrivals.broken,
        "unanswered": arrivals.unanswered,
        "p99_ms": round(p99, 1),
        "p99_503_ms": round(arrivals.percentile(99, 503), 1),
        "growth_mb_a_minute": round(growth, 2),
        "largest_mb": round(watch.largest, 1),
        "recovery_s": round(recovery, 2),
        "met": {
            "only 200 and 503": not (others or arrivals.broken or arrivals.unanswered),
            f"p99 under {WAIT:g} times that at saturation": 0 < p99 < WAIT * saturated.p99_ms,
            f"memory grows under {GROWTH:g} MB a minute": growth < GROWTH,
            f"normal within {RECOVERY:g} s": recovery < RECOVERY,
        },
    }


def table(figures: list[dict[str, Any]]) -> Table:
    """A row a figure, a column an overload."""
    made = Table(title="overload", title_justify="left")
    made.add_column("")
    for row in figures:
        made.add_column(f"{row['factor']:g} times", justify="right")
    for name in figures[0]:
        if name not in ("factor", "met"):
            made.add_row(name, *(str(row[name]) for row in figures))
    for aim in figures[0]["met"]:
        made.add_row(aim, *("met" if row["met"][aim] else "missed" for row in figures))
    return made


def _seconds_of_one(server: Server, form: bytes) -> float:
    start = time.perf_counter()
    status, _ = server.post(PLAIN, form, HEADERS)
    return time.perf_counter() - start if status == 200 else float("inf")


def _seconds_until_normal(server: Server, form: bytes, normal: float) -> float:
    """Seconds from now until the first of `CALM` answers in a row that take at most three times as long as usual."""
    start, since, calm = time.perf_counter(), 0.0, 0
    while calm < CALM and (now := time.perf_counter() - start) < GIVE_UP:
        if _seconds_of_one(server, form) > 3 * normal + 0.01:
            calm = 0
        else:
            since = now if calm == 0 else since
            calm += 1
    return since if calm == CALM else GIVE_UP


if __name__ == "__main__":
    typer.run(main)
