"""Measure how well and how fast images of each kind are read."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.preprocessing import catalogue
from capsnet.config import InputSpec
from capsnet.onnx_model import Model
from capsnet.preprocessing.pipeline import decode_uint8

SPECS = {
    "digits": InputSpec(channels=1, height=28, width=28, preprocess="mnist"),
    "products": InputSpec(channels=1, height=28, width=28, preprocess="fashion"),
}


@dataclass(frozen=True)
class Reading:
    """The network's inputs for the images of one kind, uint8 (n,1,28,28), and thumbnails of a few of them."""

    seen: np.ndarray
    shown: list[Image.Image]

    def save(self, path: Path) -> None:
        """Write the reading as an .npz file."""
        shown = {f"shown{number}": np.asarray(image) for number, image in enumerate(self.shown)}
        np.savez_compressed(path, seen=self.seen, **shown)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "Reading":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            shown = [Image.fromarray(arrays[name]) for name in arrays.files if name != "seen"]
            return cls(arrays["seen"], shown)


def read_kind(kind: str, rows: np.ndarray, *, enlargement: int, show: int = 0, workers: int = 1) -> Reading:
    """Make an image of each of the rows uint8 (n,28,28) and read it; keep thumbnails of the first `show`."""
    tasks = [(kind, row, number, enlargement, number < show) for number, row in enumerate(rows)]
    if workers == 1:
        results = [_read(task) for task in tasks]
    else:
        with ProcessPoolExecutor(workers) as pool:
            results = list(pool.map(_read, tasks, chunksize=4))
    return Reading(np.stack([seen for seen, _ in results]), [image for _, image in results if image])


def _read(task: tuple[str, np.ndarray, int, int, bool]) -> tuple[np.ndarray, Image.Image | None]:
    kind, row, number, enlargement, show = task
    data = catalogue.make(kind, row, number, enlargement)
    spec = SPECS["products" if kind in catalogue.PRODUCTS else "digits"]
    return decode_uint8(data, spec), thumbnail(data) if show else None


def thumbnail(data: bytes, edge: int = 112) -> Image.Image:
    """Return a small RGB version of an image as a person sees it; transparency becomes a chequered ground."""
    image: Image.Image = Image.open(io.BytesIO(data))
    exif = int(image.getexif().get(0x0112) or 1)
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}.get(
        exif
    )
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.thumbnail((edge, edge), Image.Resampling.BOX)
    image = image.convert("RGBA")
    image = image.transpose(turn) if turn else image
    y, x = np.mgrid[: image.height, : image.width] // 7
    chequered = Image.fromarray(np.where((x + y) % 2, 205, 235).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(chequered, image).convert("RGB")


def predictions(model: Model, images: np.ndarray) -> np.ndarray:
    """Return the class of each image uint8 (n,1,28,28): int64 (n,)."""
    return np.asarray(model.encode(images.astype(np.float32) / 255)[0].argmax(axis=1))


def cpu_milliseconds(data: bytes, repeats: int) -> float:
    """Return the median CPU time of reading one file, in milliseconds."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        decode_uint8(data, SPECS["digits"])
        times.append(time.process_time() - begin)
    return 1000 * float(np.median(times))


def speeds(row: np.ndarray) -> dict[str, float]:
    """Return milliseconds of CPU time by kind of file."""
    timed: dict[str, Callable[[], tuple[bytes, int]]] = {
        "12-megapixel JPEG, plain paper": lambda: (catalogue.make("ink", row, 0), 9),
        "12-megapixel JPEG, squared paper": lambda: (catalogue.make("squared", row, 0), 9),
        "1-megapixel JPEG, plain paper": lambda: (_one_megapixel("ink", row), 25),
        "1-megapixel JPEG, squared paper": lambda: (_one_megapixel("squared", row), 25),
        "28 × 28 PNG": lambda: (_saved(Image.fromarray(row), "PNG"), 500),
    }
    return {name: cpu_milliseconds(*make()) for name, make in timed.items()}


def _one_megapixel(kind: str, row: np.ndarray) -> bytes:
    image = Image.open(io.BytesIO(catalogue.make(kind, row, 0, 2))).resize((1152, 864))
    return _saved(image, "JPEG", quality=85)


def _saved(image: Image.Image, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
