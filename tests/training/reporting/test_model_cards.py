"""Model cards in Markdown: complete, current, and in plain English."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capsnet.card import ModelCard
from docs.tools.check_english import LISTED, is_long, prose, sentences
from model.export.exporter import MODEL_CARD_FILE
from training.cli import app
from training.reporting.model_cards import model_card

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = sorted(path.parent for path in (ROOT / "artifacts").glob("*/card.json"))
SECTIONS = ("Description", "Training", "Figures", "Pose dimensions", "Limits", "Use", "Rebuild", "Licence")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_committed_model_card_is_current(folder: Path) -> None:
    expected = model_card(ModelCard.load(folder), folder.relative_to(ROOT))
    found = (folder / MODEL_CARD_FILE).read_text(encoding="utf-8")
    assert found == expected, "run `python -m training cards`"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_model_card_has_every_section_and_figure(folder: Path) -> None:
    card = ModelCard.load(folder)
    text = (folder / MODEL_CARD_FILE).read_text(encoding="utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    for variant in card.variants.values():
        if variant.metrics is not None:
            assert f"| {variant.metrics.errors} of " in text
    for command in str(card.training["command"]).split(" && "):
        assert f"{command}\n" in text
    assert f"python -m training recipe {card.name} --seed 0\n" in text


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_model_card_is_in_plain_english(folder: Path) -> None:
    text = (folder / MODEL_CARD_FILE).read_text(encoding="utf-8").partition("---\n\n")[2]
    assert not [sentence for sentence in sentences(text) if is_long(sentence)]
    assert not LISTED.findall(prose(text))


def test_the_command_writes_a_card_for_a_model_without_figures_or_a_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(FOLDERS[0] / "card.json", folder)
    card = ModelCard.load(folder)
    plain = {"fp32": dataclasses.replace(card.variants["fp32"], metrics=None)}
    card = dataclasses.replace(
        card, name="mine", variants=plain, pose_meaning={}, training={"dataset": "folder:leaves"}
    )
    (folder / "card.json").write_text(card.to_json())
    done = CliRunner().invoke(app, ["cards", str(folder)])
    assert done.exit_code == 0, done.output
    text = (folder / MODEL_CARD_FILE).read_text(encoding="utf-8")
    assert "Not measured yet" in text
    assert "Run the commands under *Training*" in text
    assert "`folder:leaves`" in text
    assert f"evaluate {folder.as_posix()} --dataset folder:PATH --write-card" in text
    assert "images of your own" in text
    assert "pache" not in text
    public = model_card(dataclasses.replace(card, training={"dataset": "cifar10"}), folder)
    assert "license: apache-2.0" in public
    assert "images of your own" not in public
