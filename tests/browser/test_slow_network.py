"""The page over a slow link: 400 ms a round trip and 50 kB/s, as Chromium makes it."""

import io
import itertools
import re
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, Request, expect

from tests.app.server_process import Server
from tests.browser.support import FORGET_WHEN_LIFTED, TIMEOUT_S, ZERO, eventually, on_board, prediction

SLOW = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
LIMIT_S = 2.0
# Other work on the machine makes a page slower, never faster.
TRIES = 4


def slow_down(page: Page) -> None:
    """Give a page a slow link."""
    devices = page.context.new_cdp_session(page)
    devices.send("Network.enable")
    devices.send("Network.emulateNetworkConditions", SLOW)


def first_view(browser: Browser, url: str) -> float:
    """Seconds until a browser that has never seen the page shows it, and its board takes strokes."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(1000 * TIMEOUT_S)
    slow_down(page)
    begun = time.monotonic()
    page.goto(url, wait_until="commit")
    # The board has its own width once the page's script has run; a script waits for the style sheets before it.
    page.wait_for_function("() => document.getElementById('board')?.width === 392", polling=20)
    seconds = time.monotonic() - begun
    context.close()
    return seconds


def test_the_first_view_comes_within_two_seconds(browser: Browser, server: Server) -> None:
    seconds: list[float] = []
    while not seconds or (min(seconds) > LIMIT_S and len(seconds) < TRIES):
        seconds.append(first_view(browser, server.url))
    print(f"first usable view after {min(seconds):.2f} s")
    assert min(seconds) <= LIMIT_S, seconds


def test_a_second_visit_asks_for_no_file_again(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url, wait_until="networkidle")
    page.goto(server.url, wait_until="networkidle")
    sizes = page.evaluate(
        "() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/static/'))"
        ".map(({ transferSize }) => transferSize)"
    )
    context.close()
    assert len(sizes) >= 2
    assert set(sizes) == {0}


def photo(width: int, height: int, orientation: int = 1) -> bytes:
    """A JPEG of a dark 7 on light paper as a camera takes it; its EXIF says how to hold it."""
    noise = np.random.default_rng(0).integers(150, 170, (height, width), np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    left, top, side = width // 2 - 400, height // 2 - 500, 800
    corners = [(left, top), (left + side, top), (left + 350, top + 1000)]
    pen.line(corners, fill=20, width=110, joint="curve")
    turned = {1: None, 6: Image.Transpose.ROTATE_90}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    (image if turned is None else image.transpose(turned)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def give(page: Page, data: bytes) -> None:
    page.locator("#file").set_input_files({"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": data})


# What the page sends, with the route; Playwright does not see bodies that are files.
RECORD = """() => {
  window.sent = [];
  const [ask, send, open] = [window.fetch, XMLHttpRequest.prototype.send, XMLHttpRequest.prototype.open];
  const note = (url, body) => body instanceof Blob && sent.push({ url: String(url), body });
  window.fetch = (url, options) => (note(url, options?.body), ask(url, options));
  XMLHttpRequest.prototype.open = function (method, url) { this.to = url; return open.call(this, method, url); };
  XMLHttpRequest.prototype.send = function (body) { note(this.to, body); return send.call(this, body); };
}"""
LAST_SENT = """async (route) => {
  const found = sent.filter(({ url }) => url.includes(route)).at(-1);
  return found ? Array.from(new Uint8Array(await found.body.arrayBuffer())) : null;
}"""


def last_sent(page: Page, route: str) -> bytes:
    """The last body that the page sent to a route."""
    eventually(page, lambda: page.evaluate(LAST_SENT, route) is not None)
    return bytes(page.evaluate(LAST_SENT, route))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photograph_is_made_small_and_stands_upright(playground: Page, orientation: int) -> None:
    playground.evaluate(RECORD)
    give(playground, photo(3000, 2000, orientation))
    sent = Image.open(io.BytesIO(last_sent(playground, "/classify")))
    assert (sent.format, sent.size) == ("JPEG", (1600, 1067))
    assert "exif" not in sent.info
    expect(playground.locator("#sliders input").first).to_be_enabled()
    expect(prediction(playground)).to_have_text("7")
    playground.locator("#sheet-body").scroll_into_view_if_needed()
    assert len(last_sent(playground, "/sweep")) < 2000  # the rest is asked about what the network saw


def test_a_small_image_is_sent_as_it_is(playground: Page) -> None:
    playground.evaluate(RECORD)
    data = photo(1600, 1200)
    give(playground, data)
    assert last_sent(playground, "/classify") == data


def test_while_an_image_goes_up_its_way_is_shown_and_no_old_answer(playground: Page) -> None:
    slow_down(playground)
    give(playground, photo(3000, 2000))
    words = playground.locator("#prediction-words")
    expect(words).to_have_text(re.compile(r"Sending: [1-9]\d? %"))
    expect(playground.locator("#progress")).to_be_visible()
    expect(prediction(playground)).to_have_text("–")
    expect(playground.locator("#dim-0")).to_be_disabled()
    expect(prediction(playground)).to_have_text("7")
    expect(playground.locator("#progress")).to_be_hidden()


def test_a_stroke_is_asked_about_at_the_pace_of_the_link(playground: Page) -> None:
    """One question at a time, many nearby and few far away, and the last state always."""
    playground.get_by_role("button", name="Clear").click()
    under_way, most, asked, seconds = 0, 0, 0, 2.0

    def begin(request: Request) -> None:
        nonlocal under_way, most, asked
        if "/classify" in request.url:
            under_way, asked = under_way + 1, asked + 1
            most = max(most, under_way)

    def end(request: Request) -> None:
        nonlocal under_way
        under_way -= "/classify" in request.url

    playground.on("request", begin)
    playground.on("requestfinished", end)
    playground.on("requestfailed", end)
    counts = []
    for latency in (0, 400):
        if latency:
            slow_down(playground)
        asked = 0
        started = time.monotonic()
        playground.mouse.move(*on_board(playground, ZERO[0][0]))
        playground.mouse.down()
        places = itertools.cycle(ZERO[0])
        while time.monotonic() - started < seconds:
            playground.mouse.move(*on_board(playground, next(places)))
            playground.wait_for_timeout(20)
        counts.append(asked)
        playground.locator("#board").evaluate(FORGET_WHEN_LIFTED)
        playground.mouse.up()
        expect(playground.locator("#input")).not_to_have_attribute("width", "0")
        eventually(playground, lambda: under_way == 0)
    near, far = counts
    assert most == 1
    assert 5 <= near <= 1 + seconds / 0.12
    assert 1 <= far <= 1 + seconds / 0.4
