"""Other models than the default one: the page takes everything from their cards."""

import re
from itertools import pairwise

import httpx
import numpy as np
from playwright.sync_api import Page, Route, expect

from tests.app.server_process import Server, png
from tests.browser.support import draw, eventually, pixels, prediction, sample, wait_for_another


def turn_to(page: Page, name: str) -> None:
    page.get_by_label("Model").select_option(name)


def answer_for(server: Server, page: Page, model: str) -> httpx.Response:
    """What the service says about the image that the network saw, as the page shows it."""
    seen = png(pixels(page.locator("#input"))[..., 0])
    query = {"model": model, "preprocess": "none"}
    return server.client.post("/classify", params=query, files={"file": seen})


def test_two_things_are_found_and_drawn_each_in_its_own_colour(playground: Page, server: Server) -> None:
    turn_to(playground, "pair")
    expect(playground.locator("#give-words")).to_have_text("Draw two digits, overlaid")
    expect(playground.locator("#singles canvas")).to_have_count(2)  # of the sample that is shown at first
    saw = playground.locator("#input")
    first_sample = pixels(saw)
    sample(playground, "2 and 7").click()
    wait_for_another(playground, saw, first_sample)
    expect(sample(playground, "2 and 7")).to_have_attribute("aria-pressed", "true")
    found = [each["label"] for each in answer_for(server, playground, "pair").json()["predictions"]]
    expect(prediction(playground)).to_have_text(" and ".join(found))
    expect(playground.locator("#capsules tr.found")).to_have_count(2)
    first, second = (pixels(canvas).astype(int) for canvas in playground.locator("#singles canvas").all())
    both = pixels(playground.locator("#drawn")).astype(int)
    assert np.ptp(first[..., 0] - first[..., 1]) > 0  # magenta: more red than green
    assert (first[..., 0] >= first[..., 1]).all()
    assert (second[..., 1] >= second[..., 0]).all()
    assert np.abs(both - np.minimum(first + second, 255))[..., :3].max() <= 2  # their light added up


def test_two_digits_can_be_drawn(playground: Page) -> None:
    turn_to(playground, "pair")
    expect(playground.locator("#give-words")).to_have_text("Draw two digits, overlaid")
    draw(playground, [[(0.3, 0.2), (0.3, 0.8)], [(0.6, 0.2), (0.6, 0.8)]])
    expect(playground.locator("#capsules tr.found")).to_have_count(2)
    expect(playground.locator("#spoken")).to_contain_text(" and ")


def test_the_model_that_was_chosen_last_wins(playground: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    playground.route("**/samples/multimnist.png", hold)
    playground.get_by_label("Model").select_option("pair")  # whose samples are long on their way
    eventually(playground, lambda: bool(held))
    playground.get_by_label("Model").select_option("colour")
    expect(playground.locator("#give-words")).to_have_text("Give it an image")
    with playground.expect_request_finished(lambda request: request.url.endswith("/multimnist.png")):
        held[0].continue_()
    playground.wait_for_timeout(500)
    expect(playground.locator("#give-words")).to_have_text("Give it an image")
    expect(playground.get_by_label("Model")).to_have_value("colour")


def test_names_of_dimensions_stand_where_the_card_knows_them(playground: Page, server: Server) -> None:
    known = server.client.get("/models/pair").json()["pose_meaning"]
    label, (first, *_) = next(iter(known.items()))
    turn_to(playground, "pair")
    expect(playground.locator("#capsules tr.found")).to_have_count(2)
    playground.get_by_label("Capsule", exact=True).select_option(label)
    expect(playground.locator(f"label[for='dim-{first['dim']}']")).to_have_text(
        f"dimension {first['dim']} {first['meaning']}"
    )
    playground.locator("#sheet-body").scroll_into_view_if_needed()
    name = f"Play dimension {first['dim']}, {first['meaning']}"
    expect(playground.get_by_role("button", name=name)).to_be_visible()


def test_a_model_in_colour_with_classes_of_its_own(playground: Page) -> None:
    turn_to(playground, "colour")
    expect(playground.locator("#give-words")).to_have_text("Give it an image")
    expect(playground.locator("#samples")).to_be_hidden()
    ramp = np.linspace(0, 255, 60, dtype=np.uint8)
    leaf = np.stack(np.broadcast_arrays(ramp, ramp[:, None], np.uint8(40)), axis=-1)
    playground.locator("#file").set_input_files(
        {"name": "leaf.png", "mimeType": "image/png", "buffer": png(leaf)}
    )
    expect(prediction(playground)).to_have_text(re.compile("^(oak|beech|elm)$"))
    assert playground.locator("#capsules .name").all_inner_texts() == ["oak", "beech", "elm"]
    assert playground.locator("#sliders li").count() == 4
    seen = pixels(playground.locator("#input"))
    assert any((seen[..., one] != seen[..., other]).any() for one, other in pairwise(range(3)))
