"""Define what the client and a model in this process answer; a notebook shows each result with its images.

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
    """One class: its `index` from 0, its `label`, and the `length` of its capsule, 0 to 1."""

    index: int
    label: str
    length: float


@dataclass(frozen=True)
class Check:
    """The picture compared with what the winning capsule draws; not `accepted` is what the model was not trained on."""

    distance: float
    threshold: float
    accepted: bool


@dataclass(frozen=True, eq=False)
class Classification:
    """The answer for a picture: its classes, longest capsule first, and the lengths and poses of all capsules.

    `reconstruction` is the guard's check, or None where none was asked for; `answer` is the JSON as it came. A model in
    this process adds `images`, (C,H,W) in [0,1]: what it saw, and what it drew for the guard.
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
        """What the network saw; None where a service answered, which does not send it."""
        return self._image(0)

    @property
    def drawn(self) -> Png | None:
        """What the longest capsules draw together, where this process drew it for the guard."""
        return self._image(1)

    def _image(self, index: int) -> Png | None:
        from capsnet.png import png as as_png

        image = self.images[index] if index < len(self.images) else None
        return None if image is None else Png(as_png(image))

    def _repr_html_(self) -> str:
        return notebook.classification_html(self)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A capsule, and what it draws at the network's own size. `input` is what the network saw."""

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
    """A picture drawn again from one capsule, and with the capsule's pose moved.

    `distance` is that of the reconstruction from the input, `moves` what was added to which dimension, `directions` how
    far the pose was moved along which direction, and `perturbed` what the moved pose draws.
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

    `frames[row][column]` is what the pose draws with `deltas[column]` added to dimension `dims[row]`. The rows after
    those are of `directions`, each with the amounts of its columns.
    """

    dims: tuple[int, ...]
    deltas: tuple[float, ...]
    directions: Mapping[str, tuple[float, ...]]
    frames: tuple[tuple[Png, ...], ...]

    def sheet(self) -> Png:
        """All frames as one picture: a row for each dimension and direction, a column for each step."""
        import numpy as np

        rows = [np.hstack([frame.pixels() for frame in row]) for row in self.frames]
        return encode(np.vstack(rows))

    def _repr_html_(self) -> str:
        return notebook.sweep_html(self)


@dataclass(frozen=True, eq=False)
class TransformedStep:
    """An image that was transformed by an amount.

    `length` and `pose` (D,) are what the network read in it. `foretold` (D,) is the pose that the direction foretells
    from the image as it came, or None. The images are what the network saw, and what the two poses draw.
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
    """An image transformed step by step, and one capsule read in each step.

    `explained` is how much of the way that the pose moved the direction foretells (R squared), or None where the card
    names no direction for the capsule's class. `linearity` is how straight that way is (R squared of the poses along a
    line of their own), or None where the pose stays or the service does not say it.
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
        """All steps as one picture: the inputs, what their poses draw, and what the foretold poses draw."""
        import numpy as np

        rows = [[step.input for step in self.steps], [step.reconstruction for step in self.steps]]
        foretold = [step.foretold_reconstruction for step in self.steps]
        rows += [[each for each in foretold if each is not None]] if all(foretold) else []
        return encode(np.vstack([np.hstack([frame.pixels() for frame in row]) for row in rows]))

    def _repr_html_(self) -> str:
        return notebook.transformation_html(self)


@dataclass(frozen=True, eq=False)
class VotesIteration:
    """One iteration of the routing: where the votes for a capsule come from.

    `length` is the capsule's after this iteration. `couplings` (R,K) are the shares that the capsules at each place of
    the grid give to the class, and `votes` (R,K) their votes. `map` shows these over the image.
    """

    length: float
    couplings: Floats
    votes: Floats
    map: Png


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the evidence for a capsule lies in an image.

    `method` is votes or occlusion. `heat` (H,W) has the votes of the last iteration, or the mean fall of the capsule's
    length with a pixel covered; `map` shows it over the `input`. `iterations` are those of the routing; of occlusion
    there are none.
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
        """The input and then the map of each iteration, or of occlusion, side by side."""
        import numpy as np

        maps = [each.map for each in self.iterations] or [self.map]
        return encode(np.hstack([_in_colour(each.pixels()) for each in (self.input, *maps)]))

    def _repr_html_(self) -> str:
        return notebook.explanation_html(self)


