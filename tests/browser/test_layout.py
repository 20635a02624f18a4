"""The page in windows of many sizes: all of it is inside, nothing prints over anything, and the answer is in sight."""

import json

import pytest
from playwright.sync_api import Page, expect

from app.api.playground import TEXTS, languages
from tests.app.server_process import Server
from tests.browser.support import ZERO, draw, draw_and_wait, pixels, prediction, sample
from tests.browser.test_accessibility import violations

SIZES = [(360, 740), (667, 375), (768, 1024), (960, 700), (1280, 720), (1920, 1080)]

# Pairs of texts that print over each other. A text's place is that of its glyphs: the upper and lower quarter of a line
# is space. What an element cuts off does not count.
OVERLAPS = """() => {
  const places = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { currentNode: node } = walker;
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    if (element.closest(".hidden, .badge, noscript, select")) continue;
    if (parseFloat(getComputedStyle(element).fontSize) === 0) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const { left, right, top, bottom } of range.getClientRects()) {
      const place = { text: node.data.trim().slice(0, 40), left, right, top, bottom };
      for (let around = element; around; around = around.parentElement) {
        if (getComputedStyle(around).overflowX === "visible") continue;
        const frame = around.getBoundingClientRect();
        place.left = Math.max(place.left, frame.left);
        place.right = Math.min(place.right, frame.right);
      }
      const rest = (bottom - top) / 4;
      places.push({ ...place, top: top + rest, bottom: bottom - rest });
    }
  }
  const faults = [];
  places.forEach((one, at) => places.slice(at + 1).forEach((other) => {
    const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const tall = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    if (wide > 1 && tall > 1) faults.push(`${one.text} / ${other.text}`);
  }));
  return faults;
}"""


def longest_language() -> str:
    """The language whose texts have the most letters."""

    def letters(language: str) -> int:
        texts = json.loads((TEXTS / f"{language}.json").read_text("utf-8"))
        return sum(len(words) for part in texts.values() for words in part.values())

    return max(sorted(languages()), key=letters)


def open_whole(page: Page, url: str) -> None:
    """Open the page for the second time, with the answers of all of its sections."""
    for _ in range(2):
        page.goto(url)
        expect(prediction(page)).to_have_text("7")
    page.locator("#turn-section").scroll_into_view_if_needed()
    expect(page.locator("#turn")).to_be_enabled()
    page.locator("#sheet-body").scroll_into_view_if_needed()
    expect(page.get_by_role("grid")).to_be_visible()


def test_all_is_inside_and_nothing_prints_over_anything(page: Page, server: Server) -> None:
    """In the longest language, of an accepted and of a refused image."""
    open_whole(page, f"{server.url}/?lang={longest_language()}")
    faults = {}
    for name in ("7", "Bag"):
        sample(page, name).click()
        expect(sample(page, name)).to_have_attribute("aria-pressed", "true")
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(100)
            found = page.evaluate(OVERLAPS)
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                found.append(f"{wide} pixels wide")
            if found:
                faults[name, width] = found[:5]
    assert faults == {}


@pytest.mark.parametrize("name", ["1", "9"])
def test_the_answer_is_in_sight_on_a_projector(page: Page, server: Server, name: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    page.reload()
    sample(page, name).click()
    expect(prediction(page)).to_have_text(name)
    page.evaluate("window.scrollTo(0, 0)")
    for place in ("#prediction", "#capsules tr.found"):
        box = page.locator(place).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 720


def test_a_swipe_beside_the_board_scrolls(page: Page, server: Server) -> None:
    """Of a telephone on its side at least three tenths of the height, and some of the width, are no board."""
    page.set_viewport_size({"width": 667, "height": 375})
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    box = page.locator("#board").bounding_box()
    assert box is not None
    assert box["height"] <= 0.7 * 375 + 1
    assert box["width"] <= 667 / 2


def test_the_prediction_has_space_for_words(page: Page, server: Server) -> None:
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    for width in (740, 768, 850, 960):
        page.set_viewport_size({"width": width, "height": 900})
        box = page.locator(".finding").bounding_box()
        assert box is not None
        assert box["width"] > 160
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("language", sorted(languages() - {"en"}))
def test_axe_finds_nothing_in_a_language(page: Page, server: Server, language: str) -> None:
    page.goto(f"{server.url}/?lang={language}")
    expect(prediction(page)).to_have_text("7")
    assert page.locator("html").get_attribute("lang") == language
    assert violations(page) == []


def test_the_browser_chooses_the_language_and_the_state_goes_along(page: Page, server: Server) -> None:
    page.set_extra_http_headers({"Accept-Language": "fr-CA,fr;q=0.9,en;q=0.8"})
    page.goto(server.url)
    expect(page.locator("#clear")).to_have_text("Effacer")
    sample(page, "4").click()
    expect(prediction(page)).to_have_text("4")
    page.get_by_role("link", name="Deutsch").click()
    expect(page.locator("#clear")).to_have_text("Leeren")
    expect(prediction(page)).to_have_text("4")


def test_a_drawing_goes_along_through_all_languages(page: Page, server: Server) -> None:
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    page.locator("#clear").click()
    draw_and_wait(page, ZERO)
    expect(prediction(page)).to_have_text("0")
    board = pixels(page.locator("#board")).astype(int)
    links = page.locator("#languages a").all_inner_texts()
    seen = set()
    for name in [*links[1:], links[0]]:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.locator("#languages [aria-current]")).to_have_text(name)
        expect(prediction(page)).to_have_text("0")
        assert abs(pixels(page.locator("#board")) - board).mean() < 3
        seen.add(page.locator("#clear").inner_text())
    assert len(seen) == len(links) == 5


def test_a_drawing_without_an_answer_goes_along_to_another_language(page: Page, server: Server) -> None:
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    page.locator("#clear").click()
    page.route("**/classify?*", lambda route: route.abort())
    draw(page, ZERO)
    expect(page.locator("#notice-text")).to_contain_text("The server does not answer.")
    page.get_by_role("link", name="Deutsch").click()
    page.unroute_all()
    expect(page.locator("#clear")).to_have_text("Leeren")
    expect(prediction(page)).to_have_text("0")


def test_a_drawing_goes_along_to_the_projector_and_back(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/?lang=de")
    expect(prediction(page)).to_have_text("7")
    sample(page, "4").click()
    expect(prediction(page)).to_have_text("4")
    page.locator("#present-link").click()
    expect(page.locator("#present-bar")).to_be_visible()
    expect(page.locator("#clear")).to_have_text("Leeren")
    expect(prediction(page)).to_have_text("4")
    page.keyboard.press("Escape")
    expect(page.locator("#present-bar")).to_be_hidden()
    expect(page.locator("#clear")).to_have_text("Leeren")
    expect(prediction(page)).to_have_text("4")


def test_keys_step_through_the_sections_for_a_class(page: Page, server: Server) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{server.url}/?present")
    expect(prediction(page)).to_have_text("7")
    expect(page.locator("#present-bar")).to_contain_text("Page Down")
    expect(page.locator("#board")).to_be_visible()
    expect(page.locator("#move-title")).to_be_hidden()
    for key, title in (("PageDown", "#idea-title"), ("ArrowRight", "#move-title"), ("PageUp", "#idea-title")):
        page.keyboard.press(key)
        expect(page.locator(title)).to_be_visible()
    expect(page.locator("#board")).to_be_hidden()
    expect(page.locator("#present-now")).to_have_text("Section 2 of 6")
    page.keyboard.press("Escape")
    expect(page.locator("#present-bar")).to_be_hidden()
    expect(page.locator("footer")).to_be_visible()
