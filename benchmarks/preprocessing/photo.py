"""Photograph handwriting as a phone does: a page or a board, a pen, the light, the camera.

A scene is drawn at a quarter of the camera's resolution, because a phone's photograph is no sharper, and enlarged at
the end.
"""

import importlib
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.preprocessing.noise import noise, stretched
from benchmarks.preprocessing.pen import Trace, ink, trace

SCENE = (1008, 756)
ENLARGEMENT = 4  # gives 12.2 megapixels
SIDEWAYS = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Pen:
    """A tip and its stroke: `width` in shares of the digit's height, `strength` of the cover (0 to 1)."""

    width: tuple[float, float]
    strength: tuple[float, float]
    colours: tuple[tuple[int, int, int], ...]
    grain: float = 0.0  # how much of the ground's tooth shows through
    uneven: float = 0.15


INK = Pen((0.035, 0.07), (0.8, 0.97), ((25, 30, 60), (20, 20, 24), (28, 45, 130), (120, 20, 30)), 0.05)
PENCIL = Pen((0.02, 0.04), (0.4, 0.65), ((70, 70, 74),), 0.4, 0.25)
MARKER = Pen(
    (0.09, 0.15), (0.85, 0.97), ((22, 22, 26), (20, 50, 140), (170, 25, 30), (15, 110, 60)), 0.05, 0.08
)
CHALK = Pen((0.05, 0.1), (0.6, 0.9), ((240, 240, 235), (240, 225, 150), (240, 180, 190)), 0.5, 0.2)
PENS = (INK, PENCIL, MARKER)


@dataclass(frozen=True)
class Setting:
    """The settings of a photograph; everything else is random.

    Attributes
    ----------
    pens
        One of them is taken.
    ground
        `white`, `yellowed`, `whiteboard` or `blackboard`.
    lines
        `none`, `ruled` or `squared`.
    gradient
        How much lighter the brightest side is than the darkest.
    shadow, stray, edge
        A shadow's edge, stray marks, the paper's edge in the frame.
    turn
        Largest turn either way, in degrees.
    height
        Smallest and largest height of the digit, in shares of the shorter edge.
    orientation
        The EXIF orientations that the camera is held in.
    """

    pens: tuple[Pen, ...] = PENS
    ground: str = "white"
    lines: str = "none"
    gradient: tuple[float, float] = (1.05, 1.5)
    shadow: bool = False
    stray: bool = False
    edge: bool = False
    turn: tuple[float, float] = (0.0, 4.0)
    height: tuple[float, float] = (0.3, 0.65)
    orientation: tuple[int, ...] = (1,)
    quality: tuple[int, int] = (80, 92)
    form: str = "JPEG"


@dataclass
class PhotoScene:
    """A scene in progress: reflectance (h,w,3) in [0,1], and the place of the digit."""

    reflectance: np.ndarray
    middle: np.ndarray
    height: float  # of the digit, in pixels
    angle: float
    rng: np.random.Generator
    size: tuple[int, int] = field(default=SCENE)


def photograph(
    row: np.ndarray, setting: Setting, rng: np.random.Generator, enlargement: int = ENLARGEMENT
) -> bytes:
    """Return a file as the camera writes it: a row's digit in a setting."""
    scene = _stage(setting, rng)
    pen = setting.pens[rng.integers(len(setting.pens))]
    digit = trace(row).turned(scene.angle)
    if setting.stray:
        _stray_marks(scene, pen, row)
    _write(scene, pen, digit.points * scene.height + scene.middle, scene.height)
    if setting.edge:
        _paper_edge(scene)
    light = lit(scene, setting)
    image = exposed(scene.reflectance * light[..., None], rng)
    image = image.resize([edge * enlargement for edge in image.size], Image.Resampling.BILINEAR)
    return saved(image, setting, rng)


def _stage(setting: Setting, rng: np.random.Generator) -> PhotoScene:
    """Return an empty page or board, and the place of the digit."""
    size = SCENE if rng.random() < 0.6 else SCENE[::-1]
    height = rng.uniform(*setting.height) * min(size)
    # A digit at most 1.6 times as wide as high must stay in the frame.
    free = np.maximum(np.array(size) / 2 - 0.75 * height, 0) * (0.35 if setting.edge else 0.6)
    middle = np.array(size) / 2 + rng.uniform(-1, 1, 2) * free
    angle = rng.uniform(*setting.turn) * rng.choice([-1, 1])
    scene = PhotoScene(bare_ground(setting.ground, size, rng), middle, height, angle, rng, size)
    if setting.lines != "none":
        rule(scene, setting.lines)
    return scene


