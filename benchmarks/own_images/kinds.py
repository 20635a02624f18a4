"""Draw folders of images as users have them: one function for each kind, one sub-folder for each class.

Every image is drawn from random numbers alone, so the folders need no download and no licence. Images are drawn on a
canvas of `SIDE` pixels and scaled to a random size; files differ in format and in mode.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
Random = np.random.Generator
Colour = tuple[int, int, int]
Draw = Callable[[str, Random], Image.Image]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of folder.

    Attributes
    ----------
    title
        What the images show, in a few words.
    classes, count
        Names of the classes, and images a class.
    sizes
        Smallest and largest edge of the files, in pixels.
    formats
        Pairs of a file ending and a Pillow mode, of which each image takes one.
    draw
        Draw one image of a class.
    """

    title: str
    classes: tuple[str, ...]
    count: int
    sizes: tuple[int, int]
    formats: tuple[tuple[str, str], ...]
    draw: Draw

    def write(self, folder: Path, seed: int, count: int | None = None) -> Path:
        """Write FOLDER/CLASS/NUMBER.ENDING for every class, always the same images for a seed."""
        for index, name in enumerate(self.classes):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count or self.count):
                random = np.random.default_rng([seed, index, number])
                image = self.draw(name, random).convert("RGB")
                ending, mode = self.formats[random.integers(len(self.formats))]
                edge = round(math.exp(random.uniform(*np.log(self.sizes))))
                size = (edge, max(self.sizes[0], round(edge * random.uniform(0.8, 1.0))))
                save(
                    image.resize(size, Image.Resampling.LANCZOS),
                    folder / name / f"{number:03}.{ending}",
                    mode,
                )
        return folder


def save(image: Image.Image, path: Path, mode: str) -> None:
    """Write an image in a mode: for `RGBA` and `P` with a transparent corner, as icons have."""
    if mode == "RGBA":
        image = image.convert("RGBA")
        image.putpixel((0, 0), (255, 255, 255, 0))
    elif mode == "P":
        image = image.quantize(64)
    else:
        image = image.convert(mode)
    image.save(path, quality=88)


def colour(random: Random, low: int = 0, high: int = 256) -> Colour:
    """Return a random colour."""
    red, green, blue = random.integers(low, high, 3).tolist()
    return red, green, blue


def polygon(corners: int, random: Random, *, inner: float = 1.0, phase: float | None = None) -> np.ndarray:
    """Return the corners (N,2) of a polygon or star, of a random size and angle, somewhere on the canvas."""
    size = random.uniform(0.2, 0.33) * SIDE
    middle = SIDE / 2 + random.uniform(-0.14, 0.14, 2) * SIDE
    turn = random.uniform(-0.35, 0.35) if phase is None else phase
    angles = turn - math.pi / 2 + 2 * math.pi * np.arange(corners) / corners
    reach = np.where(np.arange(corners) % 2, inner, 1.0) * size
    return middle + np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)


def points(array: np.ndarray) -> list[tuple[float, float]]:
    """Return an array (N,2) as Pillow takes it."""
    return [(float(x), float(y)) for x, y in array]


# ------------------------------------------------------------------------------------------------ line drawings


def line_drawing(name: str, random: Random) -> Image.Image:
    """Draw with a dark pen on light paper."""
    image = Image.new("L", (SIDE, SIDE), int(random.integers(215, 256)))
    pen = ImageDraw.Draw(image)
    t = np.linspace(0, 1, 120)
    across, down = {
        "spiral": (t * np.cos(15 * t), t * np.sin(15 * t)),
        "wave": (2 * t - 1, 0.5 * np.sin(13 * t)),
        "zigzag": (2 * t - 1, 0.6 * (np.abs((6 * t) % 2 - 1) * 2 - 1)),
        "eight": (np.sin(4 * math.pi * t), 0.9 * np.sin(2 * math.pi * t)),
        "loop": (1.6 * t - 0.8 + 0.3 * np.sin(18 * t), 0.5 * np.cos(18 * t)),
    }[name]
    line = np.stack([across, down], axis=1) * random.uniform(0.2, 0.42) * SIDE * random.uniform(0.8, 1.2, 2)
    angle = random.uniform(-0.5, 0.5)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    line = line @ turn + SIDE / 2 + random.uniform(-25, 25, 2) + random.normal(0, 1.0, line.shape)
    ink, width = int(random.integers(0, 80)), int(random.integers(5, 11))
    pen.line(points(line), fill=ink, width=width, joint="curve")
    return image


# ------------------------------------------------------------------------------------- coloured shapes on clutter


def clutter(random: Random) -> Image.Image:
    """Draw a background of blots in all colours."""
    image = Image.new("RGB", (SIDE, SIDE), colour(random))
    pen = ImageDraw.Draw(image)
    for _ in range(int(random.integers(12, 30))):
        corner, size = random.uniform(-20, SIDE, 2), random.uniform(8, 70, 2)
        box = [*corner.tolist(), *(corner + size).tolist()]
        (pen.rectangle if random.random() < 0.5 else pen.ellipse)(box, fill=colour(random, 30, 190))
    return image.filter(ImageFilter.GaussianBlur(random.uniform(3, 8)))


