"""Training runs: they learn, they leave what they promise, and a killed one ends like an unbroken one."""

import csv
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from capsnet.config import ConfigError, InputSpec, ModelConfig
from model.architectures.registry import ARCHITECTURES, build
from model.checkpoint import load_network, read_tensors
from model.nn.layers import CapsuleNetwork
from training.cli.progress import ProgressDisplay
from training.data.augmentation import AUGMENTATIONS
from training.data.datasets import DatasetError, DatasetInfo, DatasetPart
from training.trainer import run_state
from training.trainer import trainer as trainer_module
from training.trainer.device_data import batches, held_out, train_val_split
from training.trainer.distillation import Teacher
from training.trainer.pretrained import InitialWeights
from training.trainer.provenance import provenance
from training.trainer.run_config import RunConfig
from training.trainer.run_state import EarlyStop, EpochResult, TrainingError, TrainingProgress
from training.trainer.stages import Provenance
from training.trainer.trainer import Trainer, plain_images

SPEC = InputSpec(channels=1, height=28, width=28, preprocess="mnist")
INFO = DatasetInfo(name="mnist", classes=tuple("0123456789"), input=SPEC)


def run_config(**values: object) -> RunConfig:
    network = ModelConfig(architecture=str(values.pop("architecture", "shared")), decoder_hidden=(16,))
    settings = {
        "epochs": 3,
        "batch_size": 32,
        "augmentation": "digits",
        "warmup": 2,
        "ema": 0.9,
        "precision": "32-true",
    }
    return RunConfig(dataset="mnist", network=network, input=SPEC, **settings | values)  # type: ignore[arg-type]


