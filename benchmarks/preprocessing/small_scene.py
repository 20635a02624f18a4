"""Draw whole scenes at the network's own size and one pixel beside it: grey paper, shading, lines, off centre."""

from functools import partial

import numpy as np
from PIL import Image

from benchmarks.preprocessing.screen import drawn, encode

FINE = 9  # times as large as the image is drawn before it is made small


def small_scene(row: np.ndarray, rng: np.random.Generator, _label: int, *, edge: int) -> bytes:
    """Draw a scene of `edge` x `edge` pixels; the same generator gives the same scene at every edge."""
    large = 28 * FINE
    cover = drawn(row, (large, large), rng, height=(0.35, 0.8), width=(0.08, 0.15))
    kind = rng.choice(["grey", "shaded", "white", "lines"])
    paper = rng.uniform(0.55, 0.9) if kind == "grey" else rng.uniform(0.85, 1.0)
    y, x = np.mgrid[:large, :large] / large - 0.5
    heading, depth = (
        rng.uniform(0, 2 * np.pi),
        rng.uniform(0.3, 0.6) if kind == "shaded" else rng.uniform(0, 0.1),
    )
    values = paper * (1 - depth * (x * np.cos(heading) + y * np.sin(heading) + 0.5))
    if kind == "lines":
        for side in rng.choice(4, rng.integers(1, 5), replace=False):
            band = int(rng.uniform(0.02, 0.07) * large)
            np.rot90(values, side)[:, :band] *= rng.uniform(0.05, 0.5)
    values = values * (1 - rng.uniform(0.6, 0.97) * cover)
    values = 1 - values if rng.random() < 0.2 else values
    image = Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    small = image.resize((edge, edge), Image.Resampling.BOX)
    grain = np.asarray(small) + rng.normal(0, rng.uniform(0, 3), (edge, edge))
    return encode(Image.fromarray(np.clip(np.round(grain), 0, 255).astype(np.uint8)))


SIZES = {f"scene-{edge}px": partial(small_scene, edge=edge) for edge in (27, 28, 29)}
