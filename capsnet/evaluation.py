"""Measure a model on a folder with one sub-folder a class: accuracy, confusions, and a sheet of the mistakes.

    from capsnet import load
    from capsnet.evaluation import evaluate

    found = evaluate(load("mnist"), "folder")
    print(found.accuracy, found.confusion)

`evaluate` takes a `Client` as well as a model in this process.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsnet.errors import CapsnetError
from capsnet.image_encoding import Png, is_skipped, printable, walk
from capsnet.results import Classification

if TYPE_CHECKING:
    from PIL import ImageDraw

    from capsnet.client.sync_client import Client
    from capsnet.predictor import Predictor

# Pixels on the sheet of mistakes: the side of an image, the height of a line of text, and the gap between two images.
THUMBNAIL, LINE, GAP = 128, 14, 6
MAX_MISTAKES, COLUMNS = 60, 6
PAPER, INK = (255, 255, 255), (20, 20, 20)


@dataclass(frozen=True)
class Labelled:
    """An image file and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class Answer:
    """A model's answer for an image: the index `found` of its class, the capsule's length, and the guard's decision."""

    image: Labelled
    found: int
    length: float
    accepted: bool

    @property
    def is_right(self) -> bool:
        """Whether the model found the image's class."""
        return self.found == self.image.label


@dataclass(frozen=True)
class Evaluation:
    """The answers of a model for the images of a folder, and the errors of images without an answer."""

    classes: tuple[str, ...]
    answers: tuple[Answer, ...]
    errors: tuple[tuple[Path, CapsnetError], ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of the answers that are right, 0 to 1."""
        return sum(answer.is_right for answer in self.answers) / max(1, len(self.answers))

    @property
    def accepted(self) -> float:
        """Share of the answered images that the guard accepts, 0 to 1."""
        return sum(answer.accepted for answer in self.answers) / max(1, len(self.answers))

    @property
    def confusion(self) -> list[list[int]]:
        """Numbers of images (J,J): a row for each true class, a column for each class that the model found."""
        counts = [[0] * len(self.classes) for _ in self.classes]
        for answer in self.answers:
            counts[answer.image.label][answer.found] += 1
        return counts

    @property
    def mistakes(self) -> list[Answer]:
        """The wrong answers, those with the longest capsule first."""
        wrong = [answer for answer in self.answers if not answer.is_right]
        return sorted(wrong, key=lambda answer: -answer.length)


def find_labelled(folder: str | os.PathLike[str], classes: Sequence[str]) -> list[Labelled]:
    """Return the images below FOLDER/CLASS, sorted, for the classes of a model.

    Sub-folders of a class count. Names are compared in Unicode's form NFC, as in training.

    Raises
    ------
    CapsnetError
        With the kind `no-classes`, if the folder is missing, has no images, or has a sub-folder that is no class.
    """
    root, labels = Path(folder), {_nfc(name): label for label, name in enumerate(classes)}
    if not root.is_dir():
        raise _folder_error(
            f"{printable(root)}: no such folder; it should have one sub-folder for each class"
        )
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not is_skipped(path.name))
    unknown = [printable(path.name) for path in folders if _nfc(path.name) not in labels]
    if unknown:
        problem = f"the sub-folder {', '.join(unknown)} is no class of the model"
        raise _folder_error(f"{printable(root)}: {problem}; there are: {', '.join(classes)}")
    found = [Labelled(path, labels[_nfc(home.name)]) for home in folders for path in walk(home)]
    if not found:
        problem = "no images in sub-folders named after classes"
        raise _folder_error(f"{printable(root)}: {problem}; there are: {', '.join(classes)}")
    return found


def class_names(model: Client | Predictor) -> tuple[str, ...]:
    """Return the names of a model's J classes, in order; a `Client` asks the service for those of its model.

    Raises
    ------
    CapsnetError
        If the service has no such model, or gives no answer.
    """
    if hasattr(model, "classes"):
        return model.classes
    served = model.models()
    for each in served:
        if each.name == model.model or (model.model is None and each.is_default):
            return each.classes
    known = ", ".join(each.name for each in served)
    detail = f"no model is called {model.model!r}; there are: {known}"
    raise CapsnetError(detail, kind="unknown-model", status=404)


def evaluate(model: Client | Predictor, folder: str | os.PathLike[str], **options: Any) -> Evaluation:
    """Classify the images of a folder with one sub-folder a class, and compare.

    Parameters
    ----------
    model
        A `Predictor`, or a `Client`: then the client's own model, or the service's default one.
    folder
        With one sub-folder for each class, or for some of the classes.
    options
        Options of the model's `classify_many`, such as `preprocess`.

    Raises
    ------
    CapsnetError
        If the folder does not fit the model, or the service does not answer.
    TypeError
        If `model` is neither, such as the name of a model.
    """
    if not hasattr(model, "classify_many"):
        raise TypeError(f"model should be a Client or what load returns, not {model!r:.80}")
    classes = class_names(model)
    images = find_labelled(folder, classes)
    return collect(classes, images, model.classify_many([image.path for image in images], **options))


def collect(
    classes: Sequence[str], images: Sequence[Labelled], found: Iterator[Classification | CapsnetError]
) -> Evaluation:
    """Match images with the results of `classify_many` for them, in the same order."""
    answers: list[Answer] = []
    errors: list[tuple[Path, CapsnetError]] = []
    for image, result in zip(images, found, strict=True):
        if isinstance(result, CapsnetError):
            errors.append((image.path, result))
            continue
        best, check = result.predictions[0], result.reconstruction
        answers.append(Answer(image, best.index, best.length, check is None or check.accepted))
    return Evaluation(tuple(classes), tuple(answers), tuple(errors))


def draw_mistakes(evaluation: Evaluation, most: int = MAX_MISTAKES) -> Png | None:
    """Draw a sheet of mistakes, longest capsule first, each with its true and found class; None without mistakes."""
    import io

    from PIL import Image, ImageDraw, ImageOps

    from capsnet.preprocessing import image_file

    mistakes = evaluation.mistakes[:most]
    if not mistakes:
        return None
    wide, high = THUMBNAIL + GAP, THUMBNAIL + 2 * LINE + GAP
    columns = min(COLUMNS, len(mistakes))
    sheet = Image.new("RGB", (columns * wide + GAP, -(-len(mistakes) // columns) * high + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, answer in enumerate(mistakes):
        left, top = GAP + place % columns * wide, GAP + place // columns * high
        # A format that only the service can read leaves its place empty.
        with contextlib.suppress(OSError, image_file.NotAnImage, image_file.ImageTooLarge):
            image = image_file.read(answer.image.path.read_bytes(), enough=2 * THUMBNAIL, grey=False)
            upright = image_file.flatten(image, "RGB")
            sheet.paste(ImageOps.contain(upright, (THUMBNAIL, THUMBNAIL)), (left, top))
        true, said = evaluation.classes[answer.image.label], evaluation.classes[answer.found]
        pen.text((left, top + THUMBNAIL), _shortened(f"is {true}", pen), INK)
        pen.text((left, top + THUMBNAIL + LINE), _shortened(f"said {said} {answer.length:.2f}", pen), INK)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return Png(file.getvalue())


def _shortened(text: str, pen: ImageDraw.ImageDraw) -> str:
    """Cut a text to the width of a thumbnail. Pillow's own font has Latin letters only."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 1 and pen.textlength(text) > THUMBNAIL:
        text = text[:-1]
    return text


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folder_error(detail: str) -> CapsnetError:
    return CapsnetError(detail, kind="no-classes", title="A folder that does not fit the model")
