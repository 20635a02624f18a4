"""A model in this process: the answers of the running service, any kind of image, and errors that say what to do."""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from capsnet import CapsnetError, Client, Predictor, load
from capsnet.results import Classification
from tests.app.server_process import ROOT, serving
from training.data.datasets import DatasetPart

MODELS = ("mnist", "multimnist", "fashion_mnist")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The service with its shipped models."""
    with serving(tmp_path_factory.mktemp("shipped") / "log") as server, Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def model() -> Predictor:
    return load("mnist")


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """A large image that is no row of a data set: a thick stroke on paper that is lighter on one side."""
    paper = np.tile(np.linspace(150, 230, 400).astype(np.uint8), (300, 1))
    image = Image.fromarray(paper)
    ImageDraw.Draw(image).line([(120, 60), (260, 60), (180, 250)], fill=40, width=18)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def same(found: Any, expected: Any) -> None:
    """The two JSON values are alike but for 1e-5 in their numbers and one level in their images."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5)
    elif not (isinstance(expected, str) and expected.startswith("iVBOR")):
        assert found == expected


@pytest.mark.parametrize("name", MODELS)
def test_classifies_as_the_service_does(
    service: Client, digits: DatasetPart, photograph: bytes, name: str
) -> None:
    model = load(name)
    for image in [*digits.images[:12, 0], photograph]:
        found, expected = model(image, top_k=2), service.classify(image, model=name, top_k=2)
        same(found.answer, expected.answer)
        assert found.reconstruction is not None
        assert expected.reconstruction is not None
        assert found.reconstruction.accepted == expected.reconstruction.accepted


def test_moves_along_directions_as_the_service_does(service: Client, photograph: bytes) -> None:
    model = load("mnist")
    drawn: dict[str, Any] = {"directions": {"width": 10.0, "shift_x": -1.0}, "moves": {3: 0.1}, "label": "5"}
    same(model.reconstruct(photograph, **drawn).answer, service.reconstruct(photograph, **drawn).answer)
    swept: dict[str, Any] = {"directions": ["shift_x"], "dims": [2], "steps": 3, "label": "5"}
    same(model.sweep(photograph, **swept).answer, service.sweep(photograph, **swept).answer)
    turned: dict[str, Any] = {"by": "shift_x", "steps": 3, "label": "5"}
    found, expected = model.transform(photograph, **turned), service.transform(photograph, **turned)
    same(found.answer, expected.answer)
    with pytest.raises(CapsnetError, match=r"from -2 to 2 pixels"):
        model.reconstruct(photograph, directions={"shift_x": 3.0})
    with pytest.raises(CapsnetError, match=r"by is 'tilt': should be one of rotation"):
        model.transform(photograph, "tilt")


def test_explains_as_the_service_does(service: Client, photograph: bytes) -> None:
    found = load("mnist").explain(photograph, label="3")
    same(found.answer, service.explain(photograph, label="3").answer)
    assert (found.method, found.iterations) == ("occlusion", ())
    with pytest.raises(CapsnetError, match="the capsules of this model have no place in the image"):
        load("mnist").explain(photograph, method="votes")
    for name, iterations, side in (("mnist-capsnet", 3, 6), ("mnist-shared", 5, 7)):
        found = load(name).explain(photograph)
        same(found.answer, service.explain(photograph, model=name).answer)
        assert (found.method, len(found.iterations)) == ("votes", iterations)
        last = found.iterations[-1]
        assert last.votes.shape == last.couplings.shape == (side, side)
        assert last.length == pytest.approx(found.capsule.length, abs=1e-4)
        assert found.heat.sum() == pytest.approx(last.votes.sum(), rel=1e-3)
        assert found.sheet().pixels().shape == (28, 28 * (1 + iterations), 3)
        assert load(name).explain(photograph, method="occlusion").method == "occlusion"


def test_a_shipped_direction_foretells_the_pose_of_a_test_image(digits: DatasetPart) -> None:
    model, shares = load("mnist"), []
    for image in digits.images[:12, 0]:
        found = model.transform(image, "shift_x", steps=5, preprocess="none")
        shares.append(found.explained or 0.0)
        assert min(step.length for step in found.steps) > 0.7
    assert np.median(shares) > 0.7


def test_draws_as_the_service_does(service: Client, photograph: bytes) -> None:
    for name in ("mnist", "multimnist"):
        model = load(name)
        options: dict[str, Any] = {"moves": {3: 0.1, 5: -0.2}, "label": "7"}
        found = model.reconstruct(photograph, **options)
        expected = service.reconstruct(photograph, model=name, **options)
        same(found.answer, expected.answer)
        swept = model.sweep(photograph, dims=[0, 3], steps=3)
        wanted = service.sweep(photograph, model=name, dims=[0, 3], steps=3)
        same(swept.answer, wanted.answer)
        pairs = [
            (found.input, expected.input),
            (found.reconstruction, expected.reconstruction),
            (found.perturbed, expected.perturbed),
            (swept.sheet(), wanted.sheet()),
            (model.decode("7", [found.pose])[0], service.decode("7", [found.pose], model=name)[0]),
        ]
        for one, other in pairs:
            assert np.abs(one.pixels().astype(int) - other.pixels()).max() <= 1