class Watcher:
    """Notes what it is told, and can stop the run after some steps as a kill would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.results: list[EpochResult] = []
        self.steps, self.stop_after = 0, stop_after

    def start(self, position: TrainingProgress, steps: int) -> None:
        self.begun_at = (position.epoch, position.step)

    def step(self, position: TrainingProgress, loss: float) -> None:
        self.steps += 1
        if self.steps == self.stop_after:
            raise KeyboardInterrupt

    def epoch(self, result: EpochResult, *, best: bool) -> None:
        self.results.append(result)


def trainer(
    folder: Path,
    data: DatasetPart,
    plan: RunConfig,
    *,
    compiled: bool = False,
    teacher: Teacher | None = None,
) -> Trainer:
    fabric = Fabric(accelerator="cpu", devices=1, precision=plan.precision)
    made_by = {"command": "none"}
    return Trainer(fabric, plan, INFO, data, folder, made_by, teacher=teacher, compiled=compiled)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path)[0]


def test_a_floor_above_the_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"floor is 0\.01; it must be at most the learning rate, 0\.0001"):
        run_config(learning_rate=1e-4, floor=1e-2)


def test_every_epoch_can_be_kept(digits: DatasetPart, tmp_path: Path) -> None:
    run = trainer(tmp_path, digits, run_config(epochs=2))
    run.keep_epochs = True
    run.run(Watcher())
    kept = run_state.kept_epochs(tmp_path)
    assert [path.name for path in kept] == ["epoch-001.safetensors", "epoch-002.safetensors"]
    last = weights(tmp_path / run_state.LAST)
    assert all(torch.equal(weights(kept[-1])[name], last[name]) for name in last)


def test_a_run_that_has_kept_no_epochs_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has kept no epochs; `fit --keep-epochs` keeps them"):
        run_state.kept_epochs(tmp_path)


def test_weights_decay_and_biases_do_not(digits: DatasetPart, tmp_path: Path) -> None:
    """At a rate that learns nothing, only the decay changes the weights."""
    plan = run_config(
        epochs=1, learning_rate=1e-6, weight_decay=10.0, schedule="exponential", ema=0.0, warmup=0
    )
    run = trainer(tmp_path, digits, plan)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    run.run(Watcher())
    steps = run.steps
    for name, parameter in run.network.named_parameters():
        expected = (1 - 1e-5) ** steps if name.endswith("weight") else 1.0
        change = (parameter.detach() - before[name] * expected).abs().max()
        assert float(change) <= 1.1e-6 * steps, name  # Adam's own steps of 1e-6
    decayed = run.optimizer.param_groups[0]["params"]
    assert {p.dim() for p in decayed} == {2, 4}


def test_statistics_are_taken_of_each_image_alike(digits: DatasetPart, tmp_path: Path) -> None:
    """A short batch at the end would count as much as a full one."""
    many = DatasetPart(np.resize(digits.images, (561, 1, 28, 28)), np.resize(digits.labels, 561))
    training = trainer(tmp_path, many, run_config(validation=56)).training
    assert [len(images) for images in plain_images(training, seed=0, most=500)] == [253, 252]
    assert [len(images) for images in plain_images(training, seed=0, most=200)] == [169, 168, 168]


def test_a_resumed_step_drops_what_it_would_have_dropped(
    digits: DatasetPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(config: ModelConfig) -> CapsuleNetwork:
        network = build(config)
        network.trunk.append(nn.Dropout(0.5))  # type: ignore[operator,union-attr]
        return network

    monkeypatch.setattr(trainer_module, "build", small)
    plan = run_config(architecture="efficient", epochs=2)
    trainer(tmp_path / "unbroken", digits, plan).run(Watcher())
    trainer(tmp_path / "broken", digits, plan).run(Watcher(), EarlyStop(until=1))
    torch.rand(5)  # another process has drawn other numbers
    run = trainer(tmp_path / "broken", digits, plan)
    run.resume()
    run.run(Watcher())
    unbroken, broken = (weights(tmp_path / name / run_state.LAST) for name in ("unbroken", "broken"))
    assert all(torch.equal(unbroken[name], broken[name]) for name in unbroken)


@pytest.mark.parametrize(  # without 7 and 35 M parameters, which take their time
    "architecture",
    [
        pytest.param(name, marks=() if name in ("efficient", "shared") else pytest.mark.slow)
        for name in sorted(set(ARCHITECTURES) - {"capsnet", "cnn"})
    ],
)
def test_a_killed_and_resumed_run_ends_with_the_same_weights(
    architecture: str, digits: DatasetPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 0.0)
    plan = run_config(architecture=architecture)
    trainer(tmp_path / "unbroken", digits, plan).run(Watcher())
    begun = []
    for stop_after in (3, 7, None):  # within the first epoch, within the second, then to the end
        run = trainer(tmp_path / "broken", digits, plan)
        run.resume()
        watcher = Watcher(stop_after)
        if stop_after is None:
            run.run(watcher)
        else:
            with pytest.raises(KeyboardInterrupt):
                run.run(watcher)
        begun.append(watcher.begun_at)
    assert begun[0] == (0, 0)
    assert begun[1][1] > 0
    assert begun[2][0] > 0
    for name in (run_state.STATE, run_state.LAST, run_state.BEST):
        unbroken, broken = weights(tmp_path / "unbroken" / name), weights(tmp_path / "broken" / name)
        assert unbroken.keys() == broken.keys()
        assert all(torch.equal(unbroken[key], broken[key]) for key in unbroken)
    logs = [
        list(csv.DictReader((tmp_path / n / run_state.LOG).read_text().splitlines()))
        for n in ("unbroken", "broken")
    ]
    for row in (*logs[0], *logs[1]):
        del row["seconds"]
    assert logs[0] == logs[1]
    assert [row["epoch"] for row in logs[0]] == ["1", "2", "3"]


def test_a_run_that_stops_early_is_the_beginning_of_the_whole(digits: DatasetPart, tmp_path: Path) -> None:
    plan = run_config(epochs=2)
    for name in ("whole", "parts"):
        run, watcher = trainer(tmp_path / name, digits, plan), Watcher()
        if name == "parts":
            run.run(watcher, EarlyStop(until=1))
            assert [result.epoch for result in watcher.results] == [1]
            run = trainer(tmp_path / name, digits, plan)
            run.resume()
        run.run(watcher, EarlyStop(until=9))  # there is nothing after the last epoch
        assert [result.epoch for result in watcher.results] == [1, 2]
    whole, parts = (weights(tmp_path / name / run_state.LAST) for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_a_run_stops_at_the_first_epoch_that_is_good_enough(digits: DatasetPart, tmp_path: Path) -> None:
    plan = run_config(architecture="efficient", epochs=4, augmentation="none", learning_rate=3e-3)
    whole = Watcher()
    trainer(tmp_path / "whole", digits, plan).run(whole)
    wanted = min(result.validation_error for result in whole.results)
    first = next(r.epoch for r in whole.results if r.validation_error <= wanted)
    assert first > 1
    for attempt in range(2):  # a run that has stopped there has nothing more to do when it is resumed
        run, watcher = trainer(tmp_path / "parts", digits, plan), Watcher()
        run.resume()
        run.run(watcher, EarlyStop(until_error=wanted))
        assert len(watcher.results) == (0 if attempt else first)
    _, header = load_network(tmp_path / "parts" / run_state.LAST)
    assert header["result"] | {"seconds": 0} == dataclasses.asdict(whole.results[first - 1]) | {"seconds": 0}
    run, watcher = trainer(tmp_path / "parts", digits, plan), Watcher()
    run.resume()
    run.run(watcher)  # and goes on as if it had not
    whole_weights, parts = (weights(tmp_path / name / run_state.LAST) for name in ("whole", "parts"))
    assert len(watcher.results) == 4 - first
    assert all(torch.equal(whole_weights[key], parts[key]) for key in parts)


def test_a_run_that_never_gets_so_good_ends_with_its_schedule(digits: DatasetPart, tmp_path: Path) -> None:
    watcher = Watcher()
    trainer(tmp_path, digits, run_config(epochs=2)).run(watcher, EarlyStop(until_error=0.0))
    assert [result.epoch for result in watcher.results] == [1, 2]
    assert all(result.validation_error > 0 for result in watcher.results)


def test_the_command_says_where_a_run_stopped() -> None:
    words = str(provenance(run_config(), None, EarlyStop(until=4, until_error=0.008))["command"])
    assert words.endswith(" --until 4 --until-error 0.008")
    assert "--until" not in str(provenance(run_config())["command"])


def test_commands_stand_in_order_and_each_once() -> None:
    """The teacher's first; also where one begins as another does."""
    made = {"network": build(run_config().network), "file": "teacher/last.safetensors"}
    before = Provenance(("fit --seed 0 --until 4", "fit --epochs 2"), ())
    start = InitialWeights({}, "last.safetensors", before, ())

    def stages(taught_by: str) -> list[str]:
        teacher = Teacher(**made, made=Provenance((taught_by,), ()))  # type: ignore[arg-type]
        return str(provenance(run_config(), start, None, teacher)["command"]).split(" && ")

    assert stages("fit --seed 0")[:-1] == ["fit --seed 0", "fit --seed 0 --until 4", "fit --epochs 2"]
    assert stages("fit --epochs 2")[:-1] == ["fit --seed 0 --until 4", "fit --epochs 2"]
    assert stages("fit --epochs 2")[-1].endswith(
        " --start-from last.safetensors --teacher teacher/last.safetensors"
    )


