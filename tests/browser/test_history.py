"""Nothing is lost: steps back and forth, a reload, and the last answers."""

import numpy as np
from playwright.sync_api import Locator, Page, expect

from tests.browser.support import ONE, SEVEN, ZERO, draw_and_wait, eventually, pixels, sample, verdict


def entries(page: Page) -> Locator:
    """The last answers, the newest first."""
    return page.locator("#history button")


def test_steps_back_and_forth_lead_through_all_that_was_given(playground: Page) -> None:
    expect(playground.get_by_role("button", name="Undo")).to_be_disabled()
    draw_and_wait(playground, ONE)
    sample(playground, "3").click()
    expect(verdict(playground)).to_have_text("3")
    playground.get_by_role("button", name="Clear").click()
    expect(verdict(playground)).to_have_text("–")
    for found in ("3", "1", "7"):
        playground.keyboard.press("Control+z")
        expect(verdict(playground)).to_have_text(found)
    expect(playground.get_by_role("button", name="Undo")).to_be_disabled()
    for keys, found in (("Control+Shift+z", "1"), ("Control+y", "3"), ("Control+y", "–")):
        playground.keyboard.press(keys)
        expect(verdict(playground)).to_have_text(found)
    expect(playground.get_by_role("button", name="Redo")).to_be_disabled()
    playground.get_by_role("button", name="Undo").click()
    expect(verdict(playground)).to_have_text("3")
    draw_and_wait(playground, ONE)  # from here on another way: what was taken back is gone
    expect(playground.get_by_role("button", name="Redo")).to_be_disabled()


def test_a_reload_keeps_drawing_capsule_and_pose(playground: Page) -> None:
    draw_and_wait(playground, SEVEN)
    expect(verdict(playground)).to_have_text("7")
    playground.locator("#capsules").get_by_role("button", name="9", exact=True).click()
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 9")
    board = pixels(playground.locator("#board")).astype(int)
    playground.reload()
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 9")
    expect(verdict(playground)).to_have_text("7")
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
    expect(verdict(playground)).to_have_text("1")
    expect(entries(playground).first).to_have_accessible_name("1, by mnist")
    assert len(entries(playground).all()) == 3


def test_an_answer_of_another_model_comes_with_its_model(playground: Page) -> None:
    draw_and_wait(playground, ONE)
    expect(entries(playground)).to_have_count(2)
    playground.get_by_label("Model", exact=True).select_option("pair")
    expect(entries(playground)).to_have_count(3)
    entries(playground).filter(has_text="7").last.click()
    expect(playground.get_by_label("Model", exact=True)).to_have_value("mnist")
    eventually(playground, lambda: verdict(playground).inner_text() == "7")
