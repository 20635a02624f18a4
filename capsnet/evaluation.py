"""Measure a model on a folder with one sub-folder a class: accuracy, confusions, and a sheet of the mistakes.

    from capsnet import load
    from capsnet.evaluation import evaluate

    found = evaluate(load("mnist"), "folder")
    print(found.accuracy, found.confusion)

Works with a `Client` as with a model in this process.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capsnet.errors import CapsnetError
from capsnet.image_encoding import Png, printable, walk
from capsnet.results import Classification

if TYPE_CHECKING:
    from PIL import ImageDraw

    from capsnet.client.sync_client import Client
    from capsnet.predictor import Predictor

# A mistake on the sheet: the edge of its picture, and the height of a line of text, in pixels.
THUMBNAIL, LINE, GAP = 128, 14, 6
MOST_MISTAKES, COLUMNS = 60, 6
PAPER, INK = (255, 255, 255), (20, 20, 20)


@dataclass(frozen=True)
class Labelled:
    """A picture and the position of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class Answer:
    """What a model said of a picture: the position of the class that it found, and whether the guard accepted it."""

    picture: Labelled
    found: int
    length: float
    accepted: bool

    @property
    def is_right(self) -> bool:
        """Whether that is the picture's class."""
        return self.found == self.picture.label


@dataclass(frozen=True)
class Evaluation:
    """The answers of a model to the pictures of a folder, and the errors of those that it could not answer."""

    classes: tuple[str, ...]
    answers: tuple[Answer, ...]
    errors: tuple[tuple[Path, CapsnetError], ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of the answers that are right."""
        return sum(answer.is_right for answer in self.answers) / max(1, len(self.answers))

    @property
    def accepted(self) -> float:
        """Share of the pictures that the guard accepts."""
        return sum(answer.accepted for answer in self.answers) / max(1, len(self.answers))

    @property
    def confusion(self) -> list[list[int]]:
        """Numbers of pictures (J,J): a row for each true class, a column for each class that was found."""
        counts = [[0] * len(self.classes) for _ in self.classes]
        for answer in self.answers:
            counts[answer.picture.label][answer.found] += 1
        return counts

    @property
    def mistakes(self) -> list[Answer]:
        """The wrong answers, those with the longest capsule first."""
        wrong = [answer for answer in self.answers if not answer.is_right]
        return sorted(wrong, key=lambda answer: -answer.length)


def find_labelled(folder: str | os.PathLike[str], classes: Sequence[str]) -> list[Labelled]:
    """Return the pictures below FOLDER/CLASS, sorted, for the classes of a model.

    Sub-folders of a class are walked. Names are compared in Unicode's form NFC, as they were in training.

    Raises
    ------
    CapsnetError
        With the kind `no-classes`, if the folder is missing, holds no pictures, or has a sub-folder that is no class.
    """
    root = Path(folder)
    if not root.is_dir():
        raise _refused(f"{printable(root)}: no such folder; expected one with a sub-folder a class")
    labels = {_nfc(name): label for label, name in enumerate(classes)}
    homes = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    strange = [printable(Path(home.name)) for home in homes if _nfc(home.name) not in labels]
    if strange:
        known = ", ".join(classes)
        raise _refused(
            f"{printable(root)}: {', '.join(strange)} is no class of the model; there are: {known}"
        )
    found = [Labelled(path, labels[_nfc(home.name)]) for home in homes for path in walk(home)]
    if not found:
        raise _refused(f"{printable(root)}: has no pictures in sub-folders called {', '.join(classes)}")
    return found


def evaluate(
    model: Client | Predictor,
    folder: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
) -> Evaluation:
    """Classify the pictures of a folder with one sub-folder a class, and compare.

    Parameters
    ----------
    model
        A `Predictor`, or a `Client` whose `model` is set.
    folder
        With one sub-folder for each class, or for some of the classes.
    classes
        Names of the model's classes, in order; a `Predictor` knows them.

    Raises
    ------
    CapsnetError
        If the folder does not fit the model, or the service does not answer.
    """
    names = tuple(classes if classes is not None else getattr(model, "classes", ()))
    pictures = find_labelled(folder, names)
    found = model.classify_many([picture.path for picture in pictures])
    return collect(names, pictures, found)


def collect(
    classes: Sequence[str], pictures: Sequence[Labelled], found: Iterator[Classification | CapsnetError]
) -> Evaluation:
    """Put pictures and what was found in them together."""
    answers: list[Answer] = []
    errors: list[tuple[Path, CapsnetError]] = []
    for picture, result in zip(pictures, found, strict=True):
        if isinstance(result, CapsnetError):
            errors.append((picture.path, result))
            continue
        best, check = result.predictions[0], result.reconstruction
        answers.append(Answer(picture, best.index, best.length, check is None or check.accepted))
    return Evaluation(tuple(classes), tuple(answers), tuple(errors))


def draw_mistakes(evaluation: Evaluation, most: int = MOST_MISTAKES) -> Png | None:
    """Return a sheet of the mistakes, the surest first, each with what it is and what was found; None without any."""
    import io

    from PIL import Image, ImageDraw, ImageOps

    mistakes = evaluation.mistakes[:most]
    if not mistakes:
        return None
    wide, high = THUMBNAIL + GAP, THUMBNAIL + 2 * LINE + GAP
    columns = min(COLUMNS, len(mistakes))
    sheet = Image.new("RGB", (columns * wide + GAP, -(-len(mistakes) // columns) * high + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, answer in enumerate(mistakes):
        left, top = GAP + place % columns * wide, GAP + place // columns * high
        with contextlib.suppress(OSError):  # a format that only the service reads
            with Image.open(answer.picture.path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            sheet.paste(ImageOps.contain(upright, (THUMBNAIL, THUMBNAIL)), (left, top))
        true, said = evaluation.classes[answer.picture.label], evaluation.classes[answer.found]
        pen.text((left, top + THUMBNAIL), _fitting(f"is {true}", pen), INK)
        pen.text((left, top + THUMBNAIL + LINE), _fitting(f"said {said} {answer.length:.2f}", pen), INK)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return Png(file.getvalue())


def _fitting(text: str, pen: ImageDraw.ImageDraw) -> str:
    """Return a text, cut where it is wider than a thumbnail; the font has no letters but Latin ones."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 1 and pen.textlength(text) > THUMBNAIL:
        text = text[:-1]
    return text


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _refused(detail: str) -> CapsnetError:
    return CapsnetError(detail, kind="no-classes", title="A folder that does not fit the model")
