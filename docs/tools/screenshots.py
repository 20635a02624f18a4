"""Take the screenshots of the playground that stand in the documentation.

    python -m docs.tools.screenshots --output docs/images [--own artifacts/things]

Each is made by a real browser from a real server with the shipped models, or with `--own` by a server of that one model
(the one of docs/training.md). A screenshot is a PNG with a palette.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.app.server_process import serving
from tests.browser.support import TIMEOUT_S, draw_and_wait, launch, prediction, sample

# The two bows of a 3: ellipses with their middles one above the other, open to the left.
BOWS = [(0.48, 0.33, 0.17, 0.15, -2.2, 1.6), (0.48, 0.65, 0.2, 0.19, -1.5, 2.3)]


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the PNG files")
    parser.add_argument("--own", type=Path, help="exported model of own images; only its screenshot is taken")
    words = parser.parse_args()
    folder: Path = words.output
    if words.own is not None:
        own = words.own.resolve()
        with browsing(models=own.parent, default=own.name) as (browser, url):
            save(own_images(browser, f"{url}/?model={own.name}"), folder / "playground-own.png")
        return
    with browsing() as (browser, url):
        for name, take in {"drawing": drawing, "refusal": refusal, "sheet": sheet}.items():
            save(take(browser, url), folder / f"playground-{name}.png")


@contextlib.contextmanager
def browsing(**settings: object) -> Iterator[tuple[Browser, str]]:
    """Yield a browser, and the address of a service with the shipped models, or as the settings say."""
    expect.set_options(timeout=1000 * TIMEOUT_S)
    with (
        tempfile.TemporaryDirectory() as logs,
        serving(Path(logs) / "log", **settings) as server,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        yield browser, server.url
        browser.close()


def drawing(browser: Browser, url: str) -> bytes:
    """Show a digit drawn by hand, by day."""
    page = open_page(browser, url, 1280, 980)
    draw_and_wait(page, [[point for bow in BOWS for point in arc(*bow)]])
    expect(prediction(page)).to_have_text("3")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    return page.screenshot()


def refusal(browser: Browser, url: str) -> bytes:
    """Show what the network does not know, by night, on a telephone."""
    page = open_page(browser, url, 390, 1180, dark=True)
    sample(page, "Bag").click()
    expect(page.locator("#prediction")).to_have_class("prediction refused")
    page.locator("#give-title").evaluate("title => title.scrollIntoView()")
    page.wait_for_timeout(500)
    return page.screenshot()


def sheet(browser: Browser, url: str) -> bytes:
    """Every dimension of a pose, moved."""
    page = open_page(browser, url, 1280, 1010)
    sample(page, "2").click()
    expect(prediction(page)).to_have_text("2")
    page.locator(".sheet").evaluate("section => section.scrollIntoView()")
    expect(page.get_by_role("grid")).to_be_visible()
    page.get_by_role("grid").locator("tbody tr").nth(4).locator("td button").nth(9).click()
    page.wait_for_timeout(500)
    return page.screenshot()


def own_images(browser: Browser, url: str) -> bytes:
    """Show a validation image of a model of one's own."""
    page = browser.new_context(viewport={"width": 1280, "height": 980}).new_page()
    page.set_default_timeout(1000 * TIMEOUT_S)
    page.goto(url)
    page.locator("#samples button").first.click()
    expect(page.locator("#prediction")).to_have_class("prediction")
    page.wait_for_timeout(500)
    return page.screenshot()


def arc(
    middle: float, height: float, wide: float, tall: float, start: float, end: float
) -> list[tuple[float, float]]:
    """Points of a part of an ellipse, its angles counted from the right."""
    angles = np.linspace(start, end, 12)
    return [(middle + wide * float(np.cos(angle)), height + tall * float(np.sin(angle))) for angle in angles]


def open_page(browser: Browser, url: str, width: int, height: int, *, dark: bool = False) -> Page:
    """Open the playground in a window of this size."""
    page = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    ).new_page()
    page.set_default_timeout(1000 * TIMEOUT_S)
    page.goto(url)
    expect(prediction(page)).to_have_text("7")
    return page


def save(png: bytes, file: Path) -> None:
    """Write a screenshot with 128 colours, which is a quarter of the bytes and hardly to be seen."""
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
