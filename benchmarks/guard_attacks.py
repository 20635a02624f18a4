"""Attack stricter guards: what an attacker who knows the guard loses by each, and how many good images it refuses.

    python -m benchmarks.guard_attacks MODEL

MODEL is an exported model or a checkpoint. Several of them are attacked as one: the length of a class is then the
smallest of theirs, so all must name the same class, and its drawing is the mean of theirs. The attack is the adaptive
one of `training.evaluation.adversarial`. It lowers the anomaly score, whatever the threshold is. So one attack is
judged by several thresholds: percentiles of the scores of the images that were held out of the training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from torch import Tensor, nn

from capsnet.card import Guard
from capsnet.guard import MIN_IMAGES, anomaly_scores, distance, enough
from model.checkpoint import load_network
from model.export.exporter import fit_guard
from model.export.to_pytorch import restore
from model.nn.layers import CapsuleNetwork
from training.data.datasets import load
from training.evaluation.adversarial import ATTACKS, BATCH, EPSILONS, perturb
from training.evaluation.evaluate import TorchModel, open_candidate
from training.reporting.results_page import markdown
from training.trainer.device_data import held_out, held_out_count

ATTACK = "adaptive PGD"
PERCENTILES = (95, 90, 80)


class Agreeing(CapsuleNetwork):
    """Networks that must agree: a class is as long as the shortest of its capsules, and is drawn by all of them."""

    def __init__(self, networks: Sequence[CapsuleNetwork]) -> None:
        nn.Module.__init__(self)
        self.networks = nn.ModuleList(networks)
        self.config = networks[0].config

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest lengths (B,J), and the poses of all networks side by side (B,J,K*D)."""
        lengths, poses = zip(*(each.encode(images) for each in self._members()), strict=True)
        return torch.stack(lengths).amin(dim=0), torch.cat(poses, dim=2)

    def decode(self, poses: Tensor, label: Tensor) -> Tensor:
        """Return the mean drawing (B,C,H,W) of poses (B,J,K*D) and classes (B,)."""
        parts = poses.chunk(len(self.networks), dim=2)
        drawn = [each.decode(part, label) for each, part in zip(self._members(), parts, strict=True)]
        return torch.stack(drawn).mean(dim=0)

    def _members(self) -> Iterator[CapsuleNetwork]:
        return (each for each in self.networks if isinstance(each, CapsuleNetwork))


def main(
    models: Annotated[list[Path], typer.Argument(help="Exported models or checkpoints; several must agree.")],
    images: Annotated[int, typer.Option(min=1, help="Test images to attack, from the first.")] = 200,
    data: Annotated[Path | None, typer.Option(envvar="CAPSNET_DATA")] = None,
) -> None:
    """Print a table: how often the attack is wrong and accepted, by strength and threshold."""
    network = load_all(models)
    origin = open_candidate(models[0])
    test = load(origin.trained_on, "test", data, spec=origin.input)
    guards = guards_of(network, held_out_images(models[0], data))
    plain = torch.from_numpy(test.images).float() / 255
    rows = [["none", "0", *judged(network, guards, plain, test.labels, only_wrong=False)]]
    for epsilon in EPSILONS:
        attacked = attack(network, plain[:images], test.labels[:images], epsilon, guards[0])
        rows.append([ATTACK, f"{epsilon:g}", *judged(network, guards, attacked, test.labels[:images])])
    heading = [f"wrong and accepted %, threshold at percentile {each}" for each in PERCENTILES]
    steps = f"{ATTACKS[ATTACK].steps} steps, {ATTACKS[ATTACK].starts} starts"
    text = f"{images} test images, {steps}. Without an attack: good test images that are refused, of {len(plain):,}."
    console = Console()
    console.print(markdown(["attack", "ε", "wrong %", *heading], rows, left=2), soft_wrap=True)
    console.print(text, soft_wrap=True, highlight=False)


def load_all(models: Sequence[Path]) -> CapsuleNetwork:
    """Return the network of a model, or several as one, in evaluation mode and without gradients of its weights."""
    networks = [restore(path)[0] if path.is_dir() else load_network(path)[0] for path in models]
    network = networks[0] if len(networks) == 1 else Agreeing(networks)
    return network.eval().requires_grad_(False)


def held_out_images(path: Path, data: Path | None) -> np.ndarray:
    """Return the images (N,C,H,W) that a model held out of its training."""
    origin = open_candidate(path)
    source = origin.held_out
    assert source is not None, f"{path}: its card does not say how it was trained"
    training = load(origin.trained_on, "train", data, spec=origin.input)
    part = held_out(training, source.seed, held_out_count(training, source.validation), torch.device("cpu"))
    return part.floats(slice(None)).numpy()


def guards_of(network: CapsuleNetwork, good: np.ndarray) -> list[Guard]:
    """Return a guard for each percentile, from good images (N,C,H,W); its field `p95` is that percentile."""
    guard = fit_guard(TorchModel(network), good)
    label, scores = scored(network, guard, torch.from_numpy(good))
    members = enough([label == own for own in range(len(guard.p95))], MIN_IMAGES)
    return [
        replace(guard, p95=tuple(float(np.percentile(scores[own], percentile)) for own in members))
        for percentile in PERCENTILES
    ]


@torch.inference_mode()
def scored(network: CapsuleNetwork, guard: Guard, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return classes (B,) and anomaly scores (B,) of images (B,C,H,W)."""
    labels, scores = [], []
    for part in torch.split(images, BATCH):
        lengths, _, drawn = (each.numpy() for each in network(part))
        labels.append(lengths.argmax(axis=1))
        scores.append(anomaly_scores(guard, distance(part.numpy(), drawn), part.numpy(), lengths))
    return np.concatenate(labels), np.concatenate(scores)


def judged(
    network: CapsuleNetwork,
    guards: Sequence[Guard],
    images: Tensor,
    truth: np.ndarray,
    *,
    only_wrong: bool = True,
) -> list[str]:
    """Return percentages: wrong, then for each guard wrong and accepted, or refused though the class is right."""
    label, scores = scored(network, guards[0], images)
    wrong = label != truth
    shares = [wrong.mean()]
    for guard in guards:
        accepted = scores <= np.array(guard.p95)[label]
        shares.append((wrong & accepted).mean() if only_wrong else (~wrong & ~accepted).mean())
    return [f"{100 * share:.1f}" for share in shares]


def attack(
    network: CapsuleNetwork, images: Tensor, truth: np.ndarray, epsilon: float, guard: Guard
) -> Tensor:
    """Return images (B,C,H,W), each moved by at most epsilon, that are wrong and as near the guard's ideal as found."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(truth)
    return torch.cat(
        [
            perturb(
                network, part, labels[n * BATCH : (n + 1) * BATCH], ATTACKS[ATTACK], epsilon, generator, guard
            )
            for n, part in enumerate(torch.split(images, BATCH))
        ]
    )


if __name__ == "__main__":
    typer.run(main)