def bare_ground(kind: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw the bare page or board: float32 (h,w,3)."""
    tones = {
        "white": (235, 234, 230),
        "yellowed": (222, 203, 160),
        "whiteboard": (236, 238, 240),
        "blackboard": [(38, 40, 40), (36, 62, 50), (24, 26, 30)][rng.integers(3)],
    }
    tone = np.array(tones[kind], np.float32) * rng.uniform(0.94, 1.03)
    cloudy = {"white": 0.006, "yellowed": 0.03, "whiteboard": 0.008, "blackboard": 0.1}[kind]
    cloud = cloudy * noise(size, 120, rng) + 0.006 * noise(size, 3, rng)
    if kind == "blackboard":  # traces of the sponge
        cloud = cloud + 0.1 * noise(size, 40, rng) + 0.05 * np.abs(stretched(size, 160, 20, rng))
    if kind == "yellowed":
        cloud = cloud + 0.015 * noise(size, 18, rng)
    return (tone / 255 * (1 + cloud[..., None])).astype(np.float32)


def rule(scene: PhotoScene, lines: str) -> None:
    """Print lines on the page, rotated like the writing and seen at a small angle."""
    rng, (width, height) = scene.rng, scene.size
    spacing = scene.height / (rng.uniform(0.9, 2.4) if lines == "ruled" else rng.uniform(1.5, 4.0))
    thickness = max(spacing * rng.uniform(0.025, 0.05), 1.5)
    strength = rng.uniform(0.15, 0.4)
    colour = np.array([(120, 150, 200), (140, 140, 150), (150, 130, 180)][rng.integers(3)], np.float32) / 255
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, lean = np.radians(scene.angle + rng.normal(0, 1.5)), rng.normal(0, 0.03, 2)
    depth = 1 + lean[0] * (x / width - 0.5) + lean[1] * (y / height - 0.5)
    across = (-x * np.sin(angle) + y * np.cos(angle)) * depth + rng.uniform(0, spacing)
    cover = _lattice(across, spacing, thickness)
    if lines == "squared":
        along = (x * np.cos(angle) + y * np.sin(angle)) * depth + rng.uniform(0, spacing)
        cover = np.maximum(cover, _lattice(along, spacing, thickness))
    cover = cover * (1 + 0.1 * noise(scene.size, 6, rng)) * strength / (1 - colour.min())
    lay(scene, np.clip(cover, 0, 1), colour)


def _lattice(position: np.ndarray, spacing: float, thickness: float) -> np.ndarray:
    distance = np.abs((position + spacing / 2) % spacing - spacing / 2)
    return np.clip((thickness - distance * 2) / 2 + 0.5, 0, 1)


def lay(scene: PhotoScene, cover: np.ndarray, colour: np.ndarray) -> None:
    """Blend a colour into the scene, with `cover` (h,w) as the weight."""
    scene.reflectance += cover[..., None] * (colour - scene.reflectance)


def _write(scene: PhotoScene, pen: Pen, positions: np.ndarray, height: float) -> None:
    """Draw lines through positions (n,2) in pixels; the width depends on the height of the writing."""
    rng = scene.rng
    stroke = ink(positions, scene.size, height * rng.uniform(*pen.width), rng, uneven=pen.uneven)
    tooth = np.clip(1 + pen.grain * (noise(scene.size, 1.6, rng) - 0.3), 0, 1)
    slow = np.clip(1 + 0.08 * noise(scene.size, height / 3, rng), 0, 1)
    colour = np.array(pen.colours[rng.integers(len(pen.colours))], np.float32) / 255
    lay(scene, stroke * tooth * slow * rng.uniform(*pen.strength), colour)


def _stray_marks(scene: PhotoScene, pen: Pen, row: np.ndarray) -> None:
    """Draw dots, ticks and dashes around the digit, sometimes a neighbour that the frame cuts."""
    rng = scene.rng
    for _ in range(rng.integers(2, 7)):
        length = scene.height * rng.choice([0.0, rng.uniform(0.04, 0.22)])
        place = rng.uniform(0.03, 0.97, 2) * scene.size
        if _too_near(scene, place, length):
            continue
        bend, heading = rng.normal(0, 0.6), rng.uniform(0, 2 * np.pi)
        t = np.linspace(0, 1, 60)
        course = heading + bend * t * 2
        line = np.stack([np.cos(course), np.sin(course)], axis=1) * length / 60
        _write(scene, pen, place + np.cumsum(line, axis=0), scene.height)
    if rng.random() < 0.35:
        _neighbour(scene, pen, trace(row[::-1]))


def _neighbour(scene: PhotoScene, pen: Pen, other: Trace) -> None:
    """Draw other writing, most of it outside the frame."""
    side = scene.rng.integers(2)
    place = np.array([scene.rng.uniform(0.2, 0.8) * scene.size[0], (0, scene.size[1])[side]])
    place[1] += (-1, 1)[side] * scene.height * 0.3
    if not _too_near(scene, place, scene.height):
        _write(scene, pen, other.points * scene.height * 0.8 + place, scene.height)


def _too_near(scene: PhotoScene, place: np.ndarray, length: float) -> bool:
    return bool(np.max(np.abs(place - scene.middle)) < scene.height * 0.72 + length)


def _paper_edge(scene: PhotoScene) -> None:
    """Draw a table beside the paper on one or two sides, and the paper's thin shadow on it."""
    rng, (width, height) = scene.rng, scene.size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    wood = [(120, 82, 52), (60, 45, 38), (160, 125, 90), (90, 92, 96), (40, 42, 46)][rng.integers(5)]
    table = np.array(wood, np.float32) / 255 * rng.uniform(0.8, 1.1)
    grain = 1 + 0.09 * stretched(scene.size, rng.uniform(150, 500), rng.uniform(4, 12), rng)
    for side in rng.choice(4, rng.integers(1, 3), replace=False):
        tilt = np.radians(scene.angle + rng.normal(0, 2)) + side * np.pi / 2
        outward = np.array([np.sin(tilt), -np.cos(tilt)])
        reach = abs(outward) @ np.array(scene.size) / 2
        digit = outward @ (scene.middle - np.array(scene.size) / 2) + scene.height * 0.75
        edge = max(reach * rng.uniform(0.68, 0.95), digit)
        beyond = (x - width / 2) * outward[0] + (y - height / 2) * outward[1] - edge
        shade = 1 - 0.35 * np.exp(-np.clip(beyond, 0, None) / 8)
        cover = np.clip(beyond / 1.5 + 0.5, 0, 1)[..., None]
        scene.reflectance += cover * (table * (grain * shade)[..., None] - scene.reflectance)


def lit(scene: PhotoScene, setting: Setting) -> np.ndarray:
    """Return the light on the page: float32 (h,w), 1 where it is brightest."""
    rng, (width, height) = scene.rng, scene.size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    heading = rng.uniform(0, 2 * np.pi)
    slope = (x / width - 0.5) * np.cos(heading) + (y / height - 0.5) * np.sin(heading)
    slope = (slope - slope.min()) / np.ptp(slope)
    light = rng.uniform(*setting.gradient) ** -slope
    radius = np.hypot(x / width - 0.5, y / height - 0.5)
    light *= 1 - rng.uniform(0, 0.25) * radius**2
    if setting.ground == "whiteboard":  # a lamp's reflection
        spot = rng.uniform(0, 1, 2) * scene.size
        light = light + 0.25 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (0.15 * width) ** 2)
    if setting.shadow:
        light = light * _shadow(scene, x, y)
    return np.asarray(light.astype(np.float32))


