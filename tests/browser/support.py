"""The playground as a person has it: a real Chromium, real pointer events, and what stands on the page."""

import base64
import io
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

Point = tuple[float, float]

# Digits as a hand draws them: strokes of points in parts of the board.
ONE = [[(0.52, 0.18), (0.5, 0.5), (0.48, 0.82)]]
SEVEN = [[(0.28, 0.22), (0.5, 0.22), (0.72, 0.22), (0.6, 0.5), (0.47, 0.82)]]
ZERO = [
    [
        (0.5 + 0.2 * float(np.sin(angle)), 0.5 - 0.3 * float(np.cos(angle)))
        for angle in np.linspace(0, 6.3, 24)
    ]
]

# The image of what the network saw loses its width with the hand that is lifted, until an answer paints it again.
FORGET_WHEN_LIFTED = """board => board.addEventListener("drawn", () => {
  document.getElementById("input").width = 0;
})"""

# Of the files that are read as images the next one waits, or one after it, until `release` is called, which gives way
# to what follows from it.
HOLD_IMAGE = """(before) => {
  const read = window.createImageBitmap;
  window.createImageBitmap = async (...what) => {
    if (!(what[0] instanceof Blob) || before-- > 0) return read(...what);
    window.createImageBitmap = read;
    await new Promise((resolve) => {
      window.release = () => (resolve(), new Promise((done) => setTimeout(done, 200)));
    });
    return read(...what);
  };
}"""

# A machine that is busy with other work is slow, which is no fault of the page.
TIMEOUT_S = 60.0


def launch(playwright: Playwright, camera: Path | None = None) -> Browser:
    """Chromium, the system's or else Playwright's own, with a camera that shows a film if one is given (MJPEG)."""
    names = ("chromium", "chromium-browser", "google-chrome")
    system = next(filter(None, map(shutil.which, names)), None)
    arguments = []
    if camera:
        arguments += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        arguments.append(f"--use-file-for-fake-video-capture={camera}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Chromium's sandbox refuses root
        arguments.append("--no-sandbox")
    return playwright.chromium.launch(executable_path=system, args=arguments)


def on_board(page: Page, point: Point) -> Point:
    """A place on the drawing board in pixels of the window."""
    box = page.locator("#board").bounding_box()
    assert box is not None
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def draw(page: Page, strokes: Sequence[Sequence[Point]]) -> None:
    """Draw with the mouse."""
    page.locator("#board").scroll_into_view_if_needed()
    for first, *rest in strokes:
        page.mouse.move(*on_board(page, first))
        page.mouse.down()
        for point in rest:
            page.mouse.move(*on_board(page, point), steps=3)
        page.mouse.up()


def draw_and_wait(page: Page, strokes: Sequence[Sequence[Point]]) -> None:
    """Draw, and wait for the answer to the whole drawing; before it there may be some to parts of it."""
    # The hand that is lifted calls back all that was asked before, so the next answer is the last one.
    page.locator("#board").evaluate(FORGET_WHEN_LIFTED)
    draw(page, strokes)
    expect(page.locator("#input")).not_to_have_attribute("width", "0")


def pixels(canvas: Locator) -> np.ndarray:
    """What a canvas shows: uint8 (H,W,4)."""
    address = canvas.evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def eventually(page: Page, condition: Callable[[], bool]) -> None:
    """Wait until something holds on a page that is still at work; meanwhile its events are heard."""
    give_up = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < give_up, "it never came about"
        page.wait_for_timeout(20)


def wait_for_another(page: Page, canvas: Locator, before: np.ndarray) -> None:
    """Wait until a canvas shows something else than before."""
    eventually(page, lambda: not np.array_equal(pixels(canvas), before))


def prediction(page: Page) -> Locator:
    """What the page says it is."""
    return page.locator("#prediction-class")


def sample(page: Page, name: str) -> Locator:
    """A button of the strip of samples."""
    return page.locator("#samples").get_by_title(name, exact=True)


def open_numbers(page: Page) -> None:
    """Open the sliders of single dimensions, which stand behind the named handles of the pose."""
    page.locator("#numbers").evaluate("details => { details.open = true; }")


def number(page: Page, dim: int) -> float:
    """The number at which a slider stands."""
    return float(page.locator(f"#dim-{dim}").input_value())