def test_what_a_teacher_says_takes_the_place_of_the_labels(digits: DatasetPart, tmp_path: Path) -> None:
    """With all the weight it does so wholly, and with none not at all."""
    trainer(tmp_path / "teacher", digits, run_config(epochs=1)).run(Watcher())
    network, _ = load_network(tmp_path / "teacher" / run_state.LAST)
    teacher = Teacher(network.eval(), "teacher", Provenance((), ()))
    other_labels = dataclasses.replace(digits, labels=np.roll(digits.labels, 1))

    def taught(
        name: str, data: DatasetPart, weight: float, teacher: Teacher | None
    ) -> dict[str, torch.Tensor]:
        plan = run_config(
            epochs=1, teacher_weight=weight, reconstruction_weight=0.0
        )  # the decoder needs labels
        trainer(tmp_path / name, data, plan, teacher=teacher).run(Watcher())
        return weights(tmp_path / name / run_state.LAST)

    right, wrong = (taught(name, data, 1.0, teacher) for name, data in (("r", digits), ("w", other_labels)))
    ignored, alone = (taught(name, digits, 0.0, who) for name, who in (("i", teacher), ("a", None)))
    assert all(torch.equal(right[name], wrong[name]) for name in right)
    assert all(torch.equal(ignored[name], alone[name]) for name in alone)
    assert not all(torch.equal(right[name], alone[name]) for name in alone)


