"""Strokes of each digit in forms, on broken lines, over a tone of the ground, and in pieces."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from capsnet.preprocessing.cells import cell_lines
from capsnet.preprocessing.digits import dilate
from capsnet.preprocessing.separate_digits import separate_digits

NOISE = 0.005

Shape = tuple[Sequence[tuple[float, float]], int]  # points, and the width of the line through them


def drawn(shapes: Sequence[Shape], degrees: float = 0.0) -> np.ndarray:
    """Lines through points, each with its width, turned about the middle: bool (300,640)."""
    image = Image.new("L", (640, 300))
    pen = ImageDraw.Draw(image)
    for points, width in shapes:
        pen.line(points, fill=255, width=width, joint="curve")
    return np.asarray(image.rotate(degrees, Image.Resampling.BICUBIC)) > 127


def row_of_cells(count: int, pitch: int = 90) -> list[Shape]:
    """A frame from (60,100) of cells that share their sides."""
    right = 60 + count * pitch
    frame = [(60, 100), (right, 100), (right, 210), (60, 210), (60, 100)]
    between = [[(60 + n * pitch, 100), (60 + n * pitch, 210)] for n in range(1, count)]
    return [(line, 3) for line in (frame, *between)]


@pytest.mark.parametrize("degrees", [-3, 0, 2])
@pytest.mark.parametrize("count", [1, 5])
def test_lines_of_cells_go_and_strokes_that_touch_them_stay(count: int, degrees: float) -> None:
    cells = drawn(row_of_cells(count), degrees)
    # A stroke from the left side of the first cell, which touches it over a third of its height, and up to the top.
    written = drawn([([(64, 190), (64, 150), (120, 130), (120, 100)], 7)], degrees)
    lines = cell_lines(_cropped(cells | written, cells))
    assert lines is not None
    left = _cropped(cells | written, cells) & ~lines
    own = _cropped(written, cells)
    # What both share may stay.
    frame = _cropped(cells & ~dilate(written.astype(np.float32), 6).astype(bool), cells)
    assert (left & own).sum() > 0.97 * own.sum()
    assert not (left & frame).any()


def test_written_shapes_are_no_cells() -> None:
    zero = [(300 + 60 * np.cos(t), 150 + 80 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 60)]
    box_like = [(240, 90), (360, 100), (350, 220), (235, 205), (240, 90)]
    for points, width in ((zero, 6), (box_like, 14)):
        mask = drawn([(points, width)])
        assert cell_lines(_cropped(mask, mask)) is None


@pytest.mark.parametrize("degrees", [-2, 0, 2])
def test_a_digit_that_touches_its_cell_on_two_sides_is_found_whole(degrees: float) -> None:
    zero = [(105 + 43 * np.cos(t), 155 + 40 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 60)]
    one = [(200, 120), (190, 190)]
    page = drawn([*row_of_cells(4), (zero, 6), (one, 6)], degrees).astype(np.float32) * np.float32(0.7)
    found = sorted(separate_digits(page, NOISE), key=lambda strokes: strokes.left)
    assert len(found) == 2
    height, width = found[0].values.shape
    assert 85 < width < 105
    assert 80 < height < 100


def test_digits_that_cross_broken_lines_are_found() -> None:
    """Lines that the camera shows in pieces are lines all the same, and what they join to the edge is no line."""
    ruled = [([(start, y), (start + 150, y)], 2) for y in range(10, 300, 20) for start in (0, 170, 330, 500)]
    digits = [([(x, 100), (x + 40, 105), (x + 10, 180)], 7) for x in (100, 220, 340, 460)]
    lines, written = drawn(ruled), drawn(digits)
    page = np.where(written, np.float32(0.7), np.where(lines, np.float32(0.1), np.float32(0)))
    assert len(separate_digits(page, NOISE)) == 4


def test_a_tone_of_the_ground_does_not_join_what_stands_on_it() -> None:
    digits = drawn([([(x, 100), (x + 40, 105), (x + 10, 180)], 7) for x in (100, 220, 340, 460)])
    page = np.where(digits, np.float32(0.7), np.float32(0))
    y, x = np.mgrid[:300, :640]
    page[(y > 0.2 * x) & ~digits] = 0.1  # a large shadow, in front of which the last two stand in part
    assert len(separate_digits(page, NOISE)) == 4


def test_a_digit_in_three_strokes_is_one() -> None:
    five = [
        [(240, 100), (285, 95)],
        [(242, 112), (244, 135), (280, 145)],
        [(284, 158), (280, 185), (235, 188)],
    ]
    others = [[(x, 95), (x + 40, 100), (x + 10, 190)] for x in (120, 360)]
    page = drawn([(line, 6) for line in (*five, *others)]).astype(np.float32) * np.float32(0.7)
    found = sorted(separate_digits(page, NOISE), key=lambda strokes: strokes.left)
    assert len(found) == 3
    assert found[1].values.shape[0] > 90


def test_a_bar_far_above_a_hook_makes_one_digit_of_both() -> None:
    hook, bar = [(240, 134), (280, 146), (275, 190), (235, 188)], [(262, 106), (310, 92)]
    others = [[(x, 95), (x + 40, 100), (x + 10, 190)] for x in (120, 360)]
    page = drawn([(line, 6) for line in (hook, bar, *others)]).astype(np.float32) * np.float32(0.7)
    found = sorted(separate_digits(page, NOISE), key=lambda strokes: strokes.left)
    assert [strokes.values.shape[0] > 90 for strokes in found] == [True, True, True]


@pytest.mark.parametrize("degrees", [0.0, 0.7, 2.5])
@pytest.mark.parametrize("pitch", [7, 9, 12])
def test_digits_on_squares_as_narrow_as_strokes_are_found(pitch: int, degrees: float) -> None:
    lying = [[(0, y), (640, y)] for y in range(0, 300, pitch)]
    standing = [[(x, 0), (x, 300)] for x in range(0, 640, pitch)]
    squares = drawn([(line, 1) for line in (*lying, *standing)], degrees)
    sevens = [[(x, 95), (x + 40, 100), (x + 10, 190)] for x in (120, 240, 360)]
    written = drawn([(line, 6) for line in sevens])
    page = np.maximum(0.25 * squares, 0.7 * written).astype(np.float32)
    found = sorted(separate_digits(page, NOISE), key=lambda strokes: strokes.left)
    assert [strokes.values.shape[0] for strokes in found] == pytest.approx([100] * 3, abs=6)


def test_digits_that_fill_the_image_are_not_taken_for_lines() -> None:
    """They cover more of it than lines do, and some of their ink is darker."""
    eights = [
        [(x + 60 * np.sin(2 * t), 150 - 130 * np.cos(t)) for t in np.linspace(0, 7, 90)]
        for x in (120, 320, 520)
    ]
    page = drawn([(line, 26) for line in eights]) * np.linspace(0.35, 0.8, 300)[:, None]
    found = separate_digits(page.astype(np.float32), NOISE)
    assert [strokes.values.shape[0] for strokes in found] == pytest.approx([286] * 3, abs=8)


def test_light_digits_beside_dark_ones_are_found() -> None:
    """They cover more of the image than the dark ones, as lines do, but not all of its parts."""
    sevens = [[(x, 65), (x + 90, 75), (x + 30, 250)] for x in (60, 210, 360, 510)]
    page = 0.35 * drawn([(line, 24) for line in sevens[:3]]) + 0.8 * drawn([(sevens[3], 24)])
    assert (page > 0).mean() > 0.06
    assert len(separate_digits(page.astype(np.float32), NOISE)) == 4


def test_a_loose_bar_between_two_digits_belongs_to_the_lower_one() -> None:
    """The bar of a 5 may lie nearer to the next digit, which is whole without it."""
    five, bar = [(240, 112), (236, 135), (280, 150), (270, 190), (235, 188)], [(294, 101), (328, 98)]
    others = [[(x, 95), (x + 40, 100), (x + 10, 190)] for x in (120, 332)]
    page = drawn([(line, 6) for line in (five, bar, *others)]).astype(np.float32) * np.float32(0.7)
    found = sorted(separate_digits(page, NOISE), key=lambda strokes: strokes.left)
    assert [strokes.values.shape[1] > 60 for strokes in found] == [False, True, False]


def _cropped(mask: np.ndarray, to: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(to.any(axis=1)), np.flatnonzero(to.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
