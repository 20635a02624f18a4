"""The pose under the hand: sliders, the choice of a capsule, the perturbation sheet."""

from itertools import pairwise

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.support import eventually, number, open_numbers, pixels, prediction, wait_for_another

# The page may be through with a row before the test looks, so it keeps what a canvas shows: painting sets its width.
REMEMBER = """canvas => {
  canvas.shown = new Set();
  new MutationObserver(() => canvas.shown.add(canvas.toDataURL())).observe(canvas, { attributes: true });
}"""


@pytest.fixture
def moved(playground: Page) -> Locator:
    """The canvas that shows what the moved pose draws."""
    return playground.locator("#moved")


@pytest.fixture
def sheet(playground: Page) -> Locator:
    """The perturbation sheet, in sight."""
    table = playground.get_by_role("grid")
    playground.locator("#sheet-body").scroll_into_view_if_needed()
    expect(table).to_be_visible()
    return table


def test_a_slider_moves_the_image_and_reset_puts_it_back(playground: Page, moved: Locator) -> None:
    before = pixels(moved)
    given = number(playground, 9)
    open_numbers(playground)
    slider = playground.locator("#dim-9")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    playground.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    playground.mouse.down()
    playground.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2, steps=8)
    playground.mouse.up()
    eventually(playground, lambda: number(playground, 9) < given - 0.2)
    wait_for_another(playground, moved, before)
    expect(playground.locator("#moved-words")).to_have_text("as you moved it, capsule of 7")
    playground.get_by_role("button", name="Reset").click()
    eventually(playground, lambda: bool((pixels(moved) == before).all()))
    assert number(playground, 9) == pytest.approx(given, abs=0.003)


def test_the_keys_move_a_slider(playground: Page, moved: Locator) -> None:
    before, given = pixels(moved), number(playground, 0)
    open_numbers(playground)
    playground.locator("#dim-0").focus()
    for _ in range(20):
        playground.keyboard.press("ArrowRight")
    eventually(playground, lambda: number(playground, 0) == pytest.approx(given + 0.1, abs=0.006))
    wait_for_another(playground, moved, before)


def test_any_capsule_can_be_asked(playground: Page, moved: Locator) -> None:
    before = pixels(moved)
    table_button = playground.locator("#capsules").get_by_role("button", name="3", exact=True)
    table_button.click()
    expect(table_button).to_have_attribute("aria-pressed", "true")
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 3")
    wait_for_another(playground, moved, before)
    expect(prediction(playground)).to_have_text("7")
    playground.get_by_label("Capsule", exact=True).select_option("7")
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 7")
    eventually(playground, lambda: bool((pixels(moved) == before).all()))


def test_the_heat_map_has_every_number_for_those_who_hear_it(playground: Page) -> None:
    row = playground.locator("#capsules tr.found")
    spoken = [float(text.replace("−", "-")) for text in row.locator(".cell").all_text_contents()]
    sliders = [number(playground, dim) for dim in range(16)]
    assert spoken == pytest.approx(sliders, abs=0.011)
    length = float(row.locator(".value").inner_text())
    assert np.linalg.norm(spoken) == pytest.approx(length, abs=0.03)  # the length is that of the vector


def test_the_sheet_moves_each_dimension_through_the_papers_range(sheet: Locator) -> None:
    assert sheet.locator("tbody tr").count() == 16
    columns = [float(text.replace("−", "-")) for text in sheet.locator("thead th").all_inner_texts()[1:]]
    assert columns == pytest.approx(np.linspace(-0.25, 0.25, 11), abs=1e-6)
    row = [pixels(canvas).astype(int) for canvas in sheet.locator("tbody tr").nth(1).locator("canvas").all()]
    assert all((one != other).any() for one, other in pairwise(row))
    middles = [pixels(canvas) for canvas in sheet.locator("td.given canvas").all()]
    assert len(middles) == 16
    assert all((middle == middles[0]).all() for middle in middles)


def test_an_image_of_the_sheet_gives_its_pose(playground: Page, moved: Locator, sheet: Locator) -> None:
    given = number(playground, 4)
    cell = sheet.get_by_role("button", name="dimension 4 +0.20")
    wanted = pixels(cell.locator("canvas"))
    cell.click()
    eventually(playground, lambda: number(playground, 4) == pytest.approx(given + 0.2, abs=0.006))
    eventually(playground, lambda: bool((pixels(moved) == wanted).all()))


def test_the_keys_walk_over_the_sheet(playground: Page, sheet: Locator) -> None:
    stops = sheet.locator("button[tabindex='0']")
    expect(stops).to_have_count(1)
    stops.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp"):
        playground.keyboard.press(key)
    focused = sheet.get_by_role("button", name="dimension 1 −0.20")
    expect(focused).to_be_focused()
    given = number(playground, 1)
    playground.keyboard.press("Enter")
    eventually(playground, lambda: number(playground, 1) == pytest.approx(given - 0.2, abs=0.006))
    expect(stops).to_have_count(1)


def test_a_row_of_the_sheet_plays(playground: Page, sheet: Locator) -> None:
    mirror = playground.locator("#mirror")
    before = pixels(mirror)
    mirror.evaluate(REMEMBER)
    sheet.get_by_role("button", name="Play dimension 1").first.click()
    eventually(playground, lambda: mirror.evaluate("canvas => canvas.shown.size") > 1)
    expect(sheet.locator(".now")).to_have_count(0)
    eventually(playground, lambda: bool((pixels(mirror) == before).all()))
