import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from capsnet.preprocessing.connected_components import find_components


def flooded(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Components by the plainest of ways: pixel after pixel."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = []
    while left:
        component, border = set(), {left.pop()}
        while border:
            component |= border
            border = {(y + i, x + j) for y, x in border for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= border
        found.append(component)
    return found


@given(hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))), st.integers(0, 99))
@settings(deadline=None)
def test_components_are_those_of_a_flood(mask: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).random(mask.shape)
    parts = find_components(mask, weights)
    expected = {frozenset(component) for component in flooded(mask)}
    found = set()
    for number in range(len(parts)):
        pixels = parts.mask(np.arange(len(parts)) == number)
        y, x = np.nonzero(pixels)
        found.add(frozenset(zip(y.tolist(), x.tolist(), strict=True)))
        box = (parts.top[number], parts.bottom[number], parts.left[number], parts.right[number])
        assert box == (y.min(), y.max() + 1, x.min(), x.max() + 1)
        assert parts.pixels[number] == pixels.sum()
        assert np.isclose(parts.weight[number], weights[pixels].sum())
    assert found == expected


def test_a_spiral_is_one_component() -> None:
    mask = np.zeros((41, 41), bool)
    for inset in range(0, 20, 2):
        mask[inset, max(inset - 2, 0) : 41 - inset] = True
        mask[inset : 41 - inset, 40 - inset] = True
        mask[40 - inset, inset : 41 - inset] = True
        mask[inset + 2 : 41 - inset, inset] = True
    assert len(find_components(mask, mask.astype(float))) == 1
