"""The generator against its published known answers, and what the data pipeline relies on."""

import pytest
import torch

from training.data import keyed_random


@pytest.mark.parametrize(
    ("left", "right", "key", "expected"),
    [  # the known-answer vectors of philox2x32-10 in the authors' Random123
        (0x00000000, 0x00000000, 0x00000000, (0xFF1DAE59, 0x6CD10DF2)),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_philox_gives_the_published_answers(
    left: int, right: int, key: int, expected: tuple[int, int]
) -> None:
    found = keyed_random.philox(torch.tensor([left]), torch.tensor([right]), key)
    assert tuple(int(word) for word in found) == expected


def test_a_sample_draws_the_same_in_any_batch() -> None:
    together = keyed_random.uniform(7, 3, torch.arange(100), 5)
    alone = keyed_random.uniform(7, 3, torch.tensor([42]), 5)
    assert torch.equal(together[42:43], alone)


def test_seed_stream_sample_and_position_all_matter() -> None:
    base = keyed_random.uniform(0, 0, torch.arange(1000), 4)
    for other in (
        keyed_random.uniform(1, 0, torch.arange(1000), 4),
        keyed_random.uniform(0, 1, torch.arange(1000), 4),
    ):
        assert float((base == other).float().mean()) < 0.001
    assert len(set(base.flatten().tolist())) > 3990


def test_uniform_and_normal_have_their_moments() -> None:
    u = keyed_random.uniform(0, 0, torch.arange(50_000), 4)
    assert 0 <= float(u.min()) < float(u.max()) < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(u.var()) == pytest.approx(1 / 12, abs=0.002)
    z = keyed_random.normal(0, 0, torch.arange(50_000), 4)
    assert float(z.mean()) == pytest.approx(0, abs=0.01)
    assert float(z.std()) == pytest.approx(1, abs=0.01)
    assert torch.isfinite(z).all()


def test_permutation_visits_every_sample_once_and_differs_by_epoch() -> None:
    cpu = torch.device("cpu")
    first, second = (keyed_random.permutation(0, stream, 1000, cpu) for stream in (0, 4))
    assert torch.equal(first.sort().values, torch.arange(1000))
    assert torch.equal(second.sort().values, torch.arange(1000))
    assert not torch.equal(first, second)
