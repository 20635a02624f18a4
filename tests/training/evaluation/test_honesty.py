"""Figures about a model of a folder, beside what would be reached without one."""

import numpy as np
import pytest

from training.evaluation.honesty import Verdict, judge, nearest_neighbours, refused_share
from training.evaluation.intervals import wilson


def test_the_interval_of_a_folder_is_wilsons() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)


def test_a_guard_from_few_images_of_a_folder_is_less_sure() -> None:
    random = np.random.default_rng(0)
    refused = [(random.random(1000) > np.percentile(random.random(40), 95)).mean() for _ in range(1000)]
    low, high = np.percentile(refused, (2.5, 97.5))
    assert refused_share(40) == pytest.approx((low, high), abs=0.02)
    assert refused_share(2000)[1] < 0.061
    assert 0.02 < refused_share(2000, 0.97)[0] < 0.03 < refused_share(2000, 0.97)[1] < 0.04
    assert refused_share(40, own=True)[0] < low
    assert refused_share(40, own=True)[1] < high
    assert 0.05 < refused_share(5, own=True)[1] < 0.15
    assert refused_share(1, own=True)[1] < 0.25


def test_a_model_of_a_folder_near_chance_is_known() -> None:
    assert Verdict(images=20, wrong=12, chance=0.67, neighbour=0.5).near_chance
    assert not Verdict(images=20, wrong=1, chance=0.67, neighbour=0.5).near_chance


def test_a_folders_model_is_judged_beside_the_nearest_image() -> None:
    seen = np.stack([np.full((1, 2, 2), value, np.uint8) for value in (0, 100, 200)])
    images = np.stack([np.full((1, 2, 2), value, np.uint8) for value in (10, 190, 110, 90)])
    assert nearest_neighbours(images, seen).tolist() == [0, 2, 1, 1]
    found = judge(np.array([0, 0, 1, 1]), images, np.array([0, 1, 1, 1]), seen, np.array([0, 1, 1]))
    assert (found.wrong, found.neighbour, found.chance) == (1, 0.0, 0.25)
