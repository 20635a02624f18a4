"""Two overlapping digits on the page: the places that vote for each, iteration by iteration."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.server_process import Server, png, serving
from tests.browser.support import TIMEOUT_S, eventually, pixels, prediction, sample

ROOT = Path(__file__).resolve().parents[2]

# The place of each circle, its size and its colour, as they are drawn.
CIRCLES = """circles => circles.map((circle) => {
  const { fill, r } = getComputedStyle(circle);
  return [Number(circle.getAttribute("cx")), Number.parseFloat(r), fill];
})"""


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a model whose capsules have a place, beside the usual one."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("mnist", "mnist-capsnet", "mnist-shared"):
        shutil.copytree(ROOT / "artifacts" / name, folder / name)
    with serving(tmp_path_factory.mktemp("server") / "log", models=folder) as running:
        yield running


def opened(page: Page, server: Server) -> Page:
    """The page with the section in sight, and its image there."""
    page.goto(server.url)
    section = page.locator("#votes-section")
    expect(section).to_be_visible()
    section.scroll_into_view_if_needed()
    expect(page.locator("#votes-iteration")).to_be_enabled(timeout=1000 * TIMEOUT_S)
    return page


def circles(page: Page) -> list[tuple[float, float, str]]:
    drawn: list[tuple[float, float, str]] = page.locator("#votes-places circle").evaluate_all(CIRCLES)
    return drawn


def test_the_iterations_play_and_places_take_sides(page: Page, routed: Server) -> None:
    opened(page, routed)
    now, slider = page.locator("#votes-now"), page.locator("#votes-iteration")
    expect(now).to_have_text("iteration 5 of 5")  # it has played by itself
    assert slider.input_value() == "5"
    drawn = circles(page)
    assert len(drawn) == 49
    assert max(radius for _, radius, _ in drawn) > 1
    assert len({fill for _, _, fill in drawn}) > 10
    assert pixels(page.locator("#votes-input")).shape[:2] == (28, 28)
    expect(page.locator("#votes-left-length")).to_contain_text("3: length 0.")
    expect(page.locator("#votes-right-length")).to_contain_text("4: length 0.")
    page.get_by_role("button", name="Play", exact=True).last.click()
    expect(now).to_have_text("iteration 1 of 5")


def test_what_was_played_before_the_answer_came_leaves_the_handle_alone(page: Page, routed: Server) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    opened(page, routed)
    now, play = page.locator("#votes-now"), page.locator("#votes-play")
    expect(now).to_have_text("iteration 5 of 5")
    page.route("**/explain?*", hold)
    page.locator("#votes-left").select_option("0")
    eventually(page, lambda: len(held) == 2)
    play.click()
    for route in held:
        route.continue_()
    expect(page.locator("#votes-left-length")).to_contain_text("0: length")
    expect(now).to_have_text("iteration 5 of 5")
    expect(play).to_have_text("Play")
    page.locator("#votes-iteration").fill("2")
    page.wait_for_timeout(2000)
    expect(now).to_have_text("iteration 2 of 5")


def test_nothing_moves_by_itself_for_those_who_want_less_motion(page: Page, routed: Server) -> None:
    page.emulate_media(reduced_motion="reduce")
    opened(page, routed)
    expect(page.locator("#votes-now")).to_have_text("iteration 1 of 5")
    first = circles(page)
    page.wait_for_timeout(1800)
    assert circles(page) == first
    page.locator("#votes-iteration").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#votes-now")).to_have_text("iteration 2 of 5")
    assert circles(page) != first  # at once, without a transition


def test_the_votes_are_those_of_the_model_that_was_chosen_out_of_sight(page: Page, routed: Server) -> None:
    opened(page, routed)
    expect(page.locator("#votes-now")).to_contain_text("of 5")
    page.evaluate("scrollTo(0, 0)")
    sample(page, "4").click()
    page.get_by_label("Model").select_option("mnist-capsnet")
    expect(page.locator("#capsules")).to_contain_text("4")
    expect(prediction(page)).to_have_text("4")  # the sample stays, too
    page.locator("#votes-section").scroll_into_view_if_needed()
    expect(page.locator("#votes-now")).to_contain_text("of 3")
    assert len(circles(page)) == 36


def test_the_classes_are_those_of_the_model_that_have_a_sample(page: Page, routed: Server) -> None:
    """A model of ten letters, three of which have a sample."""

    def list_models(route: Route) -> None:
        answer = route.fetch().json()
        card = next(each for each in answer["models"] if each["name"] == "mnist-capsnet")
        letters = {"name": "letters", "classes": list("ABCDEFGHIJ"), "samples": list("ABC")}
        route.fulfill(json=answer | {"models": [*answer["models"], card | letters]})

    def ask_of_digits(route: Route) -> None:
        url = route.request.url.replace("model=letters", "model=mnist-capsnet")
        route.continue_(url=re.sub("label=([A-J])", lambda found: f"label={ord(found[1]) - ord('A')}", url))

    strip = png(np.tile(np.array([0, 255, 0, 0], np.uint8).repeat(7), (28, 3)))
    page.route("**/models", list_models)
    page.route(
        "**/models/letters/samples.png", lambda route: route.fulfill(body=strip, content_type="image/png")
    )
    page.route(re.compile("model=letters"), ask_of_digits)
    opened(page, routed)
    page.locator("#votes-left").select_option("0")
    expect(page.locator("#votes-left-length")).to_contain_text("0: length")
    page.get_by_label("Model").select_option("letters")
    for side, chosen in (("left", "A"), ("right", "B")):
        expect(page.locator(f"#votes-{side} option")).to_have_text(["A", "B", "C"])
        expect(page.locator(f"#votes-{side}")).to_have_value(chosen)
    expect(page.locator("#votes-left-length")).to_contain_text("A: length")
    page.locator("#votes-left").select_option("C")
    expect(page.locator("#votes-left-length")).to_contain_text("C: length")
    expect(page.locator("#votes-left")).to_have_value("C")


def test_other_digits_and_models_without_places(page: Page, routed: Server, server: Server) -> None:
    opened(page, routed)
    before = pixels(page.locator("#votes-input"))
    page.locator("#votes-left").select_option("0")
    eventually(page, lambda: bool((pixels(page.locator("#votes-input")) != before).any()))
    expect(page.locator("#votes-left-length")).to_contain_text("0: length")
    page.goto(server.url)
    expect(page.locator("#prediction-class")).not_to_have_text("–")
    expect(page.locator("#votes-section")).to_be_hidden()
