"""A server that is slow, busy, closed or gone: the page says so, keeps what it has, and goes on by itself."""

import itertools
import os
import re
import signal
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from app.settings import Settings
from tests.app.server_process import Server, free_port, png, serving
from tests.browser.support import (
    ONE,
    TIMEOUT_S,
    ZERO,
    draw,
    draw_and_wait,
    eventually,
    number,
    on_board,
    open_numbers,
    pixels,
    prediction,
    sample,
)
from training.data.datasets import DatasetPart


def test_a_server_that_is_gone_is_named_and_found_again(page: Page, models: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "first", models=models, port=port) as server:
        page.goto(server.url)
        expect(prediction(page)).to_have_text("7")
    open_numbers(page)
    page.locator("#dim-3").fill("0.4")
    expect(page.locator("#notice-text")).to_contain_text("does not answer. What you see is its last answer.")
    expect(prediction(page)).to_have_text("7")  # its image is still there
    draw(page, ONE)
    expect(prediction(page)).to_have_text("–")
    expect(page.locator("#notice-text")).to_contain_text("The server does not answer.")
    with serving(tmp_path / "second", models=models, port=port):
        expect(page.locator("#notice")).to_be_hidden()
        expect(prediction(page)).to_have_text("1")


def test_what_is_loaded_later_comes_when_the_server_is_back(page: Page, server: Server) -> None:
    away, imported = "**/bundle.later.js", []
    page.on("requestfailed", lambda request: imported.append(request.resource_type == "script"))
    page.route(away, lambda route: route.abort())
    with page.expect_request(away):
        page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    page.unroute(away)
    expect(page.get_by_role("button", name="Code", exact=True)).to_be_enabled()
    assert imported
    assert not any(imported)  # some browsers keep the failure of an import


def test_a_model_whose_samples_do_not_come_is_waited_for(playground: Page) -> None:
    away = "**/samples/*.png"
    playground.route(away, lambda route: route.abort())
    playground.get_by_label("Model").select_option("pair")
    expect(playground.locator("#notice-text")).to_contain_text("The server does not answer.")
    expect(prediction(playground)).to_have_text("7")  # what was known stays
    playground.unroute(away)
    expect(playground.locator("#give-words")).to_have_text("Draw two digits, overlaid")
    expect(playground.locator("#samples button").first).to_be_visible()
    expect(playground.locator("#notice")).to_be_hidden()


def test_a_server_that_is_slow_is_waited_for(page: Page, models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models) as server:
        page.goto(server.url)
        expect(prediction(page)).to_have_text("7")
        os.kill(server.process.pid, signal.SIGSTOP)
        sample(page, "4").click()
        expect(page.locator("#notice-text")).to_contain_text("The server takes its time.")
        os.kill(server.process.pid, signal.SIGCONT)
        expect(prediction(page)).to_have_text("4")
        expect(page.locator("#notice")).to_be_hidden()


def test_a_server_that_is_busy_is_asked_again(
    page: Page, models: Path, tmp_path: Path, digits: DatasetPart
) -> None:
    """A queue with space for the questions of the page, and other clients that take it: real 503s, until they go."""

    def is_told() -> bool:
        draw(page, ONE)  # again, since a question may slip in between those of the others
        said = page.locator("#notice-text").text_content() or ""
        return re.search("The server is busy.*Trying again", said) is not None

    with serving(tmp_path / "log", models=models, max_queue=3) as server:
        page.goto(server.url)
        expect(prediction(page)).to_have_text("7")
        with flood(server, png(digits.images[0, 0].repeat(40, 0).repeat(40, 1))):
            eventually(page, is_told)
        expect(prediction(page)).to_have_text("1")
        expect(page.locator("#notice")).to_be_hidden()


def busy(route: Route) -> None:
    """Answer as a server whose queue is full for longer than a test takes."""
    route.fulfill(status=503, headers={"Retry-After": "60"}, json={"detail": "the queue is full"})


def kept(page: Page) -> str:
    """What the tab keeps for a reload, once the page has come to rest."""
    page.wait_for_timeout(500)
    return str(page.evaluate("sessionStorage.getItem('capsnet-state')"))


