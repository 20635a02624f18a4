"""The steps on the way from a page to a digit, each on a page that shows what it is for."""

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from capsnet.preprocessing.digits import dilate, normalize_stroke_width, segment_digits
from capsnet.preprocessing.local_background import (
    MOSTLY,
    WRITING_EDGE,
    is_dark_on_light,
    morphological_closing,
    stroke_contrast,
    stroke_width,
)
from capsnet.preprocessing.ruled_lines import find_lines, remove_ruled_lines


def page(width: int = 480, height: int = 360, shade: int = 220) -> Image.Image:
    return Image.new("L", (width, height), shade)


def seven(
    image: Image.Image, *, shade: int = 60, width: int = 8, left: int = 200, top: int = 100
) -> Image.Image:
    """Draw a 7, 100 wide and 150 high."""
    points = [(left, top), (left + 100, top), (left + 40, top + 150)]
    ImageDraw.Draw(image).line(points, fill=shade, width=width, joint="curve")
    return image


def test_closing_fills_what_is_narrow_and_leaves_what_is_wide() -> None:
    values = np.full((60, 90), 200, np.uint8)
    values[:, 40:] = 120  # a shadow
    values[20:26, 10:70] = 50  # a stroke
    shadow = np.where(np.arange(90) < 40, 200, 120)
    np.testing.assert_array_equal(morphological_closing(values, 15), np.broadcast_to(shadow, (60, 90)))
    narrow = np.full((9, 9), 200, np.uint8)
    narrow[:, :2] = 10  # as wide as a table is, if the image went on
    np.testing.assert_array_equal(morphological_closing(narrow, 5), narrow)


@pytest.mark.parametrize("width", [3, 8])
def test_the_rim_of_a_round_shadow_is_no_stroke(width: int) -> None:
    y, x = np.mgrid[:360, :480]
    shadow = np.hypot(x - 240, y + 200) < 385  # its edge runs through the middle of the digit
    light = np.where(shadow, 0.5, 1) * (1 - 0.4 * y / 360)
    drawn = np.asarray(seven(page(), width=width))
    contrast, _ = stroke_contrast((drawn * light).astype(np.uint8))
    bare = np.asarray(seven(page(), width=width + 8)) == 220
    assert np.median(contrast[drawn == 60]) > 0.6
    assert np.percentile(contrast[bare], 99) < 0.1


@pytest.mark.parametrize("width", [2, 8, 40])
def test_the_polarity_is_that_of_the_strokes(width: int) -> None:
    grey = np.asarray(seven(page(), width=width))
    assert is_dark_on_light(grey)
    assert not is_dark_on_light(255 - grey)


def bar(rng: np.random.Generator) -> np.ndarray:
    """Draw one dark bar of any width up to a fifth of its length, on an image of any size up to 1,600 pixels."""
    width = int(np.exp(rng.uniform(np.log(60), np.log(1000))))
    height = int(width * rng.uniform(0.7, 1.6))
    length = rng.uniform(0.3, 0.85) * height
    left, lean = width * rng.uniform(0.4, 0.6), rng.choice([0.0, rng.uniform(-0.2, 0.2)]) * length
    image = page(width, height, int(rng.uniform(153, 255)))
    ends = (left, (height - length) / 2, left + lean, (height + length) / 2)
    ImageDraw.Draw(image).line(
        ends, fill=int(rng.uniform(0, 115)), width=max(1, int(rng.uniform(0.04, 0.22) * length))
    )
    return np.asarray(image)


def test_a_bar_is_darker_than_the_ground_however_wide() -> None:
    bars = [bar(np.random.default_rng([7, number])) for number in range(400)]
    for settings in ((), (MOSTLY, WRITING_EDGE)):  # one digit, and several
        assert all(is_dark_on_light(each, *settings) for each in bars)
        assert not any(is_dark_on_light(255 - each, *settings) for each in bars)


def test_a_stroke_counts_as_much_in_the_shade() -> None:
    image = np.asarray(seven(page()), np.float32)
    image[:, 240:] *= 0.5
    contrast, noise = stroke_contrast(np.round(image).astype(np.uint8))
    ink = np.asarray(seven(page())) < 100
    bare = ~ink & (np.abs(np.arange(480) - 240) > 2)  # but for the edge's own blur
    assert contrast[bare].max() < 0.1
    assert contrast[ink & (np.arange(480) < 230)].mean() == pytest.approx(
        contrast[ink & (np.arange(480) > 250)].mean(), abs=0.02
    )
    assert noise < 0.01


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.25])
def test_ruled_lines_go_and_strokes_stay(slope: float) -> None:
    ink = np.asarray(seven(page(shade=0), shade=255), np.float32) / 255 * 0.4
    ruled = ink.copy()
    for row in range(-200, 560, 45):
        for column in range(480):
            at = round(row + slope * column)
            ruled[max(at, 0) : max(at + 2, 0), column] = np.maximum(
                ruled[max(at, 0) : max(at + 2, 0), column], 0.3
            )
    assert len(find_lines(ruled, 0.06)) >= 6
    clean = remove_ruled_lines(ruled, 0.06)
    stroke = ink > 0.3
    assert (clean[~stroke] > 0.06).mean() < 0.3 * (ruled[~stroke] > 0.06).mean()
    # The corners remain, where a line crosses too little of the image to be told from a stroke.
    assert (clean[stroke] > 0.2).mean() > 0.9


