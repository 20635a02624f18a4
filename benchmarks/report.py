"""Write the figures of the JSON files into docs/performance.md: `python -m benchmarks.report`. None is copied by hand.

A table stands between `<!-- figures: NAME -->` and `<!-- end -->`; what has not been measured says so. The requests a
second of each server are drawn as a chart for README.md.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.competitors.registry import ROOT
from benchmarks.output import RESULTS

PAGE = ROOT / "docs" / "performance.md"
SPEED_CHART = ROOT / "docs" / "images" / "speed.png"
# The chart shows each server with so many clients.
CHART_CLIENTS = 32
OWN, OTHER = "#c2410c", "#a8a29e"
PLACEHOLDER = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Fill the page and draw the chart."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        PLACEHOLDER.sub(lambda match: match[1] + section(match[2]) + match[3], text), encoding="utf-8"
    )
    if (path := RESULTS / "serving.json").exists():
        draw_speed(json.loads(path.read_text(encoding="utf-8"))["figures"], SPEED_CHART)


def draw_speed(rows: list[dict[str, Any]], output: Path) -> None:
    """Draw the requests a second of each server with 32 clients, the fastest on top."""
    from matplotlib.figure import Figure  # slow to import

    rates = {
        row["name"]: load["rate"]
        for row in rows
        for load in row["loads"]
        if load["clients"] == CHART_CLIENTS and not load["bad"]
    }
    names = sorted(rates, key=lambda name: rates[name])
    figure = Figure(figsize=(5.4, 0.26 * len(names) + 0.7), layout="constrained", facecolor="white")
    axes = figure.subplots()
    colors = [OWN if name.startswith("capsnet") else OTHER for name in names]
    bars = axes.barh(names, [rates[name] for name in names], color=colors, height=0.68)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.set(xlabel=f"requests/s with {CHART_CLIENTS} clients, 2 cores", xlim=(0, 1.14 * max(rates.values())))
    axes.tick_params(labelsize=8, left=False)
    axes.xaxis.label.set_fontsize(8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110, metadata={"Software": None})


def section(name: str) -> str:
    """Return the table of one benchmark and the machine of its measurement."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return f"Not measured yet: `make {COMMANDS[name]}`.\n"
    content = json.loads(path.read_text(encoding="utf-8"))
    about = ". ".join(machine.describe_in_words(content["machine"]).split("\n"))
    options = ", ".join(f"{key} {value}" for key, value in content["options"].items())
    return f"{TABLES[name](content['figures'])}\n`make {COMMANDS[name]}` on {about}. Options: {options}.\n"


def markdown(heading: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table whose columns after the first are numbers."""
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [heading, rule, *rows])


def _serving(rows: list[dict[str, Any]]) -> str:
    clients = list(dict.fromkeys(load["clients"] for row in rows for load in row["loads"]))
    heading = ["requests/s (p99 in ms)", *(f"{number} clients" for number in clients)]
    return markdown(heading, ([row["name"], *_serving_cells(row, clients)] for row in rows))


def _serving_cells(row: dict[str, Any], clients: list[int]) -> list[str]:
    cells = {
        load["clients"]: f"{load['rate']:,.0f} ({load['p99_ms']:.1f})"
        + (f", {load['bad']} not answered" if load["bad"] else "")
        for load in row["loads"]
    }
    return [cells.get(number, "failed") for number in clients]


def _limit(rows: list[dict[str, Any]]) -> str:
    from benchmarks.limit import cell  # brings the service with it

    rates = [row["images_per_second"] for row in rows]
    heading = ["images/s (share of raw)", *(row["precision"] for row in rows)]
    names = dict.fromkeys(name for each in rates for name in each)
    return markdown(heading, ([name, *(cell(each, name) for each in rates)] for name in names))


def _overload(models: list[dict[str, Any]]) -> str:
    from benchmarks.overload import COLUMNS, rows

    tables = []
    for figures in models:
        heading = [f"`{figures['model']}`: {figures['sustained']:,.0f}/s", *COLUMNS.values(), "missed"]
        tables.append(markdown(heading, rows(figures)))
    return "\n".join(tables)


def _soak(figures: dict[str, Any]) -> str:
    measured = {**figures["answers"], "wrong answers": len(figures["wrong"])}
    measured |= {name.replace("_", " "): figures[name] for name in ("growth_mb_a_minute", "largest_mb")}
    measured |= {"file descriptors more": figures["more_files"]}
    rows = [[name, f"{value:,}"] for name, value in measured.items()]
    if medians := figures.get("median_mb_by_third"):
        rows.append(["median mb by third", ", ".join(f"{size:,}" for size in medians)])
    return markdown([f"{figures['minutes']:g} minutes", ""], rows)


def _gpu(figures: dict[str, Any]) -> str:
    sizes = list(dict.fromkeys(size for rates in figures["rates"].values() for size in rates))
    rows = [
        [name, *(f"{rates[size]:,.0f}" if size in rates else "-" for size in sizes)]
        for name, rates in figures["rates"].items()
    ]
    limits = [
        [f"limit of arithmetic, {name}", *[""] * (len(sizes) - 1), f"{most:,.0f}"]
        for name, most in figures["limits"].items()
    ]
    return markdown(["images/s by batch", *sizes], [*rows, *limits])


def _gpu_check(figures: dict[str, Any]) -> str:
    rows = [[row["area"], row["check"], row["result"], row["found"]] for row in figures["rows"]]
    rule = ["---"] * 4
    table = "".join(
        f"| {' | '.join(cells)} |\n" for cells in [["area", "check", "result", "found"], rule, *rows]
    )
    return f"On {figures['device']}, {figures['minutes']} minutes.\n\n{table}"


def training_rows(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return heading and rows: images a second, and seconds for an epoch of 60,000."""
    heading = ["images/s (s an epoch of 60,000)", "this trainer", "plain loop", "times", "arithmetic limit"]

    def cell(rate: float) -> str:
        return f"{rate:,.0f} ({60_000 / rate:,.1f})"

    return heading, [
        [
            f"{row['architecture']}, {row['precision']}",
            cell(row["this"]),
            cell(row["plain"]),
            f"{row['this'] / row['plain']:.2f}",
            cell(row["limit"]),
        ]
        for row in rows
    ]


def _training(rows: list[dict[str, Any]]) -> str:
    return markdown(*training_rows(rows))


TABLES: dict[str, Callable[[Any], str]] = {
    "serving": _serving,
    "limit": _limit,
    "overload": _overload,
    "soak": _soak,
    "gpu": _gpu,
    "gpu_check": _gpu_check,
    "training": _training,
}
COMMANDS = {name: f"bench-{name}" for name in TABLES} | {"soak": "soak", "gpu_check": "gpu-check"}

if __name__ == "__main__":
    main()
