"""Download the published data sets from mirrors; only complete, verified files get their final name.

A file grows as NAME.gz.part, which a later run continues; it is renamed once its unzipped content has the published
SHA-256. The gzip wrapper is not checked: mirrors differ in it.

pooch does not fit: it starts a broken download again from its first byte, knows one address for a file, and checks the
gzip wrapper (docs/log/project.md).
"""

import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from training.data.datasets import PUBLISHED, SPECIAL, DatasetError

MIRRORS: Mapping[str, Sequence[str]] = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}
TIMEOUT = httpx.Timeout(30.0)  # seconds without a byte, not for the whole file
ATTEMPTS = 5  # at one mirror, as long as each brings new bytes
CHUNK = 2**20
# A mirror that sends without end must not fill the disk; the largest published file has 30 MB.
MAX_FILE_BYTES = 200_000_000


class DownloadError(DatasetError):
    """No mirror delivers a file; the message names each with the reason."""


class _Unusable(Exception):
    """A mirror's answer cannot be used; the reason is the message."""


class _Refused(Exception):
    """A mirror refuses the request; the bytes that came before stay valid."""


def download(
    names: Sequence[str], folder: Path, mirrors: Mapping[str, Sequence[str]] = MIRRORS, *, quiet: bool = False
) -> list[Path]:
    """Fetch every file of the named data sets into FOLDER/NAME/.

    Parameters
    ----------
    names
        Keys of `training.data.datasets.PUBLISHED`.
    folder
        Folder of the data sets; created if missing.
    mirrors
        For a name the addresses to try, in order, instead of the known ones; each is a folder with the files.
    quiet
        Show no progress bar.

    Returns
    -------
    list[Path]
        All files, verified, also those that were there before.

    Raises
    ------
    DatasetError
        If a name is not known.
    DownloadError
        If no mirror delivers a file. The bytes that came stay in NAME.gz.part for the next attempt.
    """
    for name in names:
        if name in SPECIAL:
            raise DatasetError(f"{name} is not fetched: put its files into {folder / name}")
        if name not in PUBLISHED:
            raise DatasetError(
                f"no data set '{name}' to download; there are {', '.join(PUBLISHED)}; "
                "a folder of one's own is folder:PATH, and needs no download"
            )
    with _progress(quiet) as progress, httpx.Client(follow_redirects=True, timeout=TIMEOUT) as client:
        return [
            _fetch_file(
                client, progress, folder / name / f"{file}.gz", mirrors.get(name) or MIRRORS[name], digest
            )
            for name in names
            for file, digest in PUBLISHED[name].sha256.items()
        ]


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        disable=quiet,
    )


def _fetch_file(
    client: httpx.Client, progress: Progress, path: Path, mirrors: Sequence[str], digest: str
) -> Path:
    """Make sure that `path` holds the published content, from the first mirror that delivers it."""
    task = progress.add_task(f"{path.parent.name}/{path.name}", total=None)
    if path.exists() and _content_sha256(path) == digest:
        size = path.stat().st_size
        progress.update(task, total=size, completed=size)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{path.name}"
        try:
            _fetch_from(client, url, part, digest, progress, task)
        except (_Unusable, _Refused, httpx.HTTPError, httpx.InvalidURL) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
        else:
            part.replace(path)
            return path
    raise DownloadError(f"{path}: could not be downloaded from any mirror\n  " + "\n  ".join(failures))


def _fetch_from(
    client: httpx.Client, url: str, part: Path, digest: str, progress: Progress, task: TaskID
) -> None:
    """Complete `part` from one address; if a continued file proves wrong, start it over once."""
    continued = _size(part) > 0
    if continued and _content_sha256(part) == digest:
        return
    try:
        _transfer_with_retries(client, url, part, progress, task)
        if _content_sha256(part) == digest:
            return
        part.unlink()
        raise _Unusable(f"the content is not the published one (SHA-256 {digest})")
    except _Unusable:
        if not continued:
            raise
    # The beginning may come from a mirror that zipped the content differently, or be longer than the file here.
    part.unlink(missing_ok=True)
    _fetch_from(client, url, part, digest, progress, task)


def _transfer_with_retries(
    client: httpx.Client, url: str, part: Path, progress: Progress, task: TaskID
) -> None:
    """Retry after a broken connection, as long as each attempt brings new bytes."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            _transfer(client, url, part, progress, task)
        except httpx.TransportError:
            if attempt == ATTEMPTS or _size(part) <= before:
                raise
        else:
            return


def _transfer(client: httpx.Client, url: str, part: Path, progress: Progress, task: TaskID) -> None:
    """Append the missing bytes to `part`, or write it again where the server sends the whole file."""
    have = _size(part)
    # Bytes are kept as they are sent: a range of a re-encoded body could not be appended.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code not in (200, 206):
            # 416: the server has no bytes after those here, so these are wrong.
            kind = _Unusable if response.status_code == 416 else _Refused
            raise kind(f"the server answered {response.status_code}")
        if response.status_code == 200:
            have = 0
        length = response.headers.get("Content-Length")
        progress.update(task, total=have + int(length) if length else None, completed=have)
        with part.open("ab" if have else "wb") as file:
            for chunk in response.iter_raw():
                have += len(chunk)
                if have > MAX_FILE_BYTES:
                    raise _Unusable(f"the server sends more than {MAX_FILE_BYTES:,} bytes")
                file.write(chunk)
                progress.update(task, completed=have)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _content_sha256(path: Path) -> str | None:
    """Return the SHA-256 of the unzipped content; None where the file is damaged, cut short or absurdly large."""
    digest, total = hashlib.sha256(), 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                total += len(chunk)
                if total > MAX_FILE_BYTES:
                    return None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None
    return digest.hexdigest()