def test_who_looks_at_other_images_cannot_teach(digits: DatasetPart, tmp_path: Path) -> None:
    plan = run_config(epochs=1)
    trainer(tmp_path, digits, plan).run(Watcher())
    read = partial(Teacher.read, tmp_path / run_state.LAST, data=digits)
    assert read(plan, classes=INFO.classes).file == f"{tmp_path.name}/last.safetensors"
    larger = dataclasses.replace(plan, network=dataclasses.replace(plan.network, height=40, width=40))
    with pytest.raises(TrainingError, match=r"last.safetensors: cannot teach, since its images or classes"):
        read(larger, classes=INFO.classes)
    with pytest.raises(TrainingError, match=r"last.safetensors: cannot teach, since its images or classes"):
        read(plan, classes=tuple("abcdefghij"))


def test_training_learns_and_keeps_the_best_and_the_last(digits: DatasetPart, tmp_path: Path) -> None:
    watcher = Watcher()
    plan = run_config(architecture="efficient", epochs=6, augmentation="none", learning_rate=3e-3)
    best = trainer(tmp_path, digits, plan).run(watcher)
    assert watcher.results[-1].margin_loss < 0.5 * watcher.results[0].margin_loss
    assert best == min(watcher.results, key=lambda result: result.validation_margin_loss)
    for name, result in ((run_state.BEST, best), (run_state.LAST, watcher.results[-1])):
        network, header = load_network(tmp_path / name)
        assert header["result"] == dataclasses.asdict(result)
        assert header["classes"] == list(INFO.classes)
        assert RunConfig.from_dict(header["recipe"]) == plan
        _, validation = train_val_split(digits, plan, torch.device("cpu"))
        assert trainer_module.validate(network, validation)[0] == result.validation_error


def test_bfloat16_leaves_weights_and_lengths_in_float32(digits: DatasetPart, tmp_path: Path) -> None:
    plan = run_config(epochs=2, precision="bf16-mixed", architecture="efficient")
    run = trainer(tmp_path, digits, plan)
    seen: list[torch.dtype] = []
    run.network.get_submodule("trunk").register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    run.run(Watcher())
    assert torch.bfloat16 in seen
    network, _ = load_network(tmp_path / run_state.BEST)
    lengths, poses = network.encode(torch.rand(1, 1, 28, 28))
    assert {t.dtype for t in (*network.state_dict().values(), lengths, poses)} <= {torch.float32, torch.int64}


def test_the_curves_of_a_resumed_run_are_whole(digits: DatasetPart, tmp_path: Path) -> None:
    """Events that a kill had cut off are drawn again from the state."""
    for stop_after in (12, None):
        run = trainer(tmp_path, digits, run_config(epochs=3))
        run.resume()
        display = ProgressDisplay(Console(quiet=True), 3, 32, tmp_path, where="", quiet=False)
        watcher = Watcher(stop_after)
        if stop_after is None:
            with display:
                run.run(display)
        else:
            with pytest.raises(KeyboardInterrupt):
                run.run(watcher)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("validation/error")] == [1, 2, 3]


def test_resuming_with_other_settings_is_refused_by_name(digits: DatasetPart, tmp_path: Path) -> None:
    trainer(tmp_path, digits, run_config(epochs=1)).run(Watcher())
    other = trainer(tmp_path, digits, run_config(epochs=1, seed=5, learning_rate=0.5))
    with pytest.raises(
        TrainingError,
        match=r"other settings \(learning_rate was 0\.001 and is 0\.5; seed was 0 and is 5.*delete ",
    ):
        other.resume()
    small = ModelConfig(architecture="shared", decoder_hidden=(16,), pose_dim=12)
    wide = trainer(tmp_path, digits, dataclasses.replace(run_config(epochs=1), network=small))
    with pytest.raises(
        TrainingError, match=r"other settings \(pose_dim was 16 and is 12\); delete .*RUN=FOLDER"
    ):
        wide.resume()


def test_resuming_on_other_images_is_refused(digits: DatasetPart, tmp_path: Path) -> None:
    trainer(tmp_path, digits, run_config(epochs=1)).run(Watcher())
    other = trainer(tmp_path, DatasetPart(digits.images[::-1].copy(), digits.labels), run_config(epochs=1))
    with pytest.raises(TrainingError, match="mnist has changed since"):
        other.resume()


