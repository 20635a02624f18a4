"""Scenes: what MultiMNIST and its relatives are made of, and that a network learns from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric

from capsnet.config import ModelConfig
from model.architectures.registry import ARCHITECTURES, build
from tests.training.trainer.test_trainer import Watcher
from training.data.augmentation import Augmentation
from training.data.composition import Affine, CompositionSpec, SceneComposer, shifted, transformed
from training.data.datasets import DERIVED, DatasetError, DatasetPart, describe, fixed_scenes, load
from training.trainer.device_data import DeviceData, batches, held_out, train_val_split
from training.trainer.losses import one_hot_targets
from training.trainer.run_config import RunConfig, default_augmentation
from training.trainer.trainer import Trainer

PAIRS = DERIVED["multimnist"].scene
CPU = torch.device("cpu")


def sources(data: DatasetPart, scene: CompositionSpec = PAIRS) -> DeviceData:
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    return DeviceData(images, labels, torch.arange(len(labels)), scene)


def plan(**values: object) -> RunConfig:
    info = describe("multimnist")
    network = ModelConfig(architecture="shared", height=36, width=36, decoder_hidden=(16,))
    settings = {
        "epochs": 2,
        "batch_size": 30,
        "augmentation": "digits",
        "warmup": 0,
        "ema": 0.5,
        "precision": "32-true",
    }
    return RunConfig(dataset=info.name, network=network, input=info.input, **settings | values)  # type: ignore[arg-type]


def test_two_digits_of_different_classes_are_overlaid_each_shifted(digits: DatasetPart) -> None:
    rows = torch.arange(200)
    made = sources(digits).batch(rows, Augmentation(), seed=3, epoch=5)
    assert made.images.shape == (200, 1, 36, 36)
    assert torch.equal(made.labels[:, 0], torch.from_numpy(digits.labels[:200]))
    assert (made.labels[:, 0] != made.labels[:, 1]).all()
    torch.testing.assert_close(made.images, made.parts.sum(dim=1).clamp(max=1))
    assert made.parts.sum(dim=1).max() > 1  # so the clipping had something to do
    assert found_shifts(digits, made.parts[:, 0]) == set(range(-4, 5))


def found_shifts(digits: DatasetPart, parts: torch.Tensor) -> set[int]:
    """The shifts, on either axis, at which the first digits lie in their parts; each must lie somewhere."""
    shifts = set()
    for part, image in zip(parts[:, 0].numpy(), digits.images[:, 0] / np.float32(255), strict=False):
        at = [
            (down, right)
            for down in range(9)
            for right in range(9)
            if np.array_equal(part[down : down + 28, right : right + 28], image)
        ]
        assert len(at) == 1
        assert part.sum() == pytest.approx(image.sum(), rel=1e-5)  # and nothing else is there
        shifts |= {at[0][0] - 4, at[0][1] - 4}
    return shifts


def test_every_digit_of_another_class_may_be_the_other(digits: DatasetPart) -> None:
    few = replace(digits, images=digits.images[:12], labels=digits.labels[:12])
    data = sources(few)
    rows = torch.zeros(12, dtype=torch.int64)
    met = set()
    for epoch in range(40):
        parts = data.batch(rows[:1], Augmentation(), seed=0, epoch=epoch).parts
        met.add(round(float(parts[0, 1].sum()), 3))
    inks = {
        round(float(i.sum() / 255), 3)
        for i, y in zip(few.images, few.labels, strict=True)
        if y != few.labels[0]
    }
    assert met == inks


def test_a_scene_belongs_to_its_sample_and_epoch_whatever_the_batch(digits: DatasetPart) -> None:
    data, policy = sources(digits), Augmentation(rotation=15, elastic=0.5)
    many = data.batch(torch.arange(50), policy, seed=1, epoch=2)
    few = data.batch(torch.tensor([30, 7]), policy, seed=1, epoch=2)
    for whole, part in zip(many, few, strict=True):
        torch.testing.assert_close(whole[[30, 7]], part)
    later = data.batch(torch.tensor([30, 7]), policy, seed=1, epoch=3)
    assert not torch.equal(later.images, few.images)


def test_the_two_digits_are_warped_each_in_its_own_way(digits: DatasetPart) -> None:
    same = SceneComposer(
        CompositionSpec(side=36, shift=0, objects=2),
        torch.from_numpy(digits.images[[0, 0]]),
        torch.tensor([0, 1]),
        torch.arange(2),
    )
    parts = same.compose(torch.tensor([0]), Augmentation(rotation=30), seed=0, epoch=0).parts
    assert not torch.allclose(parts[0, 0], parts[0, 1], atol=0.1)


def test_the_scene_alone_shifts(digits: DatasetPart) -> None:
    data = sources(digits)
    rows = torch.arange(10)
    kept = data.batch(rows, Augmentation(shift=4.0), seed=0, epoch=0)
    torch.testing.assert_close(kept, data.batch(rows, Augmentation(), seed=0, epoch=0))


@settings(deadline=None, max_examples=30)
@given(st.integers(-6, 6), st.integers(-6, 6))
def test_what_is_shifted_out_is_gone_and_zeros_come_in(down: int, right: int) -> None:
    image = torch.arange(1.0, 21.0).view(1, 1, 4, 5)
    wide = torch.zeros(1, 1, 16, 17)
    wide[:, :, 6 + down : 10 + down, 6 + right : 11 + right] = image
    assert torch.equal(shifted(image, torch.tensor([[down, right]])), wide[:, :, 6:10, 6:11])


def test_the_test_set_is_always_the_same(digits: DatasetPart, data_folder: Path) -> None:
    made = load("multimnist", "test", data_folder)
    assert (made.images.shape, made.labels.shape) == ((10_000, 1, 36, 36), (10_000, 2))
    assert made.parts is not None
    total = made.parts.astype(np.int64).sum(axis=1)
    np.testing.assert_array_equal(made.images, np.minimum(total, 255))
    assert (made.labels[:, 0] != made.labels[:, 1]).all()
    assert made.fingerprint() == "fe4e1aafbacc3b5e"


def test_larger_shifts_are_drawn_and_lose_the_ink_that_leaves_the_frame(digits: DatasetPart) -> None:
    far = DERIVED["multimnist_shift6"].scene
    white = replace(digits, images=np.full_like(digits.images, 255))
    parts = fixed_scenes(white, far).parts
    assert parts is not None
    down = parts[:, :, 0].any(axis=3)  # (N,2,36)
    tops, counts = down.argmax(axis=2), down.sum(axis=2)
    assert set(counts.flatten().tolist()) == {26, 27, 28}
    assert (counts[(tops > 0) & (tops <= 8)] == 28).all()
    assert tops.max() == 10


def test_a_test_set_is_made_of_its_own_digits_alone(digits: DatasetPart) -> None:
    made = fixed_scenes(digits, PAIRS)
    assert made.parts is not None
    inks = set(digits.images.astype(np.int64).sum(axis=(1, 2, 3)).tolist())
    assert set(made.parts.astype(np.int64).sum(axis=(2, 3, 4)).flatten().tolist()) <= inks


def test_validation_scenes_are_made_of_validation_digits(digits: DatasetPart) -> None:
    data = replace(digits, scene=PAIRS)
    training, validation = train_val_split(data, plan(), CPU)
    assert (len(training), len(validation)) == (270, 30)
    assert validation.labels.shape == (30, 2)
    plain = train_val_split(digits, plan(), CPU)[1]
    assert torch.equal(validation.labels[:, 0], plain.labels)
    again = train_val_split(data, plan(), CPU)[1]
    assert torch.equal(validation.images, again.images)
    assert not torch.equal(validation.images, train_val_split(data, plan(seed=1), CPU)[1].images)


def test_a_network_learns_to_see_and_to_draw_two_digits(digits: DatasetPart, tmp_path: Path) -> None:
    config = plan(epochs=6, learning_rate=5e-3, augmentation="none")
    fabric = Fabric(accelerator="cpu", devices=1, precision=config.precision)
    data = replace(digits, scene=PAIRS)
    watcher = Watcher()
    Trainer(fabric, config, describe("multimnist"), data, tmp_path, {"command": "none"}).run(watcher)
    first, last = watcher.results[0], watcher.results[-1]
    assert last.margin_loss < 0.9 * first.margin_loss
    assert last.reconstruction_loss < 0.7 * first.reconstruction_loss
    assert 0 < last.validation_error <= 1


def test_each_label_is_drawn_from_its_own_capsule(digits: DatasetPart) -> None:
    network = build(plan().network).eval()
    made = next(batches(sources(digits), plan(augmentation="none"), 0))
    with torch.inference_mode():
        _, poses, drawn = network(made.images, made.labels)
        assert drawn.shape == made.parts.shape
        for rank in (0, 1):
            torch.testing.assert_close(drawn[:, rank], network.decode(poses, made.labels[:, rank]))


def test_both_classes_are_targets() -> None:
    assert one_hot_targets(torch.tensor([[2, 0], [1, 2]]), 3).tolist() == [[1, 0, 1], [0, 1, 1]]
    assert one_hot_targets(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_translated_digits_are_shifted_in_a_larger_frame_and_not_augmented(digits: DatasetPart) -> None:
    info = describe("translated_mnist")
    assert (info.input.height, info.objects, default_augmentation(info)) == (40, 1, "none")
    data = sources(digits, DERIVED["translated_mnist"].scene)
    made = data.batch(torch.arange(150), Augmentation(), seed=0, epoch=0)
    assert torch.equal(made.images, made.parts[:, 0])
    inks = digits.images[:150].sum(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(made.images.sum(dim=(1, 2, 3)), inks, rtol=1e-5)
    middle = torch.nn.functional.pad(data.floats(slice(0, 150)), (6, 6, 6, 6))
    moved = [
        centre(image) - centre(kept) for image, kept in zip(made.images[:, 0], middle[:, 0], strict=True)
    ]
    steps = torch.stack(moved)
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert set(steps.round().int().flatten().tolist()) == set(range(-6, 7))


def centre(image: torch.Tensor) -> torch.Tensor:
    """Centre of mass (2,) of an image (S,S), down and right."""
    places = torch.arange(len(image), dtype=torch.float32)
    return torch.stack([image.sum(dim=1) @ places, image.sum(dim=0) @ places]) / image.sum()


def test_an_affine_transformation_is_what_it_says() -> None:
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 10:31, 18:23] = 1.0  # an upright bar, 21 by 5 pixels
    u = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1]])
    made = transformed(image.expand(4, -1, -1, -1), u, Affine(rotation=20, shear=0.2, scale=0.2))[:, 0]
    turned, sheared, dilate, flattened = (extent(each) for each in made)
    assert turned[0] == pytest.approx(21 * np.cos(0.349) + 5 * np.sin(0.349), abs=1.5)
    assert turned[1] == pytest.approx(5 * np.cos(0.349) + 21 * np.sin(0.349), abs=1.5)
    assert sheared == pytest.approx((21, 5 + 0.2 * 21), abs=1.5)
    assert dilate == pytest.approx((21, 6), abs=1)
    assert flattened == pytest.approx((0.8 * 21, 5), abs=1)
    assert made.sum(dim=(1, 2)) == pytest.approx([105, 105, 126, 84], rel=0.03)


def extent(image: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of an image (S,S) that hold ink."""
    ink = image > 0.3
    return int(ink.any(dim=1).sum()), int(ink.any(dim=0).sum())


