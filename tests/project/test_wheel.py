"""What pyproject.toml puts into the wheel; `make wheel-check` builds, installs and uses it."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def packages(folder: str) -> set[str]:
    """The packages of a folder, with dots."""
    found = (path.parent.relative_to(ROOT) for path in (ROOT / folder).rglob("__init__.py"))
    return {".".join(path.parts) for path in found}


def test_the_wheel_holds_the_library_the_service_below_it_and_one_model() -> None:
    relocated = {name.replace("app", "capsnet.service", 1) for name in packages("app")}
    assert set(SETUPTOOLS["packages"]) == packages("capsnet") | relocated | {"capsnet.models.mnist"}
    assert SETUPTOOLS["package-dir"] == {"capsnet.models": "artifacts", "capsnet.service": "app"}


def test_no_module_of_the_library_has_the_name_of_what_is_relocated() -> None:
    for name in ("models", "service"):
        assert not (ROOT / "capsnet" / name).exists()
        assert not (ROOT / "capsnet" / f"{name}.py").exists()


def test_every_file_of_the_page_is_in_it() -> None:
    others = [
        path
        for path in (ROOT / "app").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "static" not in path.parts
    ]
    assert not others, "package-data names the folder static alone"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "app").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_service_does_not_know_its_own_name(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not [each.name for each in node.names if each.name.partition(".")[0] == "app"]
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").partition(".")[0] != "app"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            assert not node.value.startswith("app."), f"{path}:{node.lineno}"
