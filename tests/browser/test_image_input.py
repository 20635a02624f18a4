"""Images that are not drawn: files that are opened, dropped or pasted, and the camera."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.reading import pages
from benchmarks.reading.report import overlap
from tests.app.server_process import Server, png
from tests.browser.support import HOLD_IMAGE, draw, eventually, pixels, prediction, sample
from training.data.datasets import DatasetPart

# The frame of a digit that is certain.
GREEN = (0, 130, 60)

DROP = """({ name, type, content }) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type }));
  const event = (kind) => new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
  const board = document.getElementById("board");
  board.dispatchEvent(event("dragover"));
  board.dispatchEvent(event("drop"));
}"""

COPY = """async (content) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
}"""


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def drop(page: Page, name: str, content: bytes, kind: str) -> None:
    page.evaluate(DROP, {"name": name, "type": kind, "content": text_of(content)})


def paste(page: Page, image: bytes) -> None:
    page.evaluate(COPY, text_of(image))
    page.keyboard.press("Control+v")


@pytest.fixture
def two(digits: DatasetPart) -> bytes:
    """A PNG of the second test image of MNIST, a 2."""
    assert digits.labels[1] == 2
    return png(digits.images[1, 0])


def test_an_image_can_be_opened(playground: Page, two: bytes) -> None:
    playground.locator("#file").set_input_files({"name": "2.png", "mimeType": "image/png", "buffer": two})
    expect(prediction(playground)).to_have_text("2")


def test_an_image_can_be_dropped(playground: Page, two: bytes) -> None:
    drop(playground, "2.png", two, "image/png")
    expect(prediction(playground)).to_have_text("2")


def test_an_image_can_be_pasted(playground: Page, two: bytes) -> None:
    paste(playground, two)
    expect(prediction(playground)).to_have_text("2")


def test_an_image_that_takes_long_to_read_does_not_replace_what_was_given_after_it(
    playground: Page, two: bytes
) -> None:
    playground.evaluate(HOLD_IMAGE, 0)
    drop(playground, "2.png", two, "image/png")
    playground.wait_for_function("() => !!window.release")
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    shown = pixels(playground.locator("#board"))
    playground.evaluate("window.release()")
    assert np.array_equal(pixels(playground.locator("#board")), shown)
    drop(playground, "2.png", two, "image/png")
    expect(prediction(playground)).to_have_text("2")


def test_what_is_no_image_is_refused_in_words_and_the_page_goes_on(playground: Page) -> None:
    drop(playground, "notes.txt", b"not an image at all", "text/plain")
    expect(playground.locator("#notice-text")).to_have_text("The server cannot read this file as an image.")
    expect(playground.locator("#notice-detail")).to_contain_text("Not an image")
    expect(playground.locator("#board-note")).to_have_text("notes.txt cannot be shown here.")
    expect(prediction(playground)).to_have_text("–")
    expect(playground.locator("#prediction-words")).to_have_text("No answer.")
    playground.get_by_role("button", name="Clear").click()
    expect(playground.locator("#prediction-words")).to_have_text("Nothing drawn yet.")
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    expect(playground.locator("#notice")).to_be_hidden()


def test_a_refusal_is_said_in_the_language_of_the_page(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/?lang=fr")
    expect(prediction(page)).to_have_text("7")
    drop(page, "notes.txt", b"not an image at all", "text/plain")
    expect(page.locator("#notice-text")).to_have_text("Le serveur n’y trouve aucune image lisible.")
    expect(page.locator("#notice-detail")).to_be_hidden()
    page.get_by_text("Détails", exact=True).click()
    expect(page.locator("#notice-detail")).to_contain_text("Not an image")
    assert page.locator("#notice-detail").get_attribute("lang") == "en"


def test_a_file_that_is_gone_is_not_blamed_on_the_server(
    playground: Page, two: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "two.png"
    file.write_bytes(two)
    playground.evaluate("addEventListener('change', e => e.stopPropagation(), {capture: true, once: true})")
    playground.set_input_files("#file", file)  # which the page does not hear of until the file is gone
    file.unlink()
    playground.locator("#file").dispatch_event("change")
    expect(playground.locator("#notice-text")).to_contain_text("two.png cannot be read")
    expect(prediction(playground)).to_have_text("7")


def test_an_image_pasted_in_the_middle_of_a_stroke_ends_it(playground: Page, two: bytes) -> None:
    board = playground.locator("#board")
    board.focus()
    for key in ("Space", "ArrowRight", "ArrowRight"):
        playground.keyboard.press(key)
    paste(playground, two)
    expect(prediction(playground)).to_have_text("2")
    playground.keyboard.press("ArrowRight")  # the pen is up, and the image stays
    assert playground.evaluate("sessionStorage.getItem('capsnet-state') ?? ''").count("strokes") == 0
    playground.get_by_role("button", name="Undo").click()
    expect(prediction(playground)).to_have_text("7")  # there was no stroke between the two images


def test_a_notice_can_be_dismissed(playground: Page) -> None:
    drop(playground, "empty.png", b"", "image/png")
    expect(playground.locator("#notice-text")).to_contain_text("empty.png cannot be read")
    expect(prediction(playground)).to_have_text("7")
    playground.get_by_role("button", name="Dismiss").click()
    expect(playground.locator("#notice")).to_be_hidden()


def test_the_camera_gives_an_image_and_is_let_go(playground: Page) -> None:
    playground.get_by_role("button", name="Camera").click()
    expect(playground.get_by_role("dialog", name="Camera")).to_be_visible()
    finder = playground.locator("#finder")
    eventually(playground, lambda: bool(finder.evaluate("video => video.currentTime")))  # it plays
    playground.get_by_role("button", name="Take it").click()
    eventually(playground, lambda: bool(finder.evaluate("video => video.srcObject === null")))
    expect(prediction(playground)).to_have_text("2")
    board = pixels(playground.locator("#board")).astype(int)
    assert (board[..., 1] - board[..., 0]).max() > 10  # the greenish paper lies on it


def test_a_camera_that_another_program_has_is_named(playground: Page) -> None:
    """As Firefox says it: the same error as that of a dialog that was closed before its first image."""
    playground.evaluate(
        """() => {
          const taken = () => Promise.reject(new DOMException("Starting videoinput failed", "AbortError"));
          navigator.mediaDevices.getUserMedia = taken;
        }"""
    )
    playground.get_by_role("button", name="Camera").click()
    expect(playground.locator("#notice-text")).to_contain_text("Starting videoinput failed")


def test_nothing_is_taken_before_the_first_image_of_a_camera(playground: Page) -> None:
    playground.evaluate("() => { navigator.mediaDevices.getUserMedia = async () => new MediaStream(); }")
    playground.get_by_role("button", name="Camera").click()
    expect(playground.get_by_role("button", name="Take it")).to_be_disabled()
    playground.get_by_role("button", name="Cancel").click()
    expect(playground.get_by_role("dialog", name="Camera")).to_be_hidden()
    expect(playground.locator("#notice")).to_be_hidden()


def test_two_taps_open_one_camera(playground: Page) -> None:
    playground.evaluate(
        """() => {
          window.streams = [];
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = async (...what) => {
            const stream = await ask(...what);
            window.streams.push(stream);
            return stream;
          };
          for (let tap = 0; tap < 2; tap++) document.getElementById("camera").click();
        }"""
    )
    expect(playground.get_by_role("dialog", name="Camera")).to_be_visible()
    playground.get_by_role("button", name="Cancel").click()
    states = "() => window.streams.flatMap((stream) => stream.getTracks()).map((track) => track.readyState)"
    eventually(playground, lambda: playground.evaluate(states) == ["ended"])
    expect(playground.locator("#notice")).to_be_hidden()


def test_a_sample_shows_what_the_network_does_not_know(playground: Page) -> None:
    sample(playground, "Bag").click()
    expect(playground.locator("#prediction-words")).to_have_text("Not like anything I was trained on.")
    expect(playground.locator("#guard-words")).to_contain_text("too different from the image")
    expect(sample(playground, "Bag")).to_have_attribute("aria-pressed", "true")


def test_the_first_stroke_wipes_an_image_away(playground: Page) -> None:
    sample(playground, "Bag").click()
    expect(sample(playground, "Bag")).to_have_attribute("aria-pressed", "true")
    draw(playground, [[(0.1, 0.1), (0.2, 0.1)]])
    eventually(playground, lambda: pixels(playground.locator("#board"))[100:, :, :3].max() == 0)
    expect(sample(playground, "Bag")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(("kind", "seed"), [("shade", 1), ("perspective", 2)])
def test_a_photo_of_a_number_is_read_with_a_frame_around_each_digit(
    playground: Page, digits: DatasetPart, kind: str, seed: int
) -> None:
    photo = pages.make(kind, digits.images[:, 0], digits.labels, seed, enlargement=1)
    drop(playground, "number.jpg", photo.data, "image/jpeg")
    expect(playground.locator("#reading-text")).to_have_text(photo.text.replace("\n", " / "))
    expect(playground.locator("#reading")).to_be_visible()
    shown = pixels(playground.locator("#reading-page"))
    scale = shown.shape[1] / Image.open(io.BytesIO(photo.data)).width
    for place in photo.boxes * scale:
        assert overlap(frame_around(shown, place), place) > 0.7
    sample(playground, "2").click()
    expect(playground.locator("#reading")).to_be_hidden()


def test_a_number_in_an_image_that_the_browser_cannot_show_is_read(
    playground: Page, digits: DatasetPart
) -> None:
    photo = pages.make("shade", digits.images[:, 0], digits.labels, 1, enlargement=1)
    playground.evaluate(
        """() => {
          const read = window.createImageBitmap;
          window.createImageBitmap = async (what, ...how) => {
            if (what instanceof File) throw new DOMException("The source image could not be decoded.");
            return read(what, ...how);
          };
        }"""
    )
    drop(playground, "number.heic", photo.data, "image/heic")
    expect(playground.locator("#reading-text")).to_have_text(photo.text.replace("\n", " / "))
    expect(playground.locator("#reading")).to_be_visible()
    expect(playground.locator("#reading-page")).to_be_hidden()
    expect(playground.locator("#notice")).to_be_hidden()


def frame_around(shown: np.ndarray, place: np.ndarray) -> tuple[int, ...]:
    """Return left, top, right and bottom of the first green frame around the middle of a digit."""
    green = np.abs(shown[..., :3].astype(int) - GREEN).max(axis=2) < 40
    x, y = int(place[[0, 2]].mean()), int(place[[1, 3]].mean())
    left, top = (np.flatnonzero(line).max(initial=-1) for line in (green[y, :x], green[:y, x]))
    right, bottom = (
        start + np.flatnonzero(line).min(initial=len(line))
        for start, line in ((x, green[y, x:]), (y, green[y:, x]))
    )
    return left, top, right, bottom


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000)])
def test_a_thin_line_is_an_image_too(playground: Page, size: tuple[int, int]) -> None:
    drop(playground, "line.png", png(np.full(size[::-1], 90, np.uint8)), "image/png")
    expect(playground.locator("#prediction-words")).to_have_text("Nothing found in this image.")
    expect(playground.locator("#progress")).to_be_hidden()


def test_no_old_answer_stands_while_an_image_takes_long_to_open(playground: Page, two: bytes) -> None:
    playground.evaluate(HOLD_IMAGE, 0)
    words = playground.locator("#prediction-words")
    words.evaluate(NOTE_WORDS)
    drop(playground, "two.png", two, "image/png")
    expect(words).to_have_text("Looking…")
    expect(playground.locator("#progress")).to_be_visible()
    expect(prediction(playground)).to_have_text("–")
    playground.evaluate("release()")
    expect(prediction(playground)).to_have_text("2")
    assert playground.evaluate("said.filter((words) => words === 'No answer.')") == []


NOTE_WORDS = """words => {
  window.said = [];
  const watch = { childList: true, characterData: true, subtree: true };
  new MutationObserver(() => said.push(words.textContent)).observe(words, watch);
}"""
