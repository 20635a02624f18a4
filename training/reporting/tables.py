"""Make the tables that the command line prints of models and their variants."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from capsnet.card import Metrics, Speed, Validation
from training.evaluation.intervals import wilson

if TYPE_CHECKING:  # these modules are slow to import, and most commands need none of them
    from training.evaluation.evaluate import MeasuredEpoch
    from training.evaluation.pose_directions import MeasuredDirection
    from training.evaluation.pose_meaning import PoseStatistics
    from training.recipes import Recipe

# No table is wider, in characters.
WIDEST = 1000
# Width of a cell of words.
WORDS = 36


def print_full_width(table: Table) -> None:
    """Print a table with every figure, also where the terminal is narrower: its lines are broken there."""
    console = Console()
    needed = Measurement.get(console, console.options.update_width(WIDEST), table).maximum
    console.width = max(console.width, needed)
    console.print(table)


def _narrow(title: str | None = None) -> Table:
    return Table(
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        title=title,
        title_justify="left",
    )


def metrics_table(rows: list[tuple[str, str, Metrics]]) -> Table:
    """Return a row for each model and variant."""
    table = _narrow()
    for name in ("model", "variant", "data set"):
        table.add_column(name, no_wrap=True)
    guarded = any(m.accepted is not None for _, _, m in rows)
    several = any(m.exact_match_error is not None for _, _, m in rows)
    drawn = any(m.draw_errors for _, _, m in rows)
    figures = ["images", "errors", "error\n%", "95 %\ninterval", "margin", "MSE"]
    figures += ["accepted\n%"] * guarded + ["any wrong\n%"] * several + ["mean of\ndraws %"] * drawn
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for model, variant, m in rows:
        table.add_row(
            model,
            variant,
            m.dataset,
            f"{m.images:,}",
            f"{m.errors:,}" + (f" of {_objects(m):,}" if several else ""),
            f"{100 * m.error:.2f}",
            interval(m),
            f"{m.margin_loss:.5f}",
            f"{m.reconstruction_mse:.5f}",
            *[_percent(m.accepted)] * guarded,
            *[_percent(m.exact_match_error)] * several,
            *[draws(m)] * drawn,
        )
    return table


def interval(metrics: Metrics) -> str:
    """Return Wilson's interval of 95 % of an error, in percent."""
    low, high = wilson(metrics.errors, _objects(metrics))
    return f"{100 * low:.2f}–{100 * high:.2f}"


def _objects(metrics: Metrics) -> int:
    """Return how many objects the images show; of a model without an error, how many images there are."""
    return round(metrics.errors / metrics.error) if metrics.error else metrics.images


def draws(metrics: Metrics) -> str:
    """Return the mean and the standard deviation of the errors of several draws, in percent; empty for one."""
    if metrics.draw_errors is None or len(metrics.draw_errors) < 2:
        return ""
    percent = [100 * error for error in metrics.draw_errors]
    return f"{mean(percent):.2f} ± {stdev(percent):.2f}"