def test_a_loss_that_is_not_finite_stops_the_run(digits: DatasetPart, tmp_path: Path) -> None:
    run = trainer(tmp_path, digits, run_config())
    with torch.no_grad():
        next(run.network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan at step 0"):
        run.run(Watcher())


def test_the_validation_images_are_cut_off_the_training_set(digits: DatasetPart) -> None:
    training, validation = train_val_split(digits, run_config(validation=20), torch.device("cpu"))
    assert (len(training), len(validation)) == (280, 20)
    assert sorted([*training.samples.tolist(), *validation.samples.tolist()]) == list(range(300))
    rows = validation.samples
    assert torch.equal(validation.images, torch.from_numpy(digits.images)[rows])
    other = train_val_split(digits, run_config(validation=20, seed=1), torch.device("cpu"))[1]
    assert other.samples.tolist() != rows.tolist()


def test_at_most_a_tenth_is_cut_off(digits: DatasetPart) -> None:
    assert len(train_val_split(digits, run_config(), torch.device("cpu"))[1]) == 30
    with pytest.raises(DatasetError, match="at least 10"):
        train_val_split(DatasetPart(digits.images[:9], digits.labels[:9]), run_config(), torch.device("cpu"))


def test_fewer_images_held_out_are_among_more_of_the_same_seed(digits: DatasetPart) -> None:
    few, more = (held_out(digits, 3, count, torch.device("cpu")) for count in (10, 20))
    assert len(few) == 10
    assert set(few.samples.tolist()) < set(more.samples.tolist())
    whole = train_val_split(digits, run_config(validation=20, seed=3), torch.device("cpu"))[1]
    assert torch.equal(whole.images, more.images)


def test_copies_are_of_each_image_and_differ(digits: DatasetPart) -> None:
    few = held_out(digits, 0, 10, torch.device("cpu"))
    made = few.augmented_copies(AUGMENTATIONS["hands"], 2, seed=0)
    assert made.labels.tolist() == few.labels.tolist() * 2
    first, second = made.images.chunk(2)
    assert not any(torch.equal(*pair) for pair in zip(first, second, strict=True))
    trained_on = few.batch(torch.arange(10), AUGMENTATIONS["hands"], seed=0, epoch=0).images
    assert (first.float() / 255 - trained_on).abs().amax(dim=(1, 2, 3)).min() > 0.1


def test_processes_together_see_what_one_would(digits: DatasetPart) -> None:
    plan = run_config(augmentation="shift")
    training, _ = train_val_split(digits, plan, torch.device("cpu"))
    whole = list(batches(training, plan, 1))
    halves = [list(batches(training, plan, 1, rank=rank, world=2)) for rank in (0, 1)]
    for one, *shares in zip(whole, *halves, strict=True):
        for rank, share in enumerate(shares):
            torch.testing.assert_close(one.images[rank::2], share.images)
            assert torch.equal(one.labels[rank::2], share.labels)


def test_the_learning_rate_rises_then_falls_to_the_floor() -> None:
    cosine = run_config(epochs=10, learning_rate=1e-2, floor=1e-5, warmup=5)
    rates = [cosine.learning_rate_at(step, 20) for step in range(200)]
    assert rates[0] == pytest.approx(1e-2 / 6, rel=1e-3)
    assert max(rates) == pytest.approx(1e-2, rel=0.01)
    assert rates[-1] == pytest.approx(1e-5, rel=0.2)
    exponential = run_config(schedule="exponential", decay=0.5, learning_rate=1e-2, floor=1e-3, warmup=0)
    assert exponential.learning_rate_at(20, 20) == pytest.approx(5e-3)
    assert exponential.learning_rate_at(2000, 20) == 1e-3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("learning_rate", float("nan")),
        ("schedule", "linear"),
        ("augmentation", "x"),
        ("ema", 1.0),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} is "):
        run_config(**{field: value})


