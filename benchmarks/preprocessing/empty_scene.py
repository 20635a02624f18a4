"""Draw images without any digit: empty cells, margins, rails, folds, table edges, scan borders and soft tones."""

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.preprocessing.noise import noise, stretched
from benchmarks.preprocessing.pen import ink, trace
from benchmarks.preprocessing.screen import encode

SIDES = ("left", "right", "top", "bottom")


def cell(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw an empty table cell with a line on one to four of its sides, at or near the image's edge."""
    size = random_size(rng, 24, 320)
    values = paper(size, rng)
    sides = rng.choice(SIDES, rng.integers(1, 5), replace=False)
    ink = rng.uniform(0, 0.6)
    for side in sides:
        inset = rng.choice([0.0, rng.uniform(0, 0.12)]) * min(size)
        thickness = max(1.0, rng.uniform(0.01, 0.09) * min(size))
        _line(values, side, inset, thickness, ink * rng.uniform(0.8, 1.2), rng, tilt=rng.uniform(-2, 2))
    return finished(values, rng)


def margin(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Photograph a blank page with one or two margin lines, sometimes with ruled lines."""
    size = random_size(rng, 240, 640)
    values = paper(size, rng)
    for _ in range(rng.integers(1, 3)):
        side = str(rng.choice(SIDES, p=(0.5, 0.3, 0.1, 0.1)))
        inset = rng.uniform(0.05, 0.4) * size[0 if side in ("left", "right") else 1]
        thickness = max(1.0, rng.uniform(0.001, 0.006) * max(size))
        _line(values, side, inset, thickness, rng.uniform(0.3, 0.85), rng, tilt=rng.uniform(-4, 4))
    if rng.random() < 0.25:
        spacing, first = size[1] * rng.uniform(0.04, 0.1), rng.uniform(0, 0.04) * size[1]
        for inset in np.arange(first, size[1], spacing):
            _line(values, "top", float(inset), max(1.0, 0.002 * size[1]), 0.75, rng)
    return finished(values, rng)


def rail(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Photograph an empty board with its rail or frame along one side or two neighbouring ones."""
    size = random_size(rng, 240, 640)
    values = paper(size, rng)
    first = rng.integers(4)
    for side in (SIDES[first], SIDES[(first + 2) % 4])[: rng.integers(1, 3)]:
        tone, tilt = rng.uniform(0.15, 0.75), rng.uniform(-3, 3)
        inset = rng.choice([0.0, rng.uniform(0, 0.15)]) * min(size)
        thickness = rng.uniform(0.02, 0.1) * min(size)
        _line(values, side, inset, thickness, tone, rng, tilt=tilt)
        _line(values, side, inset + thickness, thickness * rng.uniform(0.1, 0.4), tone * 1.25, rng, tilt=tilt)
    return finished(values, rng)


def fold(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Photograph a page that was folded once or twice: a soft dark or light crease, unlike light on its sides."""
    size = random_size(rng, 240, 640)
    values = paper(size, rng)
    for side in rng.choice(("left", "top"), rng.integers(1, 3), replace=False):
        axis = 0 if side == "left" else 1
        inset, tilt = rng.uniform(0.2, 0.8) * size[axis], rng.uniform(-4, 4)
        distance = _distance(size, side, inset, tilt)
        values *= 1 - rng.uniform(0, 0.08) * (distance > 0)
        width = rng.uniform(0.002, 0.012) * max(size)
        depth = rng.uniform(0.08, 0.35) * rng.choice([1, 1, -0.3])
        values *= 1 - depth * np.exp(-((distance / width) ** 2))
    return finished(values, rng)


def table_edge(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Photograph a bare page whose edge, with the table beside it, lies in the frame."""
    size = random_size(rng, 240, 640)
    values = paper(size, rng)
    wood = rng.uniform(0.1, 0.65) * (
        1 + 0.08 * stretched(size, rng.uniform(100, 400), rng.uniform(4, 12), rng)
    )
    for side in rng.choice(SIDES, rng.integers(1, 3), replace=False):
        distance = -_distance(size, side, rng.uniform(0.01, 0.3) * min(size), rng.uniform(-8, 8))
        shade = 1 - 0.35 * np.exp(-np.clip(distance, 0, None) / 8)
        cover = np.clip(distance / 1.5 + 0.5, 0, 1)
        values += cover * (wood * shade - values)
    return finished(values, rng)


def lit_edge(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Photograph a bare page that grows lighter towards one edge, with a dark table beyond it."""
    size = random_size(rng, 240, 900)
    values = paper(size, rng, noisy=rng.uniform(0, 1))
    side = rng.choice(SIDES)
    distance = _distance(size, side, rng.uniform(0.03, 0.45) * min(size), rng.uniform(-3, 3))
    values *= 1 - rng.uniform(0, 0.4) * np.clip(distance, 0, None) / max(size)
    cover = np.clip(-distance / rng.uniform(0.7, 3) + 0.5, 0, 1)
    values += cover * (rng.uniform(0.03, 0.5) - values)
    return finished(values, rng)


def scan_border(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Scan an empty page that lay askew, so that black or grey shows along its sides."""
    size = random_size(rng, 160, 640)
    values = paper(size, rng, noisy=0.3)
    tone = rng.choice([rng.uniform(0, 0.15), rng.uniform(0.3, 0.7)])
    for side in rng.choice(SIDES, rng.integers(1, 5), replace=False):
        reach = rng.uniform(0.004, 0.06) * max(size)
        distance = -_distance(size, side, reach, rng.uniform(-2, 2)) / rng.uniform(0.7, 4)
        values += np.clip(distance + 0.5, 0, 1) * (tone - values)
    return finished(values, rng)


def one_at_edge(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a 1 in a frame that it touches with one end, or that is cut right at it."""
    size = random_size(rng, 60, 400)
    digit = trace(row).turned(rng.uniform(-5, 5))
    tip = rng.uniform(0.06, 0.13)
    tall = min(rng.uniform(0.55, 0.85) * size[1], 0.85 * size[0] / (digit.width + tip))
    half = np.ptp(digit.points, axis=0) / 2 * tall + tip * tall / 2
    free = np.maximum(np.array(size) / 2 - half - 2, 0)
    middle = np.array(size) / 2 + rng.uniform(-0.6, 0.6, 2) * free
    side = rng.integers(3)
    over = rng.uniform(0.1, 0.9) * tip * tall
    middle[1] = (middle[1], half[1] - over, size[1] - half[1] + over)[side] if side else middle[1]
    if not side:  # the foot or the head of a slanting 1 at the left or right
        middle[0] = half[0] - over if rng.random() < 0.5 else size[0] - half[0] + over
    cover = ink(digit.points * tall + middle, size, tip * tall, rng, uneven=0.05)
    values = paper(size, rng)
    values += cover * (rng.uniform(0.02, 0.4) - values)
    return finished(values, rng)


def random_size(rng: np.random.Generator, least: int, most: int) -> tuple[int, int]:
    """Draw a width and a height, in pixels."""
    edge = np.exp(rng.uniform(np.log(least), np.log(most)))
    return round(edge), round(edge * rng.uniform(0.6, 1.5))


def paper(size: tuple[int, int], rng: np.random.Generator, noisy: float = 1.0) -> np.ndarray:
    """Draw bare paper with its light and grain: float (h,w), reflectance from 0 to 1."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    heading = rng.uniform(0, 2 * np.pi)
    slope = (x / width - 0.5) * np.cos(heading) + (y / height - 0.5) * np.sin(heading)
    light = rng.uniform(0.65, 1.0) * (1 - rng.uniform(0, 0.3) * (slope + 0.5))
    grain = rng.uniform(0, 0.012) * noise(size, 1, rng) + rng.uniform(0, 0.006) * noise(size, 3, rng)
    cloud = rng.uniform(0, 0.012) * noise(size, max(size) / 8, rng)
    return np.asarray(light * (1 + noisy * (grain + cloud)))


def _distance(size: tuple[int, int], side: str, inset: float, tilt: float) -> np.ndarray:
    """Measure how far each pixel lies inside of a line near a side, in pixels: (h,w)."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    across, along = (x, y - height / 2) if side in ("left", "right") else (y, x - width / 2)
    if side in ("right", "bottom"):
        across = (width if side == "right" else height) - across
    return np.asarray(across - inset - along * np.tan(np.radians(tilt)))


def soft_tones(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw soft tones and nothing else, as of a sky or far out of focus: ramps, rings or clouds, grey or coloured."""
    width, height = random_size(rng, 100, 1000)
    channels = [_soft_tone((width, height), rng) for _ in range(rng.choice([1, 3]))]
    pixels = np.stack(channels, axis=2) + rng.normal(size=(height, width, len(channels))) * rng.choice(
        [0.0, rng.uniform(0, 3)]
    )
    image = Image.fromarray(np.round(np.clip(pixels, 0, 255)).astype(np.uint8).squeeze())
    if rng.random() < 0.5:
        return encode(image)
    return encode(image, "JPEG", quality=int(rng.integers(50, 96)))


def _soft_tone(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return one channel of soft tones: float (h,w) from 0 to 255; a third begins at 0, and a third ends at 255."""
    width, height = size
    y, x = np.mgrid[:height, :width] / max(size)
    match rng.integers(3):
        case 0:
            value = x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)
        case 1:
            value = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
        case _:
            value = noise(size, max(size) / rng.uniform(1, 3), rng)
    low, high = sorted(rng.uniform(0, 255, 2))
    low, high = rng.choice([0, low, low]), rng.choice([255, high, high])
    return np.asarray(low + (high - low) * (value - value.min()) / max(float(np.ptp(value)), 1e-6))


def _line(
    values: np.ndarray,
    side: str,
    inset: float,
    thickness: float,
    tone: float,
    rng: np.random.Generator,
    tilt: float = 0.0,
) -> None:
    """Draw a straight line near a side, over the whole length or nearly so."""
    size = (values.shape[1], values.shape[0])
    distance = _distance(size, side, inset + thickness / 2, tilt)
    cover = np.clip(thickness / 2 - np.abs(distance) + 0.5, 0, 1)
    if rng.random() < 0.15:  # it ends somewhere
        along = (
            np.linspace(0, 1, size[1])[:, None] if side in ("left", "right") else np.linspace(0, 1, size[0])
        )
        cover = cover * (along < rng.uniform(0.75, 1))
    values += cover * (np.minimum(tone, 1) * values.mean() - values)


def finished(values: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save as a grey PNG or a JPEG in colour, sometimes as the negative."""
    values = 1 - values if rng.random() < 0.15 else values
    image = Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.5:
        return encode(image)
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    return encode(blurred.convert("RGB"), "JPEG", quality=int(rng.integers(60, 95)))
