"""Measure what the one command makes of each kind of own images, and print the table of docs/training.md.

    python -m benchmarks.own_images [KIND …] [--output FOLDER]

Each kind is drawn, trained on and exported with the command that the README names, then measured on new images of the
kind, on digits, on noise and on the other kinds. Figures lie in FOLDER/KIND.json; a kind that has them is not repeated.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.own_images.kinds import KINDS
from benchmarks.own_images.measure import Result, measure, table


def main() -> None:
    """Measure the named kinds, or all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "--output", type=Path, default=Path("runs/own-images"), help="Folder of images and figures."
    )
    parser.add_argument(
        "--minutes", help="Bound on the time of a run, for machines that do something else as well."
    )
    parser.add_argument("--draw", type=int, default=0, help="Number of the draw: each has images of its own.")
    words = parser.parse_args()
    options = [] if words.minutes is None else ["--minutes", words.minutes]
    results = []
    for name in words.kinds or KINDS:
        file = words.output / f"{name}.json"
        if file.is_file():
            results.append(Result(**json.loads(file.read_text(encoding="utf-8"))))
            continue
        results.append(measure(name, words.output.resolve(), *options, draw=words.draw))
        file.write_text(json.dumps(asdict(results[-1]), indent=2) + "\n", encoding="utf-8")
        print(table(results), flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
