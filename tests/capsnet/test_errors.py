"""The error of the library keeps its fields on its way from one process to another."""

import pickle

import pytest

from capsnet import CapsnetError


@pytest.mark.parametrize(
    "error",
    [
        CapsnetError("unknown", kind="unknown-model", title="Unknown model"),
        CapsnetError.from_problem(
            {"type": "urn:problem-type:queue-full", "status": 503, "detail": "full", "request_id": "a"}, 2.5
        ),
        CapsnetError("bad", kind="invalid-parameter", errors=({"parameter": "top_k"},)),
    ],
)
def test_an_error_can_be_pickled(error: CapsnetError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
