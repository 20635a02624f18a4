"""What the documentation says is tried: every console block and every Python session is run, every other command's
options and every table held to their source, every link opened. run_tutorial.py runs the tutorial, in its order.

In the expected output of a console block, white space and the lengths of rules do not count, `…` stands for anything,
and numbers may differ in their last digits from one processor to another.
"""

import csv
import doctest
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml

import app.api.schemas.explain
import app.api.schemas.transform  # noqa: F401 (their answers)
from app.api.openapi_examples import EXAMPLES
from app.api.schemas.responses import Answer, Problem, Serving
from app.settings import Settings
from capsnet.card import ModelCard
from capsnet.cli.main import app as capsnet_app
from tests.app.server_process import Server, environment, serving
from tests.docs.terminal import run_in_terminal
from training import recipes
from training.cli import app as training_app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SETTINGS_PAGE = ROOT / "docs" / "configuration.md"
API_GUIDE = ROOT / "docs" / "api.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
KUBERNETES_GUIDE = ROOT / "docs" / "kubernetes.md"
CLIENT_GUIDE = ROOT / "docs" / "client.md"
NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
TOLERANCE = 5e-3
DOCUMENTED_ADDRESS = "http://127.0.0.1:8000"


TUTORIAL = ROOT / "docs" / "tutorial.md"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language; "" for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def examples() -> list[tuple[str, str]]:
    """(command, expected output) of every `$` line in a console block, but for the tutorial's."""
    return [
        (command, output)
        for page in PAGES
        if page != TUTORIAL
        for block in blocks(page, "console")
        for command, output in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with its shipped models."""
    with serving(tmp_path_factory.mktemp("documented") / "log", admin_keys="KEY") as running:
        yield running


def assert_like(found: str, expected: str) -> None:
    found, expected = (re.sub("─+", "─", "".join(text.split())) for text in (found, expected))
    # Texts and, between them, parts compared otherwise: a string that is cut short, anything at all, a number.
    parts = re.split(f'("[^"…]*…"|…|{NUMBER})', expected)
    pattern = "".join(re.escape(part) if index % 2 == 0 else _like(part) for index, part in enumerate(parts))
    match = re.fullmatch(pattern, found)
    assert match, f"the answer is\n{found}\nand not like\n{expected}"
    numbers = [part for part in parts[1::2] if "…" not in part]
    for want, got in zip(numbers, match.groups(), strict=True):
        assert float(got) == pytest.approx(float(want), abs=TOLERANCE)


def _like(part: str) -> str:
    """A pattern for what a page shows of a number or abbreviates."""
    if "…" not in part:
        return f"({NUMBER})"
    return ".*?" if part == "…" else f'{re.escape(part[:-2])}[^"]*"'


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("command", "expected"), examples())
def test_a_command_prints_what_the_page_says(server: Server, command: str, expected: str) -> None:
    if shutil.which("file") is None and "| file" in command:
        pytest.skip("needs file")
    here = command.replace(DOCUMENTED_ADDRESS, server.url)
    variables = activated(server.url)
    if command.startswith("capsnet") and "|" not in command:
        _, shown = run_in_terminal(["bash", "-c", here], env=variables, cwd=ROOT)
    else:
        words = ["bash", "-c", here]
        shown = subprocess.run(
            words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    assert_like(shown, expected)


def activated(server: str) -> dict[str, str]:
    """The variables of a shell that has activated the environment, where `make` puts the command `capsnet`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return environment(server=server) | {"PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "pycon")], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_python_session_goes_as_the_page_says(
    server: Server, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSNET_SERVER", server.url)
    monkeypatch.chdir(ROOT)
    session = "\n".join(blocks(page, "pycon")).replace("…", "...")
    test = doctest.DocTestParser().get_doctest(session, {}, page.name, str(page), 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_has_the_options_that_a_page_gives_it(page: Path) -> None:
    lines = page.read_text().replace("\\\n", " ").splitlines()
    for line in lines:
        for start, program in (("python -m training", training_app), ("capsnet", capsnet_app)):
            if found := re.match(rf"(?:\$ )?(?:\w+=\S+ )*{start} (\w+)(.*)", line):
                commands = typer.main.get_command(program).commands  # type: ignore[attr-defined]
                assert found[1] in commands, line
                known = {
                    name
                    for option in commands[found[1]].params
                    for name in option.opts + option.secondary_opts
                }
                given = re.findall(r"(?<= )--?[a-z][a-z-]*", found[2].partition("|")[0])
                assert set(given) <= known, line


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_openapi_document_works_when_pasted(
    server: Server, tmp_path: Path, name: str
) -> None:
    (tmp_path / ".curlrc").write_text('write-out = "\\n%{http_code}"\n')
    for folder in ("docs", "README.md"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    here = EXAMPLES[name].replace(DOCUMENTED_ADDRESS, server.url)
    variables = os.environ | {"CURL_HOME": str(tmp_path)}
    command = ["bash", "-c", here]
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "200", result.stdout
    if "/unload" in name:  # the pages after this one speak of all models
        subprocess.run(["bash", "-c", here.replace("/unload", "/load")], check=True, capture_output=True)


def test_the_program_of_the_guide_runs(server: Server) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", API_GUIDE.read_text(), re.DOTALL)
    here = program.replace(DOCUMENTED_ADDRESS.removeprefix("http://"), server.url.removeprefix("http://"))
    result = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == program.rpartition("# ")[2].strip()


def test_a_folder_of_digits_goes_through_the_client(
    server: Server, data_folder: Path, tmp_path: Path
) -> None:
    """As the guide to the client has it, in a clone where nothing is installed; a few images instead of 2,000."""
    variables = os.environ | {"CAPSNET_DATA": str(data_folder), "CAPSNET_SERVER": server.url}
    lines, folder, count = CLIENT_GUIDE.read_text().splitlines(), tmp_path / "digits", 50
    assert "python -m docs.examples.digits digits 2000" in lines
    assert "capsnet classify digits --format csv > digits.csv" in lines
    for module, *arguments in (
        ("docs.examples.digits", folder, count),
        ("capsnet", "classify", folder, "--format", "csv"),
    ):
        command = [sys.executable, "-m", module, *map(str, arguments)]
        result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert len(rows) == count
    assert sum(row["file"].endswith(f"-{row['label']}.png") for row in rows) >= count - 2


def test_the_table_of_routes_has_every_route(server: Server) -> None:
    listed = set(re.findall(r"`(?:GET|POST) ([^`]+)`", str(table(API_GUIDE, "route"))))
    routes = {path for path in server.client.get("/openapi.json").json()["paths"] if "/v2" not in path}
    assert listed == routes


def test_the_guide_names_every_route_and_parameter(server: Server) -> None:
    guide = API_GUIDE.read_text()
    for path, methods in server.client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in guide
            for parameter in operation.get("parameters", []):
                assert parameter["in"] != "query" or f"| `{parameter['name']}` |" in guide


def test_the_glossary_defines_every_field_of_an_answer() -> None:
    defined = {
        name
        for row in re.findall(r"^\| (`[^|]*) \|", GLOSSARY.read_text(), re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    answers = Answer.__subclasses__()
    for kind in answers:
        answers += kind.__subclasses__()
    others = (Problem, Serving)
    own = [kind for kind in answers if kind not in others and "kserve" not in kind.__module__]
    assert {name for kind in own for name in kind.model_fields} <= defined


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_code_is_of_a_kind_that_is_tried(page: Path) -> None:
    """Blocks without a language are commands for another terminal, or are not code; nor is text."""
    languages = set(re.findall(r"^```(\w+)$", page.read_text(), re.MULTILINE))
    assert languages <= {"console", "mermaid", "pycon", "text", "yaml"} | (
        {"python"} if page == API_GUIDE else set()
    )


def test_values_of_the_chart_are_such_as_it_takes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    chart = ROOT / "docker" / "helm" / "capsnet"
    schema = json.loads((chart / "values.schema.json").read_text())
    for values in map(yaml.safe_load, blocks(KUBERNETES_GUIDE, "yaml")):
        if "rules" not in values:  # which are the adapter's
            jsonschema.validate(values, schema)
            assert values.keys() <= yaml.safe_load((chart / "values.yaml").read_text()).keys()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page, "yaml") and page != KUBERNETES_GUIDE],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_an_override_of_the_compose_file_fits_it(page: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    settings = {f"CAPSNET_{name.upper()}" for name in Settings.model_fields}
    for block in blocks(page, "yaml"):
        override = yaml.safe_load(block)
        assert override["services"].keys() <= compose["services"].keys()
        for service in override["services"].values():
            assert service["environment"].keys() <= settings
            assert set(service["secrets"]) == override["secrets"].keys()


def test_there_are_examples_of_every_route() -> None:
    commands = " ".join(command for command, _ in examples())
    for route in (
        "/classify",
        "/reconstruct",
        "/sweep",
        "/decode",
        "/classify/batch",
        "/models",
        "/health/ready",
        "/v2",
    ):
        assert f"{DOCUMENTED_ADDRESS}{route}" in commands


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of a page's table whose first heading is this one, without its two heading lines."""
    text = page.read_text()
    lines = text[text.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_table_of_settings_is_complete() -> None:
    rows = {row[0].strip(" `"): row[1].strip("`") for row in table(SETTINGS_PAGE, "variable")}
    assert list(rows) == [f"CAPSNET_{name.upper()}" for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        if field.default_factory is None:
            value = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            value = "none" if field.default in (None, ()) else value
            assert rows[f"CAPSNET_{name.upper()}"].replace(",", "") == value


def test_the_table_of_models_is_that_of_their_cards() -> None:
    cards = [ModelCard.load(path.parent) for path in sorted((ROOT / "artifacts").glob("*/card.json"))]
    rows = {row[0].strip(" `[").partition("`")[0]: row for row in table(ROOT / "README.md", "name")}
    assert list(rows) == [card.name for card in cards]
    for card in cards:
        metrics = card.variants["fp32"].metrics
        assert metrics is not None
        assert metrics.accepted is not None
        _, _, parameters, error, accepted = rows[card.name]
        assert parameters == " + ".join(f"{count:,}" for count in card.parameters.values())
        assert error == f"{100 * metrics.error:.2f} %"
        assert accepted == f"{100 * metrics.accepted:.1f} %"


def test_each_shipped_model_was_made_by_the_recipe_of_its_name() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    for path in (ROOT / "artifacts").glob("*/card.json"):
        card = ModelCard.load(path.parent)
        kinds = ("fit", "blend")
        made = [
            words.split()[3:]
            for words in str(card.training["command"]).split(" && ")
            if words.split()[3] in kinds
        ]
        recipe = [words for words in recipes.commands(card.name, 0, ROOT) if words[0] in kinds]
        assert list(map(options, made)) == list(map(options, recipe))
        assert f"| `python -m training recipe {card.name} --seed 0` |" in page


def options(words: list[str]) -> set[tuple[str, str]]:
    """The options of a command with their values, but for those that depend on the machine."""
    pairs = pairwise([*words, "--"])
    given = {
        (first, second) for first, second in pairs if first.startswith("--") and not second.startswith("--")
    }
    return {pair for pair in given if pair[0] not in ("--output", "--precision", "--start-from", "--teacher")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert {first or second for first, second in named} <= targets


def test_every_committed_image_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    unlinked = [path.name for path in (ROOT / "docs/images").iterdir() if f"images/{path.name}" not in text]
    assert not unlinked


def test_the_tree_of_the_architecture_names_what_each_package_holds() -> None:
    (tree,) = (block for block in blocks(ARCHITECTURE, "") if block.startswith("capsnet/"))
    parts = {found[1]: found[0] for found in re.findall(r"^((\w+)/ .*\n(?:  .*\n)*)", tree, re.MULTILINE)}
    for folder in ("capsnet", "capsnet/preprocessing", "model", "training", "app"):
        part = parts[folder.partition("/")[0]]
        for path in (ROOT / folder).iterdir():
            if path.suffix in ("", ".py") and not path.name.startswith("__"):
                assert re.search(rf"\b{path.stem}\b", part), path


def test_the_places_to_look_exist() -> None:
    rows = table(ARCHITECTURE, "where")
    assert len(rows) == 12
    for question, file, function in rows:
        text = (ROOT / file.strip("`")).read_text()
        assert re.search(rf"(?:def|function) {function.strip('`')}\(", text), question


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    listed = set(re.findall(r"\]\(([^)#]+)\)", index.read_text()))
    pages = {page.relative_to(index.parent).as_posix() for page in index.parent.rglob("*.md")} - {"README.md"}
    assert pages <= listed


def test_the_messages_of_the_troubleshooting_page_exist() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    first = text[text.index("| the message contains |") :].split("\n\n")[0]
    sources = (
        "".join(path.read_text() for folder in ("app", "capsnet") for path in (ROOT / folder).rglob("*.py"))
        + (ROOT / "Makefile").read_text()
    )
    for message in re.findall(r"^\| `([^`…]+)` \|", first, re.MULTILINE):
        constant = message.replace("CUDAExecutionProvider", "{device.provider}")
        assert constant in sources, message