def test_an_image_may_be_anything_that_holds_one(model: Predictor, seven: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    path.write_bytes(seven)
    image = Image.open(io.BytesIO(seven))
    pixels = np.asarray(image)
    colours = np.repeat(pixels[..., None], 3, axis=2)
    kinds: list[Any] = [
        seven, path, str(path), io.BytesIO(seven), image, image.convert("RGB"), pixels, pixels[..., None], colours,
        pixels / 255, (pixels / 255).astype(np.float32), (pixels / 255).astype(np.float16)[..., None],
    ]  # fmt: skip
    expected = model(seven).answer
    for kind in kinds:
        assert model(kind).answer == expected


def test_an_image_of_pillow_is_turned_as_its_file_says(model: Predictor, seven: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.open(io.BytesIO(seven)).transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    assert model(file.getvalue()).answer == model(seven).answer
    assert model(Image.open(io.BytesIO(file.getvalue()))).answer == model(seven).answer


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((28, 28), 255.0), r"from 255 to 255.*between 0 and 1.*uint8"),
        (np.full((28, 28), -1.0), "from -1 to -1"),
        (np.full((28, 28), np.nan), "NaN"),
        (np.full((28, 28), np.inf), "infinity"),
        (np.zeros((28, 28), np.int64), "uint8 or floats .* not int64"),
        (np.zeros((3, 28, 28), np.uint8), "put the channels last"),
        (np.zeros((0, 28)), r"not float64 of shape \(0, 28\)"),
        ([1, 2], "not list"),
    ],
)
def test_an_array_that_is_no_image_is_refused_in_words(model: Predictor, pixels: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        model(pixels)


def test_many_images_give_results_and_errors_in_order(model: Predictor, digits: DatasetPart) -> None:
    images: list[Any] = [*digits.images[:70, 0]]
    images.insert(3, b"no image")
    images.insert(5, ROOT / "no such file")
    images.insert(7, np.full((28, 28), np.nan))
    found = list(model.classify_many(images))
    kinds = [each.kind for each in found if isinstance(each, CapsnetError)]
    assert (len(found), kinds) == (73, ["not-an-image", "unreadable-file", "not-an-image"])
    labels = [each.label for each in found if isinstance(each, Classification)]
    assert np.mean([label == str(own) for label, own in zip(labels, digits.labels, strict=False)]) > 0.95
    assert [type(each) for each in model.classify_many([b"no image"])] == [CapsnetError]
    with pytest.raises(TypeError, match="should be a list of images, not"):
        next(model.classify_many("seven.png"))
    with pytest.raises(CapsnetError, match="preprocess"):
        next(model.classify_many(images, preprocess="none such"))


def test_a_movement_may_be_given_as_a_pair(model: Predictor, seven: bytes) -> None:
    moved = model.reconstruct(seven, dim=3, delta=0.1)
    assert moved.answer == model.reconstruct(seven, moves={3: 0.1}).answer
    assert moved.moves == {3: 0.1}
    with pytest.raises(TypeError, match="both dim=3 and delta"):
        model.reconstruct(seven, dim=3)


def test_parameters_outside_their_bounds_are_named(model: Predictor, seven: bytes) -> None:
    unknown: Any = "saliency"
    calls: list[tuple[Any, str]] = [
        (lambda: model(seven, top_k=11), "top_k is 11: should be from 1 to 10"),
        (lambda: model(seven, preprocess="photo"), "should be one of mnist, fashion"),
        (lambda: model.reconstruct(seven, label="x"), "classes 0, 1"),
        (lambda: model.reconstruct(seven, dim=16, delta=0.1), "from 0 to 15"),
        (
            lambda: model.reconstruct(seven, dim=1, delta=float("nan")),
            r"delta is nan: should be from -1e\+06",
        ),
        (lambda: model.reconstruct(seven, moves={1: 1e39}), "for dimension 1"),
        (lambda: model.sweep(seven, minimum=-1e39), r"both within 1e\+06"),
        (lambda: model.sweep(seven, dims=[-1]), "from 0 to 15"),
        (lambda: model.sweep(seven, dims=[]), "at least one"),
        (lambda: model.sweep(seven, minimum=1), "less than the maximum"),
        (lambda: model.sweep(seven, steps=1), "at least 2"),
        (lambda: model.sweep(seven, directions=["slant", "slant"]), "each direction once"),
        (lambda: model.explain(seven, method=unknown), "method is 'saliency': should be votes or occlusion"),
        (lambda: model.decode(7, []), "at least one pose"),
        (lambda: load("mnist", threads=-1), "threads is -1: should be at least 0"),
        (lambda: model.decode(7, [[0.0] * 3]), "3 numbers long: should have 16 numbers"),
    ]
    for call, words in calls:
        with pytest.raises(CapsnetError, match=words) as caught:
            call()
        assert caught.value.kind == "invalid-parameter"


def test_a_model_is_found_by_name_or_path(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(ROOT / "artifacts" / "mnist").name == "mnist"
    assert load(str(ROOT / "artifacts" / "mnist")).precision == "int8"
    assert load("mnist", precision="fp32").precision == "fp32"
    with pytest.raises(CapsnetError, match=r"precision is 'int4': should be auto or one of .*fp32") as caught:
        load("mnist", precision="int4")
    assert caught.value.kind == "invalid-parameter"
    with pytest.raises(CapsnetError, match=r"did you mean 'mnist'.*there are: .*multimnist") as caught:
        load("minst")
    assert caught.value.kind == "unknown-model"
    with pytest.raises(CapsnetError, match="there is no such folder"):
        load("no/such/folder")
    with pytest.raises(
        CapsnetError, match=r"artifacts holds the models .*multimnist; name one: '.*/fashion_mnist'"
    ):
        load(ROOT / "artifacts")
    with pytest.raises(CapsnetError, match=r"card.json is no model: the folder of a model holds card.json"):
        load(ROOT / "artifacts" / "mnist" / "card.json")
    monkeypatch.setenv("CAPSNET_MODELS", str(ROOT / "docs"))
    with pytest.raises(CapsnetError, match="docs holds no models; CAPSNET_MODELS names another folder"):
        load("mnist")
    monkeypatch.setenv("CAPSNET_MODELS", str(tiny_models))
    assert load("pair").classes == ("cat", "2", "dog")
    monkeypatch.setenv("CAPSNET_MODELS", str(tiny_models / "pair"))
    assert load("pair").card.objects == 2


def test_a_model_has_the_name_on_its_card_and_not_that_of_its_folder(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_models / "pair", tmp_path / "pair-of-monday")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text("{")
    monkeypatch.setenv("CAPSNET_MODELS", str(tmp_path))
    assert load("pair").card.objects == 2
    with pytest.raises(CapsnetError, match="there are: broken, pair"):
        load("pair-of-monday")
    with pytest.raises(CapsnetError, match=r"card\.json") as caught:
        load("broken")
    assert caught.value.kind == "invalid-model"
    monkeypatch.setenv("CAPSNET_MODELS", str(tmp_path / "broken"))
    with pytest.raises(CapsnetError, match=r"card\.json") as caught:
        load("pair")
    assert caught.value.kind == "invalid-model"


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_graph_of_the_routing_that_changed_since_is_an_error_of_the_library(
    damage: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "artifacts" / "mnist-shared", tmp_path / "shared")
    model = load(tmp_path / "shared")
    routing = tmp_path / "shared" / "routing.onnx"
    if damage == "gone":
        routing.unlink()
    else:
        routing.write_bytes(b"other")
    with pytest.raises(CapsnetError, match=r"routing\.onnx") as caught:
        model.explain(ROOT / "docs" / "images" / "seven.png")
    assert caught.value.kind == "invalid-model"


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes, and sees that they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_notebook_shows_results_with_their_images(model: Predictor, seven: bytes) -> None:
    shown = {
        model(seven)._repr_html_(): (2, 4_000),
        model(seven, verify=False)._repr_html_(): (1, 3_000),
        model.reconstruct(seven)._repr_html_(): (2, 4_000),
        model.reconstruct(seven, dim=3, delta=0.1)._repr_html_(): (3, 5_000),
        model.sweep(seven)._repr_html_(): (3, 100_000),
    }
    for page, (count, most) in shown.items():
        images = [attributes for tag, attributes in Tags(page).tags if tag == "img"]
        assert len(images) == count
        assert all(each["alt"] and str(each["src"]).startswith("data:image/png;base64,") for each in images)
        assert len(page) < most
        assert not re.search("<script|color", page)


def test_a_notebook_names_the_amounts_of_directions(model: Predictor, seven: bytes) -> None:
    page = model.sweep(seven, directions=["slant"], steps=3)._repr_html_()
    assert "slant from -25 to +25; 3 steps" in page
    assert "dimensions" not in page
    page = model.sweep(seven, directions=["slant"], dims=[0, 2], steps=3)._repr_html_()
    assert "dimensions 0, 2 from -0.25 to +0.25; slant from -25 to +25; 3 steps" in page


def test_names_of_classes_are_text_in_a_notebook(tiny_models: Path, seven: bytes) -> None:
    found = load(tiny_models / "mnist")(seven)
    prediction = type(found.predictions[0])(0, '<img src="x">', 0.5)
    object.__setattr__(found, "predictions", (prediction,))
    assert '<img src="x">' not in found._repr_html_()


def test_an_answer_of_the_service_shows_itself_as_well(service: Client, seven: bytes) -> None:
    found = service.classify(seven)
    assert (found.input, found.drawn) == (None, None)
    assert "accepted" in found._repr_html_()


PROGRAM = """
import sys
sys.modules["onnxruntime"] = None
from capsnet import load
try:
    load("mnist")
except ImportError as error:
    print(error)
"""


def test_without_a_runtime_the_error_names_the_packages() -> None:
    words = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ).stdout
    assert "pip install onnxruntime," in said
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in said
