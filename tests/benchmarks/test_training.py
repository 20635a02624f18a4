"""The benchmark of training compares what it says."""

import pytest

from benchmarks.training import chunked
from model.nn import layers


def test_each_measurement_routes_as_many_images_at_a_time_as_it_is_named_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layers, "CHUNK", layers.CHUNK)  # given back at the end
    found = [chunked(lambda seconds: seconds * layers.CHUNK, count)(2.0) for count in (128, 16)]
    assert found == [256, 32]
