"""Augmentation moves images as far as its policy says, the same for the same sample and epoch."""

import pytest
import torch

from training.data import keyed_random
from training.data.augmentation import AUGMENTATIONS, Augmentation, augment, change_stroke_width, gaussian
from training.data.datasets import DatasetPart


@pytest.fixture
def images(digits: DatasetPart) -> torch.Tensor:
    return torch.from_numpy(digits.images[:64]).float() / 255


def warped(images: torch.Tensor, policy: Augmentation, *, epoch: int = 0, seed: int = 0) -> torch.Tensor:
    return augment(images, torch.arange(len(images)), policy, seed=seed, epoch=epoch)


def centre(images: torch.Tensor) -> torch.Tensor:
    """(B,2) centre of mass, y before x, in pixels."""
    mass = images.sum(dim=(1, 2, 3)).unsqueeze(1)
    y = (images.sum(dim=(1, 3)) * torch.arange(images.shape[2])).sum(dim=1, keepdim=True)
    x = (images.sum(dim=(1, 2)) * torch.arange(images.shape[3])).sum(dim=1, keepdim=True)
    return torch.cat([y, x], dim=1) / mass


def test_none_changes_nothing(images: torch.Tensor) -> None:
    assert warped(images, AUGMENTATIONS["none"]) is images


def test_the_identity_warp_is_the_identity(images: torch.Tensor) -> None:
    torch.testing.assert_close(warped(images, Augmentation(shift=1e-9)), images, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"none"}))
def test_images_stay_images_and_change(images: torch.Tensor, name: str) -> None:
    result = warped(images, AUGMENTATIONS[name])
    assert result.shape == images.shape
    assert 0 <= float(result.min()) <= float(result.max()) <= 1 + 1e-6
    changed = (result - images).abs().mean(dim=(1, 2, 3)) > 0.001
    expected = 24 / 25 if AUGMENTATIONS[name].whole_pixels else 1 - AUGMENTATIONS[name].plain
    assert float(changed.float().mean()) == pytest.approx(expected, abs=0 if expected == 1 else 0.2)


def test_a_sample_is_the_same_in_any_batch_and_another_in_each_epoch(images: torch.Tensor) -> None:
    policy = AUGMENTATIONS["digits"]
    together = warped(images, policy)
    alone = augment(images[5:6], torch.tensor([5]), policy, seed=0, epoch=0)
    torch.testing.assert_close(together[5:6], alone)
    assert not torch.allclose(together, warped(images, policy, epoch=1))
    assert not torch.allclose(together, warped(images, policy, seed=1))


def test_some_samples_stay_as_they_are(images: torch.Tensor) -> None:
    policy = Augmentation(rotation=30, plain=0.5)
    many = images.repeat(8, 1, 1, 1)
    same = (warped(many, policy) == many).flatten(1).all(dim=1)
    assert float(same.float().mean()) == pytest.approx(0.5, abs=0.08)
    turned = warped(many, Augmentation(rotation=30))  # all others are as they would be without
    assert torch.equal(warped(many, policy)[~same], turned[~same])


def test_random_erasing_fills_one_rectangle_of_half_of_the_samples() -> None:
    grey = torch.full((2000, 2, 20, 30), 2.0)  # no pixel is as bright
    erased = warped(grey, Augmentation(erase_area=0.4)) < 1.5
    assert torch.equal(erased[:, 0], erased[:, 1])
    flags = erased[:, 0]  # (B,H,W)
    hit = flags.flatten(1).any(dim=1)
    assert float(hit.float().mean()) == pytest.approx(0.5, abs=0.05)
    areas = flags[hit].flatten(1).float().mean(dim=1)
    assert float(areas.min()) >= 0.015
    assert 0.35 < float(areas.max()) <= 0.42
    rows, columns = flags[hit].any(dim=2).sum(dim=1), flags[hit].any(dim=1).sum(dim=1)
    torch.testing.assert_close(rows * columns, flags[hit].flatten(1).sum(dim=1))  # a rectangle without holes
    filled = warped(grey, Augmentation(erase_area=0.4))[erased]
    assert float(filled.mean()) == pytest.approx(0.5, abs=0.01)
    assert 0 <= float(filled.min()) < 0.01 < 0.99 < float(filled.max()) < 1


def test_random_erasing_is_the_same_in_any_batch(images: torch.Tensor) -> None:
    policy = AUGMENTATIONS["erased-clothes"]
    alone = augment(images[20:40], torch.arange(20, 40), policy, seed=0, epoch=0)
    torch.testing.assert_close(warped(images, policy)[20:40], alone)


