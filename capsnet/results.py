"""Define the results of the clients and of a model in this process; a notebook shows each with its images.

Legend: C channels, H height, W width, J class capsules, D pose dimensions.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from capsnet import notebook
from capsnet.image_encoding import Png, encode

if TYPE_CHECKING:  # NumPy takes a tenth of a second to import, and the command never needs it
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Json = Mapping[str, Any]
Method = Literal["votes", "occlusion"]


@dataclass(frozen=True)
class Prediction:
    """A class: its `index` from 0, its `label`, and the `length` of its capsule, 0 to 1."""

    index: int
    label: str
    length: float


@dataclass(frozen=True)
class Check:
    """The guard's comparison of an image with its reconstruction; `accepted` is False for out-of-distribution images.

    `distance` is the Euclidean distance between the two, both blurred over 3 x 3 pixels. `threshold` is the largest
    one that is accepted for this image.
    """

    distance: float
    threshold: float
    accepted: bool


@dataclass(frozen=True, eq=False)
class Classification:
    """The classes in an image, longest capsule first, and the lengths and poses of all capsules.

    `reconstruction` is the guard's check, or None without `verify`; `answer` is the JSON answer. A model in this
    process adds `images`, (C,H,W) in [0,1]: its input, and its drawing for the guard.
    """

    model: str
    version: str
    predictions: tuple[Prediction, ...]
    reconstruction: Check | None
    answer: Json = field(repr=False)
    images: tuple[Floats | None, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """The class of the longest capsule."""
        return self.predictions[0].label

    @property
    def length(self) -> float:
        """The length of the longest capsule, 0 to 1."""
        return self.predictions[0].length

    @cached_property
    def lengths(self) -> Floats:
        """The length of every class capsule, (J,)."""
        return floats(self.answer["lengths"])

    @cached_property
    def poses(self) -> Floats:
        """The pose of every class capsule, (J,D)."""
        return floats(self.answer["poses"])

    @property
    def pose(self) -> Floats:
        """The pose of the longest capsule, (D,)."""
        pose: Floats = self.poses[self.predictions[0].index]
        return pose

    @property
    def input(self) -> Png | None:
        """The network's input; None where a service answered, since the clients do not ask for it."""
        return self._image(0)

    @property
    def drawn(self) -> Png | None:
        """The drawing of the longest capsules together; None as `input` is, or without `verify`."""
        return self._image(1)

    def _image(self, index: int) -> Png | None:
        from capsnet.png import encode_png

        image = self.images[index] if index < len(self.images) else None
        return None if image is None else Png(encode_png(image))

    def _repr_html_(self) -> str:
        return notebook.classification_html(self)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A capsule, the network's `input`, and the capsule's drawing in the network's own size."""

    model: str
    version: str
    capsule: Prediction
    input: Png
    reconstruction: Png
    answer: Json = field(repr=False)

    @cached_property
    def pose(self) -> Floats:
        """The capsule's pose, (D,)."""
        return floats(self.answer["pose"])


@dataclass(frozen=True, eq=False)
class Reconstruction(Drawn):
    """An image drawn again from one capsule, and with the capsule's pose moved.

    `distance` is that of the reconstruction from the input, as in `Check`. `moves` has the number added to each
    dimension, `directions` the amount along each direction, and `perturbed` is the drawing of the moved pose.
    """

    distance: float
    moves: Mapping[int, float]
    directions: Mapping[str, float]
    perturbed: Png

    @cached_property
    def perturbed_pose(self) -> Floats:
        """The moved pose, (D,)."""
        return floats(self.answer["perturbed_pose"])

    def _repr_html_(self) -> str:
        return notebook.reconstruction_html(self)


@dataclass(frozen=True, eq=False)
class Sweep(Drawn):
    """One capsule with its pose moved one dimension or direction at a time.

    `frames[row][column]` is the drawing with `deltas[column]` added to dimension `dims[row]`. The rows after these
    belong to `directions`, which have the amounts of their columns.
    """

    dims: tuple[int, ...]
    deltas: tuple[float, ...]
    directions: Mapping[str, tuple[float, ...]]
    frames: tuple[tuple[Png, ...], ...]

    def sheet(self) -> Png:
        """Return all frames as one image: a row for each dimension and direction, a column for each step."""
        import numpy as np

        rows = [np.hstack([frame.pixels() for frame in row]) for row in self.frames]
        return encode(np.vstack(rows))

    def _repr_html_(self) -> str:
        return notebook.sweep_html(self)


