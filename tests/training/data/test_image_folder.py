"""Folders as users have them: sub-folders, parts, files that are no images, names with accents."""

import io
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.datasets import DatasetError, DatasetPart, load
from training.data.folder_survey import (
    NEAR,
    inspect_image,
    looks_drawn,
    near_duplicates,
    summary,
    survey,
    told_by_colours,
    warnings,
)
from training.data.image_folder import class_names, list_images
from training.trainer.device_data import held_out, held_out_count


def image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve and three images."""
    for number in range(12):
        image(tmp_path / "cat" / f"{number}.png", number)
    for number in range(3):
        image(tmp_path / "dog" / f"{number}.png", 100 + number)
    return tmp_path


def test_sub_folders_of_a_class_are_walked_and_file_managers_files_skipped(folder: Path) -> None:
    image(folder / "dog" / "holiday" / "2020" / "deep.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", ".cache/x.png"):
        (folder / "dog" / name).parent.mkdir(exist_ok=True)
        (folder / "dog" / name).write_bytes(b"no image")
    assert [file.label for file in list_images(folder).files].count(1) == 4


def test_names_are_in_nfc(folder: Path) -> None:
    image(folder / unicodedata.normalize("NFD", "zèbre") / "1.png")
    assert class_names(folder) == ("cat", "dog", "zèbre")


def test_all_unreadable_files_of_a_folder_are_listed(folder: Path) -> None:
    for name in ("cat/x.png", "dog/notes.txt"):
        (folder / name).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"2 of 17 files") as error:
        survey(list_images(folder))
    assert "x.png" in str(error.value)
    assert "notes.txt" in str(error.value)


def test_the_parts_of_a_folder_are_used(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = tmp_path_factory.mktemp("parts")
    for part in ("train", "Val", "test"):
        for number in range(6):
            image(whole / part / "ab"[number % 2] / f"{number}.png", number + len(part))
    data = load(f"folder:{whole}", "train")
    assert (len(data.labels), held_out_count(data, 5000)) == (12, 6)
    assert data.held_out is not None
    kept = held_out(data, 3, 6, torch.device("cpu"))
    assert data.held_out[kept.samples.numpy()].all()
    assert len(load(f"folder:{whole}", "test").labels) == 6
    image(whole / "test" / "c" / "1.png")
    with pytest.raises(DatasetError, match="has classes that the training part lacks: c"):
        list_images(whole)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_of_a_folder_is_in_training_and_in_validation(folder: Path, seed: int) -> None:
    data = load(f"folder:{folder}", "train")
    kept = held_out(data, seed, held_out_count(data, 5000), torch.device("cpu"))
    assert (np.bincount(kept.labels.numpy()) >= 1).all()
    assert (np.bincount(data.labels) - np.bincount(kept.labels.numpy()) >= 1).all()


def test_a_published_split_is_not_that_of_a_folder() -> None:
    labels = np.arange(100) % 10
    data = DatasetPart(np.zeros((100, 1, 2, 2), np.uint8), labels)
    assert held_out_count(data, 5000) == 10
    assert held_out_count(data, 5) == 5


def test_a_name_in_another_encoding_is_refused_before_training(tmp_path: Path) -> None:
    for name in (b"tea", b"caf\xe9"):
        (tmp_path / os.fsdecode(name)).mkdir()
    with pytest.raises(DatasetError, match="is no text in UTF-8; rename it"):
        class_names(tmp_path)


def test_a_class_may_be_called_train_but_a_part_of_another_name_is_refused(tmp_path: Path) -> None:
    for folder in ("train/steam", "train/electric", "bus/old"):
        (tmp_path / folder).mkdir(parents=True)
    assert class_names(tmp_path) == ("bus", "train")
    (tmp_path / "dev" / "steam").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has bus, dev beside train; expected train, val and test alone"):
        class_names(tmp_path)


def test_what_stands_beside_the_parts_of_a_folder_is_named(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
    assert class_names(tmp_path) == ("cat", "dog")
    with pytest.raises(DatasetError, match=r"train/cat, .*train/dog: holds no images"):
        list_images(tmp_path)
    (tmp_path / "sample").mkdir()
    with pytest.raises(DatasetError, match="has sample beside train, val; expected"):
        class_names(tmp_path)
    (tmp_path / "sample").rmdir()
    shutil.rmtree(tmp_path / "val")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "1.png").touch()
    with pytest.raises(DatasetError, match=r"val: has no sub-folders; expected those of .*train"):
        class_names(tmp_path)


def test_one_class_alone_or_none_in_a_folder_is_a_sentence(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "1.png")
    with pytest.raises(DatasetError, match="has one sub-folder, cat; expected at least two"):
        class_names(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(DatasetError, match="dog: holds no images"):
        list_images(tmp_path)


def test_few_and_uneven_classes_of_a_folder_are_named() -> None:
    assert summary(("a", "b"), (30, 2)) == "32 images, per class: a 30, b 2"
    said = " ".join(warnings(("a", "b", "c"), (100, 2, 1)))
    assert "one image, which are trained but not validated: c" in said
    assert "few images: b 2" in said
    assert "a has 100 images, c has 1" in said
    assert warnings(("a", "b"), (60, 50)) == []


def test_near_duplicates_across_the_split_of_a_folder_are_counted() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32)).astype(np.uint8)
    labels, kept = np.arange(10) % 2, np.arange(10) >= 8
    assert near_duplicates(images, labels, kept, ("a", "b")) is None
    images[9] = images[1]
    assert "1 of 2 validation images" in str(near_duplicates(images, labels, kept, ("a", "b")))


@pytest.mark.parametrize("seed", range(4))
def test_near_duplicates_of_many_images_are_those_of_each_pair(seed: int) -> None:
    noise = np.random.default_rng(seed)
    images = noise.integers(0, 256, (700, 1, 16, 16)).astype(np.uint8)
    kept = np.arange(700) >= 400
    copied = noise.permutation(300)[:25] + 400
    shifts = noise.choice([1, 2, 3], 25)  # NEAR is 2: the same by less, and not by as much
    images[:400] = images[:400].clip(0, 250)
    images[copied] = images[copied - 400] + shifts[:, None, None, None].astype(np.uint8)
    said = near_duplicates(images, np.zeros(700, int), kept, ("a",))
    assert f"{int((shifts < NEAR).sum())} of 300 validation images" in str(said)


def test_a_large_colour_profile_does_not_stop_the_survey_of_a_folder() -> None:
    file = io.BytesIO()
    profile = np.random.default_rng(0).bytes(2_000_000)
    Image.linear_gradient("L").resize((60, 40)).save(file, "PNG", icc_profile=profile)
    assert inspect_image(file.getvalue()).edge == 40


def test_strokes_in_a_folder_are_told_from_surfaces() -> None:
    paper = np.full((64, 64), 240.0)
    paper[20:23, 10:50] = 20
    assert looks_drawn(paper)
    paper[20:50, 10:50] = 20
    assert not looks_drawn(paper)
    assert not looks_drawn(np.random.default_rng(0).uniform(0, 255, (64, 64)))


def test_colours_tell_the_class_of_a_folder_or_do_not() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    histograms = random.dirichlet(np.ones(8), 120)
    assert abs((told_by_colours(histograms, labels) or 0) - 0.5) < 0.15
    histograms[labels == 1, 0] += 8
    histograms /= histograms.sum(axis=1, keepdims=True)
    assert told_by_colours(histograms, labels) == 1.0
    assert told_by_colours(histograms[:50], labels[:50]) is None
