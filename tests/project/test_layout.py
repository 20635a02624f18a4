"""The rules of layout: few entries at the top of a package, no circles of imports, no scraps of modules."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

from docs.tools.project_figures import PACKAGES, entries, imports, measure, module_name, table

ROOT = Path(__file__).resolve().parents[2]
MOST_ENTRIES = {"app": 12, "model": 9, "training": 9}
# A shorter module with a single importer belongs into that importer.
SHORTEST = 40
# One middleware, one group of routes and one group of commands is a file, however short it is. A reader looks for a
# route or a command in the listing of these folders, and their single importer only lists them. Inside it, a short one
# would be found by a search alone, while the next one stands in a file of its own.
ONE_A_FILE = ("app.api.middleware.", "app.api.routes.", "model.architectures.", "training.cli.")
TREES = {
    path: ast.parse(path.read_text())
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@pytest.mark.parametrize("package", MOST_ENTRIES)
def test_a_package_has_few_entries_at_its_top(package: str) -> None:
    assert entries(ROOT / package) <= MOST_ENTRIES[package]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(imports(ROOT, TREES)).prepare()


def test_a_short_module_has_several_importers() -> None:
    importers: dict[str, set[str]] = {}
    for name, used in imports(ROOT, TREES, late=True).items():
        for each in used:
            importers.setdefault(each, set()).add(name)
    scraps = [
        f"{name} has {lines} lines, and {only} alone imports it"
        for path in TREES
        if (lines := len(path.read_text().splitlines())) < SHORTEST
        and not (name := module_name(ROOT, path)).startswith(ONE_A_FILE)
        and path.stem != "__init__"
        and len(only := importers.get(name, set())) == 1
    ]
    assert not scraps


@pytest.mark.parametrize("path", sorted((ROOT / "app" / "server").glob("*.py")), ids=lambda path: path.name)
def test_a_file_of_the_tuned_server_says_what_it_brings_and_when_it_goes(path: Path) -> None:
    """The whole package can be removed, so each file gives a figure, its source, and a condition."""
    words = ast.get_docstring(TREES[path]) or ""
    assert re.search(r"\d", words)
    assert re.search(r"\bdocs/\w+", words)
    assert re.search(r"\b[Gg]o(es)? (when|with)\b", words)


BLOCK = "\n".join(f"    number_{n} = count_the_words_of(text, {n})" for n in range(7))


def test_the_figures_of_a_small_tree(tmp_path: Path) -> None:
    package = tmp_path / "app"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("")
    (package / "low.py").write_text(f"def one(text):\n    '''Words.'''\n{BLOCK}\n")
    (package / "inner" / "high.py").write_text(
        f"from ..low import one\n\n\ndef two(text):\n{BLOCK}\n    from . import later\n"
        + "".join(f"    one(text[{n}])\n" for n in range(20))
    )
    (package / "inner" / "later.py").write_text("import app.inner.high\n")
    found = measure(tmp_path, "app")
    assert (found.entries, found.most, found.modules, found.functions, found.long) == (3, 3, 5, 2, 1)
    assert found.levels_of_parts == 2
    assert found.levels == 3  # later, high and low; what high imports late does not count
    assert found.duplicated == 1


def test_the_table_has_both_checkouts(tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    assert "| modules | 1 → 1 | 1 → 1 | 1 → 1 | 1 → 1 |" in table(tmp_path, tmp_path)
