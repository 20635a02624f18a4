"""The card: a written card is read back, and a card that is wrong says at which field."""

import copy
import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsnet.card import (
    CardError,
    Graph,
    Guard,
    Metrics,
    ModelCard,
    PoseMeaning,
    Variant,
    encoder_file,
    sha256,
)
from capsnet.config import InputSpec, ModelConfig, Record

GUARD = Guard(distance=(3.0, 4.0), ink=(8.0, 9.0), p95=(1.0, 2.0), p99=(1.5, 2.5))
METRICS = Metrics(
    dataset="mnist", images=10, errors=1, error=0.1, margin_loss=0.2, reconstruction_mse=0.03, accepted=0.9
)
CARD = ModelCard(
    name="pair",
    version="1",
    config=ModelConfig(architecture="efficient", num_classes=2),
    classes=("cat", "dog"),
    input=InputSpec(channels=1, height=28, width=28, preprocess="resize"),
    decoder=Graph(file="decoder.onnx", sha256="00"),
    variants={"fp32": Variant(encoder=Graph(file="encoder.onnx", sha256="11"), guard=GUARD, metrics=METRICS)},
    export_id="abc",
    parameters={"encoder": 1, "decoder": 2},
    pose_meaning={"cat": (PoseMeaning(dim=3, meaning="slant", score=0.8),)},
    training={"command": "python -m training fit", "seed": 0},
)


def test_a_card_is_read_as_it_was_written() -> None:
    assert ModelCard.from_json(CARD.to_json()) == CARD


def test_a_card_without_the_optional_parts_is_read() -> None:
    values = json.loads(CARD.to_json())
    for name in ("objects", "parameters", "pose_meaning", "training"):
        del values[name]
    values["variants"]["fp32"].pop("metrics")
    card = ModelCard.from_json(json.dumps(values))
    assert card.objects == 1
    assert card.variants["fp32"].metrics is None


def changed(path: str, value: Any) -> str:
    values = copy.deepcopy(json.loads(CARD.to_json()))
    *above, last = path.split(".")
    place = values
    for key in above:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(values)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", ..., "'name' is missing"),
        ("name", "", "'name' is ''; allowed is"),
        ("name", "../up", "'name' is '../up'; allowed is"),
        ("variants.fp32.encoder.sha256", ..., r"'variants\.fp32\.encoder\.sha256' is missing"),
        ("colour", "red", "'colour' is not a field"),
        ("input.preprocess", "cats", r"'input\.preprocess' should be 'mnist', 'fashion' or 'resize'"),
        ("variants.fp32.guard.p95", [1, "x"], r"'variants\.fp32\.guard\.p95\[1\]' should be a valid number"),
        ("variants.fp32.guard.accepts", 1.5, r"'accepts' is 1\.5; it must be above 0 and below 1"),
        (
            "variants.fp32.guard.p95",
            [1.0],
            r"'variants\.fp32\.guard\.p95' must have one number for each class",
        ),
        (
            "variants.fp64",
            {
                "encoder": {"file": "a", "sha256": "b"},
                "guard": {"distance": [1, 2], "ink": [1, 2], "p95": [1, 2], "p99": [1, 2]},
            },
            "among",
        ),
        ("variants", {}, "no 'fp32'"),
        ("classes", ["cat"], "'classes' has 1 names, 'config.num_classes' is 2"),
        ("classes", ["cat", "cat"], "repeats"),
        ("classes", "cat", "'classes' should be a valid array"),
        ("config.height", 36, "disagree on the image's shape"),
        ("config.height", 5, "height is 5; it must lie between"),
        ("config.num_classes", True, r"'config\.num_classes' should be a valid integer"),
        ("objects", 3, "'objects' is 3"),
        ("objects", 1.5, "'objects' should be a valid integer"),
        ("export_id", 7, "'export_id' should be a valid string"),
        (
            "variants.fp32.guard.ink",
            [8.0, float("inf")],
            r"'variants\.fp32\.guard\.ink\[1\]' should be a finite number",
        ),
        ("training", {"rates": [1.0, float("nan")]}, "'training' holds a number that is not finite"),
        ("decoder", None, "'decoder' should be an object"),
    ],
)
def test_a_wrong_card_names_its_field(path: str, value: Any, message: str) -> None:
    with pytest.raises(CardError, match=message) as caught:
        ModelCard.from_json(changed(path, value), "some/card.json")
    assert str(caught.value).startswith("some/card.json: ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS = [
    "name", "config", "config.architecture", "config.decoder_hidden", "classes", "input", "input.height", "decoder",
    "variants", "variants.fp32", "variants.fp32.guard", "variants.fp32.guard.p99", "variants.fp32.metrics",
    "objects", "parameters", "pose_meaning", "training", "export_id",
]  # fmt: skip


@given(st.sampled_from(PATHS), json_values)
def test_any_value_anywhere_gives_a_card_or_a_card_error(path: str, value: Any) -> None:
    try:
        card = ModelCard.from_json(changed(path, value))
    except CardError:
        return
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "the card: should be an object"), ("{", "the card: Invalid JSON: EOF while parsing an object")],
)
def test_a_text_that_is_no_card_says_so(text: str, message: str) -> None:
    with pytest.raises(CardError, match=message):
        ModelCard.from_json(text)


@given(st.text())
def test_any_text_gives_a_card_error(text: str) -> None:
    with pytest.raises(CardError):
        ModelCard.from_json(text)


def test_a_deeply_nested_text_gives_a_card_error() -> None:
    with pytest.raises(CardError):
        ModelCard.from_json('{"name": ' + "[" * 100_000)


def test_figures_are_stamped_by_variant() -> None:
    bare = CARD.with_metrics({})
    assert bare == CARD
    better = Metrics(**{**json.loads(json.dumps(METRICS.__dict__)), "errors": 0, "error": 0.0})
    assert CARD.with_metrics({"fp32": better}).variants["fp32"].metrics == better


def test_file_names_and_hashes(tmp_path: Path) -> None:
    assert encoder_file("fp32") == "encoder.onnx"
    assert encoder_file("int8") == "encoder.int8.onnx"
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def parts_of(kind: Any) -> set[type]:
    """The dataclasses that a type is made of."""
    inner = [part for argument in typing.get_args(kind) for part in parts_of(argument)]
    if not dataclasses.is_dataclass(kind):
        return set(inner)
    return {kind, *(part for field in typing.get_type_hints(kind).values() for part in parts_of(field))}  # type: ignore[arg-type]


def test_every_part_of_a_card_is_read_strictly() -> None:
    parts = parts_of(ModelCard)
    assert len(parts) >= 13
    assert all(issubclass(part, Record) for part in parts)
