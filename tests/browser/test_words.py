"""The words of the page: they say the meaning, follow the model, and keep numbers for those who ask."""

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, Route, expect

from tests.app.server_process import Server, png
from tests.browser.support import prediction, sample


def test_nothing_is_found_on_a_blank_page(playground: Page, tmp_path: Path) -> None:
    file = tmp_path / "blank.png"
    file.write_bytes(png(np.full((200, 200), 255, np.uint8)))
    playground.locator("#file").set_input_files(file)
    expect(playground.locator("#prediction-words")).to_have_text("Nothing found in this image.")
    expect(prediction(playground)).to_have_text("–")
    expect(playground.locator("#guard")).to_be_hidden()
    expect(playground.locator("#spoken")).to_have_text("Nothing found in this image.")


def test_numbers_stand_behind_a_toggle_and_are_told_apart(playground: Page) -> None:
    sample(playground, "Bag").click()
    expect(playground.locator("#guard-words")).to_contain_text("too different from the image")
    expect(playground.locator("#prediction-figures")).to_be_hidden()
    playground.locator("#prediction-numbers summary").click()
    distance, usual = playground.locator("#prediction-figures li").all_inner_texts()[1:3]
    numbers = [re.findall(r"[\d.]+", line) for line in (distance, usual)]
    assert numbers[0]
    assert numbers[0] != numbers[1]


def test_figures_are_written_as_the_language_does(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/?lang=de")
    expect(page.locator("#capsules tr.found .value")).to_have_text(re.compile(r"^[01],\d\d$"))


def test_strangers_are_samples_that_the_model_does_not_know(playground: Page) -> None:
    expect(playground.locator("#strangers")).to_contain_text("Bag and Trouser")
    playground.get_by_label("Model", exact=True).select_option("pair")
    expect(playground.locator("#strangers")).to_be_empty()


def test_a_server_that_is_gone_before_its_first_answer_has_no_last_one(page: Page, server: Server) -> None:
    def away(route: Route) -> None:
        route.abort()

    page.route("**/classify?*", away)
    page.goto(server.url)
    expect(page.locator("#notice-text")).to_contain_text("The server does not answer.")
    assert "last answer" not in page.locator("#notice-text").inner_text()
    expect(page.locator("#sheet-hint")).not_to_contain_text("needs")
