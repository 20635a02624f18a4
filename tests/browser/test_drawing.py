"""Drawing by mouse, finger and keys: the answer is that for the drawing."""

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.app.server_process import Server, serving
from tests.browser.support import (
    ONE,
    SEVEN,
    ZERO,
    Point,
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


@pytest.mark.parametrize(("strokes", "name"), [(ONE, "1"), (SEVEN, "7"), (ZERO, "0")], ids=["1", "7", "0"])
def test_a_digit_drawn_with_the_mouse_is_read(
    playground: Page, strokes: list[list[Point]], name: str
) -> None:
    sample(playground, "8").click()
    expect(prediction(playground)).to_have_text("8")
    draw(playground, strokes)
    expect(prediction(playground)).to_have_text(name)
    row = playground.locator(f"#capsules tr:has(button:text-is('{name}'))")
    eventually(playground, lambda: float(row.locator(".value").inner_text()) > 0.5)
    for canvas, least in (("#input", 200), ("#drawn", 100)):
        eventually(playground, lambda: pixels(playground.locator(canvas))[..., :3].max() > least)  # noqa: B023


def test_answers_come_before_the_hand_is_lifted(playground: Page) -> None:
    first, *rest = ONE[0]
    playground.mouse.move(*on_board(playground, first))
    playground.mouse.down()
    for point in rest:
        playground.mouse.move(*on_board(playground, point), steps=3)
    expect(prediction(playground)).to_have_text("1")
    playground.mouse.up()


def test_a_finger_draws_and_the_page_stays_where_it_is(playground: Page) -> None:
    devices = playground.context.new_cdp_session(playground)
    places = [{"x": x, "y": y} for x, y in (on_board(playground, point) for point in ZERO[0])]
    devices.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        devices.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    devices.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(prediction(playground)).to_have_text("0")
    assert playground.evaluate("scrollY") == 0


def test_the_keyboard_draws(playground: Page) -> None:
    playground.locator("#board").focus()
    for _ in range(12):
        playground.keyboard.press("ArrowUp")
    playground.keyboard.press(" ")
    for _ in range(24):
        playground.keyboard.press("ArrowDown")
    playground.keyboard.press(" ")
    expect(prediction(playground)).to_have_text("1")


def test_undo_takes_a_stroke_back_and_clear_all(playground: Page) -> None:
    board = playground.locator("#board")
    draw_and_wait(playground, ONE)
    expect(prediction(playground)).to_have_text("1")
    one = pixels(board)
    draw_and_wait(playground, [[(0.2, 0.5), (0.8, 0.5)]])
    expect(prediction(playground)).not_to_have_text("1")
    assert (pixels(board) != one).any()
    playground.get_by_role("button", name="Undo").click()
    eventually(playground, lambda: bool((pixels(board) == one).all()))
    expect(prediction(playground)).to_have_text("1")
    playground.get_by_role("button", name="Clear").click()
    eventually(playground, lambda: pixels(board)[..., :3].max() == 0)
    expect(prediction(playground)).to_have_text("–")
    expect(playground.locator("#dim-0")).to_be_disabled()


def test_a_new_image_puts_the_pose_back(playground: Page) -> None:
    open_numbers(playground)
    playground.locator("#dim-2").fill("0.4")
    expect(playground.locator("#moved-words")).to_contain_text("as you moved it")
    sample(playground, "1").click()
    expect(prediction(playground)).to_have_text("1")
    expect(playground.locator("#moved-words")).to_contain_text("as the network gave it, capsule of 1")
    assert number(playground, 2) != 0.4


def test_nothing_piles_up_while_the_server_stands_still(page: Page, models: Path, tmp_path: Path) -> None:
    """An image is one request, and a newer one calls it back, so there are never more."""
    under_way: set[Request] = set()
    most = 0

    def begin(request: Request) -> None:
        nonlocal most
        if request.method == "POST":
            under_way.add(request)
            most = max(most, len(under_way))

    def end(request: Request) -> None:
        under_way.discard(request)

    with serving(tmp_path / "log", models=models) as server:
        page.goto(server.url)
        expect(prediction(page)).to_have_text("7")
        page.on("request", begin)
        page.on("requestfinished", end)
        page.on("requestfailed", end)
        os.kill(server.process.pid, signal.SIGSTOP)
        for _ in range(8):
            draw(page, SEVEN)
            page.get_by_role("button", name="Clear").click()
        draw(page, ONE)
        expect(page.locator("#notice-text")).to_contain_text("takes its time")
        os.kill(server.process.pid, signal.SIGCONT)
        expect(prediction(page)).to_have_text("1")
        expect(page.locator("#notice")).to_be_hidden()
        eventually(page, lambda: not under_way)
    assert most == 1


def test_the_board_says_what_it_is_drawn_for(playground: Page, server: Server) -> None:
    classes = server.client.get("/models/mnist").json()["classes"]
    assert playground.locator("#capsules tbody .name").all_inner_texts() == classes
    expect(playground.locator("#give-title")).to_contain_text("Draw a digit")
