"""Export a network as two ONNX graphs and a card, and check that they compute what the network computes.

A failed export leaves nothing behind: all files go to a temporary folder beside the target, are compared with PyTorch
on real images, and the folder is renamed only when all checks have passed.
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from capsnet import guard
from capsnet.card import (
    CARD_FILE,
    CARD_IN_WORK,
    DECODER_FILE,
    IMAGE,
    LABEL,
    LENGTHS,
    METADATA_EXPORT_ID,
    METADATA_NAME,
    POSES,
    SAMPLES_FILE,
    Appearance,
    Graph,
    Guard,
    ModelCard,
    Variant,
    encoder_file,
    sha256,
)
from capsnet.config import InputSpec
from capsnet.onnx_model import Model, OnnxModel, reconstruct
from capsnet.png import sheet
from model.export.ensemble import Ensemble
from model.export.routing_graph import write_routing
from model.export.tracing import (
    BATCH_SIZES,
    LARGE_WEIGHT,
    TOLERANCE,
    ExportError,
    check,
    store_large_weights_as_half,
    trace,
)
from model.nn.layers import CapsuleNetwork, GridCapsuleNetwork

# What `python -m training cards` writes beside the card; a model that takes its place gets another one.
MODEL_CARD_FILE = "README.md"


class Encoder(nn.Module):
    """The half of a network that becomes `encoder.onnx`."""

    def __init__(self, network: CapsuleNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.encode(image)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportMetadata:
    """Values of the card that the export cannot find out."""

    name: str
    version: str
    classes: tuple[str, ...]
    input: InputSpec
    objects: int
    training: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Thumbnails:
    """Images (N,C,H,W) in [0,1] that no network was fitted on, and the class of each."""

    images: np.ndarray
    classes: tuple[str, ...]


def export(
    network: CapsuleNetwork,
    description: ExportMetadata,
    folder: Path,
    samples: np.ndarray,
    validation: np.ndarray,
    thumbnails: Thumbnails | None = None,
    doubt_weight: float = guard.DOUBT_WEIGHT,
    looks: Appearance | None = None,
    accept: float = guard.ACCEPTED,
) -> ModelCard:
    """Write `folder` with two graphs and a card, replacing an earlier export in it and nothing else.

    Parameters
    ----------
    network
        A network on the CPU; it is set to evaluation mode, and its large weights are rounded to fp16.
    description
        Values for the card.
    folder
        Folder of the model.
    samples
        Real images (N,C,H,W), float32 in [0,1], at least 7, for the comparison with PyTorch.
    validation
        Images (N,C,H,W) that the network was not fitted on, at least 1, for the guard's thresholds.
    thumbnails
        Images to keep beside the card, for the playground.
    doubt_weight
        Weight of the lengths in the guard, beside the distance.
    looks
        Common appearance of the training images, where the guard is to use it as well.
    accept
        Share of the validation images that the guard accepts.

    Raises
    ------
    ExportError
        If a graph is not valid or differs from PyTorch by more than `TOLERANCE`, saying which output and by how much;
        or if `folder` holds anything but an earlier export.
    """
    if len(samples) < max(BATCH_SIZES):
        raise ExportError(
            f"{len(samples)} images to compare with PyTorch; at least {max(BATCH_SIZES)} are needed"
        )
    _refuse_foreign_files(folder)
    network.eval()
    round_large_weights(network)
    export_id = _export_id(network, description)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_graphs(
            network,
            temporary,
            {METADATA_NAME: description.name, METADATA_EXPORT_ID: export_id},
        )
        model = OnnxModel(temporary / encoder_file("fp32"), temporary / DECODER_FILE)
        for size in BATCH_SIZES:
            compare(network, model, samples[:size])
        thresholds = fit_guard(
            model, validation, description.objects, doubt_weight=doubt_weight, looks=looks, accept=accept
        )
        card = _card(network, description, export_id, temporary, thresholds)
        if isinstance(network, GridCapsuleNetwork):
            card = dataclasses.replace(card, routing=write_routing(network, temporary, samples))
        if thumbnails is not None:
            strip = sheet(list(thumbnails.images), len(thumbnails.images))
            (temporary / SAMPLES_FILE).write_bytes(strip)
            card = dataclasses.replace(card, samples=thumbnails.classes)
        (temporary / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
        temporary.chmod(0o755)  # mkdtemp makes it private
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def write_graphs(network: CapsuleNetwork, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write the encoder in float32 and the decoder; raises ExportError if onnx.checker finds a fault."""
    config = network.config
    poses = torch.zeros(2, config.num_classes, config.pose_dim)
    label = torch.zeros(2, dtype=torch.int64)
    image = torch.zeros(2, *config.image_shape)
    graphs = {
        encoder_file("fp32"): trace(Encoder(network), {IMAGE: image}, [LENGTHS, POSES]),
        DECODER_FILE: trace(network.decoder, {POSES: poses, LABEL: label}, [IMAGE]),
    }
    for file, graph in graphs.items():
        store_large_weights_as_half(graph)
        helper.set_model_props(graph, dict(metadata))
        check(file, graph)
        onnx.save(graph, folder / file)


