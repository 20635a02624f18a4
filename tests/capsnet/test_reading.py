"""Reading every digit of an image with the model that ships: order, boxes, cuts, refusals and limits."""

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.preprocessing import reported
from benchmarks.reading import pages
from benchmarks.reading.report import edits, overlap
from capsnet import CapsnetError, Predictor, load
from capsnet.preprocessing.separate_digits import MOST_SHAPES, Strokes
from capsnet.preprocessing.text_lines import reading_order
from capsnet.preprocessing.touching_digits import divide
from capsnet.reading import LOOKS, Page, Sight
from training.data.datasets import DatasetPart

SEPARATE = ("ink", "two lines", "slope", "screen", "dates, dots", "amounts, commas", "boxes")


@pytest.fixture(scope="module")
def model() -> Predictor:
    return load("mnist")


def page_of(digits: DatasetPart, name: str, seed: int = 1) -> pages.Page:
    return pages.make(name, digits.images[:, 0], digits.labels, seed, 1)


def row_of_digits(digits: DatasetPart, numbers: list[int], gap: int = 12) -> Image.Image:
    """Rows of the data set side by side, three times as large, on black."""
    row = np.concatenate([np.pad(digits.images[n, 0], ((20, 20), (gap, gap))) for n in numbers], axis=1)
    return Image.fromarray(row).resize((3 * row.shape[1], 3 * row.shape[0]), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_pages_are_read_in_order_with_their_boxes(model: Predictor, digits: DatasetPart) -> None:
    wrong = total = 0
    overlaps: list[float] = []
    for name in SEPARATE:
        page = page_of(digits, name)
        found = model.read(page.data)
        wrong += edits(found.text, page.text)
        total += len(page.boxes)
        assert [digit.line for digit in found.digits] == sorted(digit.line for digit in found.digits)
        if len(found.digits) == len(page.boxes):
            overlaps += [overlap(d.box, box) for d, box in zip(found.digits, page.boxes, strict=True)]
    assert wrong <= 0.05 * total
    assert np.mean(overlaps) > 0.9


def test_a_blank_image_has_no_digits(model: Predictor) -> None:
    for blank in (np.full((300, 400), 240, np.uint8), np.zeros((28, 28), np.uint8)):
        found = model.read(blank)
        assert (found.text, found.digits, found.objects_found) == ("", (), 0)


@pytest.mark.parametrize("kind", ["margin", "scan-border", "lit-edge"])
def test_lines_and_edges_of_an_empty_page_are_hardly_read(
    model: Predictor, digits: DatasetPart, kind: str
) -> None:
    found = [model.read(reported.make(kind, digits, number)[0]) for number in range(20000, 20012)]
    assert sum(any(digit.accepted for digit in page.digits) for page in found) <= 1


def written_page(digits: DatasetPart, rows: int, columns: int, height: int, *, dark: bool) -> Image.Image:
    """A sheet of many small digits, as a scanner or a screen shows it."""
    page = np.zeros((1400, 1000), np.uint8)
    large = round(height * 28 / 20)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        digit = Image.fromarray(digits.images[number, 0]).resize((large, large), Image.Resampling.BICUBIC)
        top, left = 60 + round(1.7 * height * row), 60 + round(1.3 * height * column)
        area = page[top : top + large, left : left + large]
        np.maximum(area, np.asarray(digit), out=area)
    return Image.fromarray(255 - page if dark else page)


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize(("rows", "columns", "height"), [(3, 8, 36), (6, 10, 28), (16, 14, 40), (2, 6, 60)])
def test_every_digit_of_a_page_of_small_writing_is_found(
    model: Predictor, digits: DatasetPart, rows: int, columns: int, height: int, dark: bool
) -> None:
    image = written_page(digits, rows, columns, height, dark=dark)
    found = model.read(png(image), most=rows * columns)
    assert found.objects_found == pytest.approx(rows * columns, rel=0.03)
    wanted = [str(label) for label in digits.labels[: rows * columns]]
    assert edits(found.text.replace("\n", ""), "".join(wanted)) <= 0.06 * len(wanted)
    assert model.classify(png(image)).answer["objects_found"] > 0.7 * rows * columns


@pytest.mark.parametrize("pitch", [16, 18, 20])
def test_a_page_of_thousands_of_bars_takes_no_time(model: Predictor, pitch: int) -> None:
    y, x = np.mgrid[:1500, :2000]
    bars = np.where((x % pitch < pitch // 3) & (y % (3 * pitch) < 2 * pitch), 0, 255).astype(np.uint8)
    before = time.process_time()
    found = model.read(bars)
    assert found.objects_found == MOST_SHAPES
    assert time.process_time() - before < 5  # minutes, where the time grows with the cube of their number


def test_a_row_of_the_data_set_is_read_as_it_is_classified(model: Predictor, digits: DatasetPart) -> None:
    row = digits.images[0, 0]
    found, expected = model.read(row), model.classify(row)
    assert found.text == expected.label == "7"
    np.testing.assert_array_equal(found.digits[0].pose, expected.pose)


def test_boxes_are_those_of_the_image_as_exif_turns_it(model: Predictor, digits: DatasetPart) -> None:
    upright = row_of_digits(digits, [0, 1, 2])
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif.tobytes(), quality=95)
    turned, straight = model.read(file.getvalue()), model.read(png(upright))
    assert turned.text == straight.text == "721"
    for one, other in zip(turned.digits, straight.digits, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=4)
    assert straight.digits[-1].box[2] <= upright.width


def test_digits_beyond_the_limit_are_counted_and_left_out(model: Predictor, digits: DatasetPart) -> None:
    found = model.read(png(row_of_digits(digits, [0, 1, 2, 3])), most=2)
    assert (found.text, found.objects_found) == ("72", 4)


def test_drawings_are_given_where_they_are_asked_for(model: Predictor, digits: DatasetPart) -> None:
    image = png(row_of_digits(digits, [0, 1]))
    assert model.read(image).digits[0].reconstruction is None
    for digit in model.read(image, reconstruct=True).digits:
        assert digit.input is not None
        assert digit.reconstruction is not None
        assert digit.input.pixels().shape == digit.reconstruction.pixels().shape == (28, 28)


def test_touching_digits_are_cut(model: Predictor, digits: DatasetPart) -> None:
    seven, zero = digits.images[0, 0], digits.images[3, 0]
    pair = np.zeros((28, 56), np.uint8)
    left, right = (np.flatnonzero(row.any(axis=0)) for row in (seven, zero))
    pair[:, 4 : 4 + np.ptp(left) + 1] = seven[:, left[0] : left[-1] + 1]
    start = 4 + np.ptp(left)
    own = zero[:, right[0] : right[-1] + 1]
    pair[:, start : start + own.shape[1]] = np.maximum(pair[:, start : start + own.shape[1]], own)
    image = Image.fromarray(np.pad(pair, 20)).resize((4 * 96, 4 * 68), Image.Resampling.BICUBIC)
    assert model.read(png(image)).text == "70"
    first = model.read(png(image), most=1)
    assert (first.text, len(first.digits), first.objects_found) == ("7", 1, 2)
    below = Image.new("L", (image.width, 2 * image.height))
    below.paste(image, (0, 0))
    below.paste(row_of_digits(digits, [3], gap=40).resize((200, 200)), (90, image.height + 30))
    whole, two = model.read(png(below)), model.read(png(below), most=2)
    assert (whole.text, whole.objects_found) == ("70\n0", 3)
    assert (two.text, two.objects_found) == ("70", 3)


@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("rails", [False, True])
def test_a_line_of_digits_that_is_cut_to_its_ink_is_read(
    model: Predictor, digits: DatasetPart, rails: bool, margin: int
) -> None:
    row = row_of_digits(digits, [3, 6, 4, 17, 19])  # 04, then two, each as high as most
    strip = row.crop(row.getbbox())
    image = Image.new("L", (strip.width + 80, strip.height + 2 * margin))
    image.paste(strip, (40, margin))
    if rails:
        ImageDraw.Draw(image).rectangle([8, 0, 12, image.height], fill=210)
    else:
        image = image.crop((40 - margin, 0, 40 + strip.width + margin, image.height))
    assert model.read(png(image)).text == model.read(png(row)).text


@pytest.mark.parametrize("ground", [(0, 0, 0), (28, 28, 32), (10, 10, 60)])
def test_a_dark_card_on_a_white_page_is_read(
    model: Predictor, digits: DatasetPart, ground: tuple[int, int, int]
) -> None:
    row = row_of_digits(digits, [0, 1, 2, 3, 4, 5, 6])
    for border in range(24, 160, 8):
        page = Image.new("RGB", (row.width + 2 * border, row.height + 2 * border), "white")
        card = Image.new("RGB", row.size, ground)
        card.paste((235, 235, 235), mask=row)
        page.paste(card, (border, border))
        assert model.read(png(page)).text == "7210414"


def test_something_that_is_no_digit_has_no_label(model: Predictor, digits: DatasetPart) -> None:
    image = row_of_digits(digits, [0, 1, 2], gap=30)
    pixels = np.array(image)
    hatched = np.zeros((84, 84), np.uint8)
    hatched[::14] = hatched[1::14] = hatched[2::14] = hatched[:, ::14] = hatched[:, 1::14] = 255
    place = pixels.shape[1] // 3 - 42
    pixels[60:144, place : place + 84] = hatched
    found = model.read(png(Image.fromarray(pixels)))
    assert found.text.replace("?", "") == "721"
    assert [digit.label for digit in found.digits].count(None) == 1
    assert not found.digits[found.text.index("?")].accepted


def test_most_touching_pairs_are_read_and_most_letters_get_no_label(
    model: Predictor, digits: DatasetPart
) -> None:
    pairs = [page_of(digits, "touching", seed) for seed in range(4)]
    assert sum(edits(model.read(page.data).text, page.text) for page in pairs) <= 3  # of 8 digits
    pages = [page_of(digits, "letters", seed) for seed in range(4)]
    letters = sum(page.text.count("?") for page in pages)
    assert letters >= 4
    assert sum(model.read(page.data).text.count("?") for page in pages) > letters / 2


def test_the_loose_bar_of_a_5_belongs_to_it(model: Predictor, digits: DatasetPart) -> None:
    image = np.array(row_of_digits(digits, [0, 8, 1]))
    assert model.read(png(Image.fromarray(image))).text == "752"
    found = model.read(png(Image.fromarray(image)))
    left, top, right, bottom = found.digits[1].box
    middle = (left + right) // 2
    # Take away the stroke that joins the bar to the body.
    image[top : top + (bottom - top) // 2, middle - 3 : middle + 3] = 0
    assert len(model.read(png(Image.fromarray(image))).digits) == 3


def sight(label: int, anomaly: float, distance: float = 0.5) -> Sight:
    return Sight(np.eye(10, dtype=np.float32)[label], np.zeros((10, 16), np.float32), anomaly, distance)


def labels_of(model: Predictor, seen: list[Sight], again: tuple[int, ...]) -> list[int | None]:
    """What a page of narrow strokes is read as; `seen` are the strokes and then all looks at those of `again`."""
    count = len(seen) - len(LOOKS) * len(again)
    strokes = [Strokes(np.ones((40, 15), np.float32), 30 * number, 0) for number in range(count)]
    images = np.zeros((len(seen), 1, 28, 28), np.float32)
    page = Page(model.card.input, (1.0, 1.0), [strokes], images[:count], count, again)
    return [digit.index for digit in page.digits(seen, images)[0][0]]


def test_what_the_guard_refuses_is_what_the_least_strange_look_shows(model: Predictor) -> None:
    looks = [sight(3, 2.0), sight(3, 2.0), sight(5, 0.9), sight(3, 1.7)]
    assert labels_of(model, [sight(1, 0.5), sight(3, 1.5), *looks], (1,)) == [1, 5]


def test_what_capsules_draw_badly_is_no_digit(model: Predictor) -> None:
    def with_looks(*distances: float) -> list[Sight]:
        refused = [sight(3, 1.5, distance) for distance in distances]
        return [sight(1, 0.5, 9.0), *refused, *(each for each in refused for _ in LOOKS)]

    assert labels_of(model, with_looks(1.15), (1,)) == [1, 3]
    assert labels_of(model, with_looks(1.4), (1,)) == [1, None]
    # Where something else may be a letter, less is enough.
    assert labels_of(model, with_looks(1.0, 0.5), (1, 2)) == [1, 3, 3]
    assert labels_of(model, with_looks(1.0, 1.15), (1, 2)) == [1, None, 3]


def test_the_inside_of_a_0_with_a_mark_is_not_all_that_is_read(model: Predictor, digits: DatasetPart) -> None:
    image = row_of_digits(digits, [0, 1, 2], gap=30)
    draw = ImageDraw.Draw(image)
    middle = image.width // 3
    draw.rounded_rectangle((middle - 42, 60, middle + 42, 144), 24, outline=255, width=20)
    draw.line((middle, 88, middle, 108), fill=255, width=8)
    read = model.read(png(Image.eval(image, lambda value: 235 - value * 200 // 255)))
    assert len(read.digits) == 4
    assert read.text.replace("?", "").replace("0", "") == "721"


def test_models_that_do_not_read_single_digits_are_refused(digits: DatasetPart) -> None:
    for name in ("fashion_mnist", "multimnist"):
        with pytest.raises(CapsnetError, match="model") as caught:
            load(name).read(digits.images[0, 0])
        assert caught.value.kind == "invalid-parameter"


def test_one_image_with_several_digits_says_so_when_it_is_classified(
    model: Predictor, digits: DatasetPart
) -> None:
    answer = model.classify(png(row_of_digits(digits, [0, 1, 2]))).answer
    assert answer["objects_found"] == 3
    assert (
        model.classify("docs/images/number.png").answer["objects_found"] == 3
    )  # two of them stand close together
    assert answer["hint"].endswith("3 separate objects and 1 is read; POST /read reads every digit")
    pairs = load("multimnist").classify(png(row_of_digits(digits, [0, 1, 2]))).answer
    assert pairs["hint"].endswith("and 2 are read; POST /read with a model of one object reads every digit")
    assert "hint" not in model.classify(png(row_of_digits(digits, [0]))).answer
    assert "hint" not in model.classify(digits.images[0, 0]).answer


def test_an_answer_says_that_the_first_of_several_images_was_read(
    model: Predictor, digits: DatasetPart
) -> None:
    frames = [Image.fromarray(image[0]) for image in digits.images[:2]]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert "first" in model.classify(file.getvalue()).answer["note"]
    assert "note" not in model.classify(frames[0]).answer


def test_lines_that_slope_are_kept_apart() -> None:
    slope = 0.15
    boxes = [
        (50 * n, 100 * line + slope * 50 * n, 50 * n + 30, 100 * line + slope * 50 * n + 60)
        for line in range(2)
        for n in range(12)
    ]
    order = np.random.default_rng(0).permutation(len(boxes))
    lines = reading_order(np.array(boxes, float)[order])
    assert [[int(order[number]) for number in line] for line in lines] == [
        list(range(12)),
        list(range(12, 24)),
    ]
    assert reading_order(np.zeros((0, 4))) == []


def test_every_way_to_cut_covers_the_strokes() -> None:
    values = np.zeros((40, 60), np.float32)
    values[5:35, 5:25] = values[5:35, 35:55] = values[18:22, 25:35] = 1
    division = divide(Strokes(values, 100, 200))
    assert (0, division.last) not in division.between
    middle = [p for p, ends in zip(division.pieces, division.between, strict=True) if ends[0] == 0]
    assert any(piece.box[0] == 105 and piece.box[2] <= 136 for piece in middle)


def test_strokes_of_specks_alone_have_no_pieces() -> None:
    """A spiral and a grid of dots are cut into so many parts that none of them counts."""
    grid = np.zeros((80, 120), np.float32)
    grid[2::8, 2::8] = grid[3::8, 2::8] = 1
    assert divide(Strokes(grid, 0, 0)).pieces == []


def test_a_page_that_is_one_spiral_is_answered(model: Predictor) -> None:
    before = time.process_time()
    page = np.full((400, 400), 255, np.uint8)
    for start in range(0, 199, 8):
        page[start : start + 3, start : 400 - start] = page[
            start : 400 - start, 397 - start : 400 - start
        ] = 0
        page[397 - start : 400 - start, start + 8 : 400 - start] = page[
            start + 8 : 400 - start, start + 8 : start + 11
        ] = 0
    assert model.read(page).objects_found < 10
    assert time.process_time() - before < 5


@pytest.mark.parametrize("dark", [True, False])
def test_a_round_spiral_is_hardly_an_object(model: Predictor, dark: bool) -> None:
    """No ruled line is taken from it, so it is cut whole, into more parts than any digits."""
    image = Image.new("L", (400, 400))
    turns = np.linspace(0, 24 * np.pi, 6000)
    points = np.stack([200 + turns * 2.3 * np.cos(turns), 200 + turns * 2.3 * np.sin(turns)], axis=1)
    ImageDraw.Draw(image).line([(float(x), float(y)) for x, y in points], fill=255, width=5)
    page = 255 - np.asarray(image) if dark else np.asarray(image)
    before = time.process_time()
    assert model.read(page).objects_found <= 2
    assert time.process_time() - before < 5
