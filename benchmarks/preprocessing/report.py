"""Write figures and contact sheets of docs/images.md: `python -m benchmarks.preprocessing.report --output docs`."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.preprocessing import catalogue, guard_table, ood_images, reported
from benchmarks.preprocessing.guard_table import Judged, judge
from benchmarks.preprocessing.measure import SPECS, Reading, read_kind, speeds, thumbnail
from benchmarks.preprocessing.photo import ENLARGEMENT
from capsnet.card import Guard
from capsnet.config import InputSpec
from capsnet.onnx_model import Model, open_variants
from capsnet.preprocessing.pipeline import decode_uint8
from training.data.datasets import DatasetPart, load

SHOWN = 5  # examples of a kind on a sheet
CELL, SEEN, CAPTION = 112, 56, 14
HEAVY = {"heic": 1}  # its encoder, not its decoder, takes seconds at full size
REPORTED_FIRST = 7000  # the first number of each reported kind; none was used for tuning
REPORTED, REPORTED_HARM = 100, 400  # how many, and where at most 3 % may be wrong: of 100 that is three
COLOURS, GREYS = 128, 16  # of a sheet
OUTLIERS = 1000  # images of each kind that the guard should refuse
OUTLIER_SEED = 2026


@dataclass(frozen=True)
class Subject:
    """A shipped model, its test set, and the model's answers for that."""

    name: str
    spec: InputSpec
    model: Model
    thresholds: Guard
    test: DatasetPart
    judged: Judged


