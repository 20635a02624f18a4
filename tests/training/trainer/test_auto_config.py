"""Settings chosen for a folder, and that published data sets keep their settings."""

from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import DatasetPart
from training.data.folder_survey import FolderFacts
from training.trainer.auto_config import choose
from training.trainer.config import TrainConfig
from training.trainer.device_data import held_out_count
from training.trainer.run import choose_settings


def chosen(**values: object) -> dict[str, object]:
    settings = {"counts": (60, 60, 60), "edges": (100, 300, 900), "coloured": 1.0, "drawn": 0.0}
    facts = FolderFacts(**settings | values)  # type: ignore[arg-type]
    return {each.option: each.value for each in choose(facts)}


def test_photographs_are_read_in_colour_and_drawings_as_strokes_in_a_folder() -> None:
    photos, drawings = chosen(), chosen(coloured=0.0, drawn=1.0)
    assert (photos["channels"], photos["image_size"], photos["preprocess"]) == (3, 40, "resize")
    assert (drawings["channels"], drawings["image_size"], drawings["preprocess"]) == (1, 28, "mnist")
    assert chosen(edges=(24, 32, 64))["image_size"] == 32


def test_a_small_folder_ends_its_warmup_and_moves_its_average() -> None:
    values = chosen()
    assert values["batch_size"] == 16
    assert int(str(values["warmup"])) < 100
    assert float(str(values["ema"])) < 0.99
    assert int(str(values["epochs"])) >= 70


def test_a_large_folder_has_the_usual_batches() -> None:
    values = chosen(counts=(20_000, 20_000))
    assert (values["batch_size"], values["warmup"]) == (128, 168)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "multimnist", "smallnorb", "cifar10"])
def test_published_data_sets_keep_their_settings_and_are_no_folder(dataset: str, tmp_path: Path) -> None:
    values, reasons = choose_settings(TrainConfig(dataset=dataset, output=tmp_path))
    assert reasons == []
    assert {name: value for name, value in values.items() if value is not None} == {
        "architecture": "efficient",
        "epochs": 40,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "warmup": 200,
        "ema": 0.999,
    }


def test_what_is_set_by_hand_wins_for_a_published_set_as_for_a_folder(tmp_path: Path) -> None:
    values, _ = choose_settings(TrainConfig(dataset="mnist", output=tmp_path, epochs=3, warmup=0))
    assert (values["epochs"], values["warmup"], values["batch_size"]) == (3, 0, 128)


def test_the_size_follows_a_preprocessing_that_is_set_by_hand_for_a_folder() -> None:
    facts = FolderFacts(counts=(60, 60), edges=(100, 300, 900), coloured=1.0, drawn=0.0)
    values = {each.option: each.value for each in choose(facts, preprocess="mnist")}
    assert (values["image_size"], values["channels"], values["augmentation"]) == (28, 1, "own-drawings")


def test_the_warm_up_follows_epochs_that_are_set_by_hand() -> None:
    facts = FolderFacts(counts=(60, 60, 60), edges=(100, 300, 900), coloured=1.0, drawn=0.0)
    values = {each.option: each.value for each in choose(facts, epochs=2)}
    batch_size, epochs, warmup = (int(values[name]) for name in ("batch_size", "epochs", "warmup"))
    steps = epochs * (144 // batch_size)
    assert epochs == 2
    assert warmup <= max(10, steps // 20) < steps


@pytest.mark.parametrize(
    ("counts", "held_out", "validation"),
    [
        ((60, 60), 0, 5000),
        ((900, 1000), 0, 5000),
        ((2500, 2500), 0, 5000),
        ((2500, 2500), 40, 5000),
        ((10_000, 10_000), 0, 500),
        ((4, 3), 0, 5000),
        ((100, 1), 0, 5000),
    ],
)
def test_the_steps_are_those_of_the_images_that_are_really_trained_on(
    counts: tuple[int, ...], held_out: int, validation: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    own = np.arange(len(labels)) < held_out if held_out else None
    images = np.zeros((len(labels), 1, 1, 1), np.uint8)
    part = DatasetPart(images, labels, by_class=True, held_out=own)
    trained = len(labels) - held_out_count(part, validation)
    facts = FolderFacts(counts=counts, edges=(100, 300, 900), coloured=1.0, drawn=0.0, held_out=held_out)
    choices = {each.option: each for each in choose(facts, validation=validation)}
    steps = max(1, trained // int(choices["batch_size"].value))
    assert choices["epochs"].reason.startswith(f"{steps} steps an epoch, ")


def test_images_are_varied_in_any_colours_where_those_tell_nothing() -> None:
    assert chosen(told_by_colours=0.35, even=1.0)["augmentation"] == "own-shapes"  # chance is a third
    assert chosen(told_by_colours=0.35, even=0.5)["augmentation"] == "own-photos"
    assert chosen(told_by_colours=0.60, even=1.0)["augmentation"] == "own-photos"
    assert chosen(told_by_colours=None, even=1.0)["augmentation"] == "own-photos"
