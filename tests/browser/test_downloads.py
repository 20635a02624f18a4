"""Files and code for the content of the page, each used as a person would."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import Page, expect

from tests.browser.support import pixels, prediction, sample

SHEET = (16, 11)  # dimensions and steps


def saved(page: Page, label: str) -> tuple[str, bytes]:
    """The name and the bytes of the file that a button of the dialog saves."""
    page.get_by_role("button", name="Save…").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=label, exact=True).click()
    page.locator("#save-dialog .close").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_drawing_is_saved_as_png_and_svg(playground: Page) -> None:
    shown = pixels(playground.locator("#moved"))[..., 0]
    name, file = saved(playground, "Save the drawing as PNG")
    image = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
    assert name == "capsnet-7.png"
    assert image.shape == (28 * 16, 28 * 16)
    assert np.array_equal(image[8::16, 8::16], shown)
    name, file = saved(playground, "Save the drawing as SVG")
    assert name == "capsnet-7.svg"
    assert drawn_by(playground, file, 28) == pytest.approx(shown, abs=2)


def drawn_by(page: Page, svg: bytes, size: int) -> np.ndarray:
    """What a browser makes of an SVG file: grey (size,size)."""
    other = page.context.new_page()
    other.set_viewport_size({"width": size, "height": size})
    other.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg.decode()}")
    image = np.asarray(Image.open(io.BytesIO(other.screenshot())).convert("L"))
    other.close()
    return image


def test_a_sheet_is_saved_as_png_svg_and_moving_gif(playground: Page) -> None:
    sample(playground, "3").click()
    expect(prediction(playground)).to_have_text("3")
    rows, columns = SHEET
    name, file = saved(playground, "Save the sheet as PNG")
    assert name == "capsnet-3-sheet.png"
    assert Image.open(io.BytesIO(file)).size == (columns * 88 + 4, rows * 88 + 4)
    name, file = saved(playground, "Save the sheet as SVG")
    assert file.count(b"<image ") == rows * columns
    name, file = saved(playground, "Save the sheet as GIF")
    assert name == "capsnet-3-sheet.gif"
    film = Image.open(io.BytesIO(file))
    frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 2 * columns - 2
    assert film.size == (4 * 88 + 4, 4 * 88 + 4)
    assert film.info["loop"] == 0
    assert len({frame.tobytes() for frame in frames}) == columns  # there, and the same way back


@pytest.mark.parametrize("language", ["Python", "JavaScript"])
def test_the_code_does_what_the_page_did(playground: Page, tmp_path: Path, language: str) -> None:
    if language == "JavaScript" and not shutil.which("node"):
        pytest.skip("needs node")
    playground.get_by_role("button", name="Code", exact=True).click()
    dialog = playground.get_by_role("dialog", name="The same as code")
    dialog.get_by_label(language, exact=True).check()
    expect(dialog.locator("code").first).to_contain_text("import" if language == "Python" else "await")
    classify, reconstruct, decode, sweep = dialog.locator("code").all_inner_texts()
    said = run(classify, language, tmp_path)
    assert "'label': '7'" in said or "label: '7'" in said
    assert "7" in run(reconstruct, language, tmp_path)
    for code, file in ((decode, "drawn.png"), (sweep, "pose-sheet.png")):
        said = run(code, language, tmp_path)
        if language == "Python":
            assert (tmp_path / file).read_bytes().startswith(b"\x89PNG")
        else:
            assert said.startswith("blob:")


def run(code: str, language: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    if language == "JavaScript":
        command = ["node", "--input-type=module", "--eval", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_code_of_a_pose_has_the_moved_numbers(playground: Page) -> None:
    playground.locator("#numbers").evaluate("details => { details.open = true; }")
    playground.locator("#dim-5").fill("0.5")
    playground.get_by_role("button", name="Code", exact=True).click()
    playground.get_by_role("dialog").get_by_label("Python", exact=True).check()
    decode = playground.locator("#text-items code").nth(2)
    expect(decode).to_contain_text("json.dumps(")
    body = decode.inner_text().partition("json.dumps(")[2].partition(").encode()")[0]
    assert json.loads(body)["pose"][5] == 0.5
