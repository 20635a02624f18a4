"""Accessibility: by axe's rules in both themes, by keys alone, on a telephone and on a wall; all from this host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_core_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from tests.app.server_process import Server, serving
from tests.browser.support import eventually, open_numbers, prediction, sample

WIDTHS = {"telephone": (390, 844), "wall": (1920, 1080)}


# Only the faults, as text: axe's whole report takes Playwright minutes to carry over.
RUN_AXE = """() => axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
  violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0].html.slice(0, 150)}`))"""


def violations(page: Page) -> list[str]:
    """What breaks axe's rules."""
    page.evaluate(AXE_SCRIPT)
    return list(page.evaluate(RUN_AXE))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing(playground: Page, theme: str, size: tuple[int, int]) -> None:
    playground.set_viewport_size({"width": size[0], "height": size[1]})
    playground.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    sample(playground, "Bag").click()
    expect(playground.locator("#prediction")).to_have_class("prediction refused")
    expect(playground.locator("#dim-0")).to_be_enabled()
    playground.locator("#sheet-body").scroll_into_view_if_needed()
    expect(playground.get_by_role("grid")).to_be_visible()
    assert violations(playground) == []
    playground.get_by_role("button", name="Code", exact=True).click()
    expect(playground.get_by_role("dialog")).to_be_visible()
    assert violations(playground) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_page_without_a_server(
    playground: Page, theme: Literal["light", "dark"]
) -> None:
    """What it said last has faded then, and is still to be read."""
    playground.emulate_media(color_scheme=theme, reduced_motion="reduce")
    playground.route("**/classify?*", lambda route: route.abort())
    sample(playground, "4").click()
    expect(playground.locator("#notice-text")).to_contain_text("The server does not answer.")
    assert violations(playground) == []


def test_the_theme_can_be_chosen_and_is_remembered(playground: Page) -> None:
    button = playground.locator("#theme")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = playground.evaluate(colour)
    button.click()
    button.click()
    expect(button).to_have_text("Dark")
    dark = playground.evaluate(colour)
    assert dark != light
    playground.reload()
    expect(button).to_have_text("Dark")
    eventually(playground, lambda: bool(playground.evaluate(colour) == dark))


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1920])
def test_nothing_is_wider_than_the_window(playground: Page, width: int) -> None:
    playground.set_viewport_size({"width": width, "height": 800})
    playground.locator("#sheet-body").scroll_into_view_if_needed()
    expect(playground.get_by_role("grid")).to_be_visible()
    assert playground.evaluate("document.documentElement.scrollWidth") == width


def test_names_are_whole_on_a_telephone(playground: Page) -> None:
    playground.set_viewport_size({"width": 375, "height": 812})
    playground.locator(".sheet").scroll_into_view_if_needed()
    expect(playground.get_by_role("grid")).to_be_visible()
    cut = """names => names.filter((name) => name.scrollWidth > name.clientWidth).map((name) => name.textContent)"""
    for place in ("#capsules .name", "#sheet-body .play"):
        assert playground.locator(place).evaluate_all(cut) == []


def test_keys_alone_lead_from_a_sample_to_a_moved_pose(playground: Page) -> None:
    playground.keyboard.press("Tab")
    expect(playground.get_by_role("link", name="To the playground")).to_be_focused()
    playground.keyboard.press("Enter")
    expect(playground.locator("#playground")).to_be_focused()
    walk_to(playground, "Sample: 2")
    playground.keyboard.press("Enter")
    expect(prediction(playground)).to_have_text("2")
    walk_to(playground, "5")
    playground.keyboard.press("Enter")
    expect(playground.locator("#drawn-from")).to_have_text("from capsule 5")
    open_numbers(playground)
    playground.locator("#dim-0").focus()
    playground.keyboard.press("ArrowLeft")
    expect(playground.locator("#moved-words")).to_have_text("as you moved it, capsule of 5")


def walk_to(page: Page, name: str) -> None:
    """Press the tabulator until the button of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        here = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
        if page.evaluate(here) == name:
            return
    raise AssertionError(f"no way to {name!r} by the tabulator")


def test_the_prediction_is_said_aloud_once_the_hand_rests(playground: Page) -> None:
    spoken = playground.locator("#spoken")
    expect(spoken).to_contain_text("7. Surely.")
    assert spoken.get_attribute("role") == "status"
    sample(playground, "Bag").click()
    expect(spoken).to_contain_text("Not like anything I was trained on")


def test_the_same_prediction_is_said_again_for_the_next_image(playground: Page) -> None:
    spoken = playground.locator("#spoken")
    expect(spoken).to_contain_text("7.")
    playground.get_by_role("button", name="Clear").click()
    expect(spoken).to_be_empty()
    sample(playground, "7").click()
    expect(spoken).to_contain_text("7.")


def test_lengths_and_poses_are_seen_where_the_system_sets_the_colours(playground: Page) -> None:
    """As in the contrast themes of Windows, which take backgrounds away."""
    playground.emulate_media(forced_colors="active")
    row = playground.locator("#capsules tr:has(button:text-is('7'))")
    colours = [
        row.locator(place).first.evaluate("element => getComputedStyle(element).backgroundColor")
        for place in (".bar-fill", ".bar-track", ".cell >> nth=6", ".cell >> nth=9")
    ]
    assert len(set(colours)) == len(colours)


def test_all_comes_from_this_host(page: Page, server: Server) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    expect(prediction(page)).to_have_text("7")
    page.locator("#sheet-body").scroll_into_view_if_needed()
    eventually(page, lambda: any("/sweep" in url for url in asked))
    assert len(asked) > 8
    assert [url for url in asked if not url.startswith(server.url)] == []


def test_without_scripts_it_says_where_to_go(browser: Browser, server: Server) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    assert (
        "The playground needs JavaScript." in page.content()
    )  # Chromium keeps it hidden where scripts are merely off
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    context.close()


DIALOGS = ["models", "code", "save", "camera", "class", "share"]


@pytest.fixture
def with_all_dialogs(page: Page, models: Path, tmp_path: Path) -> Iterator[Page]:
    """The playground of a service that others can reach; like a page by plain http, it may not write the clipboard."""
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined });")
    with serving(tmp_path / "log", models=models, public_url="http://10.0.0.9:8000") as server:
        page.goto(server.url)
        expect(prediction(page)).to_have_text("7")
        yield page


@pytest.mark.parametrize("opener", DIALOGS)
def test_a_dialog_keeps_the_focus_and_gives_it_back(with_all_dialogs: Page, opener: str) -> None:
    page = with_all_dialogs
    button = page.locator(f"#{opener}")
    expect(button).to_be_enabled()
    expect(button).to_be_visible()
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    inside = "dialog => dialog.contains(document.activeElement)"
    assert dialog.evaluate(inside)
    # The browser's own controls come after the last one of the dialog, and the page behind it never does.
    outside = "dialog => !dialog.contains(document.activeElement) && document.activeElement !== document.body"
    names = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        assert not dialog.evaluate(outside)
        names.add(page.evaluate("document.activeElement.outerHTML"))
    buttons = dialog.locator("button:visible:enabled")
    assert len(names) >= min(buttons.count(), 10)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_an_open_dialog(with_all_dialogs: Page, theme: Literal["light", "dark"]) -> None:
    page = with_all_dialogs
    page.emulate_media(color_scheme=theme)
    for opener in DIALOGS:
        page.locator(f"#{opener}").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        assert violations(page) == [], opener
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_a_projector(
    page: Page, server: Server, theme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(color_scheme=theme)
    page.goto(f"{server.url}/?present")
    expect(prediction(page)).to_have_text("7")
    sections = 1
    while page.locator("#present-next").is_enabled():
        assert violations(page) == [], sections
        page.keyboard.press("PageDown")
        sections += 1
    assert violations(page) == [], sections
    assert sections == 6


def test_axe_finds_nothing_where_the_system_sets_the_colours(playground: Page) -> None:
    playground.emulate_media(forced_colors="active")
    playground.locator("#turn-section").scroll_into_view_if_needed()
    expect(playground.locator("#turn")).to_be_enabled()
    assert violations(playground) == []
