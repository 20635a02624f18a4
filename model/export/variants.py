"""Add int8 and fp16 encoders to an exported model, each measured on validation images before it is kept.

A variant that errs on more than `TOLERATED_ERROR` more of them than the encoder in fp32 is refused.
"""

import dataclasses
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto

from capsnet.card import (
    CARD_FILE,
    TOLERATED_ERROR,
    Graph,
    Guard,
    ModelCard,
    Validation,
    Variant,
    encoder_file,
    sha256,
)
from capsnet.multi_object import missed_count
from capsnet.onnx_model import OnnxModel
from model.export.exporter import fit_guard
from model.export.quantization import QuantizationError, to_fp16, to_int8

# Beside fp32, which every export has.
PRECISIONS = ("int8", "fp16")


def read_precisions(text: str) -> tuple[str, ...]:
    """Return the precisions in a list such as "int8,fp16"; raises QuantizationError for an unknown one."""
    precisions = tuple(name.strip() for name in text.split(",") if name.strip())
    for precision in precisions:
        if precision not in PRECISIONS:
            raise QuantizationError(f"{precision!r} is no variant; allowed: {', '.join(PRECISIONS)}")
    return precisions


def add_variants(
    folder: Path,
    precisions: Iterable[str],
    calibration: np.ndarray,
    validation: np.ndarray,
    labels: np.ndarray,
) -> ModelCard:
    """Write encoders in further precisions beside an exported model, and their measurements into its card.

    All of them or none: where one is refused, the model stays as it was.

    Parameters
    ----------
    folder
        An exported model.
    precisions
        As from `read_precisions`.
    calibration
        Training images (N,C,H,W), float32 in [0,1], from which int8 takes its ranges.
    validation, labels
        Images (N,C,H,W) that the network was not fitted on, and the class (N,) or the classes (N,K) in each.

    Raises
    ------
    QuantizationError
        If a variant cannot be made, or loses too much; the message says how much.
    CardError
        If the folder holds no valid model.
    """
    card = ModelCard.load(folder)
    card.check_files(folder)
    encoder = folder / encoder_file("fp32")
    limits = card.variants["fp32"].guard
    exact = Fp32Reference(encoder, folder / card.decoder.file, validation, labels, card.objects, limits)
    plain = dataclasses.replace(card.variants["fp32"], validation=exact.result)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        made = {}
        for precision in precisions:
            path = Path(temporary) / encoder_file(precision)
            _save(_make(precision, onnx.load(encoder), calibration), path)
            made[precision] = exact.evaluate_variant(precision, path)
        extended = dataclasses.replace(card, variants={**card.variants, "fp32": plain, **made})
        _put_in_place(Path(temporary), folder, extended)
    return extended


class Fp32Reference:
    """The encoder in fp32 and its output on the validation images, with which variants are compared.

    Parameters
    ----------
    encoder, decoder
        The files.
    images, labels
        (N,C,H,W) float32 in [0,1], and (N,) or (N,K).
    objects
        K.
    limits
        The guard of fp32, whose weight of the lengths, appearance and accepted share hold for every variant.
    """

    def __init__(
        self,
        encoder: Path,
        decoder: Path,
        images: np.ndarray,
        labels: np.ndarray,
        objects: int,
        limits: Guard,
    ) -> None:
        self._limits = limits
        self._decoder = decoder
        self._images = images
        self._labels = labels
        self._objects = objects
        lengths, self._poses = OnnxModel(encoder, decoder).encode(images)
        self.result = self._compare(lengths, self._poses)

    def evaluate_variant(self, precision: str, encoder: Path) -> Variant:
        """Return the card entry of the variant in the file `encoder`; raises QuantizationError if it loses too much."""
        model = OnnxModel(encoder, self._decoder)
        result = self._compare(*model.encode(self._images))
        lost = result.error - self.result.error
        if lost > TOLERATED_ERROR or not np.isfinite(result.pose_difference):
            raise QuantizationError(
                f"{precision} is wrong on {result.counted(self._objects)} and fp32 on "
                f"{self.result.errors}: {100 * lost:.2f} points more, where {100 * TOLERATED_ERROR:.2f} are "
                f"allowed (largest difference of a pose: {result.pose_difference:.3g}); no variant was written"
            )
        graph = Graph(file=encoder.name, sha256=sha256(encoder))
        thresholds = fit_guard(
            model,
            self._images,
            self._objects,
            doubt_weight=self._limits.doubt_weight,
            looks=self._limits.appearance,
            accept=self._limits.accepts,
        )
        return Variant(encoder=graph, guard=thresholds, validation=result)

    def _compare(self, lengths: np.ndarray, poses: np.ndarray) -> Validation:
        """Compare lengths (N,J) with the labels, and poses (N,J,D) with those in fp32."""
        errors = int(missed_count(lengths, self._labels).sum())
        return Validation(
            images=len(self._labels),
            errors=errors,
            error=errors / self._labels.size,
            pose_difference=float(np.abs(poses - self._poses).max()),
        )


def _make(precision: str, encoder: ModelProto, calibration: np.ndarray) -> ModelProto:
    return to_int8(encoder, calibration) if precision == "int8" else to_fp16(encoder)


def _save(graph: ModelProto, path: Path) -> None:
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def _put_in_place(temporary: Path, folder: Path, card: ModelCard) -> None:
    """Move the new files into the model's folder, the card last: until then the old card names only its own graphs."""
    (temporary / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    for graph in sorted(temporary.glob("*.onnx")):
        graph.replace(folder / graph.name)
    (temporary / CARD_FILE).replace(folder / CARD_FILE)
