"""What a network has been trained on, in all its stages, and what validated it; the shipped models by their cards."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from capsnet.card import CardError, ModelCard
from model.architectures.registry import build
from tests.training.trainer.test_trainer import run_config
from training.data.datasets import DatasetPart
from training.evaluation.validate import Copies, validate_models
from training.trainer.data_lineage import DataLineage
from training.trainer.device_data import train_val_split
from training.trainer.pretrained import PretrainedNetwork
from training.trainer.provenance import provenance
from training.trainer.run_state import EarlyStop, RunIdentity, TrainingError
from training.trainer.stages import Provenance, Stage

ARTIFACTS = Path(__file__).resolve().parents[3] / "artifacts"


def stage(dataset: str, split_seed: int, validation: int) -> Stage:
    return Stage(dataset=dataset, seed=split_seed, split_seed=split_seed, validation=validation, epochs=1)


RUNS = [
    (run_config(seed=3, validation=40, epochs=7), EarlyStop(until=4)),
    (replace(run_config(), dataset="folder:my own --leaves"), None),
    (run_config(seed=3, split_seed=1), None),
]


def test_a_checkpoint_has_a_record_of_each_run() -> None:
    first, second, third = (Provenance.read(provenance(config, stop=stop)).stages[0] for config, stop in RUNS)
    assert asdict(first) == {
        "dataset": "mnist",
        "seed": 3,
        "split_seed": 3,
        "validation": 40,
        "epochs": 4,
        "architecture": "shared",
        "augmentation": "digits",
        "learning_rate": 0.001,
        "start_from": None,
        "teacher": None,
    }
    assert (second.dataset, third.seed, third.split_seed) == ("folder:my own --leaves", 3, 1)


def test_records_are_read_as_they_were_written() -> None:
    made = provenance(RUNS[0][0])
    assert Provenance.read(json.loads(json.dumps(made))).fields() == {
        "command": made["command"],
        "stages": made["stages"],
    }


def test_the_stages_of_an_old_file_are_read_out_of_its_commands() -> None:
    """A blend between them is no run."""
    commands = [str(provenance(config, stop=stop)["command"]) for config, stop in RUNS]
    command = " && ".join([commands[0], "python -m training blend a b --share 0.5", *commands[1:]])
    recorded = [Provenance.read(provenance(config, stop=stop)).stages[0] for config, stop in RUNS]
    assert Provenance.read({"command": command}).stages == tuple(
        replace(each, augmentation=None, learning_rate=None) for each in recorded
    )


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ARTIFACTS.glob("*/card.json")))
def test_the_records_of_a_shipped_model_agree_with_its_commands(name: str) -> None:
    made = ModelCard.load(ARTIFACTS / name).training
    recorded, told = Provenance.read(made), Provenance.read({"command": made["command"]})
    known = ("augmentation", "learning_rate", "start_from", "teacher")
    assert tuple(replace(each, **dict.fromkeys(known)) for each in recorded.stages) == told.stages  # type: ignore[arg-type]
    for each in recorded.stages:
        assert any(f"--augmentation {each.augmentation} " in command for command in recorded.commands)


@pytest.mark.parametrize(
    "stages",
    ["none", [3], [{}], [{"dataset": "mnist", "seed": "0", "split_seed": 0, "validation": 9, "epochs": 1}]],
)
def test_records_that_are_none_are_refused(stages: object) -> None:
    card = ModelCard.load(ARTIFACTS / "mnist")
    changed = replace(card, training={**card.training, "stages": stages})
    with pytest.raises(CardError, match=r"mnist: its card does not say how it was trained: 'stages'"):
        DataLineage.of_model(ARTIFACTS / "mnist", changed)


def test_runs_of_one_split_seed_hold_out_the_same_images(digits: DatasetPart) -> None:
    runs = [
        run_config(seed=seed, split_seed=split_seed) for seed, split_seed in [(0, None), (1, 0), (1, None)]
    ]
    own, same, other = (train_val_split(digits, each, torch.device("cpu"))[1].samples for each in runs)
    assert torch.equal(own, same)
    assert not torch.equal(own, other)


def test_an_earlier_network_of_another_seed_and_the_same_split_seed_may_be_used(digits: DatasetPart) -> None:
    mine = run_config(seed=1, split_seed=0, validation=20)
    made = Provenance.read(provenance(mine))
    held_out = DataLineage.of_run(RunIdentity(mine, digits.fingerprint()), made)
    before = PretrainedNetwork(
        network=build(mine.network), made=made, classes=tuple("0123456789"), held_out=held_out
    )
    before.check_held_out(Path("last.safetensors"), run_config(validation=20), digits)
    with pytest.raises(
        TrainingError, match=r"give its data, --split-seed 0 and a --validation of at most 20"
    ):
        before.check_held_out(Path("last.safetensors"), run_config(seed=1, validation=20), digits)


def test_a_stage_sees_what_another_seed_or_a_larger_cut_holds_out(digits: DatasetPart) -> None:
    early = stage("mnist", 0, 20)
    assert not early.may_have_seen("mnist", digits, 0, 20)
    assert early.may_have_seen("mnist", digits, 0, 21)
    assert early.may_have_seen("mnist", digits, 1, 20)
    assert early.may_have_seen("translated_mnist", digits, 1, 20)  # of the same images
    assert not early.may_have_seen("fashion_mnist", digits, 1, 20)
    assert not stage("mnist", 0, 5000).may_have_seen(
        "mnist", digits, 0, 30
    )  # a tenth, which is all that is ever held out


@pytest.mark.parametrize(
    ("first", "refused"),
    [(stage("mnist", 1, 5000), True), (stage("mnist", 0, 9), True), (stage("mnist", 0, 5000), False)],
)
def test_an_early_stage_counts_too(first: Stage, refused: bool, digits: DatasetPart) -> None:
    made = Provenance((), (first, stage("fashion_mnist", 0, 5000)))
    held_out = DataLineage(dataset="fashion_mnist", data="another", seed=0, validation=20, stages=made.stages)
    before = PretrainedNetwork(
        network=build(run_config().network), made=made, classes=tuple("0123456789"), held_out=held_out
    )
    if refused:
        with pytest.raises(
            TrainingError, match=r"last\.safetensors: was trained on images that are to validate"
        ):
            before.check_held_out(Path("last.safetensors"), run_config(validation=20), digits)
    else:
        before.check_held_out(Path("last.safetensors"), run_config(validation=20), digits)


@pytest.mark.parametrize("change", [{"stages": []}, {"validation_images": "many"}, {"validation_images": 0}])
def test_a_card_that_does_not_say_what_was_held_out_is_refused(change: dict[str, object]) -> None:
    card = ModelCard.load(ARTIFACTS / "mnist")
    assert DataLineage.of_model(ARTIFACTS / "mnist", card).validation == 2500
    changed = replace(card, training={**card.training, **change})
    with pytest.raises(CardError, match="does not say how it was trained"):
        DataLineage.of_model(ARTIFACTS / "mnist", changed)


@pytest.mark.slow
def test_models_of_several_data_sets_have_the_validation_errors_of_their_cards(data_folder: Path) -> None:
    """Each on its own images: mnist holds out fewer than multimnist, whose scenes are made of the same digits."""
    paths = [ARTIFACTS / name for name in ("mnist", "multimnist")]
    found = {(each.path.name, each.variant): each for each in validate_models(paths, None, data_folder, None)}
    for path in paths:
        training, metrics = ModelCard.load(path).training, found[path.name, "fp32"].metrics
        assert metrics.images == training["validation_images"]
        assert metrics.error == training["validation_error"]
        assert metrics.accepted is None
    assert found["mnist", "fp32"].metrics.images < found["multimnist", "fp32"].metrics.images


def test_copies_that_would_be_equal_are_refused(data_folder: Path) -> None:
    with pytest.raises(TrainingError, match="--augmentation none: the copies of an image would be equal"):
        validate_models([ARTIFACTS / "mnist"], None, data_folder, Copies(augmentation="none", count=2))


@pytest.mark.parametrize("count", [0, 101])
def test_copies_are_of_a_number_that_can_be(count: int) -> None:
    with pytest.raises(TrainingError, match=f"--copies: is {count}; it must lie between 1 and 100"):
        Copies(augmentation="hands", count=count)
