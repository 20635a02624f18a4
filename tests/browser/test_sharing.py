"""A state as a link, and as commands for a shell."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.app.server_process import Server, png
from tests.browser.support import (
    HOLD_IMAGE,
    SEVEN,
    draw_and_wait,
    eventually,
    number,
    open_numbers,
    pixels,
    prediction,
    sample,
    wait_for_another,
)
from training.data.datasets import DatasetPart

PNG = b"\x89PNG"


def link_to(page: Page) -> str:
    """The link that the page copies, from the clipboard."""
    button = page.get_by_role("button", name="Link")
    expect(button).to_be_enabled()
    button.click()
    expect(page.locator("#share")).to_have_text("Copied")
    link = str(page.evaluate("navigator.clipboard.readText()"))
    expect(page).to_have_url(link)
    return link


def reopen(page: Page, link: str) -> None:
    page.goto("about:blank")
    page.goto(link)


def test_a_drawing_survives_as_a_link(playground: Page) -> None:
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    draw_and_wait(playground, SEVEN)
    expect(prediction(playground)).to_have_text("7")
    lengths = playground.locator("#capsules .value").all_inner_texts()
    link = link_to(playground)
    assert len(link) < 400
    reopen(playground, link)
    expect(prediction(playground)).to_have_text("7")
    again = playground.locator("#capsules .value").all_inner_texts()
    assert list(map(float, again)) == pytest.approx(list(map(float, lengths)), abs=0.3)  # strokes are rounded
    expect(playground.get_by_role("button", name="Undo")).to_be_enabled()


@pytest.mark.parametrize(
    "corners",
    [
        [(0.5, 0.2), (-0.3, 0.2), (-0.3, 0.8), (0.5, 0.8)],  # leaves the board and comes back
        [(0.45 + 0.1 * (step % 2), 0.15 + 0.0025 * step) for step in range(280)],
    ],
)
def test_a_link_draws_what_was_drawn(playground: Page, corners: list[tuple[float, float]]) -> None:
    """Corner for corner, with as many points between them as a hand leaves."""
    parts = np.linspace(0, 1, 2 if len(corners) > 100 else 12)
    stroke = [
        (float(x0 + part * (x1 - x0)), float(y0 + part * (y1 - y0)))
        for (x0, y0), (x1, y1) in pairwise(corners)
        for part in parts
    ]
    draw_and_wait(playground, [stroke])
    drawn = pixels(playground.locator("#input")).astype(int)
    reopen(playground, link_to(playground))
    expect(playground.get_by_role("button", name="Undo")).to_be_enabled()
    eventually(playground, lambda: pixels(playground.locator("#input")).shape == drawn.shape)
    eventually(playground, lambda: abs(pixels(playground.locator("#input")) - drawn).mean() < 2)


def test_a_chosen_capsule_and_its_moved_pose_survive(playground: Page) -> None:
    seven = pixels(playground.locator("#moved"))
    playground.locator("#capsules").get_by_role("button", name="9", exact=True).click()
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 9")
    canvas = playground.locator("#moved")
    wait_for_another(playground, canvas, seven)
    nine = pixels(canvas)
    open_numbers(playground)
    playground.locator("#dim-5").fill("0.5")
    wait_for_another(playground, canvas, nine)
    moved, others = pixels(canvas), number(playground, 2)
    reopen(playground, link_to(playground))
    expect(playground.locator("#moved-words")).to_have_text("as you moved it, capsule of 9")
    assert number(playground, 5) == 0.5
    assert number(playground, 2) == others
    eventually(playground, lambda: abs(pixels(playground.locator("#moved")).astype(int) - moved).max() <= 2)


def test_a_file_survives_as_what_the_network_saw(playground: Page, digits: DatasetPart) -> None:
    photo = png(digits.images[1, 0].repeat(9, 0).repeat(9, 1))
    playground.locator("#file").set_input_files({"name": "2.png", "mimeType": "image/png", "buffer": photo})
    expect(prediction(playground)).to_have_text("2")
    seen = pixels(playground.locator("#input"))
    reopen(playground, link_to(playground))
    expect(prediction(playground)).to_have_text("2")
    assert (pixels(playground.locator("#input")) == seen).all()


@pytest.mark.parametrize("before", [0, 1])  # the strip of the samples is held, or the link's image
def test_a_link_that_takes_long_does_not_replace_a_later_one(
    playground: Page, digits: DatasetPart, before: int
) -> None:
    two = {"name": "2.png", "mimeType": "image/png", "buffer": png(digits.images[1, 0])}
    playground.locator("#file").set_input_files(two)  # type: ignore[arg-type]
    expect(prediction(playground)).to_have_text("2")
    first = link_to(playground)
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    second = link_to(playground)
    shown = pixels(playground.locator("#board"))
    sample(playground, "0").click()
    expect(prediction(playground)).to_have_text("0")
    playground.evaluate(HOLD_IMAGE, before)
    playground.goto(first)  # another fragment of the page that is open
    playground.wait_for_function("() => !!window.release")
    playground.goto(second)
    expect(prediction(playground)).to_have_text("3")
    playground.evaluate("window.release()")
    assert np.array_equal(pixels(playground.locator("#board")), shown)
    playground.goto(first)
    expect(prediction(playground)).to_have_text("2")


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("#strokes=!!&pose=x", "Surely."),
        ("#model=none&sample=99", "Nothing drawn yet."),
        ("#pose=AAA&capsule=77", "Surely."),
        ("#seen=AAAA", "No answer."),
        ("#strokes=AAAA", "Nothing found in this image."),
    ],
)
def test_a_link_that_was_cut_or_mistyped_leaves_a_page(
    page: Page, server: Server, fragment: str, words: str
) -> None:
    page.goto(f"{server.url}/{fragment}")
    expect(page.locator("#capsules tbody tr")).to_have_count(10)
    expect(page.locator("#prediction-words")).to_contain_text(words)
    sample(page, "1").click()
    expect(prediction(page)).to_have_text("1")


def test_the_commands_do_what_the_page_did(playground: Page, tmp_path: Path) -> None:
    open_numbers(playground)
    playground.locator("#dim-5").fill("0.5")
    playground.get_by_role("button", name="Code", exact=True).click()
    dialog = playground.get_by_role("dialog", name="The same as code")
    expect(dialog).to_be_visible()
    classify, reconstruct, decode, sweep = dialog.locator("code").all_inner_texts()
    answer = json.loads(run(classify, tmp_path))
    assert answer["predictions"][0]["label"] == "7"
    shown = playground.locator("#capsules .value").all_inner_texts()
    assert list(map(float, shown)) == pytest.approx(answer["lengths"], abs=0.006)
    assert json.loads(run(reconstruct, tmp_path))["capsule"]["label"] == "7"
    assert "0.5" in decode
    for command, file in ((decode, "drawn.png"), (sweep, "pose-sheet.png")):
        run(command, tmp_path)
        assert (tmp_path / file).read_bytes().startswith(PNG)
    dialog.get_by_role("button", name="Copy").first.click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert playground.evaluate("navigator.clipboard.readText()") == classify


def run(command: str, folder: Path) -> str:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
