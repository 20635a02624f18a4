"""Run a model in this process: classify, reconstruct and sweep on ONNX Runtime, without PyTorch and without a server.

    from capsnet import load

    model = load("mnist")
    model("seven.png").label

Results are those of the service: the same preprocessing, the same variant of the encoder, the same guard, and the same
result classes as those of `capsnet.Client`.

Legend: B images, C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

from __future__ import annotations

import contextlib
import difflib
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
from capsnet.answers import (
    capsule_fields,
    classification_fields,
    model_fields,
    movement_fields,
    prediction,
    sweep_fields,
    transformation_fields,
)
from capsnet.arguments import (
    MAX_POSE,
    dimensions,
    direction_amounts,
    direction_names,
    movements,
    pose_rows,
    whole,
)
from capsnet.card import CARD_FILE, CardError, ModelCard
from capsnet.config import are_digits
from capsnet.errors import CapsnetError, no_image
from capsnet.explanation import occlusion
from capsnet.explanation.answer import choose_method, occlusion_fields, votes_fields
from capsnet.image_encoding import STORED, ImageInput, Png, image_bytes, iterate
from capsnet.png import encode_png, png_base64
from capsnet.poses import linspace_exact, other_winners, perturb, rank, scatter_poses
from capsnet.poses import sweep as sweep_poses
from capsnet.preprocessing.pipeline import WAYS, ImageTooLarge, NotAnImage, ObjectCount, decode
from capsnet.reading import MOST_DIGITS, Digit, Sight, answer_of, check_model, find_digits, sights
from capsnet.results import (
    Classification,
    Explanation,
    Method,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)
from capsnet.shipped_models import MODELS_VARIABLE, chosen_models
from capsnet.transforms import PROPERTIES, transform_steps

if TYPE_CHECKING:
    from capsnet.explanation.votes import LazyRouting
    from capsnet.onnx_model import OnnxModel

Floats = NDArray[np.float32]

# Images in one run of the encoder.
BATCH = 64


class Capsules(NamedTuple):
    """An image (C,H,W) with its lengths (J,) and poses (J,D)."""

    image: Floats
    lengths: Floats
    poses: Floats


def load(model: str | os.PathLike[str] = "mnist", *, precision: str = "auto", threads: int = 1) -> Predictor:
    """Load a model into this process.

    Parameters
    ----------
    model
        The name of a model in the folder `CAPSNET_MODELS`, or of one that comes with this installation. Or the path of
        a model's folder, with a separator in it.
    precision
        The variant of the encoder: fp32, fp16 or int8. By default the one that the service takes on a CPU.
    threads
        Threads of one run. More than one slows small networks down; 0 takes one for each core.

    Raises
    ------
    CapsnetError
        With the kind `unknown-model` if there is no such model, and the names of those that there are; with
        `invalid-model` if its files are damaged; with `invalid-parameter` if it has no variant of that precision.
    ImportError
        If no ONNX Runtime is installed; the message names the packages that bring one.
    """
    from capsnet.explanation.votes import LazyRouting
    from capsnet.onnx_model import OnnxModel

    if whole("threads", threads) < 0:
        raise _invalid("threads", threads, "should be at least 0")
    with _opening():
        folder = _find(model)
        card = ModelCard.load(folder)
        card.check_files(folder)
    chosen = card.fastest_precision(on_gpu=False)[0] if precision == "auto" else precision
    if chosen not in card.variants:
        raise _invalid("precision", repr(precision), f"should be auto or one of {', '.join(card.variants)}")
    graphs = OnnxModel(folder / card.variants[chosen].encoder.file, folder / card.decoder.file, threads)
    return Predictor(card, graphs, chosen, None if card.routing is None else LazyRouting(card, folder))


class Predictor:
    """A model in this process, safe in several threads. `load` makes one.

    Calls and results are those of `capsnet.Client`, without its parameters `model` and `jobs`. `read` alone also takes
    `most`, and the largest delta and number of steps of the service do not hold. `model(image)` is
    `model.classify(image)`.

    Attributes
    ----------
    card : ModelCard
        The model's card: its classes, measured errors and thresholds.
    precision : str
        The variant of the encoder that runs.

    Notes
    -----
    A call raises `CapsnetError`, with the `kind` of the service: `not-an-image`, `too-large` or `invalid-parameter`; or
    with `invalid-model` if the graph of the routing, which is opened at its first use, has changed. An argument of a
    wrong type raises TypeError, and an array with wrong values ValueError.
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

    def __call__(self, image: ImageInput, **options: Any) -> Classification:
        """Classify one image, as `classify` does."""
        return self.classify(image, **options)

    def classify(
        self,
        image: ImageInput,
        *,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Classification:
        """Classify an image, and give the pose of each class.

        Parameters
        ----------
        image : str, Path, bytes, binary file, PIL.Image.Image or numpy.ndarray
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
        return self._classify([self._read(image, preprocess)], count, verify)[0]

    def classify_many(
        self,
        images: Iterable[ImageInput],
        *,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Iterator[Classification | CapsnetError]:
        """Classify any number of images in batches; yields for each, in order, its result or its error."""
        count, source = self._count(top_k), iterate(images)
        while group := list(islice(source, BATCH)):
            arrays = [self._try_to_read(image, preprocess) for image in group]
            sound = [array for array in arrays if not isinstance(array, CapsnetError)]
            found = iter(self._classify(sound, count, verify) if sound else [])
            for array in arrays:
                yield array if isinstance(array, CapsnetError) else next(found)

    def read(self, image: ImageInput, *, reconstruct: bool = False, most: int = MOST_DIGITS) -> Reading:
        """Read every digit in an image, in reading order.

        Parameters
        ----------
        image : as in `classify`
            A blank image gives an empty text.
        reconstruct : bool
            Whether each digit has its image as the network saw it, and the drawing of its capsule.
        most : int
            The most digits that are read; `objects_found` counts the others as well.
        """
        if whole("most", most) < 1:
            raise _invalid("most", most, "should be at least 1")
        try:
            check_model(self.card)
        except ValueError as error:
            raise _invalid("model", self.name, str(error)) from None
        data = image_bytes(image, level=STORED)
        with _decoding():
            page = find_digits(data, self.card.input, most=most)
        seen = self._sights(page.images)
        divided = page.divided(seen)
        seen += self._sights(divided.images)
        lines, objects = divided.digits(seen, np.concatenate([page.images, divided.images]))
        answer = {**model_fields(self.card), **answer_of(lines, self.classes, objects)}
        if reconstruct:
            self._add_drawings(answer["digits"], [digit for line in lines for digit in line])
        return results.reading(_as_json(answer))

    def _sights(self, images: Floats) -> list[Sight]:
        """Encode images (N,C,H,W) in batches, and judge them by the guard."""
        seen: list[Sight] = []
        for start in range(0, len(images), BATCH):
            own = images[start : start + BATCH]
            lengths, poses = self._graphs.encode(own)
            drawn = self._graphs.decode(poses, lengths.argmax(axis=1))
            seen += sights(self._limits, own, lengths, poses, guard.distance(own, drawn))
        return seen

    def _add_drawings(self, answers: Sequence[dict[str, Any]], digits: Sequence[Digit]) -> None:
        """Add to the answers each digit's image as the network saw it, and the drawing of its longest capsule."""
        for answer, digit in zip(answers, digits, strict=True):
            label = np.array([digit.capsule])
            (drawn,) = self._graphs.decode(digit.sight.poses[None], label)
            answer |= {"input": png_base64(digit.image), "reconstruction": png_base64(drawn)}

    def reconstruct(
        self,
        image: ImageInput,
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
        along = list(direction_amounts(directions).items())
        changes = list(movements(moves, dim, delta).items())
        self._check_dims("dim", [each for each, _ in changes])
        for each, amount in changes:
            if not abs(amount) <= MAX_POSE:
                raise _invalid(
                    "delta", amount, f"should be from -{MAX_POSE:g} to {MAX_POSE:g}, for dimension {each}"
                )
        seen, index = self._encode_one(image, label, preprocess)
        with _checking_directions():
            moved = perturb(pose_directions.steer(self.card, index, seen.poses[index], along), changes)
        plain, distance = self._redraw(seen, index)
        (perturbed,) = self._draw(moved[None], index)
        answer = {
            **self._drawn(seen, index, plain),
            "perturbed_pose": moved,
            **movement_fields(changes, along),
            "distance": distance,
            "perturbed": png_base64(perturbed),
        }
        return results.reconstruction(_as_json(answer))

    def _redraw(self, seen: Capsules, index: int) -> tuple[Floats, float]:
        """Return what a capsule draws (C,H,W), and the image's distance from the drawing of that and other winners."""
        top_classes = [index, *other_winners(seen.lengths, index, self.card.objects)]
        drawn = self._graphs.decode(
            np.repeat(seen.poses[None], len(top_classes), axis=0), np.array(top_classes)
        )  # (K,C,H,W)
        return drawn[0], float(guard.distance(seen.image[None], guard.overlay(drawn[None]))[0])

    def sweep(
        self,
        image: ImageInput,
        *,
        dims: Iterable[int] | None = None,
        directions: Iterable[str] | None = None,
        minimum: float = -0.25,
        maximum: float = 0.25,
        steps: int = 11,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Sweep:
        """Draw the pose with one of the dimensions `dims` moved at a time, from `minimum` to `maximum`; by default all.

        With `directions`, names such as slant, each of these is moved as far as the card measured it, and dimensions
        only where `dims` names them.
        """
        along = direction_names(directions) or []
        rows = self._rows(dimensions(dims), along)
        deltas = _deltas(minimum, maximum, steps)
        seen, index = self._encode_one(image, label, preprocess)
        (plain,) = self._graphs.decode(seen.poses[None], np.array([index]))
        pose = seen.poses[index]
        with _checking_directions():
            steered, amounts = pose_directions.sweep(self.card, index, pose, along, steps)
        moved = np.concatenate([sweep_poses(pose, rows, deltas), steered])  # (N,D)
        frames = list(map(png_base64, self._draw(moved, index)))
        answer = {
            **self._drawn(seen, index, plain),
            **sweep_fields(
                rows,
                deltas,
                zip(along, amounts, strict=True),
                [frames[start : start + steps] for start in range(0, len(frames), steps)],
            ),
        }
        return results.sweep(_as_json(answer))

    def _rows(self, dims: list[int] | None, along: Sequence[str]) -> list[int]:
        """Return the dimensions of a sweep: by default all, or none beside directions; raises CapsnetError."""
        rows = ([] if along else list(range(self.card.config.pose_dim))) if dims is None else dims
        self._check_dims("dims", rows)
        if len(set(along)) < len(along):
            raise _invalid("directions", along, "should name each direction once")
        if not (rows or along) or len(set(rows)) < len(rows):
            raise _invalid("dims", rows, "should name at least one dimension, and each once")
        return rows

    def transform(
        self,
        image: ImageInput,
        by: str = "rotation",
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        steps: int = 13,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Transformation:
        """Transform an image in steps, and compare the pose in each step with the one that its direction predicts.

        `by` is rotation, slant (degrees), width, height, size (per cent), weight, shift_x or shift_y (pixels). Without
        `minimum` and `maximum` it goes as far as directions are measured.
        """
        amounts = _amounts(by, minimum, maximum, steps)
        seen, index = self._encode_one(image, label, preprocess)
        pose = seen.poses[index]
        images = transform_steps(seen.image, by, amounts)
        lengths, poses = self._graphs.encode(images)
        direction, predicted = pose_directions.predict(self.card, index, pose, by, amounts)
        answer = {
            **capsule_fields(self.card, index, seen.lengths[index], pose),
            **transformation_fields(
                by,
                direction,
                None if predicted is None else pose_directions.explained(poses[:, index], pose, predicted),
                pose_directions.linearity(poses[:, index], amounts),
                self._steps(amounts, images, lengths, poses, predicted, index),
            ),
        }
        return results.transformation(_as_json(answer))

    def _steps(
        self,
        amounts: Floats,
        images: Floats,
        lengths: Floats,
        poses: Floats,
        predicted: Floats | None,
        index: int,
    ) -> list[dict[str, Any]]:
        """Return the steps of a transformation, with drawings of the poses (S,J,D) and the predicted poses (S,D)."""
        drawn = self._graphs.decode(poses, np.full(len(poses), index))
        redrawn = None if predicted is None else self._draw(predicted, index)
        return [
            {
                "amount": amount,
                "length": lengths[step, index],
                "pose": poses[step, index],
                "foretold": None if predicted is None else predicted[step],
                "input": png_base64(images[step]),
                "reconstruction": png_base64(drawn[step]),
                "foretold_reconstruction": None if redrawn is None else png_base64(redrawn[step]),
            }
            for step, amount in enumerate(amounts.tolist())
        ]

    def explain(
        self,
        image: ImageInput,
        *,
        method: Method | None = None,
        label: int | str | None = None,
        preprocess: str | None = None,
    ) -> Explanation:
        """Locate the evidence for the longest capsule, or for that of the class `label`.

        `method` is votes (of capsules that have a place in the image) or occlusion (how much the capsule shortens with
        a patch covered); by default votes where the model's card names its `routing`.
        """
        try:
            chosen = choose_method(self.card, method)
        except ValueError as error:
            raise _invalid("method", repr(method), str(error)) from None
        seen, index = self._encode_one(image, label, preprocess)
        if chosen == "votes" and self._routing is not None and self.card.routing is not None:
            with _opening():
                votes = self._routing.votes(seen.image, index)
            fields = votes_fields(seen.image, votes, self.card.routing.grid)
        else:
            fields = self._occlusion(seen, index)
        capsule = prediction(self.card, index, seen.lengths[index])
        answer = {**model_fields(self.card), "capsule": capsule, **fields}
        return results.explanation(_as_json(answer))

    def _occlusion(self, seen: Capsules, index: int) -> dict[str, Any]:
        """Return the fields of an explanation by covering an image patch by patch."""
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
        """Draw capsules of the class `label` from poses (N,D) alone.

        A text is the name of a class before it is an index, as everywhere; a whole number is an index here.
        """
        rows, size = pose_rows(poses), self.card.config.pose_dim
        if not rows:
            raise _invalid("poses", rows, "should hold at least one pose")
        if (wrong := next((row for row in rows if len(row) != size), None)) is not None:
            raise _invalid("pose", f"{len(wrong)} numbers long", f"should have {size} numbers")
        images = self._draw(np.array(rows, np.float32), self._find_class(label))
        return [Png(encode_png(image)) for image in images]

    def _read(self, image: ImageInput, preprocess: str | None) -> tuple[Floats, ObjectCount]:
        """Return an image as the array (C,H,W) that the network takes, and its objects; raises CapsnetError."""
        if preprocess is not None and preprocess not in WAYS:
            raise _invalid("preprocess", repr(preprocess), f"should be one of {', '.join(WAYS)}")
        data, counted = image_bytes(image, level=STORED), ObjectCount()
        with _decoding():
            array: Floats = decode(
                data,
                self.card.input,
                preprocess=preprocess,
                objects=self.card.objects,
                counted=counted,
                digits=are_digits(self.card.classes),
            )
        return array, counted

    def _try_to_read(
        self, image: ImageInput, preprocess: str | None
    ) -> tuple[Floats, ObjectCount] | CapsnetError:
        """Read an image, or return its error; raises an error that every image would have."""
        try:
            return self._read(image, preprocess)
        except CapsnetError as error:
            if error.kind == "invalid-parameter":
                raise
            return error
        except ValueError as error:
            return no_image(error)

    def _encode(self, images: Sequence[Floats]) -> list[Capsules]:
        lengths, poses = self._graphs.encode(np.stack(images))  # (B,J), (B,J,D)
        return list(map(Capsules, images, lengths, poses))

    def _encode_one(
        self, image: ImageInput, label: int | str | None, preprocess: str | None
    ) -> tuple[Capsules, int]:
        """Encode an image, and choose the capsule to draw: that of the class `label`, or the longest."""
        # As text, as it stands in the query of a request: a name counts before an index.
        chosen = None if label is None else self._find_class(str(label))
        (seen,) = self._encode([self._read(image, preprocess)[0]])
        return seen, rank(seen.lengths, 1)[0] if chosen is None else chosen

    def _draw(self, poses: Floats, label: int) -> Floats:
        """Draw single capsules with poses (N,D) as images (N,C,H,W)."""
        labels = [label] * len(poses)
        placed = scatter_poses(poses, labels, len(self.classes))  # (N,D) -> (N,J,D)
        return self._graphs.decode(placed, np.array(labels))

    def _classify(
        self, images: Sequence[tuple[Floats, ObjectCount]], count: int, verify: bool
    ) -> list[Classification]:
        seen = self._encode([image for image, _ in images])
        checks, drawn = self._verify(seen) if verify else ([None] * len(seen), [None] * len(seen))
        return [
            results.classification(
                _as_json(
                    classification_fields(
                        self.card, rank(each.lengths, count), each.lengths, each.poses, check, counted
                    )
                ),
                (each.image, drawing),
            )
            for each, check, drawing, (_, counted) in zip(seen, checks, drawn, images, strict=True)
        ]

    def _verify(self, seen: Sequence[Capsules]) -> tuple[Sequence[Mapping[str, Any]], Sequence[Floats]]:
        """Return the guard's checks, and the drawings (B,C,H,W) of each image's longest capsules together."""
        images, lengths, poses = map(np.stack, zip(*seen, strict=True))
        objects = self.card.objects
        drawn = [self._graphs.decode(poses, labels) for labels in guard.top_classes(lengths, objects).T]
        together = guard.overlay(np.stack(drawn, axis=1))  # (B,K,C,H,W) -> (B,C,H,W)
        checks = guard.check_reconstructions(self._limits, images, together, lengths, objects)
        return [asdict(check) for check in checks], list(together)

    def _drawn(self, seen: Capsules, index: int, plain: Floats) -> dict[str, Any]:
        """Return the fields that the answers of `reconstruct` and `sweep` share."""
        return {
            **capsule_fields(self.card, index, seen.lengths[index], seen.poses[index]),
            "input": png_base64(seen.image),
            "reconstruction": png_base64(plain),
        }

    def _count(self, top_k: int | None) -> int:
        if top_k is not None and not 1 <= whole("top_k", top_k) <= len(self.classes):
            raise _invalid("top_k", top_k, f"should be from 1 to {len(self.classes)}, the model's classes")
        return top_k or self.card.objects

    def _find_class(self, label: int | str) -> int:
        """Return the index of a class given by its name or its index; raises CapsnetError where there is none."""
        if (index := self.card.find_class(label)) is not None:
            return index
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
    """Turn errors of preprocessing into those of the service."""
    try:
        yield
    except NotAnImage as error:
        raise CapsnetError(str(error), kind="not-an-image", title="Not an image") from None
    except ImageTooLarge as error:
        raise CapsnetError(str(error), kind="too-large", title="Too large") from None


@contextlib.contextmanager
def _opening() -> Iterator[None]:
    """Turn errors of a model's files into that of the library."""
    try:
        yield
    except (CardError, OSError) as error:
        raise CapsnetError(str(error), kind="invalid-model", title="Invalid model") from None


def _find(model: str | os.PathLike[str]) -> Path:
    """Return the folder of a model, given by its path or its name; raises CapsnetError if there is none."""
    text = os.fspath(model)
    if not isinstance(model, str) or os.sep in text or "/" in text:
        return _checked_folder(Path(text))
    folder = chosen_models()
    names = {ModelCard.load(folder).name: folder} if (folder / CARD_FILE).is_file() else _models_in(folder)
    if found := names.get(text):
        return found
    near = difflib.get_close_matches(text, names, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    none = f"{folder} holds no models; {MODELS_VARIABLE} names another folder"
    there = f"there are: {', '.join(names)}" if names else none
    raise _unknown_model(
        f"no model is called {text!r}{meant}; {there}. The path of a model's folder has a '/' in it"
    )


def _models_in(folder: Path) -> dict[str, Path]:
    """Return the folders of the models in a folder by the names on their cards, as the service names them."""
    return {_name_of(card.parent): card.parent for card in sorted(folder.glob(f"*/{CARD_FILE}"))}


def _name_of(folder: Path) -> str:
    """Return the name of a model; that of its folder where its card cannot be read, which the next step says."""
    try:
        return ModelCard.load(folder).name
    except CardError:
        return folder.name


def _checked_folder(folder: Path) -> Path:
    """Return the folder of a model; raises CapsnetError where it is none, and names the models in it."""
    if (folder / CARD_FILE).is_file():
        return folder
    if names := _models_in(folder):
        raise _unknown_model(
            f"{folder} holds the models {', '.join(names)}; name one: '{next(iter(names.values()))}'"
        )
    if not folder.exists():
        raise _unknown_model(f"{folder}: there is no such folder")
    raise _unknown_model(f"{folder} is no model: the folder of a model holds {CARD_FILE}")


def _unknown_model(detail: str) -> CapsnetError:
    return CapsnetError(detail, kind="unknown-model", title="Unknown model")


@contextlib.contextmanager
def _checking_directions() -> Iterator[None]:
    """Turn a DirectionError into the error of a wrong parameter."""
    try:
        yield
    except pose_directions.DirectionError as error:
        raise _invalid("directions", error.value, error.allowed) from None


def _amounts(by: str, minimum: float | None, maximum: float | None, steps: int) -> Floats:
    """Return the amounts (steps,) of a transformation, by default as far as directions are measured."""
    if by not in PROPERTIES:
        raise _invalid("by", repr(by), f"should be one of {', '.join(PROPERTIES)}")
    chosen = PROPERTIES[by]
    lowest = -chosen.reach if minimum is None else minimum
    highest = chosen.reach if maximum is None else maximum
    if not -chosen.limit <= lowest < highest <= chosen.limit:
        allowed = f"should be less than the maximum, and both within {chosen.limit:g} {chosen.unit}"
        raise _invalid("minimum", lowest, allowed)
    _check_steps(steps)
    return linspace_exact(lowest, highest, steps)


def _deltas(minimum: float, maximum: float, steps: int) -> Floats:
    """Return the deltas (steps,) of a sweep; raises CapsnetError."""
    if not -MAX_POSE <= minimum < maximum <= MAX_POSE:
        allowed = f"should be less than the maximum, {maximum:g}, and both within {MAX_POSE:g}"
        raise _invalid("minimum", minimum, allowed)
    _check_steps(steps)
    return linspace_exact(minimum, maximum, steps)


def _check_steps(steps: int) -> None:
    if whole("steps", steps) < 2:
        raise _invalid("steps", steps, "should be at least 2")


def _invalid(parameter: str, value: object, allowed: str) -> CapsnetError:
    """Return the error of a parameter whose value is not allowed."""
    violation = {"parameter": parameter, "value": str(value), "allowed": allowed}
    detail = f"{parameter} is {value}: {allowed}"
    return CapsnetError(detail, kind="invalid-parameter", title="Invalid parameter", errors=(violation,))


def _as_json(answer: Mapping[str, Any]) -> Any:
    """Return the answer as if it had come as JSON, so that its numbers are those of the service to the last digit."""
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))