def main() -> None:
    """Measure every kind, draw the sheets and put the tables into the page."""
    options = _options()
    found = {name: _subject(name, options) for name in ("mnist", "fashion_mnist")}
    subjects = {name: subject for name, subject in found.items() if subject}
    if "mnist" in subjects:
        _insert(options.output / "images.md", "reported", _report_reported(subjects["mnist"], options))
    if options.reported:
        return
    rows: list[str] = []
    photographs: dict[str, list[Judged]] = {name: [] for name in subjects}
    for group, members in catalogue.GROUPS.items():
        readings = {}
        for kind in members:
            name = "fashion_mnist" if kind in catalogue.PRODUCTS else "mnist"
            if name not in subjects:
                continue
            readings[kind] = _reading(kind, subjects[name], options)
            line, well_read = _measured(kind, subjects[name], readings[kind])
            print(line, flush=True)
            rows.append(line)
            photographs[name].append(well_read)
        if readings:
            sheet(readings).save(options.output / "images" / f"kinds-{group}.png", optimize=True)
    page = options.output / "images.md"
    times = speeds(subjects["mnist"].test.images[0, 0])
    _insert(page, "figures", _tables(rows, times, options.count))
    groups = {name: _outliers(subject, photographs[name], options) for name, subject in subjects.items()}
    _insert(page, "guard", _guard_table(subjects, groups))
    drawn = {"test images": subjects["mnist"].judged, **groups["mnist"]}
    guard_table.draw(drawn, options.output / "images" / "guard.png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--models", type=Path, default=Path("artifacts"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CAPSNET_DATA") or "../shared/data"))
    parser.add_argument("--count", type=int, default=200, help="images of each kind")
    parser.add_argument("--enlargement", type=int, default=ENLARGEMENT, help="4 makes 12 megapixels")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--reported", action="store_true", help="only the kinds that people reported")
    parser.add_argument("--readings", type=Path, help="keep what was read here, to judge another model by it")
    return parser.parse_args()


def _report_reported(subject: Subject, options: argparse.Namespace) -> str:
    """Measure the kinds that people reported and draw their sheets; return the table."""
    lines = [
        "| kind | images | read | wrong and accepted | accepted | bar |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for group, members in reported.GROUPS.items():
        readings = {}
        for kind in members:
            line, readings[kind] = _reported(kind, subject)
            print(line, flush=True)
            lines.append(line)
        colours = COLOURS if group == "tones" else GREYS  # few colours would give soft tones an edge
        sheet(readings, colours).save(options.output / "images" / f"reported-{group}.png", optimize=True)
    return "\n".join(lines)


def _reported(kind: str, subject: Subject) -> tuple[str, Reading]:
    """Return the row of a reported kind, and its examples; an image that became blank counts as not read."""
    bar = reported.KINDS[kind]
    count = REPORTED if bar.harm == 1 else REPORTED_HARM
    numbers = range(REPORTED_FIRST, REPORTED_FIRST + count)
    made, labels = zip(*(reported.make(kind, subject.test, number) for number in numbers), strict=True)
    seen = np.stack([decode_uint8(data, SPECS["digits"]) for data in made])
    judged = judge(subject.model, subject.thresholds, seen)
    drawn = seen.any(axis=(1, 2, 3))
    right, accepted = (judged.label == np.array(labels)) & drawn, judged.accepted & drawn
    read = f"{right.mean():.1%}" if bar.read else ""
    bars = [f"{bar.read:.0%} read"] * (bar.read > 0) + [f"{bar.harm:.0%} wrong"] * (bar.harm < 1)
    shares = f"{(accepted & ~right).mean():.1%} | {accepted.mean():.1%}"
    shown = [thumbnail(data) for data in made[:SHOWN]]
    return f"| {kind} | {count} | {read} | {shares} | {', '.join(bars)} |", Reading(seen, shown)


def _subject(name: str, options: argparse.Namespace) -> Subject | None:
    folder = options.models / name
    if not (folder / "card.json").is_file():
        print(f"{folder} is no model; its kinds are left out")
        return None
    card, variants = open_variants(folder)
    test, model, thresholds = load(name, "test", options.data), variants["fp32"], card.variants["fp32"].guard
    return Subject(name, card.input, model, thresholds, test, judge(model, thresholds, test.images))


def _reading(kind: str, subject: Subject, options: argparse.Namespace) -> Reading:
    """Return the network's inputs for a kind, from an earlier run if it kept them."""
    kept = options.readings and options.readings / f"{kind}-{options.count}-{options.enlargement}.npz"
    if kept and kept.is_file():
        return Reading.load(kept)
    enlargement = min(options.enlargement, HEAVY.get(kind, options.enlargement))
    rows = subject.test.images[: options.count, 0]
    reading = read_kind(kind, rows, enlargement=enlargement, show=SHOWN, workers=options.workers)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        reading.save(kept)
    return reading


def _measured(kind: str, subject: Subject, reading: Reading) -> tuple[str, Judged]:
    """Return the row of a kind, and the guard's answers for the images that are read right."""
    count = len(reading.seen)
    labels = subject.test.labels[:count]
    judged = judge(subject.model, subject.thresholds, reading.seen)
    # The network calls a blank a 1, which is no reading.
    correct = (judged.label == labels) & reading.seen.reshape(count, -1).any(axis=1)
    share = correct[subject.judged.label[:count] == labels].mean()
    refused = 1 - judged.accepted[correct].mean()
    line = f"| {kind} | {subject.name} | {correct.mean():.1%} | {share:.1%} | {refused:.1%} |"
    return line, Judged(judged.label[correct], judged.score[correct], judged.accepted[correct])


def _outliers(subject: Subject, photographs: list[Judged], options: argparse.Namespace) -> dict[str, Judged]:
    """Return the guard's answers for photographs read right, the other data set, and each kind of outlier."""
    other = "mnist" if subject.name == "fashion_mnist" else "fashion_mnist"
    images = {f"{other}, test images": load(other, "test", options.data).images}
    for kind, maker in ood_images.REPORTED.items():
        images[kind] = ood_images.make(maker, OUTLIERS, OUTLIER_SEED, subject.spec)[:, None]
    joined = zip(*((each.label, each.score, each.accepted) for each in photographs), strict=True)
    return {
        "kinds above, read right": Judged(*(np.concatenate(values) for values in joined)),
        **{kind: judge(subject.model, subject.thresholds, seen) for kind, seen in images.items()},
    }


def sheet(readings: dict[str, Reading], colours: int = COLOURS) -> Image.Image:
    """Draw a row for each kind: its name, then each image beside the network's input."""
    width = SHOWN * (CELL + SEEN + 8)
    image = Image.new("RGB", (width, len(readings) * (CELL + CAPTION)), (128, 128, 128))
    pen = ImageDraw.Draw(image)
    for number, (kind, reading) in enumerate(readings.items()):
        top = number * (CELL + CAPTION)
        pen.text((4, top + 1), kind, fill="white")
        for index, shown in enumerate(reading.shown):
            left = index * (CELL + SEEN + 8)
            image.paste(shown, (left, top + CAPTION))
            seen = Image.fromarray(reading.seen[index, 0]).resize((SEEN, SEEN), Image.Resampling.NEAREST)
            image.paste(seen, (left + CELL + 2, top + CAPTION))
    return image.quantize(colours)


def _tables(rows: list[str], times: dict[str, float], count: int) -> str:
    digits = [float(row.split("|")[3].strip(" %")) for row in rows if "| mnist |" in row]
    lines = [
        "| kind | model | right | of what the model reads right as a data-set row | of the right ones refused |",
        "| --- | --- | ---: | ---: | ---: |",
        *rows,
        "",
        f"{count} images of each kind; of all digits **{np.mean(digits):.1f} %** are read right.",
        "",
        "| read | CPU time, one core |",
        "| --- | ---: |",
        *(f"| {name} | {milliseconds:.2f} ms |" for name, milliseconds in times.items()),
    ]
    return "\n".join(lines)


def _guard_table(subjects: dict[str, Subject], groups: dict[str, dict[str, Judged]]) -> str:
    head = "| images | model | how many | refused | AUROC |\n| --- | --- | ---: | ---: | ---: |\n"
    return head + "\n".join(guard_table.table(name, subjects[name].judged, groups[name]) for name in subjects)


def _insert(page: Path, name: str, text: str) -> None:
    """Insert a text between the two comments of its name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main()
