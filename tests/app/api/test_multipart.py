"""Request bodies: forms good and bad, limits to the byte, encodings. Over real HTTP, and the form parser by itself."""

import contextlib
import gzip
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.multipart import Form, plain_files, plain_image_file
from app.errors import BadRequest
from tests.app.both_ways import both_ways
from tests.app.server_process import Server, assert_problem, png, serving

server = both_ways()

LIMIT = 4096


@pytest.fixture(scope="module")
def small_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that reads bodies of at most 4,096 bytes and images of at most 1,000 pixels."""
    log = tmp_path_factory.mktemp("small") / "log"
    with serving(log, models=tiny_models, max_upload=LIMIT, max_pixels=1000) as running:
        yield running


def padded(image: bytes, size: int) -> bytes:
    """The image with bytes after its end, which decoders do not read."""
    return image + bytes(size - len(image))


def in_pieces(body: bytes, size: int = 1000) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit_holds_to_the_byte(small_server: Server, seven: bytes, chunked: bool) -> None:
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        body = padded(seven, size)
        response = small_server.client.post(
            "/classify", content=in_pieces(body) if chunked else body, headers={"Content-Type": "image/png"}
        )
        assert response.status_code == status
    assert_problem(response, 413, str(LIMIT))


def test_the_limit_counts_the_whole_form(small_server: Server, seven: bytes) -> None:
    assert_problem(
        small_server.client.post("/classify", files={"file": padded(seven, LIMIT)}), 413, str(LIMIT)
    )


def test_the_limit_holds_for_json(small_server: Server) -> None:
    body = b'{"label": 1, "pose": [' + b"0, " * 15 + b"0]" + b" " * LIMIT + b"}"
    response = small_server.client.post("/decode", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 413)


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read(small_server: Server) -> None:
    port = httpx.URL(small_server.url).port or 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_zeros_before_a_length_say_nothing(small_server: Server, seven: bytes) -> None:
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %05000d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", small_server.port), timeout=10) as connection:
        connection.sendall(head % len(seven) + seven)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_sends_far_too_much_still_reads_its_answer(small_server: Server) -> None:
    response = small_server.client.post(
        "/classify", content=bytes(8_000_000), headers={"Content-Type": "image/png"}
    )
    assert_problem(response, 413)
    assert small_server.client.get("/health/ready").status_code == 200


def test_too_many_pixels_are_413(small_server: Server) -> None:
    fits, too_many = png(np.zeros((25, 40), np.uint8)), png(np.zeros((25, 41), np.uint8))
    assert small_server.client.post("/classify", files={"file": fits}).status_code == 200
    assert_problem(small_server.client.post("/classify", files={"file": too_many}), 413, "41 x 25", "1,000")


def test_compressed_bodies_are_refused(client: httpx.Client, seven: bytes) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
    response = client.post("/classify", content=gzip.compress(seven), headers=headers)
    assert_problem(response, 415, "'gzip'")


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/json", "multipart/mixed; boundary=x", ";;;"]
)
def test_other_content_types_are_refused_and_the_right_ones_named(
    client: httpx.Client, seven: bytes, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = client.post("/classify", content=seven, headers=headers)
    found = "content type is missing" if content_type in (None, ";;;") else content_type.partition(";")[0]
    assert_problem(
        response, 415, found, "'file'", "multipart/form-data", "image/*", "application/octet-stream"
    )


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream"])
def test_an_empty_body_is_400(client: httpx.Client, content_type: str) -> None:
    assert_problem(client.post("/classify", headers={"Content-Type": content_type}), 400, "empty")


def test_an_empty_file_is_400(client: httpx.Client) -> None:
    assert_problem(client.post("/classify", files={"file": b""}), 400, "empty")


def test_a_form_without_the_field_is_400_and_names_what_it_has(client: httpx.Client, seven: bytes) -> None:
    assert_problem(client.post("/classify", files={"image": seven}), 400, "'file'", "'image'")


def test_two_files_are_422(client: httpx.Client, seven: bytes) -> None:
    response = client.post("/classify", files=[("file", seven), ("file", seven)])
    assert_problem(response, 422, "'file'", "2 times")


@pytest.mark.parametrize("first", [True, False])
def test_a_parameter_in_the_form_is_not_passed_over(client: httpx.Client, seven: bytes, first: bool) -> None:
    parts = [("top_k", (None, b"3")), ("file", ("x.png", seven))]
    response = client.post("/classify", files=parts if first else parts[::-1])
    assert_problem(response, 422, "'top_k'", "query string")


def form(*parts: bytes, boundary: bytes = b"X", closed: bool = True) -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--" + boundary + b"--\r\n" if closed else b"")


PART = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\ndata'


@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        (form(PART), "multipart/form-data", "boundary"),
        (form(PART), "multipart/form-data; boundary=", "boundary"),
        (form(PART), "multipart/form-data; boundary=Y", "malformed"),
        (form(PART), "multipart/form-data; boundary=" + "X" * 300, "malformed"),
        (form(PART, closed=False), "multipart/form-data; boundary=X", "closing boundary"),
        (form(b"Content-Disposition: form-data\r\n\r\ndata"), "multipart/form-data; boundary=X", "no name"),
        (form(b"\r\ndata"), "multipart/form-data; boundary=X", "no name"),
        (form(b"bad header\r\n\r\ndata"), "multipart/form-data; boundary=X", "malformed"),
        (b"", "multipart/form-data; boundary=X", "closing boundary"),
        (b"--X--\r\n", "multipart/form-data; boundary=X", "it is empty"),
    ],
)
def test_malformed_forms_are_400(client: httpx.Client, body: bytes, content_type: str, word: str) -> None:
    response = client.post("/classify", content=body, headers={"Content-Type": content_type})
    assert_problem(response, 400, word)


def too_many_parts() -> BadRequest:
    return BadRequest("too many parts")


@given(st.lists(st.tuples(st.text("abcñ€ -_", min_size=1), st.binary(max_size=200)), max_size=5))
def test_a_form_gives_back_the_fields_it_was_made_of(fields: list[tuple[str, bytes]]) -> None:
    boundary = b"----a-boundary-that-no-content-holds"
    parts = [
        f'Content-Disposition: form-data; name="{name}"'.encode()
        + b"\r\nContent-Type: image/png\r\n\r\n"
        + content
        for name, content in fields
    ]
    assert Form(form(*parts, boundary=boundary), boundary, 5, too_many_parts).fields == fields


PIECES = [b"--X", b"\r\n", b"--", b"X", PART, b":", b"\r\n\r\n", b"\x00"]


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES)).map(b"".join)))
def test_any_bytes_are_a_form_or_a_bad_request(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(Form(body, b"X", 5, too_many_parts).fields, list)


BOUNDARIES = st.sampled_from([b"X", b"-", b"----WebKitFormBoundaryAbC", b"a_'b"])
NAMES = st.sampled_from(
    [b'name="file"', b'name="file"; filename="a b.png"', b'name="file"; filename="a\\"b"', b"x"]
)
TYPES = st.sampled_from([b"", b"\r\nContent-Type: image/png", b"\r\nContent-Type: a b", b"\r\nX-Y: z"])
CONTENTS = st.lists(st.sampled_from([*PIECES, b"", b"data", b"\r\n--", b"--X--"]), max_size=4).map(b"".join)


@given(BOUNDARIES, NAMES, TYPES, CONTENTS, CONTENTS, st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"more"]))
def test_what_is_read_of_a_plain_form_is_what_the_parser_reads(
    boundary: bytes, name: bytes, kind: bytes, content: bytes, before: bytes, after: bytes
) -> None:
    part = b"Content-Disposition: form-data; " + name + kind + b"\r\n\r\n" + content
    whole = form(part, boundary=boundary)
    several = form(part, PART, part, boundary=boundary)
    for body in (whole, several, before + whole):
        for ended in (body, body[:-2] + after):
            found = plain_files(ended, boundary, 10)
            read = [("file", file) for file in found or []]
            assert found is None or read == Form(ended, boundary, 5, too_many_parts).fields


def test_forms_of_common_clients_are_plain(seven: bytes) -> None:
    for head in (b'; filename="x.png"\r\nContent-Type: image/png', b'; filename="blob"', b""):
        part = b'Content-Disposition: form-data; name="file"' + head + b"\r\n\r\n" + seven
        assert plain_files(form(part), b"X", 2) == [seven]
        assert plain_files(form(part, part), b"X", 2) == [seven, seven]


@pytest.mark.parametrize("boundary", ["b", "-"])
def test_a_body_of_nothing_but_boundaries_is_no_work(boundary: str) -> None:
    """Its 20 MB were cut into millions of pieces, which took 0.3 s."""
    line = b"--" + boundary.encode() + b"\r\n" * (boundary == "b")
    body = line * (20_000_000 // len(line))
    started = time.process_time()
    assert plain_image_file(f"multipart/form-data; boundary={boundary}", body) is None
    assert plain_files(body, boundary.encode(), 256) is None
    assert time.process_time() - started < 0.1
