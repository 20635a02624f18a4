"""Check the arguments that `Client` and a model in this process share, without NumPy: the command starts without it."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

# Of a number in a pose: the decoder draws nothing that differs beyond it, and float32 ends at 3e38.
MAX_POSE = 1e6


def whole(name: str, value: Any) -> int:
    """Return a whole number, also one of NumPy; raises TypeError for other values."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name} should be a whole number, not {value!r:.80}")
    return int(value)


def dimensions(dims: Iterable[int] | None) -> list[int] | None:
    """Return the dimensions of a sweep; raises TypeError where they are no list of whole numbers."""
    return _listed("dims", dims, Integral, "[0, 3]")


def direction_names(names: Iterable[str] | None) -> list[str] | None:
    """Return the directions of a sweep; raises TypeError where they are no list of names."""
    return _listed("directions", names, str, "['slant', 'width']")


def movements(moves: Mapping[int, float] | None, dim: int | None, delta: float | None) -> Mapping[int, float]:
    """Return the movements of a pose, given as a mapping or as one dimension and its delta.

    Raises
    ------
    TypeError
        If both are given, or one half of the pair, or something other than numbers.
    """
    if dim is None and delta is None:
        return _mapped("moves", moves, Integral, "{3: 0.1}")
    if moves is not None or dim is None or delta is None:
        raise TypeError("give either moves={3: 0.1} or both dim=3 and delta=0.1")
    return _mapped("moves", {dim: delta}, Integral, "{3: 0.1}")


def direction_amounts(directions: Mapping[str, float] | None) -> Mapping[str, float]:
    """Return how far a pose moves along each direction; raises TypeError where that is no mapping to numbers."""
    return _mapped("directions", directions, str, "{'slant': 12}")


def pose_rows(poses: Iterable[Iterable[float]]) -> list[list[float]]:
    """Return poses, of NumPy as well, as lists of numbers.

    Raises
    ------
    TypeError
        If they are no list of lists of numbers.
    ValueError
        If a number is not finite, or beyond `MAX_POSE`.
    """
    if not _is_list(poses):
        raise TypeError(f"poses should be a list of poses, not {poses!r:.80}")
    rows = []
    for pose in poses:
        if not _is_list(pose):
            raise TypeError(
                f"each pose should be a list of numbers, not {pose!r:.80}; pass one pose as [pose]"
            )
        try:
            rows.append([float(number) for number in pose])
        except (TypeError, ValueError):
            raise TypeError(f"a pose should hold numbers, not {pose!r:.80}") from None
        if not all(abs(number) <= MAX_POSE for number in rows[-1]):
            raise ValueError(f"a pose holds numbers that are not finite or beyond {MAX_POSE:g}: {pose!r:.80}")
    return rows


def _is_list(values: Any) -> bool:
    """Tell whether a value holds several others; a text does not."""
    return isinstance(values, Iterable) and not isinstance(values, str | bytes)


def _listed(name: str, values: Iterable[Any] | None, kind: type, example: str) -> list[Any] | None:
    if values is None:
        return None
    found = list(values) if _is_list(values) else [None]
    if not all(isinstance(each, kind) for each in found):
        raise TypeError(f"{name} should be a list like {example}, not {values!r:.80}")
    return found


def _mapped(name: str, values: Mapping[Any, Any] | None, kind: type, example: str) -> Mapping[Any, Any]:
    if values is None:
        return {}
    sound = isinstance(values, Mapping) and all(
        isinstance(key, kind) and isinstance(value, Real) for key, value in values.items()
    )
    if not sound:
        raise TypeError(f"{name} should be like {example}, not {values!r:.80}")
    return {key: float(value) for key, value in values.items()}
