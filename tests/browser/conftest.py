"""A server with a trained model, one that looks for two things and one in colour; a browser; a page that is watched."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from capsnet.card import PoseMeaning
from tests.app.server_process import Server, serving
from tests.app.tiny_model import write_card, write_tiny_model
from tests.browser.support import TIMEOUT_S, launch, prediction
from training.data.datasets import DatasetPart

ROOT = Path(__file__).resolve().parents[2]

expect.set_options(timeout=1000 * TIMEOUT_S)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped `mnist`, and two small real models that are not trained: `pair` and `colour`."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "artifacts" / "mnist", folder / "mnist")
    card = write_tiny_model(folder / "pair", name="pair", objects=2)
    write_card(folder / "pair", card, pose_meaning={"4": (PoseMeaning(dim=3, meaning="slant", score=0.9),)})
    write_tiny_model(
        folder / "colour",
        name="colour",
        num_classes=3,
        pose_dim=4,
        channels=3,
        classes=("oak", "beech", "elm"),
    )
    return folder


@pytest.fixture(scope="session")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do it no harm."""
    with serving(tmp_path_factory.mktemp("server") / "log", models=models) as running:
        yield running


@pytest.fixture(scope="session")
def film(digits: DatasetPart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: the second test image of MNIST, a 2, written with a blue pen on greenish paper."""
    assert digits.labels[1] == 2
    digit = Image.fromarray(digits.images[1, 0]).resize((280, 280), Image.Resampling.BICUBIC)
    view = Image.new("RGB", (640, 480), (214, 232, 205))
    view.paste((30, 40, 120), (180, 100), digit)
    path = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    view.save(path, "JPEG", quality=90)  # a film of one frame, which Chromium shows again and again
    return path


@pytest.fixture(scope="session")
def browser(film: Path) -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        chromium = launch(playwright, film)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page in a profile of its own; what goes wrong in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(1000 * TIMEOUT_S)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: _note(message, faults))
    yield page
    page.unroute_all(behavior="ignoreErrors")  # open questions are no longer of interest
    context.close()
    assert faults == []


@pytest.fixture
def playground(page: Page, server: Server) -> Page:
    """The playground, with the answer for its first sample on it."""
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    return page


def _note(message: ConsoleMessage, faults: list[str]) -> None:
    """Note an error of the page, among them what its security policy refused; not that a server was away."""
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        faults.append(message.text)
