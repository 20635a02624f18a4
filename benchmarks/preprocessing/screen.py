"""Draw digits that never were on paper: on a canvas, in a screenshot, on transparency, in unusual files."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.preprocessing.pen import ink, trace
from capsnet.preprocessing.connected_components import find_components

WINDOWS = (
    # desktop, frame, title bar, its writing, page
    ((58, 110, 165), (200, 200, 205), (238, 238, 240), (60, 60, 60), (255, 255, 255)),
    ((30, 34, 40), (70, 72, 78), (48, 50, 56), (220, 220, 220), (250, 250, 248)),
    ((235, 235, 238), (150, 150, 155), (90, 120, 190), (255, 255, 255), (255, 255, 255)),
    ((20, 22, 26), (60, 62, 68), (44, 46, 52), (220, 220, 220), (30, 31, 34)),
)


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image's file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def drawn(
    row: np.ndarray,
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    height: tuple[float, float] = (0.45, 0.85),
    width: tuple[float, float] = (0.06, 0.13),
    turn: float = 5.0,
) -> np.ndarray:
    """Draw a row's digit somewhere on an empty canvas: float32 (h,w), 1 on the strokes."""
    digit = trace(row).turned(rng.uniform(-turn, turn))
    tip = rng.uniform(*width)
    tall = min(rng.uniform(*height) * size[1], 0.85 * size[0] / (digit.width + tip))
    half = np.array([digit.width / 2 + tip, 0.5 + tip]) * tall
    free = np.maximum(np.array(size) / 2 - half - 2, 0)
    middle = np.array(size) / 2 + rng.uniform(-0.8, 0.8, 2) * free
    return ink(digit.points * tall + middle, size, tip * tall, rng, uneven=0.05)


def painted(cover: np.ndarray, colour: tuple[int, ...], ground: tuple[int, ...]) -> Image.Image:
    """Return ink of one colour on a plain ground: RGB."""
    below, above = np.array(ground, np.float32), np.array(colour, np.float32)
    values = below + cover[..., None] * (above - below)
    return Image.fromarray(np.round(values).astype(np.uint8))


