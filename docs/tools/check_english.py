"""Check the English of documents, Python sources and commit subjects: `python -m docs.tools.check_english`.

A sentence ends at . ! ? : or ; before white space. Code blocks, tables, images, HTML comments and link targets do not
count. At most 4 % of the sentences of README.md and docs/ may be longer than 25 words. No listed word may occur there,
in CONTRIBUTING.md and SECURITY.md, nor in docstrings, comments and texts (errors, log lines, help) of Python sources.
"""

import argparse
import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_WORDS = 25
MAX_LONG_SHARE = 0.04
MAX_SUBJECT = 72

# Words to avoid, with what to write instead.
WORDS = {
    "whoever": "name the person",
    "nobody": "no client, no user",
    "somebody": "a person, a client",
    "anybody": "any client",
    "everybody": "all clients",
    "anew": "again",
    "borne": "supported",
    "amid": "during",
    "the latter": "repeat the noun",
    "of equals": "an equal",
    "what is": "a noun",
    "room": "space, module",
    "rooms": "modules",
    "house": "project",
    "door": "authentication or admission",
    "doors": "interfaces",
    "crowd": "overload",
    "box": "inbox, frame",
}
LISTED = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
# Text that is not prose: code, comments, tables, images, quoted code, and the targets of links.
NOT_PROSE = re.compile(
    r"^ *```.*?^ *```$|<!--.*?-->|^ *\|.*?$|!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|https?://\S+",
    re.MULTILINE | re.DOTALL,
)
ITEM = re.compile(r"^ *(?:[-*]|\d+\.) +|^#+ .*$|^ *> ?", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?:;][*_)\"'`]*(?=\s|$)|\n\s*\n")
# Abbreviations whose point ends no sentence.
ABBREVIATION = re.compile(r"\b(e\.g|i\.e|et al|etc|vs|cf)\.")


# Documents beside README.md and docs/ in which only words are checked.
OTHER_PAGES = ("CONTRIBUTING.md", "SECURITY.md")
SOURCES = ("app", "benchmarks", "capsnet", "docs", "model", "tests", "training")
# These name the words on purpose.
EXEMPT = ("docs/tools/check_english.py", "tests/docs/test_check_english.py")


def pages(root: Path) -> list[Path]:
    """Return README.md and every page below docs/."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def prose(text: str) -> str:
    """Return the text without what does not count; each list item and heading becomes a paragraph."""
    text = re.sub(r"`[^`\n]*`", "code", NOT_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text))
    return ABBREVIATION.sub(r"\1", ITEM.sub("\n\n", text))


def sentences(text: str) -> list[str]:
    """Split prose into sentences of at least one word."""
    found = (" ".join(part.split()) for part in SENTENCE_END.split(prose(text)))
    return [sentence for sentence in found if re.search(r"\w", sentence)]


def is_long(sentence: str) -> bool:
    """Tell whether a sentence has more words than a reader should hold."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split()) > MAX_WORDS


def check_pages(root: Path, *, verbose: bool) -> list[str]:
    """Return the problems of all pages and print the share of long sentences."""
    problems, long, total = [], [], 0
    for page in pages(root):
        name, text = page.relative_to(root), page.read_text()
        problems += _listed(str(name), prose(text))
        own = sentences(text)
        total += len(own)
        long += [f"{name}: {sentence}" for sentence in own if is_long(sentence)]
    share = len(long) / max(total, 1)
    sys.stdout.write(
        f"{len(long)} of {total} sentences have more than {MAX_WORDS} words: {100 * share:.1f} %\n"
    )
    if share > MAX_LONG_SHARE:
        problems.append(f"more than {100 * MAX_LONG_SHARE:.0f} % of the sentences are long")
    if verbose or share > MAX_LONG_SHARE:
        sys.stdout.writelines(f"{sentence}\n" for sentence in long)
    return problems


NAMES = re.compile(r"[a-z_]+(, [a-z_]+)*")


def _listed(place: str, text: str) -> list[str]:
    """Return the listed words in a text as problems."""
    return [f"{place}: “{found[0]}”; write: {WORDS[found[0].lower()]}" for found in LISTED.finditer(text)]


def check_words(root: Path) -> list[str]:
    """Return the listed words in the other documents and in Python sources."""
    problems = []
    for name in OTHER_PAGES:
        if (path := root / name).exists():
            problems += _listed(name, prose(path.read_text()))
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if name not in EXEMPT:
                for line, text in python_texts(path.read_text()):
                    problems += _listed(f"{name}:{line}", re.sub(r"`[^`\n]*`", "code", text))
    return problems


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments and strings with a space in them, docstrings among these, each with its first line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            # A line of names alone is a parameter or an attribute, as the code calls it.
            lines = (line for line in node.value.splitlines() if not NAMES.fullmatch(line.strip()))
            yield node.lineno, " ".join(" ".join(lines).split())


def check_subject(subject: str) -> list[str]:
    """Return the problems of the subject of a commit."""
    problems = []
    if len(subject) > MAX_SUBJECT:
        problems.append(f"has {len(subject)} characters; at most {MAX_SUBJECT} are allowed")
    if not subject[:1].isupper():
        problems.append("must begin with a capital letter")
    if subject.endswith("."):
        problems.append("must not end with a full stop")
    return [f"commit “{subject}” {problem}" for problem in problems]


def git(*arguments: str) -> str:
    """Return the output of git, empty where it fails or is not installed."""
    command = ["git", "-C", str(ROOT), *arguments]
    if shutil.which("git") is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def check_commits(base: str) -> list[str]:
    """Return the problems of the subjects since `base`, or else the last tag; the last commit where there is none."""
    base = base or git("describe", "--tags", "--abbrev=0")
    found = git("log", "--no-merges", "--format=%s", *([f"{base}..HEAD"] if base else ["-1"]))
    return [problem for subject in found.splitlines() for problem in check_subject(subject)]


def main() -> int:
    """Print every problem; return 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="", help="Check commits after this one; default: the last tag.")
    parser.add_argument("--verbose", action="store_true", help="List the long sentences in any case.")
    options = parser.parse_args()
    problems = check_pages(ROOT, verbose=options.verbose) + check_words(ROOT) + check_commits(options.base)
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
