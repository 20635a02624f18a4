"""Draw digits on grounds of equal brightness, and on boards within a surround of the opposite brightness."""

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.preprocessing.noise import noise
from benchmarks.preprocessing.pen import ink, trace
from benchmarks.preprocessing.screen import drawn, encode, painted

LUMA = np.array([0.299, 0.587, 0.114])
BOARDS = ((38, 40, 40), (36, 62, 50), (24, 26, 30), (20, 40, 80), (60, 40, 30))


def equal_brightness(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a digit in a colour that a grey image shows as bright as its ground."""
    size = (int(rng.integers(64, 500)), int(rng.integers(64, 500)))
    colour, ground = _equally_bright(rng)
    image = painted(drawn(row, size, rng), colour, ground)
    values = np.asarray(image) * (1 - rng.uniform(0, 0.15) * np.linspace(0, 1, size[0])[:, None])
    values = values + rng.uniform(0, 3) * noise(size, 1, rng)[..., None]
    image = Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
    return encode(image) if rng.random() < 0.5 else encode(image, "JPEG", quality=int(rng.integers(70, 95)))


def _equally_bright(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two colours that differ by 90 or more in a channel and by at most 6 of 255 in brightness."""
    while True:
        pair = rng.integers(0, 256, (2, 3))
        if rng.random() < 0.3:
            pair[1] = rng.integers(60, 200)  # grey
        difference = pair[0] - pair[1]
        if np.abs(difference).max() >= 90 and abs(difference @ LUMA) <= 6:
            return tuple(pair[0].tolist()), tuple(pair[1].tolist())


def board(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a light digit on a dark board within a bright surround of 5 to 45 % of its width on each side."""
    return _panel(row, rng, dark=True)


def sheet(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a dark digit on a light sheet within a dark surround of 5 to 45 % of its width on each side."""
    return _panel(row, rng, dark=False)


def _panel(row: np.ndarray, rng: np.random.Generator, *, dark: bool) -> bytes:
    edge = int(rng.integers(200, 900))
    size = (edge, round(edge * rng.uniform(0.75, 1.3)))
    share = rng.uniform(0.05, 0.45)
    panel = np.maximum((1 - 2 * share) * np.array(size), 36)
    middle = np.array(size) / 2 + rng.uniform(-0.6, 0.6, 2) * (np.array(size) - panel) / 2
    board_tone = np.array(BOARDS[rng.integers(len(BOARDS))]) if dark else np.full(3, rng.integers(215, 252))
    wall = rng.integers(200, 250, 3) if dark else rng.integers(20, 90, 3)
    chalk = rng.integers(200, 256) if dark else rng.integers(10, 70)
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    tilt = np.radians(rng.uniform(-3, 3))
    u = (x - middle[0]) * np.cos(tilt) + (y - middle[1]) * np.sin(tilt)
    v = (y - middle[1]) * np.cos(tilt) - (x - middle[0]) * np.sin(tilt)
    outside = np.maximum(np.abs(u) - panel[0] / 2, np.abs(v) - panel[1] / 2)
    values = board_tone + np.clip(outside + 0.5, 0, 1)[..., None] * (wall - board_tone)
    if rng.random() < 0.4:  # its frame
        frame, tone = rng.uniform(0.01, 0.03) * edge, rng.integers(60, 200)
        rim = np.clip(frame / 2 - np.abs(outside - frame / 2) + 0.5, 0, 1)[..., None]
        values = values + rim * (tone - values)
    digit = trace(row).turned(rng.uniform(-5, 5))
    tip = rng.uniform(0.06, 0.12)
    tall = float(min(rng.uniform(0.5, 0.75) * panel[1], 0.75 * panel[0] / (digit.width + tip)))
    centre = middle + rng.uniform(-0.4, 0.4, 2) * (panel - tall * np.array([digit.width + tip, 1 + tip])) / 2
    cover = ink(digit.points * tall + centre, size, tip * tall, rng, uneven=0.05)
    values = values + cover[..., None] * rng.uniform(0.8, 1) * (chalk - values)
    light = 1 - rng.uniform(0, 0.3) * (x / size[0] * rng.random() + y / size[1] * rng.random())
    values = values * light[..., None] + rng.uniform(0, 3) * noise(size, 1, rng)[..., None]
    image = Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    return encode(image) if rng.random() < 0.5 else encode(image, "JPEG", quality=int(rng.integers(70, 95)))
