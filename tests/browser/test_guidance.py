"""What explains the page: the list of models, the steps, and the address for a class."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.server_process import Server, png, serving
from tests.browser.support import eventually, prediction, sample
from tests.browser.test_accessibility import violations


def test_the_models_are_described_and_can_be_chosen(playground: Page, server: Server) -> None:
    playground.get_by_role("button", name="Models", exact=True).click()
    dialog = playground.get_by_role("dialog")
    assert dialog.locator("h3").all_inner_texts() == ["colour", "mnist", "pair"]
    mnist = dialog.locator("li").filter(has=playground.get_by_role("heading", name="mnist"))
    expect(mnist).to_contain_text("Reads one handwritten digit")
    card = server.client.get("/models/mnist").json()
    error = card["variants"][card["serving"]["precision"]]["metrics"]["error"]
    expect(mnist).to_contain_text(f"{100 * error:.2f} % of 10,000 test images")
    expect(mnist).to_contain_text(f"{card['parameters']['encoder']:,} weights to see")
    expect(dialog).to_contain_text("Tells 3 classes apart in images of")
    mnist.get_by_text("The whole card").click()
    expect(mnist).to_contain_text(card["export_id"])
    expect(mnist).not_to_contain_text("[object")
    assert violations(playground) == []
    dialog.get_by_role("button", name="Use it: pair").click()
    expect(dialog).to_be_hidden()
    expect(playground.get_by_label("Model", exact=True)).to_have_value("pair")


def test_only_steps_that_can_be_done_are_offered(page: Page, server: Server) -> None:
    """A model of photographs takes no strokes, and one without samples has nothing to begin with."""
    strip = png(np.random.default_rng(0).integers(0, 255, (28, 84, 3)).astype(np.uint8))
    names: list[str] = []

    def list_models(route: Route) -> None:
        answer = route.fetch().json()
        models = [
            each | {"samples": names} if each["name"] == "colour" else each for each in answer["models"]
        ]
        route.fulfill(json=answer | {"models": models})

    page.route("**/models", list_models)
    page.route(
        "**/models/colour/samples.png", lambda route: route.fulfill(body=strip, content_type="image/png")
    )
    page.goto(f"{server.url}/?model=colour")
    expect(page.get_by_label("Model", exact=True)).to_have_value("colour")
    expect(page.get_by_role("button", name="Models", exact=True)).to_be_enabled()
    start, count = page.locator("#steps-start"), page.locator("#steps-count")
    expect(start).to_be_hidden()
    names += ["oak", "beech", "elm"]
    page.reload()
    start.click()
    expect(page.locator("#steps-text")).to_contain_text("shows class oak")
    expect(count).to_have_text("Step 1 of 5")
    for _ in range(4):
        page.locator("#steps-next").click()
    expect(count).to_have_text("Step 5 of 5")
    expect(page.locator("#steps-next")).to_have_text("Done")
    page.get_by_label("Model", exact=True).select_option("mnist")
    expect(page.locator("#steps")).to_be_hidden()  # it spoke of the other model
    start.click()
    expect(count).to_have_text("Step 1 of 6")


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_six_steps_show_what_a_capsule_is(playground: Page, motion: str) -> None:
    playground.emulate_media(reduced_motion="reduce" if motion == "reduce" else "no-preference")
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    start = playground.get_by_role("button", name="Try this, step by step")
    start.click()
    following = playground.locator("#steps-next")
    expect(following).to_be_focused()
    expect(playground.locator("#steps-text")).to_contain_text("shows class 7")
    expect(prediction(playground)).to_have_text("7")
    assert violations(playground) == []
    following.press("Enter")
    expect(playground.locator("#drawn-from")).not_to_have_text("from capsule 7")
    following.press("Enter")
    expect(playground.locator("#moved-words")).to_have_text("as you moved it, capsule of 7")
    handle = playground.locator("#handle-slant")
    expect(handle).not_to_have_value("0")
    if motion == "reduce":  # there at once
        assert handle.input_value() == handle.get_attribute("max")
    following.press("Enter")
    expect(playground.locator("#steps-count")).to_have_text("Step 4 of 6")
    eventually(playground, lambda: set(playground.locator("#sliders input").evaluate_all(VALUES)) == {"0"})
    following.press("Enter")
    expect(playground.locator("#turn-words")).not_to_be_empty()
    expect(playground.locator("#turn")).not_to_have_value("12")
    following.press("Enter")
    expect(playground.locator("#prediction")).to_have_class(re.compile("refused"))
    expect(following).to_have_text("Done")
    following.press("Escape")
    expect(playground.locator("#steps")).to_be_hidden()
    expect(start).to_be_focused()


VALUES = "sliders => sliders.map(({ value }) => value)"


def test_a_class_gets_the_address_with_the_key(page: Page, models: Path, tmp_path: Path) -> None:
    settings = {
        "models": models,
        "api_keys": "blue whale".replace(" ", "+"),
        "public_url": "http://10.0.0.9:8000",
    }
    with serving(tmp_path / "log", **settings) as server:
        page.goto(f"{server.url}/#key=blue%2Bwhale")
        expect(prediction(page)).to_have_text("7")
        expect(page).to_have_url(f"{server.url}/")  # the key is no longer to be read there
        page.get_by_role("button", name="Class", exact=True).click()
        expect(page.locator("#class-address")).to_have_text("http://10.0.0.9:8000/#key=blue%2Bwhale")
        code = page.get_by_role("img", name="QR code of the address")
        eventually(page, lambda: code.evaluate("image => image.naturalWidth") > 0)
        expect(page.locator("#class-key")).to_be_visible()
        assert violations(page) == []
    assert "whale" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_what_is_opened(playground: Page, theme: str) -> None:
    playground.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    sample(playground, "3").click()
    expect(playground.locator("#history button")).to_have_count(2)
    playground.get_by_role("button", name="Save…").click()
    expect(playground.get_by_role("dialog")).to_be_visible()
    assert violations(playground) == []
    playground.keyboard.press("Escape")
    playground.get_by_role("button", name="Models", exact=True).click()
    playground.get_by_text("The whole card").first.click()
    assert violations(playground) == []


def test_a_page_for_this_machine_alone_offers_no_address(playground: Page) -> None:
    expect(playground.get_by_role("button", name="Code", exact=True)).to_be_enabled()
    playground.wait_for_load_state("networkidle")
    expect(playground.locator("#class")).to_be_hidden()
