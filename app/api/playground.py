"""Render the playground's page in the reader's language.

Each text stands in one file for each language, `static/texts/LANGUAGE.json`. Its part `page` holds the texts of
`static/index.html`, which may have simple markup. Its part `script` holds those that the page's scripts fill in.
The server puts both into the page, so that the first paint is in the right language and needs no second request.
"""

import functools
import html
import json
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[1] / "static"
TEMPLATE = STATIC / "index.html"
TEXTS = STATIC / "texts"

FALLBACK = "en"

# Placeholders for the facts of a model, until the page knows its model.
UNTIL_KNOWN = {"dims": "16", "class": "7"}

_MARKED_TAG = re.compile(r"<[a-z][^<>]*\sdata-text[^<>]*>")
_MARK = re.compile(r'\sdata-text(?:-([a-z-]+))?="([^"]+)"')
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@functools.cache
def languages() -> frozenset[str]:
    """Return the languages that the page has texts in, as ISO 639-1 codes."""
    return frozenset(file.stem for file in TEXTS.glob("*.json"))


def choose_language(asked: str | None, accepted: str) -> str:
    """Return the language of the page.

    `asked` is what the address names, `accepted` the header Accept-Language. Regions are left out of account.
    """
    for tag in [asked or "", *_by_preference(accepted)]:
        language = tag.strip().partition("-")[0].lower()
        if language in languages():
            return language
    return FALLBACK


def render_page(language: str) -> str:
    """Return the page in a language. A changed file is read again."""
    return _render(language, *(file.stat().st_mtime_ns for file in (TEMPLATE, _file_of(language))))


def _file_of(language: str) -> Path:
    return TEXTS / f"{language}.json"


@functools.lru_cache(maxsize=16)
def _render(language: str, *_versions: int) -> str:
    texts = json.loads(_file_of(language).read_text("utf-8"))
    both = texts["script"] | texts["page"]
    page = _MARKED_TAG.sub(lambda tag: _fill(tag[0], both), TEMPLATE.read_text("utf-8"))
    # An escaped `<` is the same text in JSON, and cannot end the element that it stands in.
    embedded = json.dumps(texts["script"], ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return page.replace("{language}", language).replace("{texts}", embedded)


def _fill(tag: str, texts: dict[str, str]) -> str:
    """Return a start tag with the attributes that it is marked for, and behind it its text."""
    attributes, text = "", ""
    for attribute, key in _MARK.findall(tag):
        if attribute:
            attributes += f' {attribute}="{html.escape(texts[key])}"'
        else:
            text = _PLACEHOLDER.sub(_fact, texts[key])
    return f"{_MARK.sub('', tag)[:-1]}{attributes}>{text}"


def _fact(placeholder: re.Match[str]) -> str:
    name = placeholder[1]
    return f'<span data-card="{name}">{UNTIL_KNOWN[name]}</span>'


def _by_preference(accepted: str) -> list[str]:
    """Return the language tags of an Accept-Language header, the most wanted first."""
    weighed = []
    for part in accepted.split(","):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighed.append((weight, tag))
    return [tag for _, tag in sorted(weighed, key=lambda pair: -pair[0])]
