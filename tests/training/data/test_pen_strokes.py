"""Drawing strokes again with a pen of one width."""

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from benchmarks.preprocessing import pen
from training.data.augmentation import Augmentation, augment
from training.data.datasets import DatasetPart
from training.data.pen_strokes import draw_with_pen, thinned


@pytest.fixture
def images(digits: DatasetPart) -> torch.Tensor:
    return torch.from_numpy(digits.images[:64]).float() / 255


def test_lines_are_those_of_the_other_thinning(images: torch.Tensor) -> None:
    strokes = torch.nn.functional.interpolate(images, scale_factor=3) > 0.5
    for mine, stroke in zip(thinned(strokes), strokes, strict=True):
        np.testing.assert_array_equal(mine[0].numpy(), pen.thinned(stroke[0].numpy()))


def test_lines_keep_the_strokes_and_loops(images: torch.Tensor) -> None:
    strokes = torch.nn.functional.interpolate(images, scale_factor=3) > 0.5
    for line, stroke in zip(thinned(strokes).numpy(), strokes.numpy(), strict=True):
        assert label(line[0], np.ones((3, 3)))[1] == label(stroke[0], np.ones((3, 3)))[1]
        assert label(~np.pad(line[0], 1))[1] == label(~np.pad(stroke[0], 1))[1]


@pytest.mark.parametrize(("tip", "least", "most"), [(0.0, 1.0, 2.0), (0.5, 1.8, 2.7), (0.999, 2.5, 3.5)])
def test_thick_and_thin_strokes_get_the_width_of_the_tip(tip: float, least: float, most: float) -> None:
    bars = torch.zeros(2, 1, 28, 28)
    bars[0, :, 5:23, 14:15], bars[1, :, 5:23, 11:17] = 1.0, 1.0
    widths = draw_with_pen(bars, torch.full((2,), tip))[:, 0, 14].sum(dim=1)  # (2,)
    assert ((least <= widths) & (widths <= most)).all()
    assert float(widths[0] - widths[1]) == pytest.approx(0, abs=0.3)


def test_a_filled_loop_stays_as_it_is_and_an_open_one_is_drawn() -> None:
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    upper, lower = torch.hypot(y - 8, x - 14), torch.hypot(y - 18, x - 14)
    open_eight = ((upper > 2.5) & (upper < 5) | (lower > 2.5) & (lower < 5)).float()
    filled_eight = ((upper > 2.5) & (upper < 5) | (lower < 5)).float()
    images = torch.stack([open_eight, filled_eight]).unsqueeze(1)
    drawn = draw_with_pen(images, torch.tensor([0.2, 0.2]))
    assert not torch.equal(drawn[0], images[0])
    torch.testing.assert_close(drawn[1], images[1])


def test_rows_that_lose_a_loop_are_those_that_the_judge_leaves_out(digits: DatasetPart) -> None:
    rows = digits.images[:400]
    lost = np.array([pen.undrawn_share(row[0]) > 0.15 for row in rows])
    images = torch.from_numpy(rows).float() / 255
    same = (draw_with_pen(images, torch.full((len(rows),), 0.3)) == images).flatten(1).all(dim=1).numpy()
    assert lost.any()
    assert same[lost].mean() > 0.9
    assert same[~lost].mean() < 0.25


def test_channels_are_drawn_each_by_itself(images: torch.Tensor) -> None:
    tips = torch.tensor([0.1, 0.9])
    together = draw_with_pen(torch.cat([images[:2], images[2:4], images[4:6]], dim=1), tips)
    for channel, first in enumerate((0, 2, 4)):
        torch.testing.assert_close(
            together[:, channel : channel + 1], draw_with_pen(images[first : first + 2], tips)
        )


def test_a_share_is_drawn_and_the_others_stay(images: torch.Tensor) -> None:
    many, policy = images.repeat(8, 1, 1, 1), Augmentation(pen=0.25)
    samples = torch.arange(len(many))
    drawn = augment(many, samples, policy, seed=0, epoch=0)
    plain = augment(many, samples, Augmentation(shift=1e-12), seed=0, epoch=0)
    changed = (drawn != plain).flatten(1).any(dim=1)
    assert float(changed.float().mean()) == pytest.approx(0.25, abs=0.06)
    chosen = int(changed.nonzero()[0])
    alone = augment(many[chosen : chosen + 1], samples[chosen : chosen + 1], policy, seed=0, epoch=0)
    torch.testing.assert_close(alone[0], drawn[chosen])
