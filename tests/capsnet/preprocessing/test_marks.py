"""Marks that people add to digits: a ring, a slash, a long up-stroke, an underline, lines that cross a digit out."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from capsnet.config import InputSpec, are_digits
from capsnet.preprocessing.crossed_out import is_crossed_out
from capsnet.preprocessing.digits import segment_digits
from capsnet.preprocessing.local_background import blurred, quantiles
from capsnet.preprocessing.pipeline import place_digit
from capsnet.preprocessing.underlines import find_underline
from capsnet.preprocessing.up_strokes import shorten_up_stroke

SPEC = InputSpec(channels=1, height=28, width=28, preprocess="mnist")
FOUR = [(60, 20), (20, 90), (105, 90)], [(80, 50), (80, 135)]
SEVEN = ([(20, 20), (100, 20), (50, 140)],)
RING, NARROW = (20, 20, 180, 180), (50, 20, 150, 180)


def drawn(*lines: list[tuple[int, int]], ring: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Draw lines 8 pixels wide, and perhaps a ring, in 200 x 200 pixels: float32."""
    image = Image.new("L", (200, 200))
    pen = ImageDraw.Draw(image)
    for line in lines:
        pen.line(line, fill=255, width=8, joint="curve")
    if ring:
        pen.ellipse(ring, outline=255, width=8)
    return np.asarray(image, np.float32) / 255


