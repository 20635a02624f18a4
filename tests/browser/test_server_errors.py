"""A server that is slow, busy, closed or gone: the page says so, keeps what it has, and goes on by itself."""

import itertools
import os
import re
import signal
import threading
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from app.settings import Settings
from tests.app.server_process import Server, free_port, png, serving
from tests.browser.support import (
    ONE,
    TIMEOUT_S,
    ZERO,
    draw,
    eventually,
    on_board,
    open_numbers,
    prediction,
    sample,
)
from training.data.datasets import DatasetPart


def test_a_server_that_is_gone_is_named_and_found_again(page: Page, models: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "first", models=models, port=port) as server:
        page.goto(server.url)
        expect(prediction(page)).to_have_text("7")
    draw(page, ONE)
    expect(page.locator("#notice-text")).to_contain_text("The server does not answer.")
    expect(prediction(page)).to_have_text("7")  # what was known stays
    open_numbers(page)
    page.locator("#dim-3").fill("0.4")
    expect(page.locator("#notice")).to_be_visible()
    with serving(tmp_path / "second", models=models, port=port):
        expect(page.locator("#notice")).to_be_hidden()
        expect(prediction(page)).to_have_text("1")


def test_what_is_loaded_later_comes_when_the_server_is_back(page: Page, server: Server) -> None:
    away = "**/bundle.later.js"
    page.route(away, lambda route: route.abort())
    with page.expect_request(away):
        page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    page.unroute(away)
    expect(page.get_by_role("button", name="Code", exact=True)).to_be_enabled()


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


def test_a_key_that_is_given_late_leaves_the_page_as_it_is(playground: Page) -> None:
    def ask_for_key(route: Route) -> None:
        if "authorization" in route.request.headers:
            route.continue_()
        else:
            route.fulfill(status=401, json={"detail": "no"})

    playground.get_by_label("Model").select_option("pair")
    expect(playground.locator("#give-words")).to_contain_text("two digits")
    draw(playground, ZERO)
    playground.route("**/classify?*", ask_for_key)
    draw(playground, ONE)
    playground.get_by_label("API key").fill("a-key")
    with playground.expect_response(lambda response: "/classify" in response.url and response.ok):
        playground.get_by_role("button", name="Use it").click()
    expect(playground.locator("#capsules tr.found")).to_have_count(2)
    expect(playground.locator("#notice")).to_be_hidden()
    expect(playground.get_by_label("Model")).to_have_value("pair")
    playground.get_by_role("button", name="Undo").click()  # there are both strokes still
    expect(playground.get_by_role("button", name="Undo")).to_be_enabled()


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