@dataclass(frozen=True, eq=False)
class TransformedStep:
    """An image transformed by an amount.

    `length` and `pose` (D,) are those of the capsule in it. `foretold` (D,) is the pose that the direction predicts
    from the untransformed image, or None. The images are the network's input and the drawings of the two poses.
    """

    amount: float
    length: float
    pose: Floats
    foretold: Floats | None
    input: Png
    reconstruction: Png
    foretold_reconstruction: Png | None


@dataclass(frozen=True, eq=False)
class Transformation:
    """An image transformed step by step, with one capsule in each step.

    `explained` is the R squared of the poses that the direction predicts, or None where the card names no direction for
    the capsule's class. `linearity` is the R squared of a line fitted to the poses, or None where the pose does not
    move or the service does not give it.
    """

    model: str
    version: str
    capsule: Prediction
    property: str
    unit: str
    explained: float | None
    linearity: float | None
    steps: tuple[TransformedStep, ...]
    answer: Json = field(repr=False)

    def sheet(self) -> Png:
        """Return all steps as one image: a row of inputs, of drawings, and of drawings of predicted poses."""
        import numpy as np

        rows = [[step.input for step in self.steps], [step.reconstruction for step in self.steps]]
        foretold = [step.foretold_reconstruction for step in self.steps]
        rows += [[each for each in foretold if each is not None]] if all(foretold) else []
        return encode(np.vstack([np.hstack([frame.pixels() for frame in row]) for row in rows]))

    def _repr_html_(self) -> str:
        return notebook.transformation_html(self)


@dataclass(frozen=True, eq=False)
class VotesIteration:
    """One iteration of the routing: the votes for a capsule by their place.

    `length` is the capsule's length after this iteration. `couplings` (R,K) are the mean couplings of the capsules at
    each place of the grid with the class, and `votes` (R,K) the sums of their votes. `map` shows these over the image.
    """

    length: float
    couplings: Floats
    votes: Floats
    map: Png


@dataclass(frozen=True, eq=False)
class Explanation:
    """The evidence for a capsule by its place in an image.

    `method` is votes or occlusion. `heat` (H,W) has the votes of the last iteration, or the mean decrease of the
    capsule's length with a pixel covered; `map` shows it over the `input`. `iterations` are those of the routing;
    occlusion has none.
    """

    model: str
    version: str
    method: str
    capsule: Prediction
    heat: Floats = field(repr=False)
    input: Png
    map: Png
    iterations: tuple[VotesIteration, ...]
    answer: Json = field(repr=False)

    def sheet(self) -> Png:
        """Return the input and the map of each iteration, or of occlusion, side by side."""
        import numpy as np

        maps = [each.map for each in self.iterations] or [self.map]
        return encode(np.hstack([_in_colour(each.pixels()) for each in (self.input, *maps)]))

    def _repr_html_(self) -> str:
        return notebook.explanation_html(self)


@dataclass(frozen=True, eq=False)
class Digit:
    """A digit in an image.

    Attributes
    ----------
    box
        Left, top, right and bottom in pixels of the upright image; right and bottom are exclusive.
    line
        The line of writing, from 0.
    label
        The digit, or None for an object that is no digit.
    length
        Length of the class's capsule, 0 to 1.
    accepted
        Whether the guard accepts it.
    certain
        False where strokes touch, so that other digits are possible.
    pose
        Pose of the class's capsule, (D,).
    input, reconstruction
        The network's input and the capsule's drawing, with `reconstruct`; otherwise None.
    """

    box: tuple[int, int, int, int]
    line: int
    label: str | None
    length: float
    accepted: bool
    certain: bool
    pose: Floats
    input: Png | None
    reconstruction: Png | None


@dataclass(frozen=True, eq=False)
class Reading:
    """All digits in an image, in reading order.

    `text` has the digits, `?` for an object that is no digit, and a newline between lines. `objects_found` counts all
    objects in the image, those beyond the limit included.
    """

    model: str
    version: str
    text: str
    digits: tuple[Digit, ...]
    objects_found: int
    answer: Json = field(repr=False)


@dataclass(frozen=True)
class Model:
    """A model in service. `card` is its whole card, as GET /models has it."""

    name: str
    version: str
    classes: tuple[str, ...]
    is_default: bool
    card: Json


def floats(values: Any) -> Floats:
    """Return numbers of an answer as float32."""
    import numpy as np

    return np.asarray(values, np.float32)


