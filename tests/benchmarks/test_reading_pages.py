"""The pages that judge reading: which rows of a data set the pen may draw."""

import numpy as np
import pytest

from benchmarks.preprocessing.pen import undrawn_share
from benchmarks.reading.layout import UNDRAWN, is_faithful
from training.data.datasets import DatasetPart

TIP = 0.08


@pytest.fixture(scope="module")
def rows(digits: DatasetPart) -> list[np.ndarray]:
    """Rows that the pen draws whole, with five bare columns at their right."""
    roomy = [row[0] for row in digits.images[:150] if not row[0, :, -5:].any()]
    return [row for row in roomy if is_faithful(row, TIP)]


def test_a_scrap_of_a_neighbour_beside_a_digit_is_not_drawn(rows: list[np.ndarray]) -> None:
    assert len(rows) > 50
    for row in rows:
        edge = int(np.flatnonzero(row.any(axis=0))[-1])
        scrap = row.copy()
        scrap[10:18, edge + 3 : edge + 5] = 255
        assert not is_faithful(scrap, TIP)


def test_the_loose_bar_of_a_5_is_drawn(rows: list[np.ndarray]) -> None:
    drawn = []
    for row in rows:
        top, edge = int(np.flatnonzero(row.any(axis=1))[0]), int(np.flatnonzero(row.any(axis=0))[-1])
        bar = row.copy()
        bar[top : top + 3, edge + 3 : edge + 9] = 255
        if edge <= 19 and undrawn_share(bar) <= UNDRAWN:  # the pen makes a short bar shorter
            drawn.append(is_faithful(bar, TIP))
    assert len(drawn) > 10
    assert all(drawn)


def test_a_stroke_that_the_pen_breaks_is_not_drawn(digits: DatasetPart) -> None:
    """A grey place joins the row's stroke, and the pen leaves it out."""
    ones = [row[0].copy() for row in digits.images[digits.labels == 1] if is_faithful(row[0], TIP)]
    assert len(ones) > 10
    for row in ones:
        row[12:16] = row[12:16] * 0.3
        assert not is_faithful(row, TIP)
