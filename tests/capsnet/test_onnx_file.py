"""Graphs whose weights lie in other files are refused: no hash covers these."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capsnet.card import CardError, ModelCard, sha256
from capsnet.onnx_file import has_external_data
from tests.app.server_process import free_port, run_app
from tests.app.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]


def outside(values: np.ndarray, name: str = "weights") -> TensorProto:
    tensor = numpy_helper.from_array(values, name)
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def in_a_node(tensor: TensorProto) -> bytes:
    graph = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "g", [], [])
    return bytes(helper.make_model(graph).SerializeToString())


def in_a_branch(tensor: TensorProto) -> bytes:
    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "then", [], [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return bytes(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())


def in_a_function(tensor: TensorProto) -> bytes:
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    function = helper.make_function("d", "f", [], ["y"], [node], [helper.make_opsetid("", 18)])
    model = helper.make_model(helper.make_graph([], "g", [], []), functions=[function])
    return bytes(model.SerializeToString())


def in_a_sparse_tensor(tensor: TensorProto) -> bytes:
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.zeros(4, np.int64)), [9])
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
    return bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("place", [in_a_node, in_a_branch, in_a_function, in_a_sparse_tensor])
def test_a_tensor_elsewhere_is_found_wherever_it_is_named(place: object) -> None:
    values = np.ones(4, np.float32)
    assert has_external_data(place(outside(values)))  # type: ignore[operator]
    assert not has_external_data(place(numpy_helper.from_array(values)))  # type: ignore[operator]


def test_what_is_no_graph_has_none() -> None:
    for data in (b"", b"\x3a", b"\x3a\xff", b"nonsense", bytes(range(256))):
        assert not has_external_data(data)


@pytest.mark.parametrize("graph", sorted(ROOT.glob("artifacts/*/*.onnx")), ids=lambda path: path.name)
def test_the_shipped_graphs_are_whole(graph: Path) -> None:
    assert not has_external_data(graph.read_bytes())


def test_a_model_with_weights_in_another_file_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    card = write_tiny_model(folder)
    model = onnx.load(folder / "decoder.onnx")
    onnx.save(
        model, folder / "decoder.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace(card.decoder.sha256, sha256(folder / "decoder.onnx")))
    with pytest.raises(CardError, match="keeps weights in another file"):
        ModelCard.load(folder).check_files(folder)
    result = run_app(models=tmp_path, port=free_port())
    assert result.returncode == 1
    assert (
        "decoder.onnx: keeps weights in another file, which the card's hash does not cover" in result.stderr
    )
