"""Named handles of the pose, and the image that is turned by hand while its pose follows."""

import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.app.server_process import Server, serving
from tests.app.tiny_model import write_card, write_tiny_model
from tests.browser.support import TIMEOUT_S, eventually, number, open_numbers, pixels, prediction

ROOT = Path(__file__).resolve().parents[2]


def slide(page: Page, slider: Locator, start: float, end: float) -> None:
    """Drag the thumb of a slider from one share of its track to another."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * start, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()


def middle(canvas: Locator) -> float:
    """How far to the right the light of a canvas lies, in its pixels."""
    light = pixels(canvas)[..., 0].astype(float)
    return float((light * np.arange(light.shape[1])).sum() / light.sum())


@pytest.fixture
def turned(playground: Page) -> Page:
    """The page with the section in sight in which the image is turned, and its steps there."""
    playground.locator("#turn-section").scroll_into_view_if_needed()
    expect(playground.locator("#turn")).to_be_enabled(timeout=1000 * TIMEOUT_S)
    return playground


def choose(turned: Page, change: str) -> tuple[Locator, Locator, Locator]:
    """Choose how the image is changed; return the image, what the network draws, and the dot of its pose."""
    turned.get_by_label("Change", exact=True).select_option(change)
    expect(turned.locator("#turn")).to_be_enabled()
    expect(turned.locator("#turn-words")).to_contain_text("The line predicts")
    canvas, read, dot = (turned.locator(name) for name in ("#turn-input", "#turn-read", "#turn-plot .now"))
    return canvas, read, dot


def test_a_named_handle_moves_the_whole_pose_and_the_drawing(playground: Page) -> None:
    moved, handle = playground.locator("#moved"), playground.get_by_label("Left, right", exact=True)
    expect(playground.locator("#dim-0")).to_be_hidden()  # the nameless numbers stand behind the names
    before, given, start = pixels(moved), [number(playground, dim) for dim in range(16)], middle(moved)
    slide(playground, handle, 0.5, 0.9)
    eventually(playground, lambda: float(handle.input_value()) > 1.2)
    eventually(playground, lambda: middle(moved) > start + 0.8)  # in pixels, as the handle says
    changed = [abs(number(playground, dim) - old) > 0.004 for dim, old in enumerate(given)]
    assert sum(changed) >= 4
    slide(playground, handle, 0.9, 0.1)
    eventually(playground, lambda: middle(moved) < start - 0.8)
    playground.get_by_role("button", name="Reset").click()
    eventually(playground, lambda: bool((pixels(moved) == before).all()))
    assert float(handle.input_value()) == 0


def test_the_numbers_are_there_for_those_who_want_them(playground: Page) -> None:
    open_numbers(playground)
    expect(playground.locator("#dim-0")).to_be_visible()


def test_the_image_is_dragged_and_its_pose_and_drawing_follow(turned: Page) -> None:
    canvas, read, dot = choose(turned, "shift_x")
    before, drawn, start = middle(canvas), middle(read), float(dot.get_attribute("cx") or 0)
    height = float(dot.get_attribute("cy") or 0)
    slide(turned, canvas, 0.4, 0.75)
    expect(turned.locator("#turn-amount")).to_contain_text("+")
    assert middle(canvas) > before + 1
    assert middle(read) > drawn + 0.8  # what the network draws follows
    assert float(dot.get_attribute("cx") or 0) > start + 20
    assert float(dot.get_attribute("cy") or 0) < height - 15  # and so does the pose, upwards along its line
    assert float(turned.locator("#turn-length").inner_text().removeprefix("length ")) > 0.8


def test_the_image_is_turned_by_hand_and_its_drawing_turns_with_it(turned: Page) -> None:
    canvas, read, dot = choose(turned, "rotation")
    before, drawn, start = lean(canvas), lean(read), float(dot.get_attribute("cx") or 0)
    turn_by_hand(turned, canvas, 10)
    expect(turned.locator("#turn-amount")).to_have_text("+10°")
    assert lean(canvas) - before == pytest.approx(10, abs=3)
    assert lean(read) - drawn == pytest.approx(10, abs=5)  # what the network draws turns with it
    assert float(dot.get_attribute("cx") or 0) > start + 20
    assert float(turned.locator("#turn-length").inner_text().removeprefix("length ")) > 0.8


def turn_by_hand(page: Page, canvas: Locator, degrees: float) -> None:
    """Drag a point of a canvas around its middle, clockwise."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    for step in range(9):
        angle = np.radians(degrees * step / 8)
        x, y = 0.5 + 0.4 * np.cos(angle), 0.5 + 0.4 * np.sin(angle)
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        if not step:
            page.mouse.down()
    page.mouse.up()


