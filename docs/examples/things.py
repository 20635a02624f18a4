"""Draw balls, cans, cones, cubes and rings in a light: the photographs of docs/training.md.

    python -m docs.examples.things FOLDER COUNT [SEED]

COUNT images a class. The drawing is that of the benchmark `benchmarks.own_images`.
"""

import sys
from pathlib import Path

from benchmarks.own_images.kinds import KINDS


def main() -> None:
    """Write FOLDER/ball/000.jpg and so on."""
    folder, count, *seed = sys.argv[1:]
    KINDS["objects"].write(Path(folder), int(seed[0]) if seed else 0, int(count))


if __name__ == "__main__":
    main()