def test_no_old_answer_stands_beside_another_image(playground: Page, digits: DatasetPart) -> None:
    notice, words = playground.locator("#notice-text"), playground.locator("#prediction-words")
    two = {"name": "2.png", "mimeType": "image/png", "buffer": png(digits.images[1, 0])}

    def is_cleared() -> None:
        expect(notice).to_contain_text("The server is busy")
        expect(notice).not_to_contain_text("last answer")
        expect(prediction(playground)).to_have_text("–")
        expect(words).to_have_text("No answer.")
        expect(playground.locator("#badge")).to_be_empty()
        expect(playground.locator("#spoken")).to_be_empty()
        expect(playground.get_by_role("button", name="Link")).to_be_disabled()

    def is_answered(label: str) -> None:
        playground.unroute("**/classify?*")
        sample(playground, label).click()
        expect(prediction(playground)).to_have_text(label)
        playground.route("**/classify?*", busy)

    expect(playground.locator("#spoken")).to_contain_text("7")
    playground.route("**/classify?*", busy)
    sample(playground, "3").click()
    is_cleared()
    assert "sample=3" in kept(playground)
    is_answered("4")
    playground.locator("#file").set_input_files(two)  # type: ignore[arg-type]
    is_cleared()
    assert "seen=" not in kept(playground)
    is_answered("4")
    draw(playground, ONE)
    is_cleared()


def test_the_answer_to_a_drawing_that_goes_on_stays_and_is_called_the_last(playground: Page) -> None:
    draw_and_wait(playground, ONE)
    expect(prediction(playground)).to_have_text("1")
    playground.route("**/classify?*", busy)
    draw(playground, [[(0.35, 0.83), (0.62, 0.83)]])
    expect(playground.locator("#notice-text")).to_contain_text(
        "The server is busy. What you see is its last answer."
    )
    expect(prediction(playground)).to_have_text("1")


def test_what_another_capsule_drew_is_not_shown_as_the_chosen_ones(playground: Page) -> None:
    playground.route("**/decode", busy)
    playground.locator("#capsules").get_by_role("button", name="3", exact=True).click()
    expect(playground.locator("#moved-words")).to_contain_text("capsule of 3")
    expect(playground.locator("#notice-text")).to_contain_text("The server is busy")
    assert pixels(playground.locator("#moved")).max() == 0
    playground.get_by_role("button", name="Save…").click()
    drawing = playground.get_by_role("button", name="Save the drawing as PNG")
    expect(drawing).to_be_disabled()
    expect(playground.get_by_role("button", name="Save the sheet as PNG")).to_be_enabled()
    playground.locator("#save-dialog .close").click()
    playground.unroute("**/decode")
    playground.locator("#capsules").get_by_role("button", name="3", exact=True).click()
    playground.get_by_role("button", name="Save…").click()
    expect(drawing).to_be_enabled()


def test_a_hand_that_draws_on_leaves_a_busy_server_in_peace(playground: Page) -> None:
    """And the board stays where it is under the hand, notice or not. Seconds are those of the page's clock."""
    held: list[Route] = []
    notice, clock = playground.locator("#notice-text"), playground.clock

    def hold(route: Route) -> None:
        held.append(route)

    clock.install()
    playground.reload()
    expect(prediction(playground)).to_have_text("7")
    clock.pause_at(playground.evaluate("Date.now()") + 10_000)
    for path in ("**/classify?*", "**/reconstruct?*"):
        playground.route(path, hold)
    board = playground.locator("#board").bounding_box()
    places = itertools.cycle([*range(30), *reversed(range(30))])

    def draw_on() -> None:
        playground.mouse.move(*on_board(playground, (0.5, 0.2 + 0.02 * next(places))))

    draw_on()
    playground.mouse.down()
    for _ in range(5):
        draw_on()
        clock.run_for(1500)
        eventually(playground, lambda: len(held) == 1)
        draw_on()  # the next one stands ready when the answer comes
        notice.evaluate("words => { words.textContent = ''; }")
        for route in held:
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "the queue is full"})
        expect(notice).to_contain_text("The server is busy")
        held.clear()
        for _ in range(9):
            draw_on()
            clock.run_for(100)
        playground.wait_for_timeout(100)  # for a request that should not come
        assert held == []
    assert playground.locator("#board").bounding_box() == board
    clock.resume()
    playground.unroute_all()
    playground.mouse.up()
    expect(prediction(playground)).to_have_text("1")
    expect(playground.locator("#notice")).to_be_hidden()


def test_nothing_is_asked_about_a_pose_that_was_cleared_away(playground: Page) -> None:
    asked: list[Route] = []

    def refuse(route: Route) -> None:
        asked.append(route)
        route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "the queue is full"})

    playground.route("**/decode", refuse)
    open_numbers(playground)
    playground.locator("#dim-3").fill("0.2")
    expect(playground.locator("#notice-text")).to_contain_text("The server is busy")
    playground.get_by_role("button", name="Clear").click()
    expect(playground.locator("#notice")).to_be_hidden()
    before = len(asked)
    playground.wait_for_timeout(2500)
    assert len(asked) == before
    expect(playground.locator("#notice")).to_be_hidden()


