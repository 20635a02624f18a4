"""What the arguments name: files, folders, patterns; and names for files that are made of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsnet import CapsnetError
from capsnet.cli.inputs import resolve_inputs, unique_stems
from capsnet.image_encoding import printable
from tests.app.server_process import ROOT


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty files in the working folder."""
    for name in (
        "b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webp", "sub/deep/a.png", ".cache/x.png",
        "[7].png", "7.png", "empty/readme.md",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str) -> list[str]:
    return [source.name for source in resolve_inputs(arguments)]


@pytest.mark.usefixtures("tree")
def test_a_folder_gives_its_images_and_those_of_its_sub_folders() -> None:
    assert names(".") == ["7.png", "[7].png", "a.JPG", "b.png", "sub/c.webp", "sub/deep/a.png"]
    assert names("sub", "b.png", "sub") == [
        "sub/c.webp",
        "sub/deep/a.png",
        "b.png",
        "sub/c.webp",
        "sub/deep/a.png",
    ]


def test_links_are_followed_into_no_folder_twice(tree: Path) -> None:
    (tree / "sub" / "round").symlink_to(tree / "sub")
    (tree / "sub" / "link").symlink_to(tree / "empty")
    (tree / "empty" / "e.png").touch()
    (tree / "__MACOSX").mkdir()
    (tree / "__MACOSX" / "m.png").touch()
    assert names("sub") == ["sub/c.webp", "sub/deep/a.png", "sub/link/e.png"]
    assert "__MACOSX/m.png" not in names(".")


def test_what_cannot_be_looked_at_has_a_problem_in_its_place(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names("b.png", "x" * 300) == ["b.png", "x" * 300]  # the name is too long for the file system
    monkeypatch.setattr("sys.stdin", None)
    (source,) = resolve_inputs(["-"])
    assert isinstance(source.image, CapsnetError)
    assert "closed" in source.image.detail
    (source,) = resolve_inputs([os.fsdecode(b"http://\xff.png")])
    assert source.name == "http://\ufffd.png"
    locked = tree / "sub" / "locked"
    locked.mkdir(mode=0)
    try:
        if os.access(locked, os.R_OK):
            pytest.skip("root reads every folder")
        assert names("sub") == ["sub/c.webp", "sub/deep/a.png", "sub/locked"]
    finally:
        locked.chmod(0o700)


@pytest.mark.usefixtures("tree")
def test_a_quoted_pattern_is_what_the_shell_would_write() -> None:
    assert names("*.png") == ["7.png", "[7].png", "b.png"]
    assert names("s*") == ["sub/c.webp", "sub/deep/a.png"]
    assert names("**/*.png") == ["7.png", "[7].png", "b.png", "sub/deep/a.png"]
    assert names("*.txt") == ["notes.txt"], "a named file is sent, whatever it is"


@pytest.mark.usefixtures("tree")
def test_a_file_that_exists_is_no_pattern() -> None:
    assert names("[7].png") == ["[7].png"]
    assert names("[8].png") == ["[8].png"]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("*.gif", "nothing matches"),
        ("empty", "holds no images"),
        ("", "the path of an image is empty"),
        ("http://localhost/b.png", "a URL is not read"),
    ],
)
def test_nothing_found_is_a_problem_in_its_place(argument: str, words: str) -> None:
    first, nothing = resolve_inputs(["b.png", argument])
    assert first.image == Path("b.png")
    assert isinstance(nothing.image, CapsnetError)
    assert words in nothing.image.detail


@pytest.mark.usefixtures("tree")
def test_images_of_one_name_get_files_of_several() -> None:
    assert [source.stem for source in resolve_inputs(["a.JPG", "sub", "b.png"])] == ["a", "c", "a-2", "b"]


@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-3", "b", "ß", "SS"])))
def test_names_never_collide(stems: list[str]) -> None:
    made = unique_stems(stems)
    assert len({name.casefold() for name in made}) == len(stems)
    assert all(name.startswith(stem) for name, stem in zip(made, stems, strict=True))


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=150, max_size=250), max_size=3))
def test_the_longest_names_leave_space_for_their_endings(stems: list[str]) -> None:
    stems = [stem.encode("utf-8", "ignore").decode() for stem in stems] * 2
    made = unique_stems(stems)
    assert len({name.casefold() for name in made}) == len(stems)
    assert all(len(os.fsencode(f"{name}.reconstruction.png")) <= 255 for name in made)
    assert all(
        len(stem.encode()) > 200 or name.startswith(stem) for name, stem in zip(made, stems, strict=True)
    )


def test_a_name_of_any_bytes_can_be_printed() -> None:
    assert printable(Path(os.fsdecode(b"caf\xe9.png"))) == "caf\N{REPLACEMENT CHARACTER}.png"
    assert printable(Path("café.png")) == "café.png"


def test_the_package_is_the_command_too() -> None:
    command = [sys.executable, "-m", "capsnet", "--version"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.startswith("capsnet ")
