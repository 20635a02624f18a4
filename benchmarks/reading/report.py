"""Read pages of every kind and write docs/reading.md's table and sheet: `python -m benchmarks.reading.report`."""

import argparse
import io
import os
import pickle
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.reading import pages
from benchmarks.reading.pages import KINDS, Page
from capsnet.predictor import Predictor, load
from capsnet.results import Reading
from training.data.datasets import load as load_data

FIRST_SEED = 60_000  # no page of these seeds was used in the development of the reader
APART = ("letters", "touching")  # kinds that are not well separated digits
CELL, CAPTION = 300, 30  # pixels of a sheet's cell and of the words above it
LARGE = 4  # enlargement of a page of 12 megapixels
TIMED = 5  # pages of 12 megapixels


@dataclass
class Score:
    """Counts of how pages of a kind were read."""

    pages: int = 0
    right_pages: int = 0
    lines: int = 0
    right_lines: int = 0
    digits: int = 0
    right: int = 0
    letters: int = 0
    refused: int = 0
    unlabelled: int = 0
    unsure: int = 0
    overlap: list[float] = field(default_factory=list)

    def add(self, page: Page, found: Reading) -> None:
        """Count a page."""
        known = [name for name in page.text if name.isdigit()]
        read = found.text.replace("?", "") if "?" in page.text else found.text
        wanted = page.text.replace("?", "")
        self.pages += 1
        self.right_pages += read == wanted
        lines, found_lines = wanted.split("\n"), read.split("\n")
        self.lines += len(lines)
        self.right_lines += sum(map(str.__eq__, lines, found_lines)) if len(lines) == len(found_lines) else 0
        self.digits += len(known)
        self.right += max(0, len(known) - edits(read, wanted))
        self.unsure += any(not digit.certain for digit in found.digits)
        self._letters(page, found)
        if len(found.digits) == len(page.boxes):
            self.overlap += [
                overlap(digit.box, box) for digit, box in zip(found.digits, page.boxes, strict=True)
            ]

    def _letters(self, page: Page, found: Reading) -> None:
        names = page.text.replace("\n", "")
        for name, box in zip(names, page.boxes, strict=True):
            if name == "?":
                x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                own = [d for d in found.digits if d.box[0] <= x <= d.box[2] and d.box[1] <= y <= d.box[3]]
                self.letters += 1
                self.refused += all(not digit.accepted for digit in own)
                self.unlabelled += all(digit.label is None for digit in own)


def main() -> None:
    """Make the pages, read them, print the table, and put it into the document."""
    options = _options()
    everything = _made(options)
    model = load(options.model)
    scores: dict[str, Score] = {}
    cells = []
    for name, own in everything.items():
        score = scores[name] = Score()
        for number, page in enumerate(own):
            found = model.read(page.data)
            score.add(page, found)
            if number == 0:
                cells.append(_cell(name, page, found))
        print(_line(name, score), flush=True)
    milliseconds = _speed(model, options)
    table = _table(scores, milliseconds)
    print(table)
    if options.output:
        insert(options.output / "reading.md", table)
        sheet(cells).save(options.output / "images" / "reading.png", optimize=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="the folder of the documents, to write them")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CAPSNET_DATA") or "../shared/data"))
    parser.add_argument("--model", default="mnist", help="a model's name or folder")
    parser.add_argument("--count", type=int, default=200, help="pages of each kind")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pages")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="seed of the first page")
    parser.add_argument("--keep", type=Path, help="keep the pages here, or take them from here")
    parser.add_argument("--enlargement", type=int, default=1, help="4 makes 12 megapixels of a photograph")
    return parser.parse_args()


def _made(options: argparse.Namespace) -> dict[str, list[Page]]:
    """Return the pages of each kind, from every second test digit: those not used in the development of the reader."""
    split = load_data("mnist", "test", options.data)
    make = partial(_make, rows=split.images[1::2, 0], labels=split.labels[1::2], options=options)
    tasks = [(name, number) for number in range(options.count) for name in KINDS]
    if options.workers > 1:
        with ProcessPoolExecutor(options.workers) as pool:
            made = list(pool.map(make, tasks, chunksize=4))
    else:
        made = [make(task) for task in tasks]
    found: dict[str, list[Page]] = {name: [] for name in KINDS}
    for (name, _), page in zip(tasks, made, strict=True):
        found[name].append(page)
    return found


