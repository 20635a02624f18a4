"""Downloads from a real HTTP server on the loopback interface that misbehaves as mirrors do."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.data import download as module
from training.data.datasets import PUBLISHED, DatasetError, Published
from training.data.download import DownloadError, download

FILES = {f"part-{i}": f"content of part {i} ".encode() * 40_000 for i in range(2)}
ZIPPED = {name: gzip.compress(content, mtime=0) + b"" for name, content in FILES.items()}


class Mirror:
    """A server for FILES. Its attributes say how it misbehaves; `requests` are the paths and ranges it saw."""

    def __init__(self) -> None:
        self.files = {f"/{name}.gz": zipped for name, zipped in ZIPPED.items()}
        self.understands_ranges = True
        self.break_after: list[
            int
        ] = []  # bytes of the body before the connection breaks, for the next requests
        self.requests: list[tuple[str, str | None]] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        body = self.files.get(request.path)
        if body is None:
            request.send_error(404)
            return
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.understands_ranges else 0
        )
        if start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        sent = body[start:]
        request.wfile.write(sent[: self.break_after.pop(0)] if self.break_after else sent)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = Mirror()
    yield server
    server.close()


@pytest.fixture
def second() -> Iterator[Mirror]:
    server = Mirror()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small data set `tiny` in the table of published ones."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    mnist = PUBLISHED["mnist"]
    monkeypatch.setitem(PUBLISHED, "tiny", Published("Tiny", mnist.classes, mnist.input, hashes))


def fetch(folder: Path, *mirrors: Mirror) -> list[Path]:
    return download(["tiny"], folder, {"tiny": [mirror.url for mirror in mirrors]}, quiet=True)


def assert_complete(folder: Path) -> None:
    assert {path.name for path in (folder / "tiny").iterdir()} == {f"{name}.gz" for name in FILES}
    for name, content in FILES.items():
        assert gzip.decompress((folder / "tiny" / f"{name}.gz").read_bytes()) == content


def test_all_files_arrive_and_nothing_else(mirror: Mirror, tmp_path: Path) -> None:
    paths = fetch(tmp_path / "made", mirror)
    assert paths == [tmp_path / "made" / "tiny" / f"{name}.gz" for name in FILES]
    assert_complete(tmp_path / "made")


def test_what_is_there_is_not_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    fetch(tmp_path, mirror)
    mirror.requests.clear()
    fetch(tmp_path, mirror)
    assert mirror.requests == []


def test_a_wrong_file_in_place_is_replaced(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "part-0.gz").write_bytes(gzip.compress(b"something else"))
    (tmp_path / "tiny" / "part-1.gz").write_bytes(ZIPPED["part-1"][:50])
    fetch(tmp_path, mirror)
    assert_complete(tmp_path)


def test_a_broken_connection_is_taken_up_where_it_broke(mirror: Mirror, tmp_path: Path) -> None:
    mirror.break_after = [100, 250]
    fetch(tmp_path, mirror)
    assert_complete(tmp_path)
    assert mirror.requests[:3] == [
        ("/part-0.gz", None),
        ("/part-0.gz", "bytes=100-"),
        ("/part-0.gz", "bytes=350-"),
    ]


def test_a_later_run_continues_an_interrupted_one(mirror: Mirror, tmp_path: Path) -> None:
    mirror.break_after = [100, 0]
    with pytest.raises(DownloadError):
        fetch(tmp_path, mirror)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["part-0.gz.part"]
    mirror.requests.clear()
    fetch(tmp_path, mirror)
    assert mirror.requests[0] == ("/part-0.gz", "bytes=100-")
    assert_complete(tmp_path)


def test_a_server_without_ranges_is_read_from_the_start(mirror: Mirror, tmp_path: Path) -> None:
    mirror.understands_ranges = False
    mirror.break_after = [100]
    fetch(tmp_path, mirror)
    assert_complete(tmp_path)


def test_the_next_mirror_continues_what_the_first_began(
    mirror: Mirror, second: Mirror, tmp_path: Path
) -> None:
    mirror.break_after = [100, 0, 0]
    fetch(tmp_path, mirror, second)
    assert second.requests[0] == ("/part-0.gz", "bytes=100-")
    assert_complete(tmp_path)


def test_a_mirror_that_refuses_says_nothing_of_what_was_begun(
    mirror: Mirror, second: Mirror, tmp_path: Path
) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "part-0.gz.part").write_bytes(ZIPPED["part-0"][:100])
    mirror.files = {}
    fetch(tmp_path, mirror, second)
    assert mirror.requests[0] == second.requests[0] == ("/part-0.gz", "bytes=100-")
    assert_complete(tmp_path)


def test_mirrors_that_zip_differently_are_not_mixed(mirror: Mirror, second: Mirror, tmp_path: Path) -> None:
    mirror.break_after = [100, 0]
    second.files = {f"/{name}.gz": gzip.compress(content, 1) for name, content in FILES.items()}
    second.files["/part-0.gz"] = gzip.compress(FILES["part-0"][:9], 0) + gzip.compress(FILES["part-0"][9:], 1)
    fetch(tmp_path, mirror, second)
    assert_complete(tmp_path)
    assert second.requests[:2] == [("/part-0.gz", "bytes=100-"), ("/part-0.gz", None)]


def test_a_part_that_is_complete_only_lacks_its_name(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "part-0.gz.part").write_bytes(ZIPPED["part-0"])
    fetch(tmp_path, mirror)
    assert [path for path, _ in mirror.requests] == ["/part-1.gz"]
    assert_complete(tmp_path)


def test_a_part_longer_than_the_file_is_started_over(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "part-0.gz.part").write_bytes(b"x" * 100_000)
    fetch(tmp_path, mirror)
    assert_complete(tmp_path)


def test_wrong_content_is_refused_and_the_next_mirror_asked(
    mirror: Mirror, second: Mirror, tmp_path: Path
) -> None:
    mirror.files["/part-0.gz"] = gzip.compress(b"another data set")
    mirror.files["/part-1.gz"] = b"<html>sign in</html>"
    fetch(tmp_path, mirror, second)
    assert_complete(tmp_path)


def test_a_missing_file_is_asked_of_the_next_mirror(mirror: Mirror, second: Mirror, tmp_path: Path) -> None:
    del mirror.files["/part-1.gz"]
    fetch(tmp_path, mirror, second)
    assert_complete(tmp_path)


def test_a_failure_names_every_mirror_and_its_reason(mirror: Mirror, second: Mirror, tmp_path: Path) -> None:
    mirror.files.clear()
    second.files = {path: gzip.compress(b"wrong") for path in second.files}
    with pytest.raises(DownloadError) as error:
        fetch(tmp_path, mirror, second)
    message = str(error.value)
    assert "part-0.gz: could not be downloaded from any mirror" in message
    assert f"{mirror.url}part-0.gz: the server answered 404" in message
    assert f"{second.url}part-0.gz: the content is not the published one" in message
    assert list((tmp_path / "tiny").iterdir()) == []


def test_a_host_that_does_not_listen_is_a_failure_with_its_reason(mirror: Mirror, tmp_path: Path) -> None:
    mirror.close()
    with pytest.raises(DownloadError, match="Connection refused"):
        fetch(tmp_path, mirror)


def test_a_server_that_never_ends_is_stopped(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 500)
    with pytest.raises(DownloadError, match="sends more than 500 bytes"):
        fetch(tmp_path, mirror)
    assert sum(path.stat().st_size for path in (tmp_path / "tiny").iterdir()) <= 500


def test_a_data_set_that_is_not_fetched_has_its_place_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=f"cifar10 is not fetched: put its files into {tmp_path / 'cifar10'}"
    ):
        download(["cifar10"], tmp_path)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"no data set 'cifar' to download; there are mnist, fashion_mnist.*folder:PATH"
    ):
        download(["cifar"], tmp_path)
