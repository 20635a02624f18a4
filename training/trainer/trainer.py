"""Run the epochs: one network, one data set, one configuration, on the devices that Lightning Fabric offers."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capsnet.multi_object import missed_count
from model.architectures.registry import build
from model.checkpoint import save_network
from model.nn.layers import CapsuleNetwork
from training.data.augmentation import Augmentation
from training.data.composition import Batch
from training.data.datasets import DatasetInfo, DatasetPart
from training.trainer import run_state
from training.trainer.device_data import DeviceData, batches, steps_per_epoch, train_val_split
from training.trainer.distillation import Teacher
from training.trainer.ema import MovingAverage, recompute_batchnorm
from training.trainer.losses import class_loss, one_hot_targets, reconstruction_loss
from training.trainer.pretrained import InitialWeights
from training.trainer.run_config import RunConfig
from training.trainer.run_state import EarlyStop, EpochResult, RunIdentity, TrainingError, TrainingProgress

SAVE_EVERY = 60.0  # seconds between two states within an epoch
READ_EVERY = 20
CALIBRATION_IMAGES = 5000


class TrainingCallback(Protocol):
    """Is told by the loop about the progress of a run."""

    def start(self, position: TrainingProgress, steps: int) -> None:
        """Handle the start or resumption of a run at `position`; an epoch has `steps` steps."""

    def step(self, position: TrainingProgress, loss: float) -> None:
        """Handle a finished step."""

    def epoch(self, result: EpochResult, *, best: bool) -> None:
        """Handle a finished and validated epoch."""


class Trainer:
    """A run in its folder.

    Parameters
    ----------
    fabric
        Launched; knows the device and the number of processes.
    config, info
        Settings of the run, and the names of the classes.
    data
        The training part of the data set; the validation images are held out of it.
    folder
        Folder of checkpoints and logs.
    provenance
        JSON values about the run to keep in its checkpoints, such as its command.
    start
        Weights to begin with instead of random ones.
    teacher
        Network whose answers count beside the labels.
    compiled
        Have torch.compile make the network's kernels, which takes it a while at the first step.
    keep_epochs
        Keep the averaged weights of every epoch, in the folder `epochs`.

    Raises
    ------
    TrainingError
        If the batch cannot be shared evenly by the processes.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: RunConfig,
        info: DatasetInfo,
        data: DatasetPart,
        folder: Path,
        provenance: dict[str, Any],
        start: InitialWeights | None = None,
        teacher: Teacher | None = None,
        *,
        compiled: bool = False,
        keep_epochs: bool = False,
    ) -> None:
        if config.batch_size % fabric.world_size:
            raise TrainingError(
                f"a batch of {config.batch_size} cannot be shared by {fabric.world_size} processes"
            )
        self.fabric, self.config, self.info, self.folder = fabric, config, info, folder
        self.provenance = provenance
        self.origin = RunIdentity(config, data.fingerprint())
        self.training, self.validation = train_val_split(data, config, fabric.device)
        self.steps = steps_per_epoch(len(self.training), config.batch_size)
        torch.manual_seed(config.seed)
        self.network = build(config.network)
        self.reinitialized = [] if start is None else start.load_into(self.network, info.classes)
        # Dropout draws from PyTorch's own generator. Its seed is set at each step, so that a resumed run draws the
        # same.
        self._drops = any(isinstance(layer, nn.Dropout) for layer in self.network.modules())
        convolutions_channels_last(self.network)
        fused = fabric.device.type in ("cpu", "cuda")
        groups = decay_groups(self.network, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)
        network: Any = torch.compile(self.network) if compiled else self.network
        self.model, self.optimizer = fabric.setup(network, optimizer)
        self.average = MovingAverage(self.network, config.ema)
        self.teacher, self.keep_epochs = teacher, keep_epochs
        self.cooling: tuple[int, int] | None = None  # from which step, and for how many
        self._saved = time.monotonic()
        if teacher is not None:
            teacher.network.to(fabric.device)
            convolutions_channels_last(teacher.network)
        self.position = TrainingProgress()

    def resume(self) -> bool:
        """Resume from the folder's state, and tell whether there was one."""
        if not (self.folder / run_state.STATE).is_file():
            return False
        optimizer = self.optimizer.optimizer
        self.position = run_state.load_state(self.folder, self.network, self.average, optimizer, self.origin)
        return True

    @property
    def finished(self) -> bool:
        """Tell whether the last epoch of the schedule is done."""
        return self.position.epoch >= self.config.epochs

    def run(self, reporter: TrainingCallback, stop: EarlyStop | None = None) -> EpochResult:
        """Train to the last epoch, or to an earlier one to stop after; return the best result."""
        reporter.start(self.position, self.steps)
        best = self.position.best
        stop = stop or EarlyStop()
        while best is None or not (self.finished or stop.reached(self.position.history)):
            since = stop.cooling_since(self.position.history)
            self.cooling = None if since is None else (since * self.steps, (stop.cooldown or 1) * self.steps)
            self._train_epoch(reporter)
            if not self._validates(self.position.epoch + 1, stop):
                self._begin_next_epoch()
                continue
            result = self._finish_epoch()
            best = self.position.best
            reporter.epoch(result, best=result is best)
        return best

    def _validates(self, epoch: int, stop: EarlyStop) -> bool:
        """Tell whether to validate after an epoch, counted from 1."""
        return epoch % self.config.validate_every == 0 or epoch in (self.config.epochs, stop.until)

    def _begin_next_epoch(self) -> None:
        """Move on without validation; the sums and seconds run on."""
        self.position.epoch += 1
        self.position.step = 0

    def rate(self, number: int) -> float:
        """Return the learning rate of a step, counted from 0 over the run: the schedule's, or less in the cooldown."""
        scheduled = self.config.learning_rate_at(number, self.steps)
        if self.cooling is None or number < self.cooling[0]:
            return scheduled
        first, count = self.cooling
        left = max(0.0, 1 - (number - first) / count)
        return min(scheduled, max(self.config.floor, left * self.config.learning_rate_at(first, self.steps)))

    def _train_epoch(self, reporter: TrainingCallback) -> None:
        position = self.position
        self.network.train()
        started = time.monotonic()
        earlier = position.seconds
        rank, world = self.fabric.global_rank, self.fabric.world_size
        unread: list[Tensor] = []
        for batch in batches(
            self.training, self.config, position.epoch, start=position.step, rank=rank, world=world
        ):
            unread.append(self._step(batch, position.step + len(unread)))
            if len(unread) < self._read_every and position.step + len(unread) < self.steps:
                continue
            loss = self._read(unread)
            now = time.monotonic()
            position.seconds = earlier + now - started
            reporter.step(position, loss)
            if now - self._saved > SAVE_EVERY:
                self._save_state()

    @property
    def _read_every(self) -> int:
        """Return the steps after which losses are read: on a GPU each reading waits for the device."""
        return 1 if self.fabric.device.type == "cpu" else READ_EVERY

    def _read(self, unread: list[Tensor]) -> float:
        """Copy the losses of steps from the device and enter them; return the last loss. Raises TrainingError."""
        position = self.position
        losses: list[list[float]] = self.fabric.all_reduce(torch.stack(unread), reduce_op="mean").tolist()  # type: ignore[union-attr]
        unread.clear()
        for each in losses:
            if not all(map(math.isfinite, each)):
                number = position.epoch * self.steps + position.step
                raise TrainingError(f"the loss is {each[0]} at step {number}; try a smaller --learning-rate")
            position.sums = [a + b for a, b in zip(position.sums, each, strict=True)]
            position.step += 1
        return losses[-1][0]

    def _step(self, batch: Batch, step: int) -> Tensor:
        """Do one step of Adam; return loss, margin loss and reconstruction loss of the batch, (3,)."""
        config, number = self.config, self.position.epoch * self.steps + step
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(number)
        if self._drops:
            torch.manual_seed(config.seed << 32 | (number * self.fabric.world_size + self.fabric.global_rank))
        lengths, poses, reconstruction = self.model(batch.images, batch.labels)
        targets = one_hot_targets(batch.labels, config.network.num_classes)
        if self.teacher is not None:
            with self.fabric.autocast():
                targets = targets.lerp(self.teacher.soft_targets(batch.images), config.teacher_weight)
        margin = class_loss(self.network, lengths, poses, targets).mean()
        drawn = reconstruction_loss(reconstruction, batch.parts).mean()
        loss = margin + config.reconstruction_weight * drawn
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.network, number)
        return torch.stack([loss, margin, drawn]).detach()

    def _finish_epoch(self) -> EpochResult:
        """Validate, write the files of the epoch, and move to the next epoch."""
        position = self.position
        epochs = position.epoch + 1 - (position.history[-1].epoch if position.history else 0)
        loss, margin, drawn = (total / (epochs * self.steps) for total in position.sums)
        most = self.config.network.images_at_once
        recompute_batchnorm(self.average.network, plain_images(self.training, self.config.seed, most))
        error, validation_margin = validate(self.average.network, self.validation)
        # Clocks of several processes differ, and when a run cools down or ends must not.
        position.seconds = self.fabric.broadcast(position.seconds)
        result = EpochResult(
            epoch=position.epoch + 1,
            loss=loss,
            margin_loss=margin,
            reconstruction_loss=drawn,
            validation_error=error,
            validation_margin_loss=validation_margin,
            learning_rate=self.rate((position.epoch + 1) * self.steps - 1),
            seconds=position.seconds,
        )
        history = [*position.history, result]
        self.position = TrainingProgress(epoch=position.epoch + 1, history=history)
        if self.position.best is result:
            self._save_network(run_state.BEST, result)
        self._save_network(run_state.LAST, result)
        if self.keep_epochs:
            self._save_network(run_state.epoch_file(result.epoch), result)
        if self.fabric.is_global_zero:
            run_state.write_log(self.folder, history)
        self._save_state()
        return result

    def _save_network(self, name: str, result: EpochResult) -> None:
        if self.fabric.is_global_zero:
            header = {
                **self.origin.header(),
                "classes": self.info.classes,
                "objects": self.info.objects,
                "result": asdict(result),
                "provenance": self.provenance,
            }
            save_network(self.folder / name, self.average.network, header)

    def _save_state(self) -> None:
        self._saved = time.monotonic()
        if self.fabric.is_global_zero:
            optimizer = self.optimizer.optimizer
            run_state.save_state(
                self.folder, self.network, self.average, optimizer, self.position, self.origin
            )


