"""Run a model in this process: classify, reconstruct and sweep on ONNX Runtime, without PyTorch and without a server.

    from capsnet import load

    model = load("mnist")
    model("seven.png").label

Answers are those of the service: the same preprocessing, the same variant of the encoder, the same guard, and the same
classes of results as `capsnet.Client` gives.

Legend: B images, C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from capsnet import directions as pose_directions
from capsnet import guard, results
from capsnet.card import CARD_FILE, CardError, ModelCard
from capsnet.config import are_digits
from capsnet.errors import CapsnetError
from capsnet.explanation import occlusion
from capsnet.explanation.answer import choose_method, occlusion_fields, votes_fields
from capsnet.image_encoding import STORED, Picture, Png, read
from capsnet.png import png
from capsnet.poses import linspace_exact, other_winners, perturb, rank, scatter_poses
from capsnet.poses import sweep as sweep_poses
from capsnet.preprocessing.pipeline import ImageTooLarge, NotAnImage, ObjectCount, decode
from capsnet.reading import MOST_DIGITS, Digit, Sight, answer_of, check_model, find, hint_of, note_of, sights
from capsnet.results import (
    Classification,
    Explanation,
    Method,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)
from capsnet.shipped_models import chosen_models
from capsnet.transforms import PROPERTIES, transform

if TYPE_CHECKING:
    from capsnet.explanation.votes import LazyRouting
    from capsnet.onnx_model import OnnxModel

Floats = NDArray[np.float32]

# Images that the encoder takes in one run.
BATCH = 64


class Capsules(NamedTuple):
    """What the encoder sees in one image (C,H,W): lengths (J,) and poses (J,D)."""

    image: Floats
    lengths: Floats
    poses: Floats


def load(model: str | os.PathLike[str] = "mnist", *, precision: str = "auto", threads: int = 1) -> Predictor:
    """Load a model into this process.

    Parameters
    ----------
    model
        The name of a model in the folder `CAPSNET_MODELS`, or of one that this installation brings. Or the path of a
        model's folder, with a separator in it.
    precision
        The variant of the encoder: fp32, fp16 or int8. By default the one that the service takes on a CPU.
    threads
        Threads of one run. More than one slows small networks down; 0 takes one for each core.

    Raises
    ------
    CapsnetError
        With the kind `unknown-model`, if there is no such model; the message names those that there are.
    CardError
        If the folder holds no sound model, or no variant of that precision.
    ImportError
        If no ONNX Runtime is installed; the message names the extras that bring one.
    """
    from capsnet.explanation.votes import LazyRouting
    from capsnet.onnx_model import OnnxModel

    folder = _find(model)
    card = ModelCard.load(folder)
    card.check_files(folder)
    chosen = card.fastest_precision(on_gpu=False)[0] if precision == "auto" else precision
    if chosen not in card.variants:
        raise CardError(f"{folder}: there is no variant {precision!r}; there are: {', '.join(card.variants)}")
    graphs = OnnxModel(folder / card.variants[chosen].encoder.file, folder / card.decoder.file, threads)
    return Predictor(card, graphs, chosen, None if card.routing is None else LazyRouting(card, folder))


class Predictor:
    """A model in this process; usable from several threads. `load` makes one.

    Calls, parameters and results are those of `capsnet.Client`. `model(picture)` is `model.classify(picture)`.

    Attributes
    ----------
    card : ModelCard
        The model's card: its classes, measured errors and thresholds.
    precision : str
        The variant of the encoder that runs.

    Notes
    -----
    A call raises `CapsnetError` where it cannot answer. Its `kind` is that of the service: `not-an-image`, `too-large`
    or `invalid-parameter`.
    """

    def __init__(
        self, card: ModelCard, graphs: OnnxModel, precision: str = "fp32", routing: LazyRouting | None = None
    ) -> None:
        self.card = card
        self.precision = precision
        self._graphs = graphs
        self._routing = routing
        self._limits = card.variants[precision].guard

    def __repr__(self) -> str:
        return f"<capsnet model {self.card.name!r}, version {self.card.version}, {self.precision}>"

    @property
    def name(self) -> str:
        """The model's name."""
        return self.card.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the J classes."""
        return self.card.classes

    def __call__(self, picture: Picture, **options: Any) -> Classification:
        """Classify one image, as `classify` does."""
        return self.classify(picture, **options)

    def classify(
        self,
        picture: Picture,
        *,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Classification:
        """Say which class is in an image, and in which pose.

        Parameters
        ----------
        picture : str, Path, bytes, binary file, PIL.Image.Image or numpy.ndarray
            A path, the bytes of an image file, an open file, an image of Pillow, or an array: uint8 or floats from 0
            to 1, of shape (H,W), (H,W,1), (H,W,3) or (H,W,4).
        preprocess : str, optional
            Another way to read the image than the model's own: none, mnist, fashion or resize.
        top_k : int, optional
            How many predictions to give; by default as many objects as the model looks for.
        verify : bool
            Whether the guard compares the image with what the longest capsules draw.
        """
        count = self._count(top_k)
        counted = ObjectCount()
        return self._classify([self._read(picture, preprocess, counted)], count, verify, [counted])[0]

    def classify_many(
        self,
        pictures: Iterable[Picture],
        *,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Iterator[Classification | CapsnetError]:
        """Classify any number of images in batches; gives for each, in order, its result or its error."""
        if isinstance(pictures, str | bytes | os.PathLike):
            raise TypeError(f"pictures is a list of pictures, not one: {str(pictures)[:80]!r}")
        count, source = self._count(top_k), iter(pictures)
        while group := list(islice(source, BATCH)):
            counts = [ObjectCount() for _ in group]
            read_ones = [
                self._try_to_read(picture, preprocess, counted)
                for picture, counted in zip(group, counts, strict=True)
            ]
            pairs = zip(read_ones, counts, strict=True)
            own = [counted for image, counted in pairs if not isinstance(image, CapsnetError)]
            images = [image for image in read_ones if not isinstance(image, CapsnetError)]
            found = iter(self._classify(images, count, verify, own) if images else [])
            for image in read_ones:
                yield image if isinstance(image, CapsnetError) else next(found)

    def read(self, picture: Picture, *, reconstruct: bool = False, most: int = MOST_DIGITS) -> Reading:
        """Read every digit in an image, in reading order.

        Parameters
        ----------
        picture : as in `classify`
            A blank image gives an empty text.
        reconstruct : bool
            Whether to add what the network saw of each digit, and what its capsule draws.
        most : int
            Digits beyond these are left out; `objects_found` counts them.
        """
        if most < 1:
            raise _invalid("most", most, "should be at least 1")
        try:
            check_model(self.card)
        except ValueError as error:
            raise _invalid("model", self.name, str(error)) from None
        data = read(picture, level=STORED)
        with _decoding():
            page = find(data, self.card.input, most=most)
        seen = self._sights(page.images)
        divided = page.divided(seen)
        seen += self._sights(divided.images)
        lines = divided.digits(seen, np.concatenate([page.images, divided.images]))
        answer = {**self._names(), **answer_of(lines, self.classes, page.found)}
        if reconstruct:
            self._add_drawings(answer["digits"], [digit for line in lines for digit in line])
        return results.reading(_as_json(answer))

    def _sights(self, images: Floats) -> list[Sight]:
        """What the network and the guard say of images (N,C,H,W)."""
        seen: list[Sight] = []
        for start in range(0, len(images), BATCH):
            own = images[start : start + BATCH]
            lengths, poses = self._graphs.encode(own)
            drawn = self._graphs.decode(poses, lengths.argmax(axis=1))
            seen += sights(self._limits, own, lengths, poses, guard.distance(own, drawn))
        return seen

    def _add_drawings(self, answers: Sequence[dict[str, Any]], digits: Sequence[Digit]) -> None:
        """Put what the network saw of each digit, and what its longest capsule draws, into the answers."""
        for answer, digit in zip(answers, digits, strict=True):
            label = np.array([digit.capsule])
            (drawn,) = self._graphs.decode(digit.sight.poses[None], label)
            answer |= {"input": _base64(digit.image), "reconstruction": _base64(drawn)}

    def reconstruct(
        self,
        picture: Picture,
        *,
        moves: Mapping[int, float] | None = None,
        dim: int | None = None,
        delta: float | None = None,
        directions: Mapping[str, float] | None = None,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Reconstruction:
        """Draw an image again from its longest capsule, or from that of the class `label`, and with its pose moved.

        `moves` says by how much to move which dimension: {3: 0.1} adds 0.1 to dimension 3, counted from 0. One
        movement may be given as `dim=3, delta=0.1` instead. `directions` moves the whole pose along directions that the
        card names: {"slant": 12} slants by 12 degrees to the right.
        """
        along = list((directions or {}).items())
        changes = list(results.movements(moves, dim, delta).items())
        self._check_dims("dim", [each for each, _ in changes])
        for each, amount in changes:
            if not math.isfinite(amount):
                raise _invalid("delta", amount, f"should be a finite number, for dimension {each}")
        seen, index = self._look(picture, label, preprocess)
        pose = seen.poses[index]
        with _refusing("directions"):
            moved = perturb(pose_directions.steer(self.card, index, pose, along), changes)
        others = other_winners(seen.lengths, index, self.card.objects)
        whole = self._graphs.decode(
            np.repeat(seen.poses[None], 1 + len(others), axis=0), np.array([index, *others])
        )  # (K,C,H,W)
        (perturbed,) = self._draw(moved[None], index)
        distance = guard.distance(seen.image[None], guard.overlay(whole[None]))[0]
        answer = {
            **self._drawn(seen, index, whole[0]),
            "perturbed_pose": moved,
            "perturbations": [{"dim": each, "delta": amount} for each, amount in changes],
            "directions": [
                {"direction": name, "amount": amount, "unit": PROPERTIES[name].unit} for name, amount in along
            ],
            "distance": float(distance),
            "perturbed": _base64(perturbed),
        }
        return results.reconstruction(_as_json(answer))

    def sweep(
        self,
        picture: Picture,
        *,
        dims: Iterable[int] | None = None,
        directions: Iterable[str] | None = None,
        minimum: float = -0.25,
        maximum: float = 0.25,
        steps: int = 11,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Sweep:
        """Move each of the dimensions `dims` of the pose by itself, from `minimum` to `maximum`; all, if None.

        With `directions`, names such as slant, each of these is moved through all that the card measured; dimensions
        only where `dims` are named too.
        """
        along = list(directions or ())
        every = [] if along else list(range(self.card.config.pose_dim))
        rows = every if dims is None else [int(dim) for dim in dims]
        self._check_dims("dims", rows)
        if len(set(along)) < len(along):
            raise _invalid("directions", along, "should name each direction once")
        if not (rows or along) or len(set(rows)) < len(rows):
            raise _invalid("dims", rows, "should name at least one dimension, and each once")
        if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum < maximum):
            raise _invalid("minimum", minimum, f"should be finite and less than the maximum, {maximum:g}")
        if steps < 2:
            raise _invalid("steps", steps, "should be at least 2")
        deltas = linspace_exact(minimum, maximum, steps)
        seen, index = self._look(picture, label, preprocess)
        (plain,) = self._graphs.decode(seen.poses[None], np.array([index]))
        pose = seen.poses[index]
        with _refusing("directions"):
            steered, amounts = pose_directions.sweep(self.card, index, pose, along, steps)
        moved = np.concatenate([sweep_poses(pose, rows, deltas), steered])  # (N,D)
        frames = [_base64(frame) for frame in self._draw(moved, index)]
        answer = {
            **self._drawn(seen, index, plain),
            "dims": rows,
            "deltas": deltas,
            "directions": [
                {"direction": name, "unit": PROPERTIES[name].unit, "amounts": amount}
                for name, amount in zip(along, amounts, strict=True)
            ],
            "frames": [frames[start : start + steps] for start in range(0, len(frames), steps)],
        }
        return results.sweep(_as_json(answer))

    def transform(
        self,
        picture: Picture,
        by: str = "rotation",
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        steps: int = 13,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Transformation:
        """Transform an image in steps, and read one capsule in each: does the pose go where its direction says?

        `by` is rotation, slant (degrees), width, height, size (per cent), weight, shift_x or shift_y (pixels). Without
        `minimum` and `maximum` it goes as far as directions are measured.
        """
        amounts = _amounts(by, minimum, maximum, steps)
        seen, index = self._look(picture, label, preprocess)
        images = np.concatenate([transform(seen.image[None], by, float(amount)) for amount in amounts])
        lengths, poses = self._graphs.encode(images)
        foretold = self._foretold(by, index, seen.poses[index], amounts)
        drawn = list(map(_base64, self._graphs.decode(poses, np.full(steps, index))))
        others = [None] * steps if foretold is None else list(map(_base64, self._draw(foretold, index)))
        known = None if foretold is None else pose_directions.find(self.card, index, by)
        answer = {
            **self._names(),
            "capsule": self._prediction(seen, index),
            "pose": seen.poses[index],
            "property": by,
            "unit": PROPERTIES[by].unit,
            "measured": None if known is None else [known.minimum, known.maximum],
            "explained": None
            if foretold is None
            else pose_directions.explained(poses[:, index], seen.poses[index], foretold),
            "linearity": pose_directions.linearity(poses[:, index], amounts),
            "steps": [
                {
                    "amount": float(amounts[step]),
                    "length": lengths[step, index],
                    "pose": poses[step, index],
                    "foretold": None if foretold is None else foretold[step],
                    "input": _base64(images[step]),
                    "reconstruction": drawn[step],
                    "foretold_reconstruction": others[step],
                }
                for step in range(steps)
            ],
        }
        return results.transformation(_as_json(answer))

    def explain(
        self,
        picture: Picture,
        *,
        method: Method | None = None,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Explanation:
        """Say where the evidence for the longest capsule lies, or for that of the class `label`.

        `method` is votes (of capsules that have a place in the image) or occlusion (patches are covered, and the
        capsule shortens); by default votes where the model's card names its `routing`.
        """
        try:
            chosen = choose_method(self.card, method)
        except ValueError as error:
            raise _invalid("method", repr(method), str(error)) from None
        seen, index = self._look(picture, label, preprocess)
        if chosen == "votes" and self._routing is not None and self.card.routing is not None:
            votes = self._routing.votes(seen.image, index)
            fields = votes_fields(seen.image, votes, self.card.routing.grid)
        else:
            fields = self._occlusion(seen, index)
        answer = {**self._names(), "capsule": self._prediction(seen, index), **fields}
        return results.explanation(_as_json(answer))

    def _occlusion(self, seen: Capsules, index: int) -> dict[str, Any]:
        """Cover an image patch by patch, and read the capsule each time."""
        height, width = seen.image.shape[1:]
        patch, stride = occlusion.sizes(height, width)
        rows, columns = (len(occlusion.corners(side, patch, stride)) for side in (height, width))
        copies = occlusion.covered(seen.image, patch, stride)  # (N,C,H,W)
        lengths = [
            self._graphs.encode(copies[start : start + BATCH])[0][:, index]
            for start in range(0, len(copies), BATCH)
        ]
        falls = (seen.lengths[index] - np.concatenate(lengths)).reshape(rows, columns)
        return occlusion_fields(seen.image, falls, patch, stride)

    def decode(self, label: int | str, poses: Iterable[Iterable[float]]) -> list[Png]:
        """Draw capsules of the class `label` from poses (N,D) alone."""
        rows = np.array([list(pose) for pose in poses], np.float32)  # (N,D)
        size = self.card.config.pose_dim
        if rows.ndim != 2 or rows.shape[1] != size or not np.isfinite(rows).all():
            raise _invalid("poses", f"of shape {rows.shape}", f"should be rows of {size} finite numbers")
        return [Png(png(image)) for image in self._draw(rows, self._find_class(label))]

    def _foretold(self, by: str, index: int, pose: Floats, amounts: Floats) -> Floats | None:
        """The poses (S,D) that the direction foretells from pose (D,) for amounts (S,); None where none is named."""
        try:
            direction = pose_directions.find(self.card, index, by)
        except pose_directions.DirectionError:
            return None
        return (pose + amounts[:, None] * pose_directions.rate(direction, pose)).astype(np.float32)

    def _read(self, picture: Picture, preprocess: str | None, counted: ObjectCount | None = None) -> Floats:
        """A picture to the array (C,H,W) that the network takes."""
        data = read(picture, level=STORED)
        with _decoding():
            image: Floats = decode(
                data,
                self.card.input,
                preprocess=preprocess,
                objects=self.card.objects,
                counted=counted,
                digits=are_digits(self.card.classes),
            )
        return image

    def _try_to_read(
        self, picture: Picture, preprocess: str | None, counted: ObjectCount
    ) -> Floats | CapsnetError:
        try:
            return self._read(picture, preprocess, counted)
        except CapsnetError as error:
            if error.kind == "invalid-parameter":
                raise
            return error

    def _encode(self, images: Sequence[Floats]) -> list[Capsules]:
        lengths, poses = self._graphs.encode(np.stack(images))  # (B,J), (B,J,D)
        return list(map(Capsules, images, lengths, poses))

    def _look(
        self, picture: Picture, label: int | str | None, preprocess: str | None
    ) -> tuple[Capsules, int]:
        """Encode a picture, and choose the capsule to draw: that of the class `label`, or the longest."""
        chosen = None if label is None else self._find_class(label)
        (seen,) = self._encode([self._read(picture, preprocess)])
        return seen, rank(seen.lengths, 1)[0] if chosen is None else chosen

    def _draw(self, poses: Floats, label: int) -> Floats:
        """Images (N,C,H,W) of single capsules with the poses (N,D)."""
        labels = [label] * len(poses)
        placed = scatter_poses(poses, labels, len(self.classes))  # (N,D) -> (N,J,D)
        return self._graphs.decode(placed, np.array(labels))

    def _classify(
        self, images: Sequence[Floats], count: int, verify: bool, counts: Sequence[ObjectCount]
    ) -> list[Classification]:
        seen = self._encode(images)
        checks, drawn = self._verify(seen) if verify else ([None] * len(seen), [None] * len(seen))
        return [
            results.classification(
                _as_json(
                    self._classified(each, count, check)
                    | hint_of(counted.found, self.card.objects)
                    | note_of(counted)
                ),
                (each.image, drawing),
            )
            for each, check, drawing, counted in zip(seen, checks, drawn, counts, strict=True)
        ]

    def _verify(self, seen: Sequence[Capsules]) -> tuple[Sequence[Mapping[str, Any]], Sequence[Floats]]:
        """The guard's checks, and what the longest capsules of each image draw together, (B,C,H,W)."""
        images, lengths, poses = map(np.stack, zip(*seen, strict=True))
        objects = self.card.objects
        drawn = [self._graphs.decode(poses, labels) for labels in guard.top_classes(lengths, objects).T]
        together = guard.overlay(np.stack(drawn, axis=1))  # (B,K,C,H,W) -> (B,C,H,W)
        checks = guard.check_reconstructions(self._limits, images, together, lengths, objects)
        return [asdict(check) for check in checks], list(together)

    def _classified(self, seen: Capsules, count: int, check: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = {
            **self._names(),
            "predictions": [self._prediction(seen, index) for index in rank(seen.lengths, count)],
            "lengths": seen.lengths,
            "poses": seen.poses,
        }
        return answer if check is None else answer | {"reconstruction": check}

    def _drawn(self, seen: Capsules, index: int, plain: Floats) -> dict[str, Any]:
        """What the answers of `reconstruct` and `sweep` share."""
        return {
            **self._names(),
            "capsule": self._prediction(seen, index),
            "pose": seen.poses[index],
            "input": _base64(seen.image),
            "reconstruction": _base64(plain),
        }

    def _names(self) -> dict[str, str]:
        return {"model": self.card.name, "version": self.card.version}

    def _prediction(self, seen: Capsules, index: int) -> dict[str, Any]:
        return {"index": index, "label": self.classes[index], "length": seen.lengths[index]}

    def _count(self, top_k: int | None) -> int:
        if top_k is not None and not 1 <= top_k <= len(self.classes):
            raise _invalid("top_k", top_k, f"should be from 1 to {len(self.classes)}, the model's classes")
        return top_k or self.card.objects

    def _find_class(self, label: int | str) -> int:
        """The index of a class given by its name or, where no class has that name, by its index."""
        if label in self.classes:
            return self.classes.index(str(label))
        text = str(label)
        if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(self.classes):
            return int(text)
        allowed = f"should be an index from 0 to {len(self.classes) - 1} or one of the classes "
        raise _invalid("label", repr(label), allowed + ", ".join(self.classes[:20]))

    def _check_dims(self, parameter: str, dims: Sequence[int]) -> None:
        size = self.card.config.pose_dim
        if (wrong := next((dim for dim in dims if not 0 <= dim < size), None)) is not None:
            raise _invalid(
                parameter, wrong, f"should be from 0 to {size - 1}, the pose has {size} dimensions"
            )


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """Turn the problem with an image file into the service's errors."""
    try:
        yield
    except NotAnImage as error:
        raise CapsnetError(str(error), kind="not-an-image", title="Not an image") from None
    except ImageTooLarge as error:
        raise CapsnetError(str(error), kind="too-large", title="Too large") from None
    except ValueError as error:  # the way to read it has no such name
        raise CapsnetError(str(error), kind="invalid-parameter", title="Invalid parameter") from None


def _find(model: str | os.PathLike[str]) -> Path:
    """The folder of a model, by its path or its name."""
    text = os.fspath(model)
    if not isinstance(model, str) or os.sep in text or "/" in text:
        return Path(text)
    folder = chosen_models()
    if (folder / CARD_FILE).is_file():  # the folder of a single model
        names = {ModelCard.load(folder).name: folder}
    else:
        names = {card.parent.name: card.parent for card in sorted(folder.glob(f"*/{CARD_FILE}"))}
    if found := names.get(text):
        return found
    near = difflib.get_close_matches(text, names, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    there = ", ".join(names) or f"none in {folder}"
    raise CapsnetError(
        f"no model is called {text!r}{meant}; there are: {there}. The path of a model's folder has a '/' in it",
        kind="unknown-model",
        title="Unknown model",
    )


@contextlib.contextmanager
def _refusing(parameter: str) -> Iterator[None]:
    """Refuse a direction that the card does not name, or an amount outside its bounds, as the service does."""
    try:
        yield
    except pose_directions.DirectionError as error:
        raise _invalid(parameter, error.value, error.allowed) from None


def _amounts(by: str, minimum: float | None, maximum: float | None, steps: int) -> Floats:
    """Return the amounts (steps,) of a transformation, as far as directions are measured by default."""
    if by not in PROPERTIES:
        raise _invalid("by", repr(by), f"should be one of {', '.join(PROPERTIES)}")
    chosen = PROPERTIES[by]
    lowest = -chosen.reach if minimum is None else minimum
    highest = chosen.reach if maximum is None else maximum
    if not -chosen.limit <= lowest < highest <= chosen.limit:
        allowed = f"should be less than the maximum, and both within {chosen.limit:g} {chosen.unit}"
        raise _invalid("minimum", lowest, allowed)
    if steps < 2:
        raise _invalid("steps", steps, "should be at least 2")
    return linspace_exact(lowest, highest, steps)


def _invalid(parameter: str, value: object, allowed: str) -> CapsnetError:
    violation = {"parameter": parameter, "value": str(value), "allowed": allowed}
    detail = f"{parameter} is {value}: {allowed}"
    return CapsnetError(detail, kind="invalid-parameter", title="Invalid parameter", errors=(violation,))


def _base64(image: Floats) -> str:
    return base64.b64encode(png(image)).decode("ascii")


def _as_json(answer: Mapping[str, Any]) -> Any:
    """The answer as the service would send it, so that its numbers are the same to the last digit."""
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))
