"""The store: which folders are models, and which files it refuses. (Refusals of the whole start: test_start.)"""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadRequest, DeviceError, ModelError
from app.inference import models
from app.inference.model_loading import Repository
from app.inference.model_repository import discover_models, open_models
from app.inference.runtime.device import Device
from app.inference.runtime.engine import Engine
from app.inference.service import InferenceService
from app.settings import Settings
from capsnet.card import Graph, ModelCard, Validation, Variant
from tests.app.tiny_model import write_card, write_tiny_model


def test_finds_models_by_the_name_on_their_card(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "a")
    write_tiny_model(tmp_path / "b", name="leaves")
    assert {name: model.folder.name for name, model in discover_models(tmp_path).items()} == {
        "mnist": "a",
        "leaves": "b",
    }


def test_takes_the_folder_of_a_single_model(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "mine", name="leaves")
    assert list(discover_models(tmp_path / "mine")) == ["leaves"]


def test_passes_over_what_is_no_model(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "mnist")
    write_tiny_model(tmp_path / ".half-written")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("models")
    assert list(discover_models(tmp_path)) == ["mnist"]


def test_passes_over_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As lost+found at the root of a volume; made to look like it, since nothing is hidden from root."""
    write_tiny_model(tmp_path / "mnist")
    (tmp_path / "lost+found").mkdir()
    exists = Path.exists

    def refusing(path: Path, **options: bool) -> bool:
        if path.parent.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", refusing)
    assert list(discover_models(tmp_path)) == ["mnist"]


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as refused:
        discover_models(folder)
    return str(refused.value)


@pytest.mark.parametrize("file", ["encoder.onnx", "decoder.onnx", "card.json"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    write_tiny_model(tmp_path / "mnist")
    (tmp_path / "mnist" / file).unlink()
    assert refusal(tmp_path).startswith(f"{tmp_path / 'mnist' / file}: cannot be read")


@pytest.mark.parametrize("file", ["encoder.onnx", "decoder.onnx"])
def test_swapped_graphs_are_named(tmp_path: Path, file: str) -> None:
    write_tiny_model(tmp_path / "mnist")
    write_tiny_model(tmp_path / "other", name="other", pose_dim=8)
    (tmp_path / "mnist" / file).write_bytes((tmp_path / "other" / file).read_bytes())
    assert refusal(tmp_path).startswith(f"{tmp_path / 'mnist' / file}: is not the file its card speaks of")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"name": 3}'])
def test_a_card_that_is_no_card_is_named(tmp_path: Path, content: bytes) -> None:
    write_tiny_model(tmp_path / "mnist")
    card = tmp_path / "mnist" / "card.json"
    card.write_bytes(content)
    assert refusal(tmp_path).startswith(f"{card}: ")


def test_two_models_of_one_name_are_both_named(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "a")
    write_tiny_model(tmp_path / "b")
    assert refusal(tmp_path) == f"{tmp_path / 'b'}: is called 'mnist', and so is {tmp_path / 'a'}"


@pytest.mark.parametrize("folders", [2, 3])
def test_of_models_of_one_name_none_is_opened_and_each_more_is_named(tmp_path: Path, folders: int) -> None:
    for number in range(folders):
        write_tiny_model(tmp_path / f"copy-{number}")
    write_tiny_model(tmp_path / "leaves", name="leaves")
    models, errors = open_models(tmp_path)
    assert list(models) == ["leaves"]
    first = tmp_path / "copy-0"
    assert errors == [
        f"{tmp_path / f'copy-{number}'}: is called 'mnist', and so is {first}" for number in range(1, folders)
    ]


def test_a_missing_folder_is_an_error_and_no_exception(tmp_path: Path) -> None:
    models, errors = open_models(tmp_path / "gone")
    assert not models
    assert errors[0].startswith(f"{tmp_path / 'gone'}: there is no such folder")


def test_a_card_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    card = write_tiny_model(tmp_path / "mnist")
    write_card(tmp_path / "mnist", card, decoder=Graph(file="../x.onnx", sha256=card.decoder.sha256))
    assert "'../x.onnx' must be the name of a file beside the card" in refusal(tmp_path)


def with_variant(
    card: ModelCard, precision: str, error: float | None, exact: float | None = 0.003
) -> ModelCard:
    """The card with measurements, and with a second variant that errs on this share of the validation images."""

    def measured(share: float | None) -> Variant:
        validation = None
        if share is not None:
            validation = Validation(
                images=5000, errors=round(share * 5000), error=share, pose_difference=0.01
            )
        return dataclasses.replace(card.variants["fp32"], validation=validation)

    return dataclasses.replace(card, variants={"fp32": measured(exact), precision: measured(error)})


@pytest.mark.parametrize(
    ("precision", "error", "exact", "on_gpu", "chosen", "reason"),
    [
        (
            "int8",
            0.0034,
            0.003,
            False,
            "int8",
            "fastest on a CPU: int8 errs on 0.34 % of the validation images, fp32",
        ),
        (
            "int8",
            0.0036,
            0.003,
            False,
            "fp32",
            "int8 errs on 0.36 % of the validation images, fp32 on 0.30 %",
        ),
        ("int8", 0.0030, 0.003, True, "fp32", "the model has no fp16"),
        ("fp16", 0.0030, 0.003, True, "fp16", "fastest on a GPU: fp16 errs on 0.30 %"),
        ("fp16", 0.0030, 0.003, False, "fp32", "the model has no int8"),
        ("int8", None, 0.003, False, "fp32", "the card does not compare the errors of int8 and fp32"),
        ("int8", 0.0030, None, False, "fp32", "the card does not compare the errors of int8 and fp32"),
    ],
)
def test_auto_takes_the_fast_variant_only_where_the_card_says_it_is_as_good(
    tmp_path: Path,
    precision: str,
    error: float | None,
    exact: float | None,
    on_gpu: bool,
    chosen: str,
    reason: str,
) -> None:
    card = write_tiny_model(tmp_path / "mnist")
    write_card(tmp_path / "mnist", with_variant(card, precision, error, exact))
    (model,) = discover_models(tmp_path).values()
    taken, why = model.choose_precision("auto", on_gpu)
    assert taken == chosen
    assert why.startswith(reason)
    assert model.choose_precision(precision, on_gpu) == (precision, "CAPSNET_PRECISION asks for it")
    assert json.loads((tmp_path / "mnist" / "card.json").read_text())["name"] == "mnist"


@pytest.mark.parametrize("error", [DeviceError("mnist ended up on the CPU"), RuntimeError("out of memory")])
def test_a_device_that_takes_no_model_is_the_fault_of_one_load(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a GPU is full: other models stay, and those behind it are loaded."""
    write_tiny_model(tmp_path / "mnist")

    async def scenario() -> None:
        service = InferenceService.load(Settings(models=tmp_path))
        repository = Repository(service, tmp_path)
        write_tiny_model(tmp_path / "a-full", name="full")
        write_tiny_model(tmp_path / "behind", name="behind")
        engine = Engine

        def limited(device: Device, encoder: Path, *more: Any) -> Engine:
            if encoder.parent.name == "a-full":
                raise error
            return engine(device, encoder, *more)

        monkeypatch.setattr(models, "Engine", limited)
        with pytest.raises(BadRequest, match=rf"a-full: cannot be loaded onto the device: {error}"):
            await repository.load("full")
        await repository.reload()
        assert {model.card.name for model in service.models} == {"mnist", "behind"}
        await service.close()

    asyncio.run(scenario())