@dataclass(frozen=True, eq=False)
class Digit:
    """One digit on a page.

    Attributes
    ----------
    box
        Left, top, right and bottom in pixels of the upright picture; right and bottom are just outside.
    line
        The line of writing, from 0.
    label
        The digit, or None where something stands that is no digit.
    length
        That of the longest capsule, 0 to 1.
    accepted
        Whether the guard accepts it.
    certain
        False where strokes touch, and may be other digits than these.
    pose
        The longest capsule's, (D,).
    input, reconstruction
        What the network saw and what the capsule draws, where drawings were asked for.
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
    """All digits in a picture, in reading order.

    `text` has the digits, `?` where something is no digit, and a newline between lines. `objects_found` is how many
    objects stand in the picture, those beyond the limit included.
    """

    model: str
    version: str
    text: str
    digits: tuple[Digit, ...]
    objects_found: int
    answer: Json = field(repr=False)


@dataclass(frozen=True)
class Model:
    """A model in service. `card` is the whole of its card, as GET /models has it."""

    name: str
    version: str
    classes: tuple[str, ...]
    is_default: bool
    card: Json


def floats(values: Any) -> Floats:
    """Numbers of an answer as float32."""
    import numpy as np

    return np.asarray(values, np.float32)


def png(text: str) -> Png:
    """A picture of an answer."""
    return Png(base64.b64decode(text, validate=True))


def movements(moves: Mapping[int, float] | None, dim: int | None, delta: float | None) -> Mapping[int, float]:
    """Return the movements of a pose, given as a mapping or as one dimension and its delta.

    Raises
    ------
    TypeError
        If both are given, or one half of the pair.
    """
    if dim is None and delta is None:
        return moves or {}
    if moves is not None or dim is None or delta is None:
        raise TypeError("give either moves={3: 0.1} or both dim=3 and delta=0.1")
    return {dim: delta}


def classification(answer: Json, images: tuple[Floats | None, ...] = ()) -> Classification:
    """The answer of POST /classify."""
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
    """The answer of POST /reconstruct."""
    return Reconstruction(
        **_drawn(answer),
        distance=answer["distance"],
        moves={each["dim"]: each["delta"] for each in answer["perturbations"]},
        directions={each["direction"]: each["amount"] for each in answer.get("directions", ())},
        perturbed=png(answer["perturbed"]),
    )


def sweep(answer: Json) -> Sweep:
    """The answer of POST /sweep."""
    return Sweep(
        **_drawn(answer),
        dims=tuple(answer["dims"]),
        deltas=tuple(answer["deltas"]),
        directions={each["direction"]: tuple(each["amounts"]) for each in answer.get("directions", ())},
        frames=tuple(tuple(map(png, row)) for row in answer["frames"]),
    )


def transformation(answer: Json) -> Transformation:
    """The answer of POST /transform."""
    return Transformation(
        model=answer["model"],
        version=answer["version"],
        capsule=Prediction(**answer["capsule"]),
        property=answer["property"],
        unit=answer["unit"],
        explained=answer["explained"],
        linearity=answer.get("linearity"),
        steps=tuple(
            TransformedStep(
                amount=each["amount"],
                length=each["length"],
                pose=floats(each["pose"]),
                foretold=None if each["foretold"] is None else floats(each["foretold"]),
                input=png(each["input"]),
                reconstruction=png(each["reconstruction"]),
                foretold_reconstruction=None
                if each["foretold_reconstruction"] is None
                else png(each["foretold_reconstruction"]),
            )
            for each in answer["steps"]
        ),
        answer=answer,
    )


def explanation(answer: Json) -> Explanation:
    """The answer of POST /explain."""
    return Explanation(
        model=answer["model"],
        version=answer["version"],
        method=answer["method"],
        capsule=Prediction(**answer["capsule"]),
        heat=floats(answer["heat"]),
        input=png(answer["input"]),
        map=png(answer["map"]),
        iterations=tuple(
            VotesIteration(
                length=each["length"],
                couplings=floats(each["couplings"]),
                votes=floats(each["votes"]),
                map=png(each["map"]),
            )
            for each in answer.get("iterations", ())
        ),
        answer=answer,
    )


def _in_colour(pixels: Any) -> Any:
    """Pixels (H,W) or (H,W,3) as (H,W,3)."""
    import numpy as np

    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def reading(answer: Json) -> Reading:
    """The answer of POST /read."""
    return Reading(
        model=answer["model"],
        version=answer["version"],
        text=answer["text"],
        digits=tuple(map(_digit, answer["digits"])),
        objects_found=answer["objects_found"],
        answer=answer,
    )


def _digit(answer: Json) -> Digit:
    drawings = {name: png(answer[name]) if name in answer else None for name in ("input", "reconstruction")}
    own: dict[str, Any] = {name: answer[name] for name in ("line", "label", "length", "accepted", "certain")}
    return Digit(box=tuple(answer["box"]), pose=floats(answer["pose"]), **(own | drawings))


def _drawn(answer: Json) -> dict[str, Any]:
    return {
        "model": answer["model"],
        "version": answer["version"],
        "capsule": Prediction(**answer["capsule"]),
        "input": png(answer["input"]),
        "reconstruction": png(answer["reconstruction"]),
        "answer": answer,
    }


def models(answer: Json) -> list[Model]:
    """The answer of GET /models."""
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