def convolutions_channels_last(network: CapsuleNetwork) -> None:
    """Lay out the kernels of convolutions with the channels last, and leave the matrices of capsules as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def decay_groups(network: CapsuleNetwork, decay: float) -> list[dict[str, Any]]:
    """Return the parameters of a network in two groups: weights of two axes and more, which decay, and all others."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (decayed if name.endswith("weight") and parameter.dim() > 1 else others).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def plain_images(data: DeviceData, seed: int, most: int) -> Iterator[Tensor]:
    """Yield batches of the first training images, at most `most`, the same for every process, without augmentation."""
    rows = torch.arange(min(CALIBRATION_IMAGES, len(data)), device=data.labels.device)
    parts = -(-len(rows) // most)
    for part in rows.tensor_split(parts):  # all of one size, since each counts as much
        made = data.batch(part, Augmentation(), seed=seed, epoch=0)
        yield made.images.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def validate(network: CapsuleNetwork, data: DeviceData) -> tuple[float, float]:
    """Return the share of objects not among the longest capsules, and the mean loss of the classes, in float32."""
    wrong, margin = 0, 0.0
    most = network.config.images_at_once
    for first in range(0, len(data), most):
        rows = slice(first, first + most)
        labels = data.labels[rows]
        lengths, poses = network.encode(data.floats(rows).contiguous(memory_format=torch.channels_last))
        targets = one_hot_targets(labels, network.config.num_classes)
        wrong += int(missed_count(lengths.cpu().numpy(), labels.cpu().numpy()).sum())
        margin += float(class_loss(network, lengths, poses, targets).sum())
    return wrong / data.labels.numel(), margin / len(data)
