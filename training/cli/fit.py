"""Train networks: `fit`, whose options are the fields of `TrainConfig`, and `blend`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.cli.app import DataFolder, app, console
from training.cli.folder_run import report_run
from training.cli.options import with_options
from training.trainer.config import TrainConfig

if TYPE_CHECKING:
    from training.trainer.run import TrainingRun, TrainResult


@app.command()
@with_options
def fit(config: TrainConfig) -> None:
    """Train a network; safe to kill at any moment and to go on with --resume."""
    from training.cli.progress import ProgressDisplay
    from training.trainer.run import TrainingRun, keep_freed_memory  # slow to import

    keep_freed_memory()
    with shown_logs():
        run = TrainingRun(config)
    quiet = not run.fabric.is_global_zero
    if not quiet:
        _print_choices(run)
    with ProgressDisplay(
        console,
        run.config.epochs,
        run.config.batch_size,
        config.output,
        where=f"{config.devices} × {run.fabric.device.type}, {run.config.precision}",
        quiet=quiet,
    ) as display:
        result = run.train(display)
    if not quiet:
        _print_result(run, result)


def _print_choices(run: "TrainingRun") -> None:
    """Print what was chosen for a folder, and which weights do not come from `--start-from`."""
    if run.reasons:
        table = Table("option", "value", "reason", box=None, header_style="bold")
        for option, value, reason in run.reasons:
            table.add_row(f"--{option.replace('_', '-')}", value, reason)
        console.print(table, highlight=False)
    if fresh := run.trainer.reinitialized:
        start = run.settings.start_from
        console.print(f"other classes than {start} has: {', '.join(fresh)} begin fresh", highlight=False)


def _print_result(run: "TrainingRun", result: "TrainResult") -> None:
    """Print how good the best epoch is, and the last one where the run was to stop at an error."""
    best, last, wanted = result.best, result.last, run.stop.until_error
    console.print(f"best epoch {best.epoch}: validation error {100 * best.validation_error:.2f} %")
    if run.reasons:
        trainer = run.trainer
        report_run(result.folder, trainer.training, trainer.validation, run.info.classes, console)
    if wanted is not None:
        met = "" if run.stop.met_by(last) else f", which is not the {100 * wanted:g} % to stop at"
        console.print(f"last epoch {last.epoch}: validation error {100 * last.validation_error:.2f} %{met}")


class _ConsoleHandler(logging.Handler):
    """Print log records of training to the terminal, warnings in yellow."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        before = "[yellow]warning:[/] " if record.levelno >= logging.WARNING else ""
        Console(stderr=True).print(before + escape(record.getMessage()), highlight=False, soft_wrap=True)


@contextmanager
def shown_logs() -> Iterator[None]:
    """Print what `training` logs, as long as the context lasts."""
    logger, handler = logging.getLogger("training"), _ConsoleHandler()
    level, passes_on = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = passes_on


@app.command()
def blend(
    earlier: Annotated[Path, typer.Argument(help="Checkpoint or exported model that a run began with.")],
    later: Annotated[Path, typer.Argument(help="Checkpoint of that run, usually RUN/best.safetensors.")],
    output: Annotated[Path, typer.Option(help="Checkpoint to write.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="The later one's, of every weight.")] = 0.5,
    data: DataFolder = None,
) -> None:
    """Write the network between the weights that a run began with and those that it came to."""
    from training.trainer.weight_interpolation import blend as between

    result = between(earlier, later, output, share, data)
    console.print(
        f"{output}: validation error {100 * result.validation_error:.2f} %  "
        f"margin {result.validation_margin_loss:.5f}",
        highlight=False,
    )
