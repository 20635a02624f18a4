"""Find the images that arguments name: files, folders, patterns, standard input."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from capsnet.errors import CapsnetError
from capsnet.image_encoding import SUFFIXES, is_image_file, path_problem, printable, unreadable, walk

STDIN = "-"

# Bytes of a stem: file systems allow 255 in a name, and numbers and endings such as `.reconstruction.png` follow.
MAX_STEM = 200


@dataclass(frozen=True)
class Source:
    """An image that an argument names: its name in the output, and a path, bytes, or the error why there is none.

    Files that are drawn from it begin with its `stem`, which is unique.
    """

    name: str
    image: Path | bytes | CapsnetError
    stem: str = "stdin"


def resolve_inputs(arguments: Iterable[str]) -> list[Source]:
    """Return the images that the arguments name, in their order; those of folders and patterns alphabetically.

    A path that exists is never taken for a pattern. Of all images, only standard input is read.
    """
    sources = [source for argument in arguments for source in _resolve(argument)]
    stems = unique_stems([source.stem for source in sources])
    return [replace(source, stem=stem) for source, stem in zip(sources, stems, strict=True)]


def unique_stems(stems: Iterable[str]) -> list[str]:
    """Return a name for each stem: the stem, or the stem and a number where an earlier one has that name.

    Upper and lower case count as the same name, as they do on many file systems. Long stems are cut, so that an ending
    can be added.
    """
    taken: set[str] = set()
    last: Counter[str] = Counter()
    names = []
    for whole in stems:
        stem = name = _cut(whole)
        while name.casefold() in taken:
            last[stem] += 1
            name = f"{stem}-{last[stem] + 1}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _cut(stem: str) -> str:
    """Return the first characters of a stem, at most MAX_STEM bytes."""
    while len(os.fsencode(stem)) > MAX_STEM:
        stem = stem[:-1]
    return stem


def _resolve(argument: str) -> Iterator[Source]:
    path = Path(argument)
    if argument == STDIN:
        closed = sys.stdin is None
        yield Source(STDIN, unreadable("standard input is closed") if closed else sys.stdin.buffer.read())
    elif problem := path_problem(argument):
        yield Source(printable(argument), unreadable(problem))
    elif glob.has_magic(argument) and not os.path.lexists(path):
        yield from _matches(argument)
    else:
        yield from _path(path)


def _matches(pattern: str) -> Iterator[Source]:
    """Yield what a quoted pattern matches, as a shell expands it; `**` descends into folders and takes images alone."""
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    if "**" in pattern:
        matches = [path for path in matches if is_image_file(path) and not _is_folder(path)]
    if not matches:
        yield _nothing(printable(pattern), "nothing matches this pattern")
    for path in matches:
        yield from _path(path)


def _path(path: Path) -> Iterator[Source]:
    """Yield a file, or the images of a folder."""
    if not _is_folder(path):
        yield Source(printable(path), path, path.stem)
        return
    found = False
    for file in walk(path):
        found = True
        yield Source(printable(file), file, file.stem)
    if not found:
        yield _nothing(printable(path), f"the folder holds no images ({', '.join(sorted(SUFFIXES))})")


def _is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; one that cannot be looked at is none, and says why when it is read."""
    return os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises PermissionError


def _nothing(name: str, reason: str) -> Source:
    return Source(name, unreadable(f"{name}: {reason}"))
