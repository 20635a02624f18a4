"""Measure how a checkout is laid out: `python -m docs.tools.project_figures BEFORE AFTER` prints a table.

Each argument is the root of a checkout. Tests and benchmarks are not counted. A function runs from `def` to its end,
with its docstring. A block is duplicated where `BLOCK` lines of code in a row, of `LETTERS` letters or more, stand in
two places. Blank lines, comments, docstrings and imports are no code.
"""

import ast
import itertools
import operator
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("app", "capsnet", "model", "training")
LONG = 25
BLOCK, LETTERS = 6, 30
Graph = dict[str, set[str]]


@dataclass(frozen=True)
class Package:
    """Figures of one package.

    `levels` is the number of modules on the longest chain of imports within it; imports in a circle count as one.
    `most` is the most entries that any folder of it has.
    """

    entries: int
    most: int
    levels: int
    modules: int
    lines: int
    functions: int
    long: int
    duplicated: int


def measure(root: Path, package: str) -> Package:
    """Return the figures of a package below `root`."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted((root / package).rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in sources.items()}
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    folders = {path.parent for path in sources}
    return Package(
        entries=entries(root / package),
        most=max(map(entries, folders)),
        levels=levels(imports(root, trees)),
        modules=len(sources),
        lines=sum(len(text.splitlines()) for text in sources.values()),
        functions=len(lengths),
        long=sum(length > LONG for length in lengths),
        duplicated=duplicated([code(text, trees[path]) for path, text in sources.items()]),
    )


def entries(folder: Path) -> int:
    """Return how many modules and folders stand in a folder, without what Python has made."""
    return sum(
        path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__") for path in folder.iterdir()
    )


def imports(root: Path, trees: dict[Path, ast.Module], *, late: bool = False) -> Graph:
    """Return which of these modules each imports when it is loaded or, with `late`, also later and for its types."""
    names = {path: module_name(root, path) for path in trees}
    known = set(names.values())
    graph: Graph = {name: set() for name in known}
    for path, tree in trees.items():
        here = names[path].split(".")
        base = here if path.stem == "__init__" else here[:-1]
        for node in ast.walk(tree) if late else tree.body:
            if isinstance(node, ast.Import):
                graph[names[path]] |= {alias.name for alias in node.names} & known
            elif isinstance(node, ast.ImportFrom):
                above = base[: len(base) - node.level + 1] if node.level else []
                origin = ".".join([*above, *([node.module] if node.module else [])])
                parts = {f"{origin}.{alias.name}" for alias in node.names} & known
                whole = len(parts) < len(node.names) and origin in known
                graph[names[path]] |= parts | ({origin} if whole else set())
        graph[names[path]].discard(names[path])
    return graph


def module_name(root: Path, path: Path) -> str:
    """Return the name by which a file is imported."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def levels(graph: Graph) -> int:
    """Return how many modules stand on the longest chain of imports."""
    found: dict[str, int] = {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in found:
            below = graph[name] - above
            found[name] = 1 + max((depth(each, above | {name}) for each in below), default=0)
        return found[name]

    return max((depth(name, frozenset()) for name in sorted(graph)), default=0)


def code(text: str, tree: ast.Module) -> list[str]:
    """Return the lines of code of a module, stripped."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and (is_text or isinstance(node, ast.Import | ast.ImportFrom)):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return [line for number, line in lines if line and not line.startswith("#") and number not in left_out]


def duplicated(modules: list[list[str]]) -> int:
    """Return how many different stretches of code, of `BLOCK` lines and more, stand in several places."""
    count = Counter(block for lines in modules for block in blocks(lines))
    stretches: set[str] = set()
    for lines in modules:
        repeated = [count[block] > 1 for block in blocks(lines)]
        for is_repeated, group in itertools.groupby(enumerate(repeated), operator.itemgetter(1)):
            run = [first for first, _ in group]
            if is_repeated:
                stretches.add("\n".join(lines[run[0] : run[-1] + BLOCK]))
    return len(stretches)


def blocks(lines: list[str]) -> list[str]:
    """Return every `BLOCK` lines in a row; one of few letters, such as closing brackets, as a text like no other."""
    found = ["\n".join(lines[first : first + BLOCK]) for first in range(len(lines) - BLOCK + 1)]
    return [
        block if sum(map(str.isalpha, block)) >= LETTERS else f"{id(lines)} {first}"
        for first, block in enumerate(found)
    ]


def table(before: Path, after: Path) -> str:
    """Return the figures of two checkouts as a Markdown table."""
    rows = ["| package | figure | before | after |", "| --- | --- | --: | --: |"]
    for package in PACKAGES:
        old = measure(before, package) if (before / package).is_dir() else None
        new = measure(after, package)
        for name, words in FIGURES.items():
            was = "–" if old is None else f"{getattr(old, name):,}"
            rows.append(f"| `{package}/` | {words} | {was} | {getattr(new, name):,} |")
    return "\n".join(rows)


FIGURES = {
    "entries": "entries at its top",
    "most": "most entries in one folder",
    "levels": "import levels",
    "modules": "modules",
    "lines": "lines",
    "functions": "functions",
    "long": f"functions over {LONG} lines",
    "duplicated": f"blocks of {BLOCK} and more lines in several places",
}

if __name__ == "__main__":
    sys.stdout.write(table(*map(Path, sys.argv[1:3])) + "\n")