def round_large_weights(network: CapsuleNetwork) -> None:
    """Round the weights that are stored as fp16, so that the comparison uses the stored weights."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() >= LARGE_WEIGHT:
                parameter.copy_(parameter.half().float())


def compare(network: CapsuleNetwork, model: Model, images: np.ndarray) -> None:
    """Raise ExportError if any output differs from PyTorch's by more than `TOLERANCE` on images (B,C,H,W)."""
    with torch.inference_mode():
        lengths, poses, drawn = (t.numpy() for t in network(torch.from_numpy(images)))
    label = lengths.argmax(axis=1)
    found_lengths, found_poses = model.encode(images)
    found = {LENGTHS: found_lengths, POSES: found_poses, "reconstruction": model.decode(poses, label)}
    for name, expected in {LENGTHS: lengths, POSES: poses, "reconstruction": drawn}.items():
        if found[name].shape != expected.shape:
            raise ExportError(
                f"'{name}' has the shape {found[name].shape} in ONNX Runtime, {expected.shape} in PyTorch, "
                f"for a batch of {len(images)}"
            )
        difference = float(np.abs(found[name] - expected).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"'{name}' differs from PyTorch by {difference:.3g} for a batch of {len(images)}; "
                f"at most {TOLERANCE:g} is allowed"
            )


def fit_guard(
    model: Model,
    images: np.ndarray,
    objects: int = 1,
    batch: int = 500,
    doubt_weight: float = guard.DOUBT_WEIGHT,
    looks: Appearance | None = None,
    accept: float = guard.ACCEPTED,
) -> Guard:
    """Fit the guard's thresholds to images (N,C,H,W), of `objects` each, that the network was not fitted on."""
    distances, all_lengths = [], []
    for first in range(0, len(images), batch):
        part = images[first : first + batch]
        lengths, poses = model.encode(part)
        distances.append(guard.distance(part, reconstruct(model, lengths, poses, objects)))
        all_lengths.append(lengths)
    return guard.fit(
        np.concatenate(distances), images, np.concatenate(all_lengths), objects, doubt_weight, looks, accept
    )


def _export_id(network: CapsuleNetwork, description: ExportMetadata) -> str:
    """Return an id of exactly these weights under this description; equal exports have equal ids."""
    mirrored = isinstance(network, Ensemble) and network.mirrored
    digest = hashlib.sha256(repr((description, network.config)).encode() + b"mirrored" * mirrored)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _card(
    network: CapsuleNetwork,
    description: ExportMetadata,
    export_id: str,
    folder: Path,
    thresholds: Guard,
) -> ModelCard:
    encoder = encoder_file("fp32")
    return ModelCard(
        name=description.name,
        version=description.version,
        config=network.config,
        classes=description.classes,
        input=description.input,
        objects=description.objects,
        members=len(network.members) if isinstance(network, Ensemble) else 1,
        mirrored=isinstance(network, Ensemble) and network.mirrored,
        parameters=network.parameter_counts(),
        decoder=Graph(file=DECODER_FILE, sha256=sha256(folder / DECODER_FILE)),
        variants={
            "fp32": Variant(encoder=Graph(file=encoder, sha256=sha256(folder / encoder)), guard=thresholds)
        },
        export_id=export_id,
        training=description.training,
    )


def _refuse_foreign_files(folder: Path) -> None:
    """Raise ExportError if replacing `folder` would delete files that no export has written."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder}: is a file; a model is a folder")
    foreign = [
        path.name
        for path in folder.iterdir()
        if path.name not in (CARD_FILE, CARD_IN_WORK, SAMPLES_FILE, MODEL_CARD_FILE)
        and path.suffix != ".onnx"
    ]
    if foreign:
        raise ExportError(
            f"{folder}: holds {foreign[0]!r}, which is no part of a model; choose another folder"
        )


def _replace(new: Path, target: Path) -> None:
    """Move a finished folder to its final name; an earlier one is moved aside first and deleted last."""
    old = target.with_name(f".{target.name}-old-{os.getpid()}")
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
