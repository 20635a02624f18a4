"""The differential fuzz finds a disagreement where there is one, and none where there is none."""

import pytest

from app.server.http_head import read_head
from benchmarks import http_fuzz
from benchmarks.http_fuzz import HEAD, PART, check_form, check_head, fuzz


def test_the_parsers_agree() -> None:
    cases, read = fuzz(1.0, 0)
    assert read > cases / 20


def test_plain_ones_are_read_from_their_bytes() -> None:
    assert check_head(HEAD + b"data")
    assert check_form(PART * 3 + b"--b--\r\n")


def test_a_disagreement_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_fuzz, "plain_files", lambda body, *_: [body])
    with pytest.raises(AssertionError, match="otherwise"):
        check_form(PART + b"--b--\r\n")
    other = read_head(HEAD.replace(b"/classify", b"/sweep"))
    monkeypatch.setattr(http_fuzz, "read_head", lambda _: other)
    with pytest.raises(AssertionError, match="otherwise"):
        check_head(HEAD + b"data")
