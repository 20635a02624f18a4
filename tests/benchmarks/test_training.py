"""The benchmark of training compares what it says."""

import pytest

from benchmarks.training import chunked
from model.nn import layers


def test_each_measurement_routes_as_many_images_at_a_time_as_it_is_named_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layers, "CHUNK", layers.CHUNK)  # given back at the end
    ways = chunked(lambda seconds: seconds * layers.CHUNK, "128,16")
    found = {name: measure(2.0) for name, measure in ways.items()}
    assert found == {"128 images at a time": 256, "16 images at a time": 32}
