"""Draw seven-segment displays: gaps between segments, a slant, ghosts of segments that are off, a glow."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.preprocessing.noise import noise
from benchmarks.preprocessing.screen import encode

# Segments a to g, as data sheets name them: top, upper right, lower right, bottom, lower left, upper left, middle.
SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
VARIANTS = {6: "fgedc", 7: "fabc", 9: "abfgc"}
ENDS = {
    "a": ((0, 0), (1, 0)),
    "b": ((1, 0), (1, 1)),
    "c": ((1, 1), (1, 2)),
    "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)),
    "f": ((0, 0), (0, 1)),
    "g": ((0, 1), (1, 1)),
}
FINE = 3


def seven_segments(_row: np.ndarray, rng: np.random.Generator, label: int) -> bytes:
    """Draw a digit as a display shows it: LCD with or without ghosts, or LED with a glow."""
    size = (int(rng.integers(70, 400)), int(rng.integers(110, 500)))
    shown = SEGMENTS[label]
    if label in VARIANTS and rng.random() < 0.25:
        shown = VARIANTS[label]
    tall = min(rng.uniform(0.5, 0.85) * size[1], 1.3 * size[0])
    width, thick = tall * rng.uniform(0.42, 0.56), tall * rng.uniform(0.06, 0.14)
    gap, slant = rng.uniform(0.0, 0.35) * thick, np.tan(np.radians(rng.choice([0.0, rng.uniform(0, 14)])))
    frame = (size, tall, width, thick, gap, slant)
    pointed = rng.random() < 0.5
    lit, all_of_them = _cover(shown, frame, pointed), _cover("abcdefg", frame, pointed)
    led = rng.random() < 0.35
    if led:
        values = _led(lit, all_of_them, thick, rng)
    else:
        ground = np.array(
            [(150, 160, 140), (170, 170, 170), (200, 205, 195), (120, 150, 120)][rng.integers(4)]
        )
        ghost = rng.choice([0.0, rng.uniform(0.03, 0.15)])
        cover = np.maximum(lit * rng.uniform(0.65, 0.95), ghost * all_of_them)[..., None]
        values = ground + cover * (np.array([25, 30, 25]) - ground)
    values = values + rng.uniform(0, 3) * noise(size, 1, rng)[..., None]
    image = Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
    return encode(image) if rng.random() < 0.5 else encode(image, "JPEG", quality=int(rng.integers(70, 95)))


def _led(lit: np.ndarray, all_of_them: np.ndarray, thick: float, rng: np.random.Generator) -> np.ndarray:
    """Draw light segments of one colour on black, with a glow around them: (h,w,3)."""
    colour = np.array([(255, 40, 30), (60, 255, 90), (255, 170, 40), (80, 160, 255)][rng.integers(4)])
    glow = _blurred(lit, thick * rng.uniform(0.4, 1.2)) * rng.uniform(0.2, 0.6)
    ghost = rng.choice([0.0, rng.uniform(0.02, 0.1)]) * all_of_them
    light = np.maximum(np.maximum(lit, glow), ghost)[..., None]
    white = (lit * rng.uniform(0, 0.6))[..., None]  # an overexposed middle
    return np.asarray(12 + light * (colour - 12) + white * (255 - colour))


def _cover(
    shown: str, frame: tuple[tuple[int, int], float, float, float, float, float], pointed: bool
) -> np.ndarray:
    """Draw segments, in the middle of the image: float (h,w) from 0 to 1."""
    size, tall, width, thick, gap, slant = frame
    canvas = Image.new("L", (size[0] * FINE, size[1] * FINE))
    pen = ImageDraw.Draw(canvas)
    scale = np.array([width - thick, (tall - thick) / 2])
    for name in shown:
        start, end = (np.array(point) * scale for point in ENDS[name])
        along = (end - start) / np.hypot(*(end - start))
        across = np.array([-along[1], along[0]]) * thick / 2
        if pointed:
            start, end = start + along * gap, end - along * gap
            inset = along * thick / 2
            corners = [start, start + inset + across, end - inset + across, end, end - inset - across]
            corners.append(start + inset - across)
        else:
            inset = thick / 2 + gap if name in "adg" else gap
            start, end = start + along * inset, end - along * inset
            corners = [start + across, end + across, end - across, start - across]
        placed = np.array(corners) - scale * (0.5, 1)
        placed[:, 0] -= placed[:, 1] * slant
        placed = (placed + np.array(size) / 2) * FINE
        pen.polygon([tuple(corner) for corner in placed.tolist()], fill=255)
    return np.asarray(canvas.reduce(FINE), np.float32) / 255


def _blurred(values: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray(np.round(values * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
