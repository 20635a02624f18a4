"""Several objects in one image: who wins, what the winners draw together, what was missed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from capsnet.multi_object import missed_count, overlay, top_classes


@given(arrays.arrays(np.float32, (4, 5), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.integers(1, 5))
def test_winners_are_the_longest_and_of_equals_the_lower_index(lengths: np.ndarray, objects: int) -> None:
    found = top_classes(lengths, objects)
    for row, ranking in zip(lengths, found.tolist(), strict=True):
        assert ranking == sorted(range(5), key=lambda index: (-row[index], index))[:objects]


def test_light_is_added_up_and_clipped() -> None:
    drawn = np.array([[0.25, 0.5], [0.75, 0.75]], np.float32)[:, :, None, None, None]  # (B,K,1,1,1)
    assert overlay(drawn).tolist() == [[[[0.75]]], [[[1.0]]]]
    assert np.array_equal(overlay(drawn[:, :1]), drawn[:, 0])


def test_an_object_is_missed_that_is_not_among_the_longest() -> None:
    lengths = np.array([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8], [0.1, 0.2, 0.9]], np.float32)
    assert missed_count(lengths, np.array([[1, 0], [0, 1], [0, 2]])).tolist() == [0, 1, 1]
    assert missed_count(lengths, np.array([0, 1, 2])).tolist() == [0, 1, 0]
