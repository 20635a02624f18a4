"""Make product photographs of garments from rows of Fashion-MNIST, which are negatives of such photographs."""

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.preprocessing.noise import noise
from benchmarks.preprocessing.screen import encode

OUTLINE = 1.5  # a light sole is not all mixture
FAINTEST = 6  # of 255: what a row shows at least where the garment is


def product(row: np.ndarray, rng: np.random.Generator, *, white: bool) -> bytes:
    """Draw a garment on a shop's white, or on a plain wall or table with its shadow: JPEG."""
    edge = int(rng.integers(500, 1000))
    size = (round(edge * rng.uniform(0.75, 1.3)), edge)
    tall = round(min(size) * rng.uniform(0.6, 0.92))
    corner = [int(rng.uniform(0.2, 0.8) * (side - tall)) for side in size]
    shown, cover = _enlarged(row, tall)
    ground = _ground(size, rng, white=white)
    dye = np.array([1, 1, 1] if rng.random() < 0.4 else 1 + rng.uniform(-0.12, 0.12, 3), np.float32)
    garment = np.clip(
        (1 - shown)[..., None] * dye * (1 + 0.01 * noise((tall, tall), 2, rng))[..., None], 0, 1
    )
    left, top = corner
    part = ground[top : top + tall, left : left + tall]
    if not white:
        covered = Image.fromarray(np.round(cover * 255).astype(np.uint8))
        shade = np.asarray(covered.filter(ImageFilter.GaussianBlur(tall / 40)), np.float32) / 255
        part *= 1 - 0.12 * np.roll(shade, (tall // 60, tall // 60), (0, 1))[..., None]
    part += cover[..., None] * (garment - part)
    values = np.clip(ground + 0.004 * noise(size, 1, rng)[..., None], 0, 1)
    return encode(
        Image.fromarray(np.round(values * 255).astype(np.uint8)), "JPEG", quality=int(rng.integers(75, 93))
    )


def _enlarged(row: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return darkness and cover of the garment, with a crisp outline: float32 (size,size) each."""
    inside = Image.fromarray(np.where(row > FAINTEST, 255, 0).astype(np.uint8))
    outline = np.asarray(inside) > np.asarray(inside.filter(ImageFilter.MinFilter(3)))
    # A pixel of the outline is garment and white shop mixed: without the white it is as dark as its neighbours.
    pure = np.where(outline, np.asarray(Image.fromarray(row).filter(ImageFilter.MaxFilter(3))), row)
    mixed = np.round(255 * np.clip(OUTLINE * row / np.maximum(pure, 1), 0, 1)).astype(np.uint8)
    covered = np.where(outline, mixed, np.asarray(inside))
    dark, soft = (
        np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
        for part in (pure, covered)
    )
    return dark, np.clip((soft - 0.4) * 8 + 0.5, 0, 1)


def _ground(size: tuple[int, int], rng: np.random.Generator, *, white: bool) -> np.ndarray:
    tones = (
        [(255, 255, 255)] if white else [(225, 224, 220), (205, 190, 170), (190, 205, 215), (170, 170, 172)]
    )
    tone = np.array(tones[rng.integers(len(tones))], np.float32) / 255
    light = np.linspace(1, 1 if white else rng.uniform(0.8, 1), size[0], dtype=np.float32)
    return np.ones((size[1], size[0], 1), np.float32) * light[None, :, None] * tone
