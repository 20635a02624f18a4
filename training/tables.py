"""What the command line says of the variants of a model."""

from pathlib import Path

from rich import box
from rich.table import Table

from model.contract import Speed, Validation


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


def in_words(figures: Validation | None) -> str:
    """What a variant does to the validation images, in a line."""
    if figures is None:
        return "not measured"
    return (
        f"wrong on {figures.errors} of {figures.images} validation images ({100 * figures.error:.2f} %), "
        f"largest difference of a pose {figures.pose_difference:.2g}"
    )
