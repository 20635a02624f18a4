"""A folder with one sub-folder a class measures a model: accuracy, confusions, a sheet of the mistakes."""

import io
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capsnet import CapsnetError, Check, Classification, Model, Prediction
from capsnet.evaluation import draw_mistakes, evaluate, find_labelled

CLASSES = ("cat", "dög")


class Guesser:
    """Says `cat` to everything, and cannot read the file `broken`."""

    classes = CLASSES

    def classify_many(self, images: Iterable[Path]) -> Iterator[Classification | CapsnetError]:
        for path in images:
            if path.stem == "broken":
                yield CapsnetError("no image", kind="not-an-image")
            else:
                first = Prediction(0, "cat", 0.9)
                yield Classification("guess", "1", (first,), Check(1.0, 2.0, accepted=path.stem != "odd"), {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cats, three dogs, one of each kind of fault."""
    apart = unicodedata.normalize("NFD", "dög")
    for name in ("cat/1", "cat/odd", f"{apart}/1", f"{apart}/deep/2", f"{apart}/broken"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (200, 30, 30)).save(path)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"no image")
    return tmp_path


def test_accuracy_and_confusions_are_those_of_the_answers(folder: Path) -> None:
    found = evaluate(Guesser(), folder)  # type: ignore[arg-type]
    assert found.confusion == [[2, 0], [2, 0]]
    assert (found.accuracy, found.accepted) == (0.5, 0.75)
    assert [path.stem for path, _ in found.errors] == ["broken"]


def test_mistakes_are_drawn_on_a_sheet(folder: Path) -> None:
    found = evaluate(Guesser(), folder)  # type: ignore[arg-type]
    sheet = draw_mistakes(found)
    assert sheet is not None
    with Image.open(io.BytesIO(sheet)) as image:
        colours = image.convert("RGB").getcolors(100_000)
    assert colours is not None
    assert (200, 30, 30) in [colour for _, colour in colours]
    assert draw_mistakes(replace(found, answers=found.answers[:2])) is None


def test_sixteen_bits_and_transparency_are_drawn_as_they_are_read(folder: Path) -> None:
    dog = next(path for path in folder.iterdir() if path.name.startswith("d"))
    for path in dog.rglob("*.png"):
        path.unlink()
    ramp = np.linspace(0, 65_535, 96 * 96).astype(np.uint16).reshape(96, 96)
    Image.fromarray(ramp).save(dog / "wide.png")
    Image.new("RGBA", (96, 96), (0, 0, 0, 0)).save(dog / "clear.png")
    sheet = draw_mistakes(evaluate(Guesser(), folder))  # type: ignore[arg-type]
    assert sheet is not None
    pixels = np.asarray(Image.open(io.BytesIO(sheet)).convert("L"))
    assert len(np.unique(pixels)) > 200, "the ramp has all its greys"
    assert (pixels == 0).mean() < 0.05, "a transparent image is not black"


def test_a_folder_that_does_not_fit_the_model_is_refused(folder: Path) -> None:
    with pytest.raises(CapsnetError, match="no such folder"):
        find_labelled(folder / "none", CLASSES)
    with pytest.raises(CapsnetError, match="is no class of the model; there are: cat, cow"):
        find_labelled(folder, ("cat", "cow"))
    (folder / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(CapsnetError, match="no images in sub-folders named after classes; there are: cat"):
        find_labelled(folder / "empty", CLASSES)


class Served:
    """A client of a service with two models, of which the second is the default one."""

    def __init__(self, model: str | None) -> None:
        self.model = model

    def models(self) -> list[Model]:
        return [Model("digits", "1", ("0", "1"), False, {}), Model("pets", "1", CLASSES, True, {})]

    def classify_many(self, images: Iterable[Path], **_: int) -> Iterator[Classification | CapsnetError]:
        return Guesser().classify_many(images)


def test_a_client_asks_the_service_for_the_classes(folder: Path) -> None:
    for name in (None, "pets"):
        assert evaluate(Served(name), folder, jobs=2).classes == CLASSES  # type: ignore[arg-type]
    with pytest.raises(CapsnetError, match="is no class of the model; there are: 0, 1"):
        evaluate(Served("digits"), folder)  # type: ignore[arg-type]
    with pytest.raises(CapsnetError, match="no model is called 'cars'; there are: digits, pets"):
        evaluate(Served("cars"), folder)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a Client or what load returns, not 'pets'"):
        evaluate("pets", folder)  # type: ignore[arg-type]
