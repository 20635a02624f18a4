"""Exports are proven: every architecture, every output, and nothing left behind by one that fails."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from capsnet import guard
from capsnet.card import METADATA_EXPORT_ID, METADATA_NAME, CardError, ModelCard, sha256
from capsnet.config import ModelConfig
from capsnet.onnx_model import open_variants
from model.architectures.registry import ARCHITECTURES, build
from model.export.exporter import export
from model.export.tracing import ExportError
from model.nn.layers import CapsuleNetwork, GridCapsuleNetwork
from tests.model.descriptions import DESCRIPTION, Exported


def network(architecture: str = "shared", **values: object) -> CapsuleNetwork:
    torch.manual_seed(0)
    return build(ModelConfig(architecture=architecture, **values)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(  # `cnn` is too large to export in a test
    "architecture",
    [
        pytest.param(name, marks=() if name in ("efficient", "shared") else pytest.mark.slow)
        for name in sorted(set(ARCHITECTURES) - {"cnn"})
    ],
)
def test_the_graphs_compute_what_the_network_computes(
    architecture: str, exported_as: Callable[[str], Exported], images: np.ndarray
) -> None:
    net, folder = exported_as(architecture)
    routing = ["routing.onnx"] * isinstance(net, GridCapsuleNetwork)
    names = ["card.json", "decoder.onnx", "encoder.onnx", *routing, "test"]
    assert sorted(p.name for p in folder.parent.rglob("*")) == names
    _, variants = open_variants(folder)
    model = variants["fp32"]
    images = np.concatenate([np.zeros_like(images[:1]), images])  # a blank one among them
    for batch in (1, 3, 16):
        with torch.inference_mode():
            expected = [t.numpy() for t in net(torch.from_numpy(images[:batch]))]
        lengths, poses = model.encode(images[:batch])
        drawn = model.decode(poses, lengths.argmax(axis=1))
        for want, got in zip(expected, (lengths, poses, drawn), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def exported(exported_as: Callable[[str], Exported]) -> Path:
    return exported_as("shared")[1]


def test_the_card_ties_the_files_together(exported: Path) -> None:
    card = ModelCard.load(exported)
    graphs = {card.decoder.file: card.decoder.sha256}
    graphs |= {v.encoder.file: v.encoder.sha256 for v in card.variants.values()}
    for file, digest in graphs.items():
        assert sha256(exported / file) == digest
        properties = {p.key: p.value for p in onnx.load(exported / file).metadata_props}
        assert properties == {METADATA_NAME: "test", METADATA_EXPORT_ID: card.export_id}


def test_names_types_and_free_batch_are_the_contracts(exported: Path) -> None:
    encoder = ort.InferenceSession(str(exported / "encoder.onnx"), providers=["CPUExecutionProvider"])
    decoder = ort.InferenceSession(str(exported / "decoder.onnx"), providers=["CPUExecutionProvider"])
    described = [
        [(t.name, t.type, t.shape[1:]) for t in (*session.get_inputs(), *session.get_outputs())]
        for session in (encoder, decoder)
    ]
    assert described == [
        [
            ("image", "tensor(float)", [1, 28, 28]),
            ("lengths", "tensor(float)", [10]),
            ("poses", "tensor(float)", [10, 16]),
        ],
        [
            ("poses", "tensor(float)", [10, 16]),
            ("label", "tensor(int64)", []),
            ("image", "tensor(float)", [1, 28, 28]),
        ],
    ]
    assert all(isinstance(t.shape[0], str) for t in encoder.get_inputs())


def test_routing_is_unrolled(exported: Path) -> None:
    operators = {node.op_type for node in onnx.load(exported / "encoder.onnx").graph.node}
    assert operators.isdisjoint({"Loop", "If", "Scan"})


def test_large_weights_are_stored_as_half(exported: Path) -> None:
    large = [t for t in onnx.load(exported / "decoder.onnx").graph.initializer if np.prod(t.dims) >= 2**16]
    assert len(large) == 3
    assert {t.data_type for t in large} == {onnx.TensorProto.FLOAT16}


def test_nothing_of_this_machine_is_in_the_files(exported: Path) -> None:
    here = str(Path(__file__).resolve().parents[3]).encode()
    for file in exported.iterdir():
        assert here not in file.read_bytes()
        assert b"site-packages" not in file.read_bytes()


def test_the_same_weights_give_the_same_bytes_and_nothing_of_an_earlier_export_stays(
    exported: Path, images: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "encoder.int8.onnx").write_bytes(b"of an older model")
    (folder / ".card.json.tmp").write_bytes(b"of a command that was killed")
    card = export(network(), DESCRIPTION, folder, images[:7], images)
    assert ModelCard.load(folder) == card
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in exported.iterdir())
    assert list(tmp_path.iterdir()) == [folder]
    for file in exported.iterdir():
        assert file.read_bytes() == (folder / file.name).read_bytes()


class Unfaithful(CapsuleNetwork):
    """A network whose decoder draws something else once it has been traced."""

    def decode(self, poses: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return super().decode(poses, label) + 0.25

    # Nearly all zero: the graphs must treat zero capsules as PyTorch does.
    def capsules(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :160].view(-1, 10, 16) / 16


def test_a_failed_comparison_names_the_output_and_leaves_nothing(images: np.ndarray, tmp_path: Path) -> None:
    net = Unfaithful(ModelConfig(architecture="shared")).eval()
    with pytest.raises(ExportError, match=r"'reconstruction' differs from PyTorch by 0\.25 for a batch of 1"):
        export(net, DESCRIPTION, tmp_path / "test", images, images)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_earlier_one(exported: Path, images: np.ndarray) -> None:
    before = {p.name: p.read_bytes() for p in exported.iterdir()}
    with pytest.raises(ExportError):
        export(Unfaithful(ModelConfig(architecture="shared")).eval(), DESCRIPTION, exported, images, images)
    assert {p.name: p.read_bytes() for p in exported.iterdir()} == before
    assert list(exported.parent.iterdir()) == [exported]


@pytest.mark.parametrize("name", ["thesis.doc", "encoder.txt"])
def test_a_folder_that_is_no_model_is_left_alone(images: np.ndarray, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(ExportError, match=f"holds '{name}', which is no part of a model"):
        export(network(), DESCRIPTION, tmp_path, images, images)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_too_few_images_to_compare_are_refused(images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="6 images to compare with PyTorch; at least 7"):
        export(network(), DESCRIPTION, tmp_path / "test", images[:6], images)
    assert list(tmp_path.iterdir()) == []


def test_thresholds_come_from_the_validation_images(exported: Path, images: np.ndarray) -> None:
    card, models = open_variants(exported)
    lengths, poses = models["fp32"].encode(images)
    winner = lengths.argmax(axis=1)
    distances = guard.distance(images, models["fp32"].decode(poses, winner))
    expected = guard.fit(distances, images, lengths)
    np.testing.assert_allclose(card.variants["fp32"].guard.p95, expected.p95, rtol=1e-4)
    np.testing.assert_allclose(card.variants["fp32"].guard.p99, expected.p99, rtol=1e-4)


def test_a_changed_file_is_noticed(exported: Path) -> None:
    card = ModelCard.load(exported)
    card.check_files(exported)
    content = (exported / "decoder.onnx").read_bytes()
    try:
        (exported / "decoder.onnx").write_bytes(content + b"x")
        with pytest.raises(CardError, match=r"decoder\.onnx: is not the file its card speaks of"):
            card.check_files(exported)
    finally:
        (exported / "decoder.onnx").write_bytes(content)