def canvas(*lines: list[tuple[int, int]]) -> np.ndarray:
    """Draw lines, crop to them and scale them to 40 pixels."""
    values = drawn(*lines)
    rows, columns = np.flatnonzero(values.any(axis=1)), np.flatnonzero(values.any(axis=0))
    cropped = Image.fromarray(values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = 40 / max(cropped.size)
    size = (round(cropped.width * scale), round(cropped.height * scale))
    return np.asarray(cropped.resize(size, Image.Resampling.BILINEAR))


@pytest.mark.parametrize("joined", [False, True])
def test_a_ring_around_a_digit_is_taken_away(joined: bool) -> None:
    two = [(75, 55), (125, 55), (75, 145), (162 if joined else 125, 145)]
    found = segment_digits(drawn(two, ring=RING), 0.0)
    assert found is not None
    assert found.shape[0] < 110  # the ring is 160 high


def test_a_plain_zero_stays() -> None:
    for ring in (RING, NARROW):
        found = segment_digits(drawn(ring=ring), 0.0)
        assert found is not None
        assert found.shape == (ring[3] - ring[1] + 1, ring[2] - ring[0] + 1)


def test_a_zero_with_a_flat_base_among_specks_is_no_ring_around_it() -> None:
    turn = np.linspace(0, 2 * np.pi, 90)
    x, y = 100 + 75 * np.cos(turn), np.minimum(100 + 75 * np.sin(turn), 150)
    zero = drawn(list(zip(x.tolist(), y.tolist(), strict=True)))
    zero[50:150:9, 60:140:9] = 1
    found = segment_digits(zero, 0.0)
    assert found is not None
    assert found.shape[0] > 120


def test_the_loop_of_a_six_is_no_slash() -> None:
    left = [(72, 35), (58, 52), (47, 80), (43, 105), (48, 130), (60, 143), (75, 147), (95, 142), (115, 125)]
    loop = [(125, 105), (128, 85), (124, 70), (116, 67), (106, 74), (97, 92), (92, 115), (95, 142)]
    six = drawn(left + loop)
    found = segment_digits(six, 0.0)
    assert found is not None
    assert (found > 0).sum() > 0.95 * (six > 0).sum()


def test_the_slash_of_a_zero_is_cleared() -> None:
    slashed = segment_digits(drawn([(60, 160), (140, 40)], ring=NARROW), 0.0)
    plain = segment_digits(drawn(ring=NARROW), 0.0)
    assert slashed is not None
    assert plain is not None
    middle = slashed[60:100, 30:70]
    assert not middle.any()
    assert slashed.sum() == pytest.approx(plain.sum(), rel=0.15)


@pytest.mark.parametrize(
    "ring",
    [
        [(110, 20), (50, 50), (30, 150), (80, 180), (180, 165), (165, 50), (110, 20)],
        [(120, 20), (60, 80), (30, 170), (90, 160), (180, 60), (150, 25), (120, 40)],
    ],
)
def test_a_slash_that_does_not_reach_an_uneven_ring_is_cleared(ring: list[tuple[int, int]]) -> None:
    found, alone = (segment_digits(drawn(ring, *slash), 0.0) for slash in ([[(70, 145), (135, 65)]], []))
    assert found is not None
    assert alone is not None
    assert np.array_equal(found, alone)


def test_a_one_in_a_cell_and_a_seven_in_a_ring_are_no_slash() -> None:
    one = [(80, 135), (120, 65)]
    cell = [(50, 40), (150, 40), (150, 160), (50, 160), (50, 36)]
    seven = [(78, 68), (122, 68), (92, 135)]
    for lines, ring in (((one, cell), None), ((seven,), NARROW)):
        found = segment_digits(drawn(*lines, ring=ring), 0.0)
        assert found is not None
        assert found.shape[0] < 100  # the cell is 120 high, the ring 160


@pytest.mark.parametrize(
    ("ends", "is_one"),
    [
        ([(68, 147), (132, 53)], True),  # a 1 that leans and does not touch the circle
        ([(60, 165), (140, 35)], False),  # a slash from side to side
        ([(96, 180), (104, 20)], True),  # a 1 that stands upright and touches it
    ],
)
def test_a_bar_in_a_circle_is_a_one_unless_it_leans_and_touches(
    ends: list[tuple[int, int]], is_one: bool
) -> None:
    found = segment_digits(drawn(ends, ring=RING), 0.0)
    assert found is not None
    assert (found.shape[1] < 80) == is_one  # the circle is 160 wide


def test_a_leaning_digit_of_two_strokes_in_a_circle_is_no_slash() -> None:
    found = segment_digits(drawn([(68, 142), (122, 52)], [(80, 148), (134, 58)], ring=RING), 0.0)
    assert found is not None
    assert found.shape[1] < 80


def test_a_long_up_stroke_is_cut_off_but_no_bar() -> None:
    one = canvas([(45, 70), (80, 20), (80, 140)])
    shortened = shorten_up_stroke(one)
    assert shortened is not None
    assert np.ptp(np.flatnonzero((shortened > 0.5).any(axis=0))) < 0.5 * np.ptp(
        np.flatnonzero((one > 0.5).any(axis=0))
    )
    for other in (canvas(*SEVEN), canvas(*FOUR), canvas([(80, 20), (80, 140)])):
        assert shorten_up_stroke(other) is None


def test_flat_and_tiny_strokes_have_no_marks() -> None:
    for size in ((40, 2), (2, 40), (6, 40), (24, 24), (40, 1), (1, 1), (40, 12)):
        assert shorten_up_stroke(np.ones(size, np.float32)) is None
        assert not is_crossed_out(np.ones(size, np.float32))
        assert find_underline(np.ones(size, np.float32)) is None


def test_lines_through_a_digit_cross_it_out_but_its_own_do_not() -> None:
    assert is_crossed_out(canvas(*SEVEN, [(0, 85), (120, 75)]))
    assert is_crossed_out(canvas(*SEVEN, [(0, 70), (120, 65)], [(0, 95), (120, 90)]))
    for digit in (FOUR, SEVEN, (*SEVEN, [(50, 80), (95, 80)])):  # the last with its bar
        assert not is_crossed_out(canvas(*digit))


@pytest.mark.parametrize(
    "lines",
    [
        [[(0, 140), (170, 140)]],
        [[(0, 150), (160, 128)]],
        [[(0, 140), (165, 140)], [(0, 155), (165, 140)]],  # two that meet
    ],
)
def test_an_underline_that_touches_a_digit_is_cleared(lines: list[list[tuple[int, int]]]) -> None:
    seven = [(40, 20), (120, 20), (80, 140)]
    alone, found = (place_digit(canvas(seven, *marks), SPEC, digits=True) for marks in ([], lines))
    assert alone is not None
    assert found is not None
    assert np.abs(alone.astype(int) - found).mean() < 20
    kept = place_digit(canvas(seven, *lines), SPEC, digits=False)
    assert kept is not None
    assert np.abs(alone.astype(int) - kept).mean() > 30


@pytest.mark.parametrize(
    "digit",
    [
        [(30, 40), (60, 15), (100, 40), (30, 140), (140, 140)],  # the base of a 2 stands out on one side
        [(40, 40), (60, 15), (100, 40), (75, 130), (20, 145), (75, 130), (150, 145)],  # or bends
        [(20, 90), (20, 145), (150, 145), (150, 60)],  # ink at the ends
        [(10, 140), (150, 140)],  # nothing above
    ],
)
def test_a_base_of_a_digit_is_no_underline(digit: list[tuple[int, int]]) -> None:
    assert find_underline(canvas(digit)) is None


def test_what_is_crossed_out_becomes_blank_only_among_digits() -> None:
    strokes = segment_digits(drawn(*SEVEN, [(2, 85), (120, 75)]), 0.0)
    blank, symbol = place_digit(strokes, SPEC, digits=True), place_digit(strokes, SPEC, digits=False)
    assert blank is not None
    assert symbol is not None
    assert not blank.any()
    assert symbol.any()
    assert are_digits(tuple("0123456789"))
    assert not are_digits(("+", "-"))


def test_edges_of_a_table_are_no_digit_but_a_seven_in_a_close_crop_is() -> None:
    table = np.zeros((200, 200), np.float32)
    for side in (table, table.T):  # the grain of its wood reaches the image's edge here and there
        side[24:36, 24:] = 0.3
        side[:24, 24::16] = side[:24, 25::16] = side[:24, 26::16] = 0.3
    assert segment_digits(table, 0.0) is None
    assert segment_digits(table, 0.0, digits=False) is not None  # a letter may be an angle
    seven = np.asarray(Image.fromarray(canvas(*SEVEN)).resize((200, 200)))
    assert segment_digits(np.ascontiguousarray(seven), 0.0) is not None


@pytest.mark.parametrize("column", [40, 100, 145])
def test_a_one_that_touches_one_edge_is_no_line(column: int) -> None:
    one, line = np.zeros((200, 200), np.float32), np.zeros((200, 200), np.float32)
    one[22:, column : column + 18], line[:, column : column + 6] = 0.5, 0.5
    assert segment_digits(one, 0.0) is not None
    assert segment_digits(line, 0.0) is None


@pytest.mark.parametrize(("height", "width"), [(200, 150), (200, 480), (480, 360)])
def test_a_one_that_nearly_fills_the_image_is_no_line(height: int, width: int) -> None:
    one = np.zeros((height, width), np.float32)
    middle, half = round(0.6 * width), height // 26
    one[round(0.055 * height) : round(0.945 * height), middle - half : middle + half] = 0.8
    assert segment_digits(one, 0.0) is not None


def test_a_seven_on_squared_paper_is_no_remnant_of_its_lines() -> None:
    squares = np.zeros((360, 480), np.float32)
    squares[10::40], squares[:, 10::40] = 0.15, 0.15
    seven = squares.copy()
    seven[100:116, 150:290], seven[100:300, 274:290] = 0.7, 0.7
    found = segment_digits(seven, 0.0)
    assert found is not None
    assert found.shape == pytest.approx((200, 140), abs=8)


def test_a_one_cut_lengthwise_has_free_ends_and_a_rail_has_none() -> None:
    one, rail = np.zeros((200, 200), np.float32), np.zeros((200, 200), np.float32)
    one[30:170, :14] = rail[:170, :14] = 0.6
    assert segment_digits(one, 0.0) is not None
    assert segment_digits(rail, 0.0) is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_hole_of_a_narrow_zero_in_black_and_white_is_no_body(seed: int) -> None:
    y, x = np.mgrid[:200, :200]
    dark = np.clip(1.6 - 8 * np.abs(np.hypot((x - 100) / 24, (y - 100) / 70) - 1), 0.02, 0.95)
    # Half-toning shows each grey by the share of black pixels.
    zero = (dark > np.random.default_rng(seed).random(dark.shape)).astype(np.float32)
    found = segment_digits(zero, 0.0)
    assert found is not None
    height, width = found.shape
    assert found[height // 3 : -height // 3, width * 2 // 5 : -width * 2 // 5].mean() < 0.1


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_the_gap_between_two_bars_is_no_body(gap: int) -> None:
    contrast = np.zeros((240, 200), np.float32)
    contrast[40:200, 80:120] = 1
    contrast[44:196, 98 : 98 + gap] = 0
    assert segment_digits(contrast, 0.0) is not None


def test_a_body_filled_with_a_fainter_colour_becomes_ink() -> None:
    image = Image.new("L", (200, 200))
    pen = ImageDraw.Draw(image)
    for shade, width in ((255, 34), (60, 24)):
        pen.line(SEVEN[0], fill=shade, width=width, joint="curve")
    found = segment_digits(np.asarray(image, np.float32) / 255, 0.0)
    assert found is not None
    assert (found > 0.5).mean() == pytest.approx(float((found > 0).mean()), abs=0.1)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_quick_quantiles_and_blur_are_those_of_the_libraries(count: int, kind: type) -> None:
    values: np.ndarray = (np.random.default_rng(count).random((count, 5)) * 255).astype(kind)
    shares = (0.0, 0.05, 0.3, 0.5, 0.95, 1.0)
    assert quantiles(values, *shares) == [float(each) for each in np.quantile(values, shares)]
    grey = values.astype(np.uint8)
    expected = np.asarray(Image.fromarray(grey).filter(ImageFilter.BoxBlur(1)))
    assert np.abs(blurred(grey).astype(int) - expected).max() <= 1