CORNERS = {"triangle": (3, 1.0), "square": (4, 1.0), "star": (10, 0.42), "disc": (60, 1.0)}


def shape_on_clutter(name: str, random: Random) -> Image.Image:
    """Draw a bright shape of any colour in front of clutter."""
    image = clutter(random)
    corners, inner = CORNERS[name]
    fill = colour(random)
    bright = max(fill) > 200
    fill = fill if bright else (255, fill[1], fill[2])
    shape = points(polygon(corners, random, inner=inner))
    ImageDraw.Draw(image).polygon(shape, fill=fill, outline=(20, 20, 20), width=4)
    return image


# ------------------------------------------------------------------------------------------------------- textures


def texture(name: str, random: Random) -> Image.Image:
    """Draw a surface that fills the image, in two colours, at any phase, scale and angle near upright."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle = random.uniform(-0.3, 0.3)
    u = x * math.cos(angle) + y * math.sin(angle) + random.random()
    v = y * math.cos(angle) - x * math.sin(angle) + random.random()
    f = random.uniform(4, 7)
    cell_u, cell_v = (u * f) % 1 - 0.5, (v * f) % 1 - 0.5
    rows = np.floor(v * f)
    brick = (u * f / 2 + 0.5 * (rows % 2)) % 1
    patterns: dict[str, Callable[[], np.ndarray]] = {
        "stripes": lambda: (cell_v > 0) * 1.0,
        "bars": lambda: (cell_u > 0) * 1.0,
        "checks": lambda: ((cell_u > 0) ^ (cell_v > 0)) * 1.0,
        "dots": lambda: (np.hypot(cell_u, cell_v) < 0.3) * 1.0,
        "bricks": lambda: ((brick > 0.08) & (np.abs(cell_v) < 0.42)) * 1.0,
        "grain": lambda: blurred_noise(random, random.uniform(4, 9)),
    }
    value = patterns[name]()
    first, second = np.array(colour(random, 0, 130)), np.array(colour(random, 120))
    if random.random() < 0.5:
        first, second = second, first
    mixed = first + (second - first) * value[..., None] + random.normal(0, 10, (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def blurred_noise(random: Random, radius: float) -> np.ndarray:
    """Return smooth noise (SIDE,SIDE) in [0,1]."""
    noise = Image.fromarray((random.random((SIDE, SIDE)) * 255).astype(np.uint8))
    values = np.asarray(noise.filter(ImageFilter.GaussianBlur(radius))).astype(float)
    levels: np.ndarray = np.clip((values - values.mean()) / (4 * values.std()) + 0.5, 0, 1)
    return levels


# ------------------------------------------------------------------------------------------ objects in a light


def lit_object(name: str, random: Random) -> Image.Image:
    """Draw an object on a table: a lamp shades its normals, and it casts a soft shadow."""
    y, x = (np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2) / (SIDE / 2)
    size = random.uniform(0.4, 0.6)
    x = (x - random.uniform(-0.2, 0.2)) / size
    y = (y - random.uniform(-0.15, 0.15)) / size
    height = np.zeros_like(x)
    radius = np.hypot(x, y)
    if name == "ball":
        inside, height = radius < 1, np.sqrt(np.clip(1 - radius**2, 0, None))
    elif name == "ring":
        tube = np.abs(np.hypot(x, y / 0.75) - 0.7)
        inside, height = tube < 0.28, np.sqrt(np.clip(0.28**2 - tube**2, 0, None))
    elif name == "can":
        inside, height = (np.abs(x) < 0.55) & (np.abs(y) < 0.95), np.sqrt(np.clip(0.55**2 - x**2, 0, None))
    elif name == "cone":
        half = np.clip((y + 1) / 2, 0, 1) * 0.85
        inside = (np.abs(x) < half) & (np.abs(y) < 1)
        height = np.sqrt(np.clip(half**2 - x**2, 0, None))
    else:  # a cube that shows two sides and its top
        top = (np.abs(x) * 0.5 + np.abs(y + 0.5)) < 0.45
        left, right = (x < 0) & (x > -0.9), (x >= 0) & (x < 0.9)
        side = (y + 0.5 > -np.abs(x) * 0.5 + 0.45) & (y - 0.5 < -np.abs(x) * 0.5 + 0.4)
        inside = top | (side & (left | right))
        height = np.where(top, -y, np.where(left, 0.6 * x, -0.6 * x)) * 0.9
    down, across = np.gradient(height, 2 / SIDE / size)
    lamp = np.array([random.uniform(-0.7, 0.7), random.uniform(-0.9, -0.3), 1.0])
    shade = (-across * lamp[0] - down * lamp[1] + lamp[2]) / np.sqrt(across**2 + down**2 + 1)
    shade = np.clip(shade / np.linalg.norm(lamp), 0, 1) * 0.8 + 0.15
    table = np.array(colour(random, 60, 230)) * (0.8 + 0.2 * blurred_noise(random, 20)[..., None])
    shadow = ((x + lamp[0] * 0.5) / 1.1) ** 2 + ((y - 0.9) / 0.3) ** 2
    table = table * (1 - 0.5 * np.exp(-shadow))[..., None]
    body = np.array(colour(random, 60)) * shade[..., None] + 60 * (shade[..., None] > 0.93)
    image = np.where(inside[..., None], body, table) + random.normal(0, 5, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


# ---------------------------------------------------------------------------------------------- signs and icons


SIGNS = (
    "arrow-up",
    "arrow-right",
    "arrow-down",
    "arrow-left",
    "cross",
    "plus",
    "bar",
    "moon",
    "ring",
    "heart",
)


def sign(name: str, random: Random) -> Image.Image:
    """Draw a sign in one colour on a plate of another."""
    back = colour(random)
    light = sum(back) > 384
    fore = colour(random, 0, 110) if light else colour(random, 150)
    image = Image.new("RGB", (SIDE, SIDE), back)
    layer = Image.new("L", (SIDE, SIDE), 0)
    pen = ImageDraw.Draw(layer)
    if name.startswith("arrow"):
        pen.polygon(
            [(128, 40), (200, 130), (150, 130), (150, 216), (106, 216), (106, 130), (56, 130)], fill=255
        )
        quarter = ("arrow-up", "arrow-left", "arrow-down", "arrow-right").index(name)
        layer = layer.rotate(90 * quarter)
    elif name in ("plus", "cross"):
        pen.rectangle([108, 44, 148, 212], fill=255)
        pen.rectangle([44, 108, 212, 148], fill=255)
        layer = layer.rotate(45 if name == "cross" else 0)
    elif name == "bar":
        pen.rectangle([40, 104, 216, 152], fill=255)
    elif name == "moon":
        pen.ellipse([50, 50, 206, 206], fill=255)
        pen.ellipse([95, 40, 235, 196], fill=0)
    elif name == "ring":
        pen.ellipse([46, 46, 210, 210], fill=255)
        pen.ellipse([88, 88, 168, 168], fill=0)
    else:
        t = np.linspace(0, 2 * math.pi, 90)
        heart = np.stack(
            [16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t))], axis=1
        )
        pen.polygon(points(heart * 5 + 128), fill=255)
    layer = layer.rotate(random.uniform(-15, 15))
    layer = layer.resize([round(SIDE * random.uniform(0.6, 0.95))] * 2)
    left, top = random.integers(0, SIDE - layer.width + 1, 2).tolist()
    image.paste(Image.new("RGB", layer.size, fore), (left, top), layer)
    return image


# ------------------------------------------------------------------------------------------------------ all kinds

JPEG, PNG = ("jpg", "RGB"), ("png", "RGB")
GREY, ALPHA, PALETTE, WEBP = ("png", "L"), ("png", "RGBA"), ("png", "P"), ("webp", "RGB")

KINDS = {
    "drawings": Kind(
        title="pen on paper, grey",
        classes=("eight", "loop", "spiral", "wave", "zigzag"),
        count=60,
        sizes=(150, 700),
        formats=(GREY, ("jpg", "L")),
        draw=line_drawing,
    ),
    "clutter": Kind(
        title="coloured shapes on clutter",
        classes=tuple(sorted(CORNERS)),
        count=100,
        sizes=(80, 400),
        formats=(JPEG, PNG, WEBP),
        draw=shape_on_clutter,
    ),
    "textures": Kind(
        title="textures",
        classes=("bars", "bricks", "checks", "dots", "grain", "stripes"),
        count=60,
        sizes=(64, 300),
        formats=(JPEG, PNG),
        draw=texture,
    ),
    "objects": Kind(
        title="objects in a light",
        classes=("ball", "can", "cone", "cube", "ring"),
        count=60,
        sizes=(400, 2000),
        formats=(JPEG,),
        draw=lit_object,
    ),
    "signs": Kind(
        title="signs, ten classes",
        classes=tuple(sorted(SIGNS)),
        count=40,
        sizes=(60, 500),
        formats=(JPEG, PNG, ALPHA, PALETTE),
        draw=sign,
    ),
    "icons": Kind(
        title="small icons, mixed modes",
        classes=("heart", "moon", "plus"),
        count=60,
        sizes=(24, 64),
        formats=(ALPHA, PALETTE, PNG, GREY),
        draw=sign,
    ),
    "few": Kind(
        title="two classes of twelve",
        classes=("ball", "cube"),
        count=12,
        sizes=(200, 1200),
        formats=(JPEG,),
        draw=lit_object,
    ),
}
