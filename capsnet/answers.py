"""Make the fields of the JSON answers; the service and `capsnet.load` share them, so that both say the same.

Images are PNG files in base64. Legend: J class capsules, D pose dimensions, R rows of frames, S steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsnet.card import ModelCard, PoseDirection
from capsnet.preprocessing.digits import ObjectCount
from capsnet.transforms import PROPERTIES

Floats = NDArray[np.float32]


def model_fields(card: ModelCard) -> dict[str, str]:
    """Return the fields that name the model that answered."""
    return {"model": card.name, "version": card.version}


def prediction(card: ModelCard, index: int, length: Any) -> dict[str, Any]:
    """Return one capsule as `index`, `label` and `length`."""
    return {"index": index, "label": card.classes[index], "length": length}


def capsule_fields(card: ModelCard, index: int, length: Any, pose: Floats) -> dict[str, Any]:
    """Return the fields that name the model and one capsule with its pose (D,)."""
    return {**model_fields(card), "capsule": prediction(card, index, length), "pose": pose}


def classification_fields(
    card: ModelCard, ranking: Iterable[int], lengths: Floats, poses: Floats, check: Any, counted: ObjectCount
) -> dict[str, Any]:
    """Return the fields of a classification by lengths (J,) and poses (J,D); `check` is the guard's, or None."""
    answer: dict[str, Any] = {
        **model_fields(card),
        "predictions": [prediction(card, index, lengths[index]) for index in ranking],
        "lengths": lengths,
        "poses": poses,
    }
    if check is not None:
        answer["reconstruction"] = check
    if counted.found > card.objects:
        answer["objects_found"] = counted.found
        read = "1 is" if card.objects == 1 else f"{card.objects} are"
        model = "" if card.objects == 1 else " with a model of one object"
        answer["hint"] = (
            f"the image shows {counted.found} separate objects and {read} read; POST /read{model} reads every digit"
        )
    if counted.first_frame:
        answer["note"] = "the file holds several images; the first is read"
    return answer


def movement_fields(
    perturbations: Iterable[tuple[int, float]], along: Iterable[tuple[str, float]]
) -> dict[str, Any]:
    """Return the fields that say how a pose was moved: by dimension and delta, and by direction and amount."""
    return {
        "perturbations": [{"dim": dim, "delta": delta} for dim, delta in perturbations],
        "directions": [
            {"direction": name, "amount": amount, "unit": PROPERTIES[name].unit} for name, amount in along
        ],
    }


def sweep_fields(
    dims: Sequence[int], deltas: Floats, along: Iterable[tuple[str, Floats]], frames: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Return the fields of a sweep: dimensions with their deltas (S,), directions with amounts (S,), frames (R,S)."""
    return {
        "dims": dims,
        "deltas": deltas,
        "directions": [
            {"direction": name, "unit": PROPERTIES[name].unit, "amounts": amounts} for name, amounts in along
        ],
        "frames": frames,
    }


def transformation_fields(
    by: str,
    direction: PoseDirection | None,
    explained: float | None,
    linearity: float | None,
    steps: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the fields of a transformation by a property, given what the card says of its direction."""
    return {
        "property": by,
        "unit": PROPERTIES[by].unit,
        "measured": None if direction is None else [direction.minimum, direction.maximum],
        "explained": explained,
        "linearity": linearity,
        "steps": steps,
    }