def test_the_affine_test_set_stays_within_its_frame_and_is_for_testing_alone(
    digits: DatasetPart, tmp_path: Path
) -> None:
    scene = DERIVED["affnist"].scene
    made = fixed_scenes(digits, scene)
    assert (made.images.shape, made.labels.shape) == ((300, 1, 40, 40), (300,))
    np.testing.assert_array_equal(made.labels, digits.labels)
    inks = digits.images.astype(np.int64).sum(axis=(1, 2, 3))
    change = made.images.astype(np.int64).sum(axis=(1, 2, 3)) / inks
    assert 0.6 < change.min() < 0.75  # 0.8 x 0.8 and 1.2 x 1.2, and nothing is cut off
    assert 1.3 < change.max() < 1.5
    ink: np.ndarray = made.images[:, 0].max(axis=0) > 0
    assert ink[[0, -1]].any()
    assert ink[:, [0, -1]].any()
    with pytest.raises(
        DatasetError, match="is a test set; the data set to train on for it is translated_mnist"
    ):
        load("affnist", "train", tmp_path)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("side", [36, 40])
def test_every_architecture_takes_these_sizes(architecture: str, side: int) -> None:
    network = build(ModelConfig(architecture=architecture, height=side, width=side)).eval()
    with torch.inference_mode():
        lengths, _, drawn = network(torch.rand(2, 1, side, side))
    assert (lengths.shape, drawn.shape) == ((2, 10), (2, 1, side, side))


def test_copies_of_scenes_are_other_scenes_of_the_images_held_out(digits: DatasetPart) -> None:
    labels = np.full(len(digits.labels), 5)
    labels[held_out(digits, 0, 20, CPU).samples] = [1, 3, 6, 8] * 5
    few = held_out(replace(digits, labels=labels, scene=PAIRS), 0, 20, CPU)
    made = few.augmented_copies(Augmentation(), 3, seed=0)
    assert made.images.shape == (60, 1, 36, 36)
    assert made.labels[:, 0].tolist() == few.labels.tolist() * 3
    others = made.labels[:, 1].view(3, 20).tolist()
    assert len(set(map(tuple, others))) == 3
    assert {label for row in others for label in row} <= {1, 3, 6, 8}