def canvas(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Draw on a page's canvas: a round brush, black on white or white on black."""
    edge = int(rng.choice([140, 200, 280, 400, 560]))
    cover = drawn(row, (edge, edge), rng)
    shades = ((0, 0, 0), (255, 255, 255)) if rng.random() < 0.5 else ((255, 255, 255), (0, 0, 0))
    return encode(painted(cover, *shades))


def screenshot(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Draw a painting program's window with frame, title bar and buttons, with or without the desktop around it."""
    width, height = int(rng.integers(500, 1400)), int(rng.integers(420, 900))
    desktop, frame, bar, writing, page = WINDOWS[rng.integers(len(WINDOWS))]
    margin = int(rng.choice([0, 0, int(rng.integers(8, 60))]))
    title = int(rng.integers(24, 44))
    image = Image.new("RGB", (width, height), desktop)
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = margin, margin, width - 1 - margin, height - 1 - margin
    pen.rectangle((left, top, right, bottom), fill=page, outline=frame, width=int(rng.integers(1, 5)))
    pen.rectangle((left, top, right, top + title), fill=bar, outline=frame)
    pen.text(
        (left + 12, top + title / 4),
        "untitled - Paint",
        fill=writing,
        font=ImageFont.load_default(title // 2),
    )
    for number in range(3):
        _button(pen, right - title * (number + 1), top, title, number, writing)
    inside = (right - left - 12, bottom - top - title - 12)
    dark = sum(page) > 380
    colour = (10, 10, 12) if dark else (240, 240, 240)
    cover = drawn(row, inside, rng, height=(0.35, 0.8), width=(0.04, 0.12))
    image.paste(painted(cover, colour, page), (left + 6, top + title + 6))
    return encode(image)


def _button(
    pen: ImageDraw.ImageDraw, left: float, top: float, size: int, kind: int, fill: tuple[int, int, int]
) -> None:
    a, b = size * 0.35, size * 0.65
    if kind == 0:
        pen.line((left + a, top + a, left + b, top + b), fill=fill)
        pen.line((left + a, top + b, left + b, top + a), fill=fill)
    elif kind == 1:
        pen.rectangle((left + a, top + a, left + b, top + b), outline=fill)
    else:
        pen.line((left + a, top + b, left + b, top + b), fill=fill)


def transparent(row: np.ndarray, rng: np.random.Generator, colour: tuple[int, int, int]) -> bytes:
    """Draw ink on a transparent ground."""
    size = (int(rng.integers(120, 700)), int(rng.integers(120, 700)))
    layer = Image.new("RGBA", size, colour)
    layer.putalpha(Image.fromarray(np.round(drawn(row, size, rng) * 255).astype(np.uint8)))
    return encode(layer, "WEBP", quality=85) if rng.random() < 0.2 else encode(layer)


def scan(row: np.ndarray, rng: np.random.Generator, **drawing: Any) -> Image.Image:
    """Return a clean scan: ink on almost white paper, RGB."""
    size = (int(rng.integers(200, 900)), int(rng.integers(200, 900)))
    paper = tuple(int(tone) for tone in rng.integers(235, 256, 3))
    colour = tuple(int(tone) for tone in rng.integers(0, 90, 3))
    return painted(drawn(row, size, rng, **drawing), colour, paper)


def palette(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save few colours in a palette."""
    image = scan(row, rng).quantize(int(rng.choice([2, 4, 16, 256])))
    return encode(image, "GIF" if rng.random() < 0.3 else "PNG")


def sixteen_bits(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save grey in 16 bits, as scanners do."""
    grey = np.asarray(scan(row, rng).convert("L")).astype(np.uint16)
    return encode(Image.fromarray(grey * 257))


def cmyk(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save a JPEG for print."""
    return encode(scan(row, rng).convert("CMYK"), "JPEG", quality=85)


def grey_alpha(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save grey with an alpha channel: ink on an opaque page, or on a transparent one."""
    image = scan(row, rng).convert("L")
    if rng.random() < 0.5:
        return encode(image.convert("LA"))
    layer = Image.new("LA", image.size, (int(rng.integers(0, 256)), 0))
    layer.putalpha(Image.fromarray(255 - np.asarray(image)).point(lambda level: max(0, level - 20)))
    return encode(layer)


def one_bit(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save black or white, dithered or not."""
    dither = Image.Dither.FLOYDSTEINBERG if rng.random() < 0.5 else Image.Dither.NONE
    return encode(scan(row, rng).convert("L").convert("1", dither=dither))


def progressive(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save a progressive JPEG."""
    return encode(scan(row, rng), "JPEG", quality=75, progressive=True)


def animated(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save the digit in the first frame, something else in the others."""
    first = scan(row, rng)
    others = [Image.new("RGB", first.size, tone) for tone in ("white", "black")]
    form = str(rng.choice(["GIF", "WEBP", "PNG"]))
    return encode(first, form, save_all=True, append_images=others)


def thin(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Draw hairlines."""
    return encode(scan(row, rng, height=(0.5, 0.85), width=(0.012, 0.02)))


def thick(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Draw with a brush, as wide as possible with the loops still open."""
    open_loops = loops(drawn(row, (200, 200), rng, width=(0.03, 0.03), turn=0))
    for width in (0.2, 0.18, 0.16, 0.14):
        if loops(drawn(row, (200, 200), rng, width=(width, width), turn=0)) == open_loops:
            break
    return encode(scan(row, rng, height=(0.5, 0.8), width=(width * 0.8, width * 0.9)))


def loops(cover: np.ndarray) -> int:
    """Count the loops that a drawing on an empty page closes, without specks."""
    empty = find_components(cover < 0.5, cover)
    return int((empty.pixels > 60).sum()) - 1


def tiny(row: np.ndarray, rng: np.random.Generator) -> bytes:
    """Draw a small digit on a large page."""
    size = (int(rng.integers(700, 1600)), int(rng.integers(700, 1600)))
    height = rng.uniform(0.03, 0.07)
    cover = drawn(row, size, rng, height=(height, height), width=(0.06, 0.13))
    return encode(painted(cover, (20, 20, 24), (250, 250, 248)))
