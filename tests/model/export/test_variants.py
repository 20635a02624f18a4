"""int8 and fp16 encoders: close to fp32, small, tied to their model, and refused where they lose accuracy."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from capsnet.card import CARD_FILE, METADATA_EXPORT_ID, ModelCard
from capsnet.onnx_model import OnnxModel, open_variants
from model.architectures.registry import ARCHITECTURES
from model.export import variants
from model.export.graph_weights import fold_normalisations
from model.export.quantization import QuantizationError
from model.export.variants import add_variants, read_precisions
from tests.model.descriptions import Exported

NEVER = 10  # a class that no network of these tests gives, so that every variant errs as often: always

LIGHT = sorted(set(ARCHITECTURES) - {"capsnet", "cnn"})


@pytest.fixture(scope="module")
def plain(exported_as: Callable[[str], Exported]) -> dict[str, Path]:
    """Every architecture exported that does not take half a minute."""
    return {architecture: exported_as(architecture)[1] for architecture in LIGHT}


@pytest.mark.parametrize("architecture", LIGHT)
def test_variants_are_close_to_fp32(
    architecture: str, plain: dict[str, Path], images: np.ndarray, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain[architecture], tmp_path / "test")
    card = add_variants(folder, ("int8", "fp16"), images, images, np.full(len(images), NEVER))
    assert ModelCard.load(folder) == card
    _, models = open_variants(folder)
    _, exact = models["fp32"].encode(images)
    for precision, share in {"int8": 0.1, "fp16": 0.002}.items():
        lengths, poses = models[precision].encode(images)
        assert lengths.dtype == poses.dtype == np.float32
        difference = float(np.abs(poses - exact).max())
        assert 0 < difference < share * np.abs(exact).max()
        validation = card.variants[precision].validation
        assert validation is not None
        assert (validation.images, validation.errors) == (60, 60)
        assert validation.pose_difference == pytest.approx(difference, abs=1e-6)


@pytest.fixture(scope="module")
def model(plain: dict[str, Path], images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(plain["efficient"], tmp_path_factory.mktemp("models") / "test")
    add_variants(folder, ("int8", "fp16"), images, images, np.full(len(images), NEVER))
    return folder


def test_a_killed_export_leaves_nothing_in_the_folder_of_the_model(
    plain: dict[str, Path], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(plain["efficient"], tmp_path / "test")
    before = sorted(path.name for path in folder.iterdir())

    def die(new: Path, target: Path, card: ModelCard) -> None:
        assert sorted(path.name for path in target.iterdir()) == before
        raise KeyboardInterrupt

    monkeypatch.setattr(variants, "_put_in_place", die)
    with pytest.raises(KeyboardInterrupt):
        add_variants(folder, ("fp16",), images, images, np.full(len(images), NEVER))


def test_files_are_smaller_and_carry_the_export_id(model: Path) -> None:
    card = ModelCard.load(model)
    card.check_files(model)
    sizes = {precision: (model / v.encoder.file).stat().st_size for precision, v in card.variants.items()}
    assert sizes["int8"] < 0.6 * sizes["fp32"]
    assert sizes["fp16"] < 0.8 * sizes["fp32"]
    for variant in card.variants.values():
        graph = onnx.load(model / variant.encoder.file)
        assert {p.key: p.value for p in graph.metadata_props}[METADATA_EXPORT_ID] == card.export_id
        assert len(graph.metadata_props) == 2


def test_convolutions_over_many_channels_and_no_others_are_in_8_bits(model: Path) -> None:
    graph = onnx.load(model / "encoder.int8.onnx").graph
    narrow = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert sorted(tuple(t.dims) for t in narrow) == [(64, 32, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3)]
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_no_two_products_overflow_16_bits(model: Path) -> None:
    """x86 processors without VNNI add pairs of them in so many, and clip larger sums."""
    graph = onnx.load(model / "encoder.int8.onnx").graph
    weights = [numpy_helper.to_array(each) for each in graph.initializer]
    narrow = [each for each in weights if each.dtype == np.int8 and each.ndim == 4]
    assert narrow
    for each in narrow:
        assert 2 * 255 * np.abs(each.astype(int)).max() < 2**15


def test_each_variant_has_thresholds_of_its_own(model: Path) -> None:
    variants = ModelCard.load(model).variants
    assert variants["int8"].guard != variants["fp32"].guard
    np.testing.assert_allclose(variants["int8"].guard.p95, variants["fp32"].guard.p95, rtol=0.1)


def test_a_variant_accepts_as_many_images_as_fp32(
    plain: dict[str, Path], images: np.ndarray, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain["efficient"], tmp_path / "test")
    card = ModelCard.load(folder)
    fp32 = card.variants["fp32"]
    guard = dataclasses.replace(fp32.guard, accepts=0.6)
    card = dataclasses.replace(card, variants={"fp32": dataclasses.replace(fp32, guard=guard)})
    (folder / CARD_FILE).write_text(card.to_json())
    made = add_variants(folder, ("fp16",), images, images, np.full(len(images), NEVER)).variants["fp16"].guard
    assert made.accepts == 0.6
    assert np.mean(made.p95) < np.mean(fp32.guard.p95)


def test_the_same_images_give_the_same_bytes(
    model: Path, plain: dict[str, Path], images: np.ndarray, tmp_path: Path
) -> None:
    again = shutil.copytree(plain["efficient"], tmp_path / "test")
    add_variants(again, ("int8", "fp16"), images, images, np.full(len(images), NEVER))
    for file in model.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


@pytest.mark.parametrize("architecture", ["efficient", "residual"])
def test_folded_normalisations_change_nothing_but_the_last_digits(
    architecture: str, plain: dict[str, Path], images: np.ndarray, tmp_path: Path
) -> None:
    model = plain[architecture]
    folded = fold_normalisations(onnx.load(model / "encoder.onnx"))
    assert "BatchNormalization" not in {node.op_type for node in folded.graph.node}
    onnx.save(folded, tmp_path / "folded.onnx")
    exact = OnnxModel(model / "encoder.onnx", model / "decoder.onnx")
    fast = OnnxModel(tmp_path / "folded.onnx", model / "decoder.onnx")
    for expected, found in zip(exact.encode(images), fast.encode(images), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_variant_that_loses_accuracy_is_refused_and_the_model_stays(
    plain: dict[str, Path], images: np.ndarray, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain["efficient"], tmp_path / "test")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    lengths, _ = OnnxModel(folder / "encoder.onnx", folder / "decoder.onnx").encode(images)
    noise = np.random.default_rng(0).random((64, 1, 28, 28), np.float32) / 20  # nothing like a digit
    with pytest.raises(
        QuantizationError,
        match=r"int8 is wrong on \d+ of 60 validation images and fp32 on 0: \d+\.\d\d points more, where 0\.05",
    ):
        add_variants(folder, ("fp16", "int8"), noise, images, lengths.argmax(axis=1))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_precisions_are_read_from_a_list() -> None:
    assert read_precisions("int8, fp16") == ("int8", "fp16")
    assert read_precisions("") == ()
    with pytest.raises(QuantizationError, match="'int4' is no variant; allowed: int8, fp16"):
        read_precisions("int8,int4")
