"""What a network has been trained on, in all its stages, and what validated it; the shipped models by their cards."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from capsnet.card import CardError, ModelCard
from model.architectures.registry import build
from tests.training.trainer.test_trainer import recipe
from training.data.datasets import Split
from training.evaluation.validate import Copies, validate_models
from training.trainer.data_lineage import DataLineage, Stage, stages_of
from training.trainer.device_data import split
from training.trainer.pretrained import Earlier
from training.trainer.provenance import provenance
from training.trainer.run_state import RunIdentity, TrainingError

ARTIFACTS = Path(__file__).resolve().parents[3] / "artifacts"


def test_stages_are_read_out_of_the_commands() -> None:
    first = provenance(recipe(seed=3, validation=40))["command"]
    second = provenance(replace(recipe(), dataset="folder:my own --leaves"))["command"]
    third = provenance(recipe(seed=3, split_seed=1))["command"]
    assert stages_of(f"{first} && python -m training blend a b --share 0.5 && {second} && {third}") == (
        Stage("mnist", 3, 40),
        Stage("folder:my own --leaves", 0, 5000),
        Stage("mnist", 1, 5000),
    )


def test_runs_of_one_split_seed_hold_out_the_same_images(digits: Split) -> None:
    runs = [recipe(seed=seed, split_seed=split_seed) for seed, split_seed in [(0, None), (1, 0), (1, None)]]
    own, same, other = (split(digits, each, torch.device("cpu"))[1].samples for each in runs)
    assert torch.equal(own, same)
    assert not torch.equal(own, other)


def test_an_earlier_network_of_another_seed_and_the_same_split_seed_may_be_used(digits: Split) -> None:
    mine = recipe(seed=1, split_seed=0, validation=20)
    command = str(provenance(mine)["command"])
    held_out = DataLineage.of_run(RunIdentity(mine, digits.fingerprint()), command)
    before = Earlier(
        network=build(mine.config), command=command, classes=tuple("0123456789"), held_out=held_out
    )
    before.check_held_out(Path("last.safetensors"), recipe(validation=20), digits)
    with pytest.raises(
        TrainingError, match=r"give its data, --split-seed 0 and a --validation of at most 20"
    ):
        before.check_held_out(Path("last.safetensors"), recipe(seed=1, validation=20), digits)


def test_a_stage_sees_what_another_seed_or_a_larger_cut_holds_out(digits: Split) -> None:
    stage = Stage("mnist", 0, 20)
    assert not stage.sees("mnist", digits, 0, 20)
    assert stage.sees("mnist", digits, 0, 21)
    assert stage.sees("mnist", digits, 1, 20)
    assert stage.sees("translated_mnist", digits, 1, 20)  # of the same images
    assert not stage.sees("fashion_mnist", digits, 1, 20)
    assert not Stage("mnist", 0, 5000).sees(
        "mnist", digits, 0, 30
    )  # a tenth, which is all that is ever held out


@pytest.mark.parametrize(
    ("first", "refused"), [("--seed 1", True), ("--validation 9 --seed 0", True), ("--seed 0", False)]
)
def test_an_early_stage_counts_too(first: str, refused: bool, digits: Split) -> None:
    fit = "python -m training fit --dataset {} --architecture shared --epochs 1 {}"
    command = " && ".join([fit.format("mnist", first), fit.format("fashion_mnist", "--seed 0")])
    held_out = DataLineage(
        dataset="fashion_mnist", data="another", seed=0, validation=20, stages=stages_of(command)
    )
    before = Earlier(
        network=build(recipe().config), command=command, classes=tuple("0123456789"), held_out=held_out
    )
    if refused:
        with pytest.raises(
            TrainingError, match=r"last\.safetensors: was trained on images that are to validate"
        ):
            before.check_held_out(Path("last.safetensors"), recipe(validation=20), digits)
    else:
        before.check_held_out(Path("last.safetensors"), recipe(validation=20), digits)


@pytest.mark.parametrize(
    "change", [{"command": "by hand"}, {"validation_images": "many"}, {"validation_images": 0}]
)
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
