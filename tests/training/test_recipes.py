"""Recipes: every one is commands that the command line takes, and their stages follow each other."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.architectures.registry import ARCHITECTURES
from tests.training.cli.test_cli import run
from training.cli import app
from training.data.augmentation import AUGMENTATIONS
from training.data.datasets import NAMES, describe
from training.recipes import RECIPES, UnknownRecipe, commands


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_commands_that_are_understood(name: str, tmp_path: Path) -> None:
    row = RECIPES[name]
    assert row.architecture in ARCHITECTURES
    assert {row.dataset, *row.also} <= set(NAMES)
    assert all(stage["augmentation"] in AUGMENTATIONS for stage in row.stages)
    for also in row.also:
        assert (describe(also).input, describe(also).classes) == (
            describe(row.dataset).input,
            describe(row.dataset).classes,
        )
    for words in commands(name, 1, tmp_path):
        found = CliRunner().invoke(app, [*words, "--data", str(tmp_path / "nowhere")])
        # Every option is understood: the error is that there are no such files.
        assert found.exit_code == 1
        problem = str(found.exception).lower()
        assert "no such" in problem or "cannot be read" in problem


def test_each_stage_begins_with_the_one_before_and_a_begun_one_is_resumed(tmp_path: Path) -> None:
    first, second, export, evaluate = commands("mnist-shared", 2, tmp_path)
    run_folder = tmp_path / "mnist-shared-seed-2"
    assert first[-2:] == ["--output", str(run_folder / "stage-1")]
    assert second[second.index("--start-from") + 1] == str(run_folder / "stage-1" / "last.safetensors")
    assert first[first.index("--seed") + 1] == second[second.index("--seed") + 1] == "2"
    assert export == [
        "export",
        str(run_folder / "stage-2" / "best.safetensors"),
        "--output",
        str(run_folder / "mnist-shared"),
    ]
    assert evaluate == ["evaluate", str(run_folder / "mnist-shared"), "--write-card"]
    (run_folder / "stage-1").mkdir(parents=True)
    (run_folder / "stage-1" / "state.safetensors").touch()
    assert ["--resume" in words for words in commands("mnist-shared", 2, tmp_path)] == [
        True,
        False,
        False,
        False,
    ]


def test_a_stage_with_a_share_hands_on_what_lies_between_its_weights_and_those_it_began_with(
    tmp_path: Path,
) -> None:
    words = commands("mnist", 2, tmp_path)
    ends = ["fit", "fit", "export", "evaluate"]
    assert [each[0] for each in words] == ["fit"] * 3 + ["blend", "fit", "blend", *ends]
    stages = [tmp_path / "mnist-seed-2" / f"stage-{number}" for number in range(1, 7)]
    begun, *further = [each[each.index("--start-from") + 1] for each in words if "--start-from" in each]
    assert begun == str(stages[0] / "last.safetensors")
    assert further == [
        str(stages[1] / "best.safetensors"),
        str(stages[2] / "blend.safetensors"),
        str(stages[3] / "blend.safetensors"),
        str(stages[4] / "last.safetensors"),
    ]
    for blend, begin, stage in zip((words[3], words[5]), further[:2], stages[2:4], strict=True):
        ends = ["--share", "0.5", "--output", str(stage / "blend.safetensors")]
        assert blend == ["blend", begin, str(stage / "best.safetensors"), *ends]
    assert words[-2][1] == str(stages[5] / "best.safetensors")
    assert words[-2][-4:] == ["--accept", "0.97", "--variants", "int8,fp16"]


def test_members_with_seeds_that_follow_each_other_are_exported_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        RECIPES, "three", replace(RECIPES["mnist-shared"], members=3, export={"mirrored": True})
    )
    words = commands("three", 4, tmp_path)
    assert [each[0] for each in words] == ["fit"] * 6 + ["export", "evaluate"]
    assert [each[each.index("--seed") + 1] for each in words[:6]] == ["4", "4", "5", "5", "6", "6"]
    begun = [each[each.index("--start-from") + 1] for each in words[1:6:2]]
    below = tmp_path / "three-seed-4"
    members = [below / f"member-{number}" for number in (1, 2, 3)]
    assert begun == [str(member / "stage-1" / "last.safetensors") for member in members]
    ends = [str(member / "stage-2" / "best.safetensors") for member in members]
    assert words[6] == ["export", *ends, "--output", str(below / "three"), "--mirrored"]


def test_networks_that_stop_at_an_error_are_compared_as_they_are_then(tmp_path: Path) -> None:
    for name in ("translated-capsnet", "translated-efficient", "translated-cnn"):
        fit, export, *_ = commands(name, 0, tmp_path)
        assert fit[fit.index("--until-error") + 1] == "0.008"
        assert export[1] == str(tmp_path / f"{name}-seed-0" / "stage-1" / "last.safetensors")


def test_the_commands_are_printed_and_the_recipes_listed(tmp_path: Path) -> None:
    shown = run("recipe", "translated-efficient", "--seed", "4", "--dry-run", "--output", tmp_path).stdout
    assert len(shown.splitlines()) == 4
    assert shown.splitlines()[-1].endswith("--dataset affnist")
    listed = CliRunner().invoke(app, ["recipes"]).stdout
    assert all(name in listed for name in RECIPES)
    assert re.search(r"48 \+ 4 \+ 64 \+ 36 \+ 12 \+ 5 +0, 1, 2", listed)
    assert re.search(r"cnn-residual +12 +0, 1, 2", listed)


def test_an_unknown_recipe_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownRecipe, match="no recipe 'mnits'; there are mnist, mnist-three, fashion_mnist"):
        commands("mnits", 0, tmp_path)


def test_a_teacher_is_trained_first_and_the_stages_with_a_weight_learn_from_it(tmp_path: Path) -> None:
    teacher, alone, taught, *_ = commands("fashion_mnist-taught", 0, tmp_path)
    kept = str(tmp_path / "fashion_mnist-taught-seed-0" / "teacher" / "last.safetensors")
    assert teacher[teacher.index("--architecture") + 1] == "cnn-residual"
    assert teacher[teacher.index("--output") + 1] == str(Path(kept).parent)
    assert "--teacher" not in alone
    assert taught[taught.index("--teacher") + 1] == kept
    # Whom one learns from must not have seen the images that one is validated on.
    assert len({words[words.index("--validation") + 1] for words in (teacher, alone, taught)}) == 1


def test_a_residual_row_is_exported_with_its_options_and_pairs_are_drawn_ten_times(tmp_path: Path) -> None:
    *fits, export, evaluate = commands("fashion_mnist", 1, tmp_path)
    assert all(words[words.index("--split-seed") + 1] == "0" for words in fits)
    assert export[-3:] == ["--mirrored", "--variants", "fp16"]
    assert evaluate[-1] == "--write-card"
    assert commands("multimnist", 0, tmp_path)[-1][-2:] == ["--draws", "10"]
