"""What the command line says of the variants of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from model.contract import Speed, Validation

if TYPE_CHECKING:  # what measures is slow to import, and most commands need none of it
    from training.meaning import Measured


def speed_table(path: Path, speeds: dict[str, Speed]) -> Table:
    """Images a second of one thread: a row a variant, a column a batch."""
    first = next(iter(speeds.values()))
    table = Table(
        box=box.SIMPLE, title=f"images/s by batch, one thread of {first.processor}", title_justify="left"
    )
    for name in ("model", "variant"):
        table.add_column(name)
    for name in (*first.images_per_second, "best batch", "times fp32"):
        table.add_column(name, justify="right", no_wrap=True)
    for precision, speed in speeds.items():
        rates = [f"{rate:,.0f}" for rate in speed.images_per_second.values()]
        factors = ", ".join(f"{factor:.2f}" for factor in speed.speedup.values())
        table.add_row(path.resolve().name, precision, *rates, str(speed.best_batch), factors)
    return table


def meaning_table(measured: "dict[str, Measured]", properties: tuple[str, ...]) -> Table:
    """A row a class: how well its whole pose tells each property (R squared), and the dimensions that have a name."""
    table = Table(
        box=box.SIMPLE, title="held-out R² of each property by the whole pose", title_justify="left"
    )
    table.add_column("class")
    for name in properties:
        table.add_column(name.replace(" ", "\n"), justify="right")
    table.add_column("dimensions with a meaning (R² of the dimension alone)")
    for label, each in measured.items():
        named = ", ".join(f"{m.dim} {m.meaning} ({m.score:.2f})" for m in each.named(properties))
        table.add_row(label, *(f"{share:.2f}" for share in each.whole), named or "none")
    return table


def in_words(figures: Validation | None) -> str:
    """What a variant does to the validation images, in a line."""
    if figures is None:
        return "not measured"
    return (
        f"wrong on {figures.errors} of {figures.images} validation images ({100 * figures.error:.2f} %), "
        f"largest difference of a pose {figures.pose_difference:.2g}"
    )
