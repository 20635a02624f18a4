"""Where pictures come from: files, folders, patterns, standard input."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from capsnet.errors import CapsnetError
from capsnet.image_encoding import SUFFIXES, is_picture, printable, unreadable, walk

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """A picture that was asked for: its name in the output, and a path, bytes, or why there is none.

    Files that are made of it are called after its `stem`, which no other source has.
    """

    name: str
    picture: Path | bytes | CapsnetError
    stem: str = "stdin"


def find(arguments: Iterable[str]) -> list[Source]:
    """The pictures that the arguments name, in their order; folders and patterns alphabetically.

    A path that exists is never taken for a pattern. Nothing but standard input is read.
    """
    sources = list(_find(arguments))
    stems = distinct([source.stem for source in sources])
    return [replace(source, stem=stem) for source, stem in zip(sources, stems, strict=True)]


def distinct(stems: Iterable[str]) -> list[str]:
    """A name for each stem: itself, or with a number behind it where an earlier one has it already.

    Upper and lower case are the same name, as they are on many file systems.
    """
    taken: set[str] = set()
    last: Counter[str] = Counter()
    names = []
    for stem in stems:
        name = stem
        while name.casefold() in taken:
            last[stem] += 1
            name = f"{stem}-{last[stem] + 1}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _find(arguments: Iterable[str]) -> Iterator[Source]:
    for argument in arguments:
        path = Path(argument)
        if argument == STDIN:
            yield Source(STDIN, sys.stdin.buffer.read())
        elif glob.has_magic(argument) and not os.path.lexists(path):
            yield from _matches(argument)
        else:
            yield from _path(path)


def _matches(pattern: str) -> Iterator[Source]:
    """What a quoted pattern matches, as if the shell had written it out; `**` goes through folders by itself."""
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    if "**" in pattern:
        matches = [path for path in matches if is_picture(path) and not path.is_dir()]
    if not matches:
        yield _nothing(printable(pattern), "nothing matches this pattern")
    for path in matches:
        yield from _path(path)


def _path(path: Path) -> Iterator[Source]:
    if not path.is_dir():
        yield Source(printable(path), path, path.stem)
        return
    found = False
    for file in walk(path):
        found = True
        yield Source(printable(file), file, file.stem)
    if not found:
        yield _nothing(printable(path), f"the folder holds no pictures ({', '.join(sorted(SUFFIXES))})")


def _nothing(name: str, reason: str) -> Source:
    return Source(name, unreadable(f"{name}: {reason}"))
