"""Take screenshots of the whole playground in windows of many sizes, to look at after a change.

    python -m docs.tools.page_views --output screenshots

One PNG for each size, theme and language, such as `1280x720-light-en.png`, and one for each special view. A file whose
name ends in `-fold` shows only what the window shows before it is scrolled.
"""

import argparse
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from docs.tools.screenshots import browsing
from tests.browser.support import TIMEOUT_S, prediction, sample

SIZES = ("360x740", "667x375", "768x1024", "1024x768", "1280x720", "1920x1080")
THEMES = ("light", "dark")
# Views beside these: the address, the window, and how it differs. 200 % zoom halves the window.
SPECIAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "zoom": ("", "640x360", {"device_scale_factor": 2}),
    "present": ("&present", "1280x720", {}),
    "forced": ("", "1280x720", {"forced_colors": "active"}),
    "fashion": ("&model=fashion_mnist", "768x1024", {}),
    "several": ("&model=multimnist", "768x1024", {}),
}


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the PNG files")
    parser.add_argument(
        "--sizes", nargs="+", default=SIZES, help="widths and heights of the window, as 1280x720"
    )
    parser.add_argument("--languages", nargs="+", default=["en"], help="languages of the page")
    parser.add_argument("--themes", nargs="+", default=THEMES, choices=THEMES)
    parser.add_argument("--special", nargs="*", default=SPECIAL, choices=SPECIAL, help="views beside these")
    arguments = parser.parse_args()
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    with browsing(public_url="http://192.168.1.20:8000") as (browser, url):
        for size, theme, language in itertools.product(
            arguments.sizes, arguments.themes, arguments.languages
        ):
            with opened(browser, f"{url}/?lang={language}", size, color_scheme=theme) as page:
                take(page, folder, f"{size}-{theme}-{language}")
        for name in arguments.special:
            address, size, options = SPECIAL[name]
            with opened(browser, f"{url}/?lang=en{address}", size, **options) as page:
                take(page, folder, name)


@contextlib.contextmanager
def opened(browser: Browser, url: str, size: str, **options: Any) -> Iterator[Page]:
    """Yield the playground as a person sees it who was there before, in a window of this size."""
    width, height = map(int, size.split("x"))
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.set_default_timeout(1000 * TIMEOUT_S)
    for _ in range(2):
        page.goto(url)
        expect(prediction(page)).not_to_have_text("–")
    yield page
    context.close()


def take(page: Page, folder: Path, name: str) -> None:
    """Save what the window shows, the whole page or each section, the dialogs, and a refused image."""
    page.wait_for_timeout(300)
    page.screenshot(path=folder / f"{name}-fold.png")
    if page.locator("#present-bar").is_visible():
        for number in itertools.count(2):
            if page.locator("#present-next").is_disabled():
                break
            page.keyboard.press("PageDown")
            page.wait_for_timeout(1500)
            page.screenshot(path=folder / f"{name}-{number}.png")
        return
    for section in (".turn", ".sheet"):
        page.locator(section).scroll_into_view_if_needed()
    expect(page.get_by_role("grid")).to_be_visible()
    expect(page.locator("#turn")).to_be_enabled()
    page.evaluate("window.scrollTo(0, 0)")  # or what sticks to the window would stand elsewhere
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    for opener in ("models", "code", "save", "class", "camera"):
        page.locator(f"#{opener}").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.wait_for_timeout(300)
        page.screenshot(path=folder / f"{name}-{opener}.png")
        page.keyboard.press("Escape")
    stranger = sample(page, "Bag")
    if stranger.count() and "model=" not in page.url:
        stranger.click()
        expect(page.locator("#prediction")).to_have_class("prediction refused")
        page.locator(".seen").screenshot(path=folder / f"{name}-refused.png")


if __name__ == "__main__":
    main()