def _shadow(scene: PhotoScene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the edge of a hand's or a phone's shadow, through the digit or beside it."""
    rng = scene.rng
    heading, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 4) * scene.size[0]
    through = scene.middle + rng.uniform(-0.8, 0.8) * scene.height * np.array(
        [np.cos(heading), np.sin(heading)]
    )
    centre = through + radius * np.array([np.cos(heading), np.sin(heading)])
    inside = radius - np.hypot(x - centre[0], y - centre[1])
    softness = rng.uniform(4, 50)
    return np.asarray(1 - rng.uniform(0.3, 0.55) / (1 + np.exp(-np.clip(inside / softness * 4, -30, 30))))


def exposed(radiance: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Return the image of lens and sensor: RGB."""
    exposure = rng.uniform(0.82, 1.0)
    size = radiance.shape[1::-1]
    grain = rng.uniform(0.003, 0.012) * noise(size, 1, rng) + 0.003 * noise(size, 2.5, rng)
    cast = 1 + rng.normal(0, 0.012, 3).astype(np.float32)
    values = np.clip(radiance * exposure * cast + grain[..., None], 0, 1)
    image = Image.fromarray(np.round(values * 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))


def saved(image: Image.Image, setting: Setting, rng: np.random.Generator) -> bytes:
    """Return the file of an image, with its EXIF orientation."""
    orientation = int(rng.choice(setting.orientation))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if orientation in SIDEWAYS:
        image = image.transpose(SIDEWAYS[orientation])
    options = {}
    if setting.form == "HEIF":
        importlib.import_module("pillow_heif").register_heif_opener()
        options = {"enc_params": {"preset": "ultrafast"}}  # the default takes seconds
    file = io.BytesIO()
    quality = int(rng.integers(setting.quality[0], setting.quality[1] + 1))
    image.save(file, setting.form, quality=quality, exif=exif.tobytes(), **options)
    return file.getvalue()
