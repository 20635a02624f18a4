"""Show the progress of a run: a live line in the terminal, and curves for TensorBoard."""

import shutil
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.trainer.run_state import EpochResult, TrainingProgress

CURVES = "tensorboard"


class ProgressDisplay:
    """A progress bar for the running epoch and a line for each finished one.

    Where the output is no terminal, the bar is left out and the lines remain.
    """

    def __init__(
        self, console: Console, epochs: int, batch_size: int, folder: Path, *, where: str, quiet: bool
    ) -> None:
        self.console, self.epochs, self.batch_size, self.quiet = console, epochs, batch_size, quiet
        self.folder, self.where = folder, where
        self.writer: SummaryWriter | None = None
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} images/s"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> "ProgressDisplay":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        if self.writer is not None:
            self.writer.close()

    def start(self, position: TrainingProgress, steps: int) -> None:
        """Print where the run begins, and draw the curves up to there again, so that a kill leaves no gap."""
        if not self.quiet:
            shutil.rmtree(self.folder / CURVES, ignore_errors=True)
            self.writer = SummaryWriter(str(self.folder / CURVES))
            for result in position.history:
                self._draw(result)
            self.console.print(f"training on {self.where}", highlight=False)
            if position.epoch or position.step:
                self.console.print(f"resuming at epoch {position.epoch + 1}, step {position.step}")
        self.steps = steps
        self.task = self.bar.add_task(
            "", total=steps, epoch=position.epoch + 1, epochs=self.epochs, loss=0.0, speed=0.0
        )

    def step(self, position: TrainingProgress, loss: float) -> None:
        """Move the progress bar."""
        # The seconds run on over epochs without a validation.
        epochs = position.epoch - (position.history[-1].epoch if position.history else 0)
        steps = epochs * self.steps + position.step
        speed = steps * self.batch_size / max(position.seconds, 1e-9)
        self.bar.update(self.task, completed=position.step, epoch=position.epoch + 1, loss=loss, speed=speed)

    def epoch(self, result: EpochResult, *, best: bool) -> None:
        """Print the epoch's line and add it to the curves."""
        if self.quiet:
            return
        self.console.print(
            f"epoch {result.epoch:>4}/{self.epochs}  loss {result.loss:.5f}  margin {result.margin_loss:.5f}  "
            f"reconstruction {result.reconstruction_loss:.2f}  validation error "
            f"{100 * result.validation_error:.2f} %  margin {result.validation_margin_loss:.5f}  "
            f"{result.seconds:.0f} s{'  best' if best else ''}",
            highlight=False,
            soft_wrap=True,
        )
        self._draw(result)

    def _draw(self, result: EpochResult) -> None:
        if self.writer is None:
            return
        for name in ("loss", "margin_loss", "reconstruction_loss", "learning_rate"):
            self.writer.add_scalar(f"training/{name}", getattr(result, name), result.epoch)
        for name in ("error", "margin_loss"):
            self.writer.add_scalar(f"validation/{name}", getattr(result, f"validation_{name}"), result.epoch)
        self.writer.flush()