def epochs_table(run: Path, epochs: Sequence["MeasuredEpoch"]) -> Table:
    """Return a row for each epoch, and which one the validation images and which one the test images would choose."""
    chosen = min(epochs, key=lambda each: each.result.validation_margin_loss)
    best = min(epochs, key=lambda each: each.metrics.error)
    table = _narrow(title=run.resolve().name)
    for name in ("epoch", "validation\nerror %", "validation\nmargin", "test\nerrors", "test\nerror %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("chosen by", no_wrap=True)
    for each in epochs:
        by = ["validation images"] * (each is chosen) + ["test set (best epoch on test)"] * (each is best)
        table.add_row(
            f"{each.result.epoch}",
            f"{100 * each.result.validation_error:.2f}",
            f"{each.result.validation_margin_loss:.5f}",
            f"{each.metrics.errors:,}",
            f"{100 * each.metrics.error:.2f}",
            ", ".join(by),
        )
    return table


def recipes_table(recipes: "Mapping[str, Recipe]") -> Table:
    """Return a row for each recipe: what it trains on what, the epochs of its stages, and its seeds."""
    table = _narrow()
    for name in ("recipe", "data set", "architecture", "epochs", "seeds"):
        table.add_column(name, no_wrap=True)
    for name, recipe in recipes.items():
        epochs = " + ".join(str(stage.get("until", stage["epochs"])) for stage in recipe.stages)
        table.add_row(name, recipe.dataset, recipe.architecture, epochs, ", ".join(map(str, recipe.seeds)))
    return table


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """Name each model by its folder, and each checkpoint also by its run; add parent folders where names are equal."""
    whole = {path: path.resolve() for path in paths}
    names = {}
    for path, parts in whole.items():
        for count in range(1 if path.is_dir() else 2, len(parts.parts)):
            names[path] = "/".join(parts.parts[-count:])
            if not any(
                other.parts[-count:] == parts.parts[-count:] for other in whole.values() if other != parts
            ):
                break
    return names


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def speed_table(path: Path, speeds: dict[str, Speed]) -> Table:
    """Return images a second of one thread by batch, and the memory of a session, in a row for each variant."""
    first = next(iter(speeds.values()))
    table = _narrow(f"images/s by batch, one thread of {first.processor}")
    for name in ("model", "variant"):
        table.add_column(name)
    for name in (*first.images_per_second, "best batch", "times fp32", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for precision, speed in speeds.items():
        rates = [f"{rate:,.0f}" for rate in speed.images_per_second.values()]
        factors = ", ".join(f"{factor:.2f}" for factor in speed.speedup.values())
        memory = "–" if speed.memory_mb is None else f"{speed.memory_mb:.0f}"
        table.add_row(path.resolve().name, precision, *rates, str(speed.best_batch), factors, memory)
    return table


def meaning_table(measured: "dict[str, PoseStatistics]", properties: tuple[str, ...]) -> Table:
    """Return a row for each class: R squared of each property by the whole pose, and the named dimensions."""
    table = _narrow("held-out R² of each property by the whole pose")
    table.add_column("class")
    for name in properties:
        table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("dimensions with a meaning (R² of the dimension alone)", max_width=WORDS)
    for label, each in measured.items():
        named = ", ".join(f"{m.dim} {m.meaning} ({m.score:.2f})" for m in each.label_dims(properties))
        table.add_row(label, *(f"{share:.2f}" for share in each.whole), named or "none")
    return table


def directions_table(measured: "dict[str, list[MeasuredDirection]]") -> Table:
    """Return a row for each class and property: its held-out scores, and whether it is named or which scores fail."""
    table = _narrow("directions of the pose, on held-out images")
    table.add_column("class")
    table.add_column("property", no_wrap=True)
    headings = ("linearity\nR²", "agreement\ncosine", "vector\nR²", "curve\nR²", "map\nR²")
    for name in (*headings, "drawn\nslope", "drawn\nR²", "leak", "length"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("named", max_width=WORDS)
    for label, rows in measured.items():
        for row in rows:
            d = row.direction
            read = (d.linearity, d.agreement, row.by_vector, row.by_curve, row.by_map)
            drawn = (d.drawn_slope, d.drawn_r2, d.leak, d.length)
            by = "by vector" if d.matrix is None else "by map"
            cells = (f"{each:.2f}" for each in (*read, *drawn))
            table.add_row(label, d.property, *cells, by if row.holds else f"no: {', '.join(row.failed)}")
    return table


def describe_validation(figures: Validation | None, objects: int) -> str:
    """Return in a line a variant's figures on the validation images, each of so many objects."""
    if figures is None:
        return "not measured"
    return (
        f"wrong on {figures.counted(objects)} ({100 * figures.error:.2f} %), "
        f"largest difference of a pose {figures.pose_difference:.2g}"
    )