def test_what_was_drawn_before_the_server_said_anything_is_kept(page: Page, server: Server) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/models", hold)
    page.goto(server.url)
    draw(page, ZERO)
    page.get_by_role("button", name="Clear").click()
    draw(page, ONE)
    eventually(page, lambda: bool(held))
    held[0].continue_()
    expect(prediction(page)).to_have_text("1")


def ask_for_key(route: Route) -> None:
    """Answer as a server that takes any key."""
    if "authorization" in route.request.headers:
        route.continue_()
    else:
        route.fulfill(status=401, json={"detail": "no"})


def give_key(page: Page) -> None:
    page.get_by_label("API key").fill("a-key")
    page.get_by_role("button", name="Use it").click()


def test_a_key_that_is_given_late_leaves_the_page_as_it_is(playground: Page) -> None:
    playground.get_by_label("Model").select_option("pair")
    expect(playground.locator("#give-words")).to_contain_text("two digits")
    draw(playground, ZERO)
    playground.route("**/classify?*", ask_for_key)
    draw(playground, ONE)
    with playground.expect_response(lambda response: "/classify" in response.url and response.ok):
        give_key(playground)
    expect(playground.locator("#capsules tr.found")).to_have_count(2)
    expect(playground.locator("#notice")).to_be_hidden()
    expect(playground.get_by_label("Model")).to_have_value("pair")
    playground.get_by_role("button", name="Undo").click()  # there are both strokes still
    expect(playground.get_by_role("button", name="Undo")).to_be_enabled()


def test_a_key_that_is_given_late_leaves_a_files_capsule_and_pose(
    playground: Page, digits: DatasetPart
) -> None:
    two = {"name": "2.png", "mimeType": "image/png", "buffer": png(digits.images[1, 0])}
    playground.locator("#file").set_input_files(two)  # type: ignore[arg-type]
    expect(prediction(playground)).to_have_text("2")
    playground.locator("#capsules").get_by_role("button", name="3", exact=True).click()
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 3")
    playground.route("**/decode", ask_for_key)
    open_numbers(playground)
    playground.locator("#dim-5").fill("0.4")
    with playground.expect_response(lambda response: "/classify" in response.url):
        give_key(playground)
    expect(playground.locator("#notice")).to_be_hidden()
    expect(playground.locator("#moved-words")).to_have_text("as you moved it, capsule of 3")
    assert number(playground, 5) == 0.4


def test_a_reload_keeps_a_drawing_until_there_is_a_key(playground: Page) -> None:
    playground.get_by_role("button", name="Clear").click()
    draw_and_wait(playground, ONE)
    assert "strokes=" in kept(playground)
    board = pixels(playground.locator("#board")).astype(int)
    playground.route("**/models", ask_for_key)
    playground.reload()
    give_key(playground)
    expect(prediction(playground)).to_have_text("1")
    expect(playground.get_by_role("button", name="Undo")).to_be_enabled()
    assert np.abs(pixels(playground.locator("#board")) - board).mean() < 3


class flood:  # noqa: N801  # a context manager, used as a verb
    """Others who post images without a pause."""

    def __init__(self, server: Server, image: bytes) -> None:
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._post, args=(server.url, image), daemon=True) for _ in range(6)
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _post(self, url: str, image: bytes) -> None:
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
            while not self._over.is_set():
                client.post("/classify", files={"file": image})


@pytest.mark.skipif("api_keys" not in Settings.model_fields, reason="the service knows no keys yet")
def test_a_server_that_asks_for_a_key_is_given_one(page: Page, models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, api_keys="open-sesame-open-sesame") as server:
        page.goto(server.url)
        field = page.get_by_label("API key")
        expect(page.locator("#notice-text")).to_have_text("This server asks for an API key.")
        for wrong in (
            "wrong",
            "open\u2011sesame\u2011open\u2011sesame",
        ):  # the second as a text program writes it
            field.fill(wrong)
            field.press("Enter")
            expect(page.locator("#notice-text")).to_have_text("The server does not take this key.")
            expect(field).to_have_value("")
        field.fill("open-sesame-open-sesame")
        page.get_by_role("button", name="Use it").click()
        expect(prediction(page)).to_have_text("7")
        expect(page.locator("#notice")).to_be_hidden()
        page.reload()
        expect(prediction(page)).to_have_text("7")  # the tab remembers it
        assert "open-sesame" not in page.evaluate("JSON.stringify(localStorage)")
        page.get_by_role("button", name="Code", exact=True).click()
        assert "open-sesame" not in page.get_by_role("dialog").inner_text()
        other = page.context.new_page()
        other.goto(server.url)
        expect(other.locator("#notice-text")).to_have_text("This server asks for an API key.")
        other.evaluate(
            "location.hash = 'key=open-sesame-open-sesame'"
        )  # the address of a class, in the same tab
        expect(prediction(other)).to_have_text("7")
        expect(other).to_have_url(f"{server.url}/")