def _make(task: tuple[str, int], rows: np.ndarray, labels: np.ndarray, options: argparse.Namespace) -> Page:
    name, number = task
    seed = options.seed + number
    kept = options.keep and options.keep / f"{name}-{seed}-{options.enlargement}.pickle"
    if kept and kept.is_file():
        page: Page = pickle.loads(kept.read_bytes())
        return page
    page = pages.make(name, rows, labels, seed, options.enlargement)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(page))
    return page


def edits(read: str, wanted: str) -> int:
    """Return the fewest insertions, deletions and changes that turn one string into the other."""
    before = list(range(len(wanted) + 1))
    for row, first in enumerate(read, 1):
        now = [row]
        for column, second in enumerate(wanted, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (first != second)))
        before = now
    return before[-1]


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the area that two boxes share, over the area that they cover together."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    tall = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(wide, 0.0) * max(tall, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return float(shared / (areas - shared))


def _speed(model: Predictor, options: argparse.Namespace) -> float:
    """Return the median CPU time of reading a 12-megapixel page of 20 digits, in milliseconds."""
    large = argparse.Namespace(**{**vars(options), "enlargement": LARGE})
    split = load_data("mnist", "test", options.data)
    times = []
    for number in range(TIMED):
        page = _make(("page of 20", number), split.images[1::2, 0], split.labels[1::2], large)
        begin = time.process_time()
        model.read(page.data)
        times.append(time.process_time() - begin)
    return 1000 * float(np.median(times))


def _line(name: str, score: Score) -> str:
    overlap_of_boxes = np.mean(score.overlap) if score.overlap else 0
    return (
        f"| {name} | {score.pages} | {score.digits} | {score.right / score.digits:.1%} | "
        f"{score.right_pages / score.pages:.1%} | {score.right_lines / score.lines:.1%} | {overlap_of_boxes:.2f} | "
        f"{score.unsure} |"
    )


def _table(scores: dict[str, Score], milliseconds: float) -> str:
    separate = [score for name, score in scores.items() if name not in APART]
    digits, right = (sum(getattr(each, name) for each in separate) for name in ("digits", "right"))
    count, whole = (sum(getattr(each, name) for each in separate) for name in ("pages", "right_pages"))
    letters = scores["letters"]
    return "\n".join(
        [
            "| kind | pages | digits | digits right | pages right | lines right | overlap of boxes | in doubt |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_line(name, score) for name, score in scores.items()),
            "",
            f"Of the well separated digits **{right / digits:.1%}** are read right; of their pages "
            f"**{whole / count:.1%}** have no error. Of {letters.letters} letters the guard refuses "
            f"{letters.refused / letters.letters:.0%}, and {letters.unlabelled / letters.letters:.0%} get no label. "
            f"A page of 20 digits with 12 megapixels takes **{milliseconds:.0f} ms** of CPU time (median of {TIMED}).",
        ]
    )


def _cell(name: str, page: Page, found: Reading) -> Image.Image:
    """Draw a page with the boxes that were found, and the text that was read."""
    image = Image.open(io.BytesIO(page.data)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for digit in found.digits:
        colour = (200, 30, 30) if digit.label is None else (0, 130, 60) if digit.certain else (220, 130, 0)
        pen.rectangle(digit.box, outline=colour, width=max(2, image.width // 350))
    low, high = page.boxes[:, :2].min(axis=0), page.boxes[:, 2:].max(axis=0)
    border = 0.08 * image.width
    crop = (*np.maximum(low - border, 0), *np.minimum(high + border, image.size))
    image = image.crop(tuple(int(edge) for edge in crop))  # type: ignore[arg-type]  # four numbers
    image.thumbnail((CELL, CELL - CAPTION))
    cell = Image.new("RGB", (CELL, CELL // 2 + CAPTION), "white")
    if image.height > CELL // 2:
        image.thumbnail((CELL, CELL // 2))
    cell.paste(image, (0, CAPTION))
    read = found.text.replace("\n", " / ")
    ImageDraw.Draw(cell).text((2, 2), f"{name}\n{read}", fill="black", font=ImageFont.load_default(12))
    return cell


def sheet(cells: Sequence[Image.Image], columns: int = 4) -> Image.Image:
    """Arrange all cells in rows."""
    rows = -(-len(cells) // columns)
    wide, tall = cells[0].size
    image = Image.new("RGB", (columns * (wide + 6), rows * (tall + 6)), "white")
    for number, cell in enumerate(cells):
        image.paste(cell, (number % columns * (wide + 6), number // columns * (tall + 6)))
    return image.quantize(128)


def insert(page: Path, text: str) -> None:
    """Insert the table between the comments of the document."""
    begin, end = "<!-- reading: begin -->", "<!-- reading: end -->"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main()
