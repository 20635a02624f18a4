"""Digits are varied as the code of Efficient-CapsNet varies them."""

import pytest
import torch
from torch import Tensor

from training.data import published_augmentation
from training.data.published_augmentation import augment_as_published

SIDE, SQUARE = 28, 8


@pytest.fixture
def squares() -> Tensor:
    """(B,1,28,28): a white square in each of 21 x 21 positions."""
    places = [(top, left) for top in range(SIDE - SQUARE + 1) for left in range(SIDE - SQUARE + 1)]
    images = torch.zeros(len(places), 1, SIDE, SIDE)
    for image, (top, left) in zip(images, places, strict=True):
        image[0, top : top + SQUARE, left : left + SQUARE] = 1.0
    return images


def varied(images: Tensor) -> Tensor:
    return augment_as_published(images, torch.arange(len(images)), seed=3, stream=1)


def whole(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Vary images without the patch."""
    monkeypatch.setattr(published_augmentation, "PATCH", 0)
    return varied(images)


def test_ink_stays_in_the_frame_and_is_one_to_seven_pixels_in_28_narrower(
    squares: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ink = whole(squares, monkeypatch).sum(dim=(1, 2, 3)) / SQUARE**2
    assert float(ink.min()) > 21 / 28 - 0.05
    assert float(ink.max()) < 27 / 28 + 0.03
    assert float(ink.std()) > 0.02


def test_half_of_the_images_are_turned(squares: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = whole(squares, monkeypatch).sum(dim=(1, 3))  # (B,H); an upright square has equal rows
    upright = torch.tensor([float(each[each > 0.01].std()) < 0.01 for each in rows])
    assert float(upright.float().mean()) == pytest.approx(0.5, abs=0.1)


def test_squares_move_in_all_directions_and_to_the_edges(
    squares: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = squares[len(squares) // 2].expand(2000, 1, SIDE, SIDE)
    result = whole(middle, monkeypatch)
    positions = torch.arange(SIDE, dtype=torch.float32)
    for axis in (2, 3):
        mass = result.sum(dim=(1, 5 - axis))  # (B,28)
        moved = (mass * positions).sum(dim=1) / mass.sum(dim=1) - (SIDE - 1) / 2
        assert float(moved.min()) < -7
        assert float(moved.max()) > 7
        assert abs(float(moved.mean())) < 0.5


def test_a_patch_of_four_by_four_is_erased_away_from_the_edges() -> None:
    black = (varied(torch.ones(500, 1, SIDE, SIDE)) == 0).float()
    inner = black[:, :, 8:20, 8:20].sum(dim=(1, 2, 3))  # white but for the patch
    assert float(inner.max()) == 16
    assert float((inner > 0).float().mean()) > 0.4


def test_a_sample_is_the_same_in_any_batch(squares: Tensor) -> None:
    alone = augment_as_published(squares[5:6], torch.tensor([5]), seed=3, stream=1)
    torch.testing.assert_close(varied(squares)[5:6], alone)