def decode_png(text: str) -> Png:
    """Return the PNG file that an answer holds as base64."""
    return Png(base64.b64decode(text, validate=True))


def classification(answer: Json, images: tuple[Floats | None, ...] = ()) -> Classification:
    """Read the answer of POST /classify."""
    check = answer.get("reconstruction")
    return Classification(
        model=answer["model"],
        version=answer["version"],
        predictions=tuple(Prediction(**each) for each in answer["predictions"]),
        reconstruction=None if check is None else Check(**check),
        answer=answer,
        images=images,
    )


def reconstruction(answer: Json) -> Reconstruction:
    """Read the answer of POST /reconstruct."""
    return Reconstruction(
        **_drawn(answer),
        distance=answer["distance"],
        moves={each["dim"]: each["delta"] for each in answer["perturbations"]},
        directions={each["direction"]: each["amount"] for each in answer.get("directions", ())},
        perturbed=decode_png(answer["perturbed"]),
    )


def sweep(answer: Json) -> Sweep:
    """Read the answer of POST /sweep."""
    return Sweep(
        **_drawn(answer),
        dims=tuple(answer["dims"]),
        deltas=tuple(answer["deltas"]),
        directions={each["direction"]: tuple(each["amounts"]) for each in answer.get("directions", ())},
        frames=tuple(tuple(map(decode_png, row)) for row in answer["frames"]),
    )


def transformation(answer: Json) -> Transformation:
    """Read the answer of POST /transform."""
    return Transformation(
        model=answer["model"],
        version=answer["version"],
        capsule=Prediction(**answer["capsule"]),
        property=answer["property"],
        unit=answer["unit"],
        explained=answer["explained"],
        linearity=answer.get("linearity"),
        steps=tuple(map(_step, answer["steps"])),
        answer=answer,
    )


def _step(answer: Json) -> TransformedStep:
    foretold, drawing = answer["foretold"], answer["foretold_reconstruction"]
    return TransformedStep(
        amount=answer["amount"],
        length=answer["length"],
        pose=floats(answer["pose"]),
        foretold=None if foretold is None else floats(foretold),
        input=decode_png(answer["input"]),
        reconstruction=decode_png(answer["reconstruction"]),
        foretold_reconstruction=None if drawing is None else decode_png(drawing),
    )


def explanation(answer: Json) -> Explanation:
    """Read the answer of POST /explain."""
    return Explanation(
        model=answer["model"],
        version=answer["version"],
        method=answer["method"],
        capsule=Prediction(**answer["capsule"]),
        heat=floats(answer["heat"]),
        input=decode_png(answer["input"]),
        map=decode_png(answer["map"]),
        iterations=tuple(
            VotesIteration(
                length=each["length"],
                couplings=floats(each["couplings"]),
                votes=floats(each["votes"]),
                map=decode_png(each["map"]),
            )
            for each in answer.get("iterations", ())
        ),
        answer=answer,
    )


def _in_colour(pixels: Any) -> Any:
    """Return pixels (H,W) or (H,W,3) as (H,W,3)."""
    import numpy as np

    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def reading(answer: Json) -> Reading:
    """Read the answer of POST /read."""
    return Reading(
        model=answer["model"],
        version=answer["version"],
        text=answer["text"],
        digits=tuple(map(_digit, answer["digits"])),
        objects_found=answer["objects_found"],
        answer=answer,
    )


def _digit(answer: Json) -> Digit:
    drawings = {
        name: decode_png(answer[name]) if name in answer else None for name in ("input", "reconstruction")
    }
    own: dict[str, Any] = {name: answer[name] for name in ("line", "label", "length", "accepted", "certain")}
    return Digit(box=tuple(answer["box"]), pose=floats(answer["pose"]), **(own | drawings))


def _drawn(answer: Json) -> dict[str, Any]:
    """Read the fields that reconstructions and sweeps share."""
    return {
        "model": answer["model"],
        "version": answer["version"],
        "capsule": Prediction(**answer["capsule"]),
        "input": decode_png(answer["input"]),
        "reconstruction": decode_png(answer["reconstruction"]),
        "answer": answer,
    }


def models(answer: Json) -> list[Model]:
    """Read the answer of GET /models."""
    return [
        Model(
            name=card["name"],
            version=card["version"],
            classes=tuple(card["classes"]),
            is_default=card["name"] == answer["default"],
            card=card,
        )
        for card in answer["models"]
    ]
