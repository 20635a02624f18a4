"""The check of the documents' English finds long sentences, listed words and bad subjects, and no others."""

from pathlib import Path

import pytest

from docs.tools.check_english import (
    MAX_WORDS,
    ROOT,
    check_commits,
    check_pages,
    check_subject,
    check_words,
    is_long,
    sentences,
)


def test_code_tables_and_links_do_not_count() -> None:
    text = "# Title\n\nOne [link](https://example.org/a.b). Two: three.\n\n```\nwhoever\n```\n| a | b |\n\n- four\n"
    assert sentences(text) == ["One [link]", "Two", "three", "four"]


def test_a_sentence_is_long_beyond_the_limit() -> None:
    assert not is_long("word " * MAX_WORDS)
    assert is_long("word " * (MAX_WORDS + 1))


def test_a_listed_word_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("Nobody reads `whoever` here.\n")
    assert [problem.split(";")[0] for problem in check_pages(tmp_path, verbose=False)] == [
        "README.md: “Nobody”"
    ]


def test_comments_docstrings_and_texts_of_sources_are_checked(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "module.py").write_text(
        '"""Tells\nnobody `whoever` it."""\n\nroom = 3  # the house\nlog = f"{room} images for everybody"\n'
    )
    (tmp_path / "SECURITY.md").write_text("Done anew.\n")
    assert [problem.split(";")[0] for problem in check_words(tmp_path)] == [
        "SECURITY.md: “anew”",
        "app/module.py:4: “house”",
        "app/module.py:1: “nobody”",
        "app/module.py:5: “everybody”",
    ]


def test_the_project_holds_its_own_rules() -> None:
    assert check_pages(ROOT, verbose=False) + check_words(ROOT) == []


@pytest.mark.parametrize(
    ("subject", "count"),
    [("Add a check", 0), ("add a check", 1), ("Add a check.", 1), ("A" * 73, 1), ("a" * 72 + ".", 3)],
)
def test_a_subject_has_its_problems(subject: str, count: int) -> None:
    assert len(check_subject(subject)) == count


def test_without_git_no_subject_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert check_commits("") == []