def test_losses_read_some_steps_at_a_time_are_the_same(
    digits: DatasetPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which would stand still at each reading."""
    watchers = Watcher(), Watcher()
    trainer(tmp_path / "each", digits, run_config()).run(watchers[0])
    monkeypatch.setattr(Trainer, "_read_every", 3)
    trainer(tmp_path / "some", digits, run_config()).run(watchers[1])
    each, some = (
        [dataclasses.replace(result, seconds=0) for result in watcher.results] for watcher in watchers
    )
    assert each == some
    assert 1 < watchers[1].steps < watchers[0].steps
    last = [weights(tmp_path / name / run_state.LAST) for name in ("each", "some")]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])


@pytest.mark.filterwarnings(
    "ignore::UserWarning:torch", "ignore::DeprecationWarning:torch"
)  # of the compiler itself
@pytest.mark.parametrize("architecture", ["efficient", "shared"])
def test_a_compiled_network_learns_the_same(
    architecture: str, digits: DatasetPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the last stage of torch.compile, which would take a C++ compiler half a minute."""
    plan = run_config(architecture=architecture, epochs=1)
    trainer(tmp_path / "eager", digits, plan).run(Watcher())
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    trainer(tmp_path / "compiled", digits, plan, compiled=True).run(Watcher())
    eager, compiled = (weights(tmp_path / name / run_state.LAST) for name in ("eager", "compiled"))
    assert eager.keys() == compiled.keys()
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-4)


def folder_recipe(**values: Any) -> RunConfig:
    return dataclasses.replace(run_config(), dataset="folder:digits", **values)


def result(epoch: int, margin: float, seconds: float = 1.0) -> EpochResult:
    return EpochResult(epoch, 1.0, 1.0, 1.0, 0.5, margin, 1e-3, seconds)


def test_a_long_run_on_a_folder_validates_some_of_its_epochs(digits: DatasetPart, tmp_path: Path) -> None:
    plan = folder_recipe(epochs=81, batch_size=256)
    assert (plan.validate_every, run_config(epochs=400).validate_every) == (3, 1)
    watcher = Watcher()
    trainer(tmp_path, digits, plan).run(watcher, EarlyStop(until=7))
    assert [each.epoch for each in watcher.results] == [3, 6, 7]
    assert watcher.steps == 7


def test_the_rate_falls_to_its_floor_at_a_plateau_before_the_run_ends() -> None:
    stop = EarlyStop(plateau=4, cooldown=2)
    history = [result(1, 0.5), result(2, 0.4), result(4, 0.45)]
    assert stop.cooling_since(history) is None
    history.append(result(6, 0.41))
    assert (stop.cooling_since(history), stop.reached(history)) == (6, False)
    history.append(result(8, 0.3))  # a better one does not take it back
    assert (stop.cooling_since(history), stop.reached(history)) == (6, True)


def test_the_rate_falls_when_the_minutes_are_nearly_used_up() -> None:
    stop = EarlyStop(minutes=1.0, cooldown=2)
    history = [result(epoch, 1 / epoch, seconds=10.0) for epoch in (1, 2)]
    assert stop.cooling_since(history) is None
    history.append(result(3, 0.3, seconds=10.0))
    assert stop.cooling_since(history) == 3
    assert not stop.reached(history)


def test_a_machine_that_was_busy_for_a_while_does_not_end_the_run_early() -> None:
    stop = EarlyStop(minutes=8.0, cooldown=9)
    history = [result(2, 0.4, seconds=291.0)]
    assert stop.cooling_since(history) == 2
    history += [result(epoch, 1 / epoch, seconds=4.0) for epoch in (4, 6, 8)]
    assert stop.cooling_since(history) is None
    history.append(result(10, 0.1, seconds=60.0))  # one slow result is not yet a slow machine
    assert stop.cooling_since(history) is None
    history += [result(epoch, 1 / epoch, seconds=20.0) for epoch in (12, 14)]
    assert stop.cooling_since(history) == 12
    assert not stop.reached(history)


def test_a_run_that_cools_down_ends_at_the_floor(digits: DatasetPart, tmp_path: Path) -> None:
    run = trainer(tmp_path, digits, folder_recipe(epochs=30, batch_size=256))
    run.cooling = 4 * run.steps, 2 * run.steps
    usual = run.config.learning_rate_at(3 * run.steps, run.steps)
    assert run.rate(3 * run.steps) == usual
    assert run.rate(5 * run.steps) < 0.6 * usual
    assert run.rate(6 * run.steps) == run.config.floor
