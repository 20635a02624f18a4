"""Runs docs/tutorial.md from top to bottom: `make tutorial`. Trains a network, so it is no part of `make test`."""

import re
import subprocess
from pathlib import Path

from tests.app.server_process import ROOT, free_port, serving
from tests.docs.terminal import COLUMNS, run_in_terminal
from tests.docs.test_documentation import NUMBER, TUTORIAL, activated, blocks

STEPS = [
    (command, output)
    for block in blocks(TUTORIAL, "console")
    for command, output in re.findall(r"^\$ (.*)\n((?:[^$].*\n|\n)*)", block, re.MULTILINE)
]


def test_the_page_from_top_to_bottom(tmp_path: Path) -> None:
    place = tmp_path / "clone"
    place.mkdir()
    (place / "docs").symlink_to(ROOT / "docs")
    asking = next(index for index, (command, _) in enumerate(STEPS) if command.startswith("capsnet"))
    url = f"http://127.0.0.1:{(port := free_port())}"
    variables = activated(url) | {"COLUMNS": str(COLUMNS)}
    for command, expected in STEPS[:asking]:
        run(command, expected, place, variables)
    with serving(tmp_path / "log", models=place / "models", port=port):
        for command, expected in STEPS[asking:]:
            run(command, expected, place, variables)
    assert (place / "drawn" / "000.sweep.png").exists()


def run(command: str, expected: str, place: Path, variables: dict[str, str]) -> None:
    """A command prints what the page says, but for white space and for figures, which depend on the processor."""
    if "|" in command or not command.startswith("capsnet"):
        words = ["bash", "-c", f"{command} 2>&1"]
        shown = subprocess.run(
            words, cwd=place, env=variables, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    else:
        _, shown = run_in_terminal(["bash", "-c", command], env=variables, cwd=place)
    found, page = ("".join(text.split()) for text in (shown, expected))
    parts = re.split(f"(…|─+|{NUMBER}|best)", page)
    pattern = "".join(
        re.escape(part) if index % 2 == 0 else loosely(part) for index, part in enumerate(parts)
    )
    assert re.fullmatch(pattern, found, re.DOTALL), f"{command}\n{shown}"


def loosely(part: str) -> str:
    """What may stand in the place of a figure."""
    if part == "…":
        return ".*?"
    if part == "best":
        return "(best)?"
    return "─+" if part.startswith("─") else NUMBER
