"""Nothing is lost: steps back and forth, a reload, and the last answers."""

import numpy as np
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.support import (
    ONE,
    SEVEN,
    ZERO,
    draw,
    draw_and_wait,
    eventually,
    pixels,
    prediction,
    sample,
)


def entries(page: Page) -> Locator:
    """The last answers, the newest first."""
    return page.locator("#history button")


def test_steps_back_and_forth_lead_through_all_that_was_given(playground: Page) -> None:
    expect(playground.get_by_role("button", name="Undo")).to_be_disabled()
    draw_and_wait(playground, ONE)
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    playground.get_by_role("button", name="Clear").click()
    expect(prediction(playground)).to_have_text("–")
    for found in ("3", "1", "7"):
        playground.keyboard.press("Control+z")
        expect(prediction(playground)).to_have_text(found)
    expect(playground.get_by_role("button", name="Undo")).to_be_disabled()
    for keys, found in (("Control+Shift+z", "1"), ("Control+y", "3"), ("Control+y", "–")):
        playground.keyboard.press(keys)
        expect(prediction(playground)).to_have_text(found)
    expect(playground.get_by_role("button", name="Redo")).to_be_disabled()
    playground.get_by_role("button", name="Undo").click()
    expect(prediction(playground)).to_have_text("3")
    draw_and_wait(playground, ONE)  # from here on another way: what was taken back is gone
    expect(playground.get_by_role("button", name="Redo")).to_be_disabled()


def test_a_reload_keeps_drawing_capsule_and_pose(playground: Page) -> None:
    draw_and_wait(playground, SEVEN)
    expect(prediction(playground)).to_have_text("7")
    playground.locator("#capsules").get_by_role("button", name="9", exact=True).click()
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 9")
    board = pixels(playground.locator("#board")).astype(int)
    playground.reload()
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 9")
    expect(prediction(playground)).to_have_text("7")
    assert np.abs(pixels(playground.locator("#board")) - board).mean() < 3


def test_the_last_answers_can_be_had_again(playground: Page) -> None:
    draw_and_wait(playground, ONE)
    expect(entries(playground)).to_have_count(2)
    draw_and_wait(playground, [[(0.35, 0.83), (0.62, 0.83)]])  # goes on with the same drawing
    playground.wait_for_timeout(1000)
    expect(entries(playground)).to_have_count(2)
    playground.get_by_role("button", name="Undo").click()
    expect(entries(playground).first).to_have_accessible_name("1, by mnist")
    playground.get_by_role("button", name="Clear").click()
    draw_and_wait(playground, ZERO)
    expect(entries(playground)).to_have_count(3)
    entries(playground).nth(1).click()
    expect(prediction(playground)).to_have_text("1")
    expect(entries(playground).first).to_have_accessible_name("1, by mnist")
    assert len(entries(playground).all()) == 3


def test_the_keyboard_stays_at_the_answer_that_it_had_again(playground: Page) -> None:
    for label in ("3", "4"):
        sample(playground, label).click()
        expect(entries(playground).first).to_have_accessible_name(f"{label}, by mnist")
    entries(playground).nth(2).press("Enter")
    expect(entries(playground).first).to_have_accessible_name("7, by mnist")
    expect(entries(playground).first).to_be_focused()
    sample(playground, "3").evaluate("button => button.click()")  # the place is kept also where others move
    expect(entries(playground).first).to_have_accessible_name("3, by mnist")
    expect(entries(playground).nth(1)).to_be_focused()


def test_an_answer_of_another_model_comes_with_its_model(playground: Page) -> None:
    draw_and_wait(playground, ONE)
    expect(entries(playground)).to_have_count(2)
    playground.get_by_label("Model", exact=True).select_option("pair")
    expect(entries(playground)).to_have_count(3)
    entries(playground).filter(has_text="7").last.click()
    expect(playground.get_by_label("Model", exact=True)).to_have_value("mnist")
    eventually(playground, lambda: prediction(playground).inner_text() == "7")


# The board becomes an image only when `release` is called, which gives way to what follows from it.
HOLD_BOARD = """() => {
  const write = OffscreenCanvas.prototype.convertToBlob;
  const written = [];
  const opened = new Promise((open) => {
    window.release = () => (open(), Promise.all(written).then(() => new Promise((done) => setTimeout(done, 100))));
  });
  OffscreenCanvas.prototype.convertToBlob = function (...how) {
    const blob = opened.then(() => write.apply(this, how));
    written.push(blob);
    return blob;
  };
}"""


def test_a_stroke_that_is_taken_back_at_once_leaves_nothing(playground: Page) -> None:
    playground.get_by_role("button", name="Clear").click()
    playground.evaluate(HOLD_BOARD)
    draw(playground, ONE)
    playground.get_by_role("button", name="Undo").click()
    words = playground.locator("#prediction-words")
    expect(words).to_have_text("Nothing drawn yet.")
    playground.evaluate("release()")
    assert words.inner_text() == "Nothing drawn yet."


def test_the_answer_to_what_was_taken_back_does_not_stay(playground: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    playground.get_by_role("button", name="Clear").click()
    draw_and_wait(playground, ZERO)
    expect(prediction(playground)).to_have_text("0")
    draw_and_wait(playground, ONE)
    playground.route("**/classify?*", hold)
    playground.keyboard.press("Control+z")
    expect(prediction(playground)).to_have_text("–")
    eventually(playground, lambda: len(held) > 0)
    held[0].continue_()
    expect(prediction(playground)).to_have_text("0")


def test_a_long_drawing_survives_a_reload(playground: Page) -> None:
    """Longer than a link may be."""
    playground.get_by_role("button", name="Clear").click()
    playground.evaluate(SCRIBBLE)
    undo = playground.get_by_role("button", name="Undo")
    expect(undo).to_be_enabled()
    playground.get_by_role("button", name="Link").click()
    expect(playground.locator("#notice-text")).to_contain_text("too large for a link")
    board = pixels(playground.locator("#board")).astype(int)
    playground.reload()
    expect(undo).to_be_enabled()
    assert np.abs(pixels(playground.locator("#board")) - board).mean() < 10  # corners are rounded


# Three hundred strokes of a hand that does not rest.
SCRIBBLE = """() => {
  const board = document.getElementById("board");
  const frame = board.getBoundingClientRect();
  board.setPointerCapture = () => {};
  const send = (kind, x, y) => board.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button: 0, clientX: frame.left + x * frame.width, clientY: frame.top + y * frame.height,
  }));
  for (let stroke = 0; stroke < 300; stroke++) {
    const [x, y] = [0.2 + 0.6 * ((stroke * 0.618) % 1), 0.2 + 0.6 * ((stroke * 0.755) % 1)];
    send("pointerdown", x, y);
    for (let step = 1; step <= 16; step++) {
      send("pointermove", x + 0.05 * Math.sin(step), y + 0.05 * Math.cos(2 * step));
    }
    send("pointerup", x, y);
  }
}"""
