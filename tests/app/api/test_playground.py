"""The page's texts: complete in every language, used, and put into the page by the server."""

import json
import re
from pathlib import Path

import httpx
import pytest

from app.api.playground import FALLBACK, STATIC, TEXTS, choose_language, languages, render_page
from app.errors import Problem

FILES = sorted(TEXTS.glob("*.json"))
ENGLISH = json.loads((TEXTS / f"{FALLBACK}.json").read_text("utf-8"))
SCRIPTS = "".join(file.read_text("utf-8") for file in sorted((STATIC / "js").glob("*.js")))
TEMPLATE = (STATIC / "index.html").read_text("utf-8")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def texts(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    file: Path = request.param
    return dict(json.loads(file.read_text("utf-8")))


def parts(words: str) -> list[str]:
    """The placeholders and the markup of a text, in an order of their own: languages put them in different places."""
    return sorted(re.findall(r"\{\w+\}|</?[a-z][^>]*>", words))


def test_every_language_has_the_same_texts(texts: dict[str, dict[str, str]]) -> None:
    for part, english in ENGLISH.items():
        assert list(texts[part]) == list(english)
        for key, words in texts[part].items():
            assert words.strip()
            assert parts(words) == parts(english[key]), key


def test_no_text_of_the_page_is_unused_or_missing() -> None:
    used = set(re.findall(r'data-text[a-z-]*="([^"]+)"', TEMPLATE))
    assert used <= ENGLISH["page"].keys() | ENGLISH["script"].keys()
    assert ENGLISH["page"].keys() <= used
    assert not ENGLISH["page"].keys() & ENGLISH["script"].keys()


def test_no_text_of_a_script_is_unused_or_missing() -> None:
    sections = {key.partition(".")[0] for key in ENGLISH["script"]}
    named = set(re.findall(r'"([a-z]+(?:\.[a-z_]+)+)"', SCRIPTS))
    assert ENGLISH["script"].keys() <= named
    assert {key for key in named if key.partition(".")[0] in sections} <= ENGLISH["script"].keys()


def test_every_type_of_problem_has_a_sentence() -> None:
    def kinds(problem: type[Problem]) -> set[str]:
        return {problem.kind}.union(*map(kinds, problem.__subclasses__()))

    script = (STATIC / "js" / "problems.js").read_text("utf-8")
    sentences = dict(re.findall(r'^  "?([a-z-]+)"?: "([a-z.]+)",$', script, re.MULTILINE))
    assert sentences.keys() == kinds(Problem)
    assert set(sentences.values()) <= ENGLISH["script"].keys()


def test_a_page_has_all_of_its_texts() -> None:
    for language in languages():
        page = render_page(language)
        assert f'<html lang="{language}">' in page
        assert "data-text" not in page
        assert not re.search(r"\{\w+\}", page.partition('id="texts"')[0])


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "tlh", "en"),
        (None, "en-GB,en;q=0.5", "en"),
        ("en", "xx", "en"),
        ("../en", "", "en"),
        (None, "xx;q=0.9, en ;q=nonsense", "en"),
        ("de", "fr", "de"),
        (None, "de-AT, fr;q=0.9", "de"),
        (None, "sv, fr;q=0.4, es;q=0.8", "es"),
        (None, "zh-Hant-TW", "zh"),
        (None, "de;q=0, fr;q=0.1", "fr"),
    ],
)
def test_the_language_follows_the_address_and_then_the_browser(
    asked: str | None, accepted: str, language: str
) -> None:
    assert choose_language(asked, accepted) == language


def test_the_page_says_what_it_depends_on(client: httpx.Client) -> None:
    page = client.get("/", headers={"Accept-Language": "en"})
    assert page.headers["vary"] == "Accept-Encoding, Accept-Language"
    assert page.headers["content-language"] == "en"
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == page.headers["content-security-policy"]