def test_squares_go_with_their_corners() -> None:
    squared = np.zeros((360, 480), np.float32)
    squared[10::30] = squared[11::30] = 0.3
    squared[:, 14::30] = squared[:, 15::30] = 0.3
    assert remove_ruled_lines(squared, 0.06).max() < 0.06


def test_a_page_without_lines_has_none() -> None:
    contrast = np.asarray(seven(page(shade=0), shade=255), np.float32) / 255
    assert find_lines(contrast, 0.06) == []
    np.testing.assert_array_equal(remove_ruled_lines(contrast, 0.06), contrast)


def test_the_digit_is_found_among_other_marks() -> None:
    alone = np.asarray(seven(page(shade=0), shade=255), np.float32) / 255
    image = seven(page(shade=0), shade=255)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 40, 359), fill=255)  # a table
    pen.rectangle((60, 20, 460, 340), outline=255)  # a frame
    pen.line((80, 300, 110, 310), fill=255, width=8)  # a dash
    pen.ellipse((400, 40, 410, 50), fill=255)  # a dot
    found, expected = segment_digits(np.asarray(image, np.float32) / 255, 0.0), segment_digits(alone, 0.0)
    assert found is not None
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("table", [250, 330, 420])
def test_paper_that_grows_lighter_towards_a_table_has_no_digit(table: int, mirrored: bool) -> None:
    grey = np.broadcast_to(np.linspace(180, 225, 480).astype(np.uint8), (360, 480)).copy()
    grey[:, table:] = 60
    grey = np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey
    contrast, noise = stroke_contrast(grey)
    assert segment_digits(contrast, noise, grey=grey) is None


@pytest.mark.parametrize("shade", [220, 150])
def test_a_1_between_light_and_shade_stays(shade: int) -> None:
    image = page()
    draw = ImageDraw.Draw(image)
    draw.rectangle([270, 0, 480, 360], fill=shade)
    draw.line([(240, 20), (236, 340)], fill=40, width=14)
    grey = np.asarray(image)
    contrast, noise = stroke_contrast(grey)
    found = segment_digits(contrast, noise, grey=grey)
    assert found is not None
    assert found.shape[1] < found.shape[0] / 5


def test_a_piece_near_the_digit_is_part_of_it() -> None:
    image = seven(page(shade=0), shade=255)
    ImageDraw.Draw(image).line((190, 180, 205, 180), fill=255, width=8)  # its crossbar, a little short
    found = segment_digits(np.asarray(image, np.float32) / 255, 0.0)
    assert found is not None
    assert found.shape[1] > 108


@pytest.mark.parametrize("width", [1, 2, 4, 10, 20, 30, 40])
def test_strokes_come_to_their_usual_width(width: int) -> None:
    drawn = segment_digits(np.asarray(seven(page(shade=0), shade=255, width=width), np.float32) / 255, 0.0)
    assert drawn is not None
    box = normalize_stroke_width(drawn, 80, 80)
    assert max(box.shape) == 80
    assert 0.085 < stroke_width(box > 0.5) / 80 < 0.2


def test_the_width_of_a_bar_is_measured() -> None:
    bar = np.zeros((100, 100), bool)
    bar[20:80, 40:50] = True
    assert stroke_width(bar) == pytest.approx(10, rel=0.15)


def test_widening_draws_a_disc_around_a_point() -> None:
    point = np.zeros((21, 21), np.float32)
    point[10, 10] = 1
    y, x = np.mgrid[-10:11, -10:11]
    np.testing.assert_array_equal(dilate(point, 6.0) > 0, x * x + y * y <= 36)


def test_a_hairline_across_a_large_image_is_widened() -> None:
    hair = np.zeros((480, 300), np.float32)
    hair[:, 150] = hair[0] = 1
    box = normalize_stroke_width(hair, 20, 20)
    assert max(box.shape) == 20
    assert box.max() > 0.9


def test_as_many_digits_are_found_as_are_looked_for() -> None:
    one = seven(page(shade=0), shade=255)
    beside = Image.fromarray(np.roll(np.asarray(one), 150, axis=1))
    two = ImageChops.lighter(one, beside)
    ImageDraw.Draw(two).ellipse((20, 320, 30, 330), fill=255)  # a dot
    alone, first, both = (
        segment_digits(np.asarray(image, np.float32) / 255, 0.0, count)
        for image, count in ((one, 2), (two, 1), (two, 2))
    )
    assert alone is not None
    assert first is not None
    assert both is not None
    assert alone.shape == first.shape
    assert both.shape == (alone.shape[0], alone.shape[1] + 150)