def test_shifts_reach_as_far_as_they_may_and_no_farther(images: torch.Tensor) -> None:
    moved = centre(warped(images, Augmentation(shift=2.0))) - centre(images)
    assert 1.7 < float(moved.abs().max()) < 2.05


def test_whole_shifts_move_whole_pixels_and_each_as_often(images: torch.Tensor) -> None:
    dot = torch.zeros(2500, 1, 28, 28)
    dot[:, :, 14, 14] = 1
    moved = warped(dot, AUGMENTATIONS["whole-shift"])
    places = moved.flatten(1).argmax(1)
    assert float(moved.flatten(1).amax(1).min()) > 0.999
    counts = torch.bincount(places, minlength=28 * 28).view(28, 28)[12:17, 12:17]
    assert int(counts.sum()) == 2500
    assert 60 < int(counts.min()) <= int(counts.max()) < 145


def test_rotation_turns_a_bar() -> None:
    bar = torch.zeros(256, 1, 29, 29)
    bar[:, :, 4:25, 14] = 1.0
    turned = warped(bar, Augmentation(rotation=30))
    y, x = torch.meshgrid(torch.arange(29.0) - 14, torch.arange(29.0) - 14, indexing="ij")
    u11, u02, u20 = ((turned * m).sum(dim=(1, 2, 3)) for m in (x * y, y * y, x * x))
    degrees = torch.rad2deg(0.5 * torch.atan2(2 * u11, u02 - u20))
    assert 27 < float(degrees.abs().max()) < 31
    assert float(degrees.std()) == pytest.approx(30 / 3**0.5, rel=0.1)


def test_flip_mirrors_half(images: torch.Tensor) -> None:
    result = warped(images, Augmentation(flip=True))
    mirrored = [bool(torch.allclose(r, i.flip(-1), atol=1e-4)) for r, i in zip(result, images, strict=True)]
    kept = [bool(torch.allclose(r, i, atol=1e-4)) for r, i in zip(result, images, strict=True)]
    assert all(m or k for m, k in zip(mirrored, kept, strict=True))
    assert 20 < sum(mirrored) < 44


def test_another_pen_is_wider_or_finer_and_stays_where_it_was(images: torch.Tensor) -> None:
    result = warped(images, Augmentation(stroke_width=1.0))
    ink, before = (each.sum(dim=(1, 2, 3)) for each in (result, images))
    assert 0.25 < float((ink / before).min()) < 0.75
    assert 1.4 < float((ink / before).max()) < 3
    assert float((centre(result) - centre(images)).abs().max()) < 1


def test_a_pen_is_at_most_a_pixel_wider_on_each_side_and_leaves_a_thin_stroke() -> None:
    bar = torch.zeros(3, 1, 28, 28)
    bar[:, :, 4:24, 14] = 1.0
    wide, same, fine = change_stroke_width(bar, torch.tensor([[1.0], [0.0], [-1.0]])).squeeze(1)
    assert (wide[10, 12:17].tolist(), int(wide.sum())) == ([0, 1, 1, 1, 0], 3 * 22)
    assert torch.equal(same, bar[1, 0])
    torch.testing.assert_close(fine[10, 12:17], torch.tensor([0, 0, 0.4, 0, 0]))


def test_a_bell_has_its_third_deviation_at_the_largest_value() -> None:
    drawn = gaussian(keyed_random.uniform(0, 0, torch.arange(20_000), 2) * 2 - 1)
    assert float(drawn.std()) == pytest.approx(1 / 3, rel=0.01)
    assert float(drawn.mean()) == pytest.approx(0, abs=0.01)
    assert 0.95 < float(drawn.abs().max()) <= 1


def test_one_patch_is_erased() -> None:
    result = warped(torch.ones(64, 1, 28, 28), Augmentation(erase=6))
    holes = (result < 0.5).sum(dim=(1, 2, 3))
    assert set(holes.tolist()) == {36}


def test_any_colours_makes_negatives_of_half_and_every_order_of_the_channels() -> None:
    images = torch.tensor([0.1, 0.2, 0.4]).view(1, 3, 1, 1).expand(600, 3, 4, 4)
    seen = augment(images, torch.arange(600), Augmentation(any_colours=True), seed=0, epoch=0)[:, :, 0, 0]
    negative = seen.sum(dim=1) > 1.5
    assert 240 < int(negative.sum()) < 360
    positive = torch.where(negative[:, None], 1 - seen, seen)
    torch.testing.assert_close(
        positive.sort(dim=1).values, torch.tensor([0.1, 0.2, 0.4]).expand(600, 3), atol=1e-5, rtol=0
    )
    assert len({tuple(order) for order in positive.argsort(dim=1).tolist()}) == 6
