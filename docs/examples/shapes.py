"""Draw circles, squares, stars and triangles as a pen would, in one folder a class: the images of docs/tutorial.md.

python docs/examples/shapes.py FOLDER COUNT [SEED]
"""

import math
import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

SIDE = 96  # pixels
CORNERS = {"circle": 48, "square": 4, "star": 10, "triangle": 3}

Point = tuple[float, float]


def outline(shape: str, chance: Random) -> list[Point]:
    """Return the corners of a shape, each a little off, with the first one again at the end."""
    count = CORNERS[shape]
    size = chance.uniform(24, 40)
    turn = chance.uniform(-0.3, 0.3)
    squeeze = chance.uniform(0.85, 1.15)
    shake = 0.2 if shape == "circle" else 1.5
    points = []
    for corner in range(count):
        reach = size * (0.45 if shape == "star" and corner % 2 else 1.0)
        angle = turn - math.pi / 2 + 2 * math.pi * corner / count + (math.pi / 4 if shape == "square" else 0)
        across = SIDE / 2 + squeeze * reach * math.cos(angle) + chance.gauss(0, shake)
        down = SIDE / 2 + reach * math.sin(angle) + chance.gauss(0, shake)
        points.append((across, down))
    return [*points, points[0]]


def draw(shape: str, chance: Random) -> Image.Image:
    """Dark ink on light paper."""
    image = Image.new("L", (SIDE, SIDE), chance.randint(220, 255))
    pen = ImageDraw.Draw(image)
    pen.line(outline(shape, chance), fill=chance.randint(0, 60), width=chance.randint(4, 9), joint="curve")
    return image


def main() -> None:
    """Write FOLDER/CLASS/NUMBER.png for every class."""
    folder, count, *seed = sys.argv[1:]
    chance = Random(int(seed[0]) if seed else 0)  # noqa: S311  # no secret
    for shape in CORNERS:
        (Path(folder) / shape).mkdir(parents=True, exist_ok=True)
        for number in range(int(count)):
            draw(shape, chance).save(Path(folder) / shape / f"{number:03}.png")


if __name__ == "__main__":
    main()