def lean(canvas: Locator) -> float:
    """How far the long axis of the light on a canvas is turned clockwise, in degrees."""
    light = pixels(canvas)[..., 0].astype(float)
    y, x = np.indices(light.shape)
    spread = np.cov(x.ravel(), y.ravel(), aweights=light.ravel())
    return float(np.degrees(np.arctan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1])) / 2)


def test_the_keys_turn_the_image(turned: Page) -> None:
    canvas = turned.locator("#turn-input")
    before = pixels(canvas)
    turned.locator("#turn").focus()
    for _ in range(4):
        turned.keyboard.press("ArrowLeft")
    assert not np.array_equal(pixels(canvas), before)
    expect(turned.locator("#turn-amount")).to_contain_text("−")


def test_a_model_without_directions_keeps_its_sliders(playground: Page) -> None:
    playground.get_by_label("Model").select_option("pair")
    expect(playground.locator("#handles")).to_be_hidden()
    expect(playground.locator("#dim-0")).to_be_visible()


@pytest.fixture(scope="module")
def with_cnn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the usual model, and a small one beside it that has no capsules."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "artifacts" / "mnist", folder / "mnist")
    card = write_tiny_model(folder / "plain", name="plain")
    write_card(folder / "plain", card, config=dataclasses.replace(card.config, architecture="cnn-small"))
    with serving(tmp_path_factory.mktemp("server") / "log", models=folder) as running:
        yield running


def test_the_way_of_a_cnn_is_drawn_beside_that_of_the_pose(page: Page, with_cnn: Server) -> None:
    page.goto(with_cnn.url)
    expect(prediction(page)).to_have_text("7")
    page.locator("#turn-section").scroll_into_view_if_needed()
    expect(page.locator("#beside")).to_be_visible(timeout=1000 * TIMEOUT_S)
    shares = []
    for name, model in (("pose", "mnist"), ("features", "plain")):
        words = page.locator(f"#way-{name}-words").inner_text()
        found = re.search(rf"^{model}: (\d+) % of the way", words)
        assert found, words
        shares.append(int(found[1]))
        assert page.locator(f"#way-{name} .read").count() == 25
    sentence = page.locator("#beside-words").inner_text()
    assert ("equally straight" in sentence) or (
        ("the pose keeps closer" in sentence) == (shares[0] > shares[1])
    )
    dot = page.locator("#way-features .now")
    before = dot.get_attribute("cx")
    page.locator("#turn").focus()
    page.keyboard.press("ArrowRight")
    assert dot.get_attribute("cx") != before  # both dots go with the image


def test_a_model_without_capsules_says_what_its_numbers_are(page: Page, with_cnn: Server) -> None:
    page.goto(f"{with_cnn.url}/?model=plain")
    expect(prediction(page)).not_to_have_text("–")
    expect(page.locator("#capsules-words")).to_have_text("10 classes with 16 features each")
    expect(page.locator("#capsules-plain")).to_contain_text("no capsules")
    expect(page.locator("#steps-start")).to_be_hidden()  # the steps speak of capsules
    page.get_by_label("Model", exact=True).select_option("mnist")
    expect(page.locator("#capsules-plain")).to_be_hidden()
    expect(page.locator("#steps-start")).to_be_visible()
