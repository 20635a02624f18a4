"""Write the figures and the contact sheets of docs/pictures.md: `python -m tests.scenes.report --output docs`."""

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.onnx_model import Model, open_variants
from tests.scenes import kinds
from tests.scenes.measure import Reading, predictions, read_kind, speeds
from tests.scenes.photo import ENLARGEMENT
from training.datasets import Split, load

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
SHOWN = 5  # examples of a kind on a sheet
CELL, SEEN, CAPTION = 112, 56, 14
HEAVY = {"heic": 1}  # its encoder, not its decoder, takes seconds at full size


def main() -> None:
    """Measure every kind, draw the sheets and put the table into the page."""
    options = _options()
    rows: list[str] = []
    plain = {name: _plain(name, options) for name in ("mnist", "fashion_mnist")}
    for group, members in kinds.GROUPS.items():
        readings = {}
        for kind in members:
            name = "fashion_mnist" if kind in kinds.PRODUCTS else "mnist"
            known = plain[name]
            if known is None:
                continue
            readings[kind], line = _measured(kind, name, known, options)
            print(line, flush=True)
            rows.append(line)
        if readings:
            sheet(readings).save(options.output / "images" / f"pictures-{group}.png", optimize=True)
    digits = load("mnist", "test", options.data)
    times = [
        f"| {name} | {milliseconds:.2f} ms |" for name, milliseconds in speeds(digits.images[0, 0]).items()
    ]
    _insert(options.output / "pictures.md", _tables(rows, times, options.count))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--models", type=Path, default=Path("artifacts"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CAPSNET_DATA") or "../shared/data"))
    parser.add_argument("--count", type=int, default=200, help="pictures of each kind")
    parser.add_argument("--enlargement", type=int, default=ENLARGEMENT, help="4 makes 12 megapixels")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    return parser.parse_args()


def _plain(name: str, options: argparse.Namespace) -> tuple[Model, Split, np.ndarray] | None:
    """A shipped model, the test images that it is asked about, and which of them it reads right as they are."""
    folder = options.models / name
    if not (folder / "card.json").is_file():
        print(f"{folder} is no model; its kinds are left out")
        return None
    whole = load(name, "test", options.data)
    split = Split(whole.images[: options.count], whole.labels[: options.count])
    model = open_variants(folder)[1]["fp32"]
    return model, split, predictions(model, split.images) == split.labels


def _measured(
    kind: str, name: str, plain: tuple[Model, Split, np.ndarray], options: argparse.Namespace
) -> tuple[Reading, str]:
    model, split, right = plain
    enlargement = min(options.enlargement, HEAVY.get(kind, options.enlargement))
    reading = read_kind(
        kind, split.images[:, 0], enlargement=enlargement, show=SHOWN, workers=options.workers
    )
    correct = predictions(model, reading.seen) == split.labels
    share = correct[right].mean()
    return reading, f"| {kind} | {name} | {correct.mean():.1%} | {share:.1%} |"


def sheet(readings: dict[str, Reading]) -> Image.Image:
    """A row for each kind: its name, then each picture beside what the network saw."""
    width = SHOWN * (CELL + SEEN + 8)
    picture = Image.new("RGB", (width, len(readings) * (CELL + CAPTION)), (128, 128, 128))
    pen = ImageDraw.Draw(picture)
    for number, (kind, reading) in enumerate(readings.items()):
        top = number * (CELL + CAPTION)
        pen.text((4, top + 1), kind, fill="white")
        for index, shown in enumerate(reading.shown):
            left = index * (CELL + SEEN + 8)
            picture.paste(shown, (left, top + CAPTION))
            seen = Image.fromarray(reading.seen[index, 0]).resize((SEEN, SEEN), Image.Resampling.NEAREST)
            picture.paste(seen, (left + CELL + 2, top + CAPTION))
    return picture.quantize(128)


def _tables(rows: list[str], times: list[str], count: int) -> str:
    right = "| kind | model | right | of what the model reads right as a data-set row |\n| --- | --- | ---: | ---: |\n"
    digits = [float(row.split("|")[3].strip(" %")) for row in rows if "| mnist |" in row]
    overall = (
        f"\n\n{count} pictures of each kind; of all digits **{np.mean(digits):.1f} %** are read right.\n\n"
    )
    return (
        right
        + "\n".join(rows)
        + overall
        + "| read | CPU time, one core |\n| --- | ---: |\n"
        + "\n".join(times)
    )


def _insert(page: Path, tables: str) -> None:
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


if __name__ == "__main__":
    main()
