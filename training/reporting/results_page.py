"""Write measured numbers into docs/results.md; none is copied by hand.

A table stands between `<!-- figures: NAME -->` and `<!-- end -->`; in place of a missing one stands the command that
measures it. Numbers come from results/NAME.json beside the page, and from the cards of the models that ship.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from capsnet.card import CARD_FILE, ModelCard
from capsnet.config import ModelConfig
from training.evaluation.intervals import fisher_p
from training.reporting.tables import draws, interval
from training.trainer.data_lineage import made_by

ARTIFACTS = Path("artifacts")
AFFINE_CHART = "affine.png"
# The small chart of the README.
COMPARISON_CHART = "comparison.png"
PLACEHOLDER = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# The log of every stage of a model that ships: NAME/stage-1.csv and so on.
LOGS = Path("docs") / "results" / "logs"
# Published errors in percent, of 10,000 test images. Most are the best epoch on the test set.
ANCHOR_IMAGES = 10_000
ANCHORS = {
    "mnist": {
        "HVC, single (Byerly et al. 2021)": 0.17,
        "HVC, ensemble chosen on the test set (same)": 0.13,
        "Max-Min CapsNet, single": 0.20,
        "Max-Min CapsNet, ensemble": 0.17,
        "CapsNet (Sabour et al. 2017), mean of 3, ± 0.005": 0.25,
        "Efficient-CapsNet (Mazzia et al. 2021)": 0.26,
    },
    "fashion_mnist": {
        "DeepCaps (Rajasegaran et al. 2019), ensemble": 5.27,
        "DeepCaps, single": 5.54,
        "Multi-level DCNet": 5.35,
        "ResNet-20 with random erasing (Zhong et al. 2017), a CNN": 4.02,
        "WRN-28-10 with random erasing (same), a CNN": 3.65,
    },
}
Result = dict[str, Any]


def render_results_page(output: Path) -> list[Path]:
    """Fill results.md in a folder, if present, from results/*.json beside it; return the filled pages."""
    page = output / "results.md"
    if not page.is_file():
        return []
    results = read_results(output)
    text = page.read_text(encoding="utf-8")
    page.write_text(
        PLACEHOLDER.sub(lambda found: found[1] + section(found[2], results) + found[3], text),
        encoding="utf-8",
    )
    return [page]


def read_results(output: Path) -> list[Result]:
    """Return the measured values of each model, by the names of their files."""
    return [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / "results").glob("*.json"))
    ]


def section(name: str, results: list[Result]) -> str:
    """Return the text for one placeholder in the page, ending in a newline."""
    own = [result for result in results if name in result]
    if name in CARDS:
        return CARDS[name](_cards())
    command = name if name in OWN_COMMANDS else "report"
    return (
        TABLES[name](own)
        if own
        else f"Not run; `python -m training {command} {COMMANDS[name]}` measures it.\n"
    )


def markdown(heading: list[str], rows: Iterable[list[str]], left: int = 1) -> str:
    """Return a table whose columns after the first `left` are numbers."""
    rule = ["---"] * left + ["---:"] * (len(heading) - left)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [heading, rule, *rows])


def _cards() -> list[ModelCard]:
    return [ModelCard.load(path.parent) for path in sorted(ARTIFACTS.glob(f"*/{CARD_FILE}"))]


def _errors(cards: list[ModelCard]) -> str:
    """Return the figures on the test set from the cards of the shipped models."""
    rows = [
        [
            f"`{card.name}`",
            _architecture(card),
            precision,
            f"{m.errors} of {m.images * card.objects:,}",
            f"{100 * m.error:.2f}",
            interval(m),
            draws(m) or "–",
            "" if m.accepted is None else f"{100 * m.accepted:.1f}",
            f"`python -m training evaluate artifacts/{card.name}`",
        ]
        for card in cards
        for precision, variant in card.variants.items()
        if (m := variant.metrics) is not None
    ]
    heading = [
        "model",
        "architecture",
        "variant",
        "errors",
        "error %",
        "95 % (Wilson)",
        "ten draws %",
        "accepted %",
        "command",
    ]
    return markdown(heading, rows, left=3)


def _compute(cards: list[ModelCard]) -> str:
    """Return what each shipped model costs: to train, and for an image."""
    heading = [
        "model",
        "seeds",
        "encoder's parameters",
        "multiply-adds an image",
        "images seen",
        "core-hours",
    ]
    return markdown(heading, [_compute_of(card) for card in cards])


def _compute_of(card: ModelCard) -> list[str]:
    stages = made_by(ARTIFACTS / card.name, card).stages
    whole = card.training["training_images"] + card.training["validation_images"]
    seen = sum(stage.epochs * (whole - min(stage.validation, whole // 10)) for stage in stages)
    seeds = sorted({stage.seed for stage in stages})
    logs = sorted((LOGS / card.name).glob("*.csv"))
    hours = (
        sum(
            float(row["seconds"])
            for log in logs
            for row in csv.DictReader(log.read_text(encoding="utf-8").splitlines())
        )
        / 3600
    )
    return [
        f"`{card.name}`",
        ", ".join(map(str, seeds)),
        f"{card.parameters['encoder']:,}",
        f"{multiply_adds(card) / 1e6:.0f} M",
        f"{seen / 1e6:.1f} M",
        f"{hours:.1f}" if logs else "log not kept",
    ]


def multiply_adds(card: ModelCard) -> int:
    """Return the multiply-adds of an encoder for one image: convolutions and products of matrices."""
    import torch  # slow to import
    from torch.utils.flop_counter import FlopCounterMode

    from model.architectures.registry import build

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        build(card.config).eval().encode(torch.zeros(1, *card.config.image_shape))
    views = card.members * (2 if card.mirrored else 1)
    return views * int(counter.get_total_flops()) // 2


def _anchors(cards: list[ModelCard]) -> str:
    """Return published errors on 10,000 test images beside the shipped models', and Fisher's p of each pair."""
    rows = []
    for card in cards:
        m = card.variants["fp32"].metrics
        if m is None or card.training.get("dataset") not in ANCHORS or m.images != ANCHOR_IMAGES:
            continue
        for name, percent in ANCHORS[card.training["dataset"]].items():
            errors = round(percent / 100 * m.images)
            p = fisher_p(m.errors, errors, m.images)
            rows.append([f"`{card.name}`", name, f"{100 * m.error:.2f}", f"{percent:.2f}", f"{p:.2g}"])
    return markdown(["model", "published", "error %", "published error %", "Fisher's p"], rows, left=2)


def _architecture(card: ModelCard) -> str:
    """Return the name of an architecture with its special options: primary capsules, networks, mirrored images."""
    config = card.config
    words = [config.architecture]
    if config.primary_capsules != ModelConfig.primary_capsules:
        words.append(f"{config.primary_capsules} primary capsules")
    if card.members > 1:
        words.append(f"{card.members} networks")
    if card.mirrored:
        words.append("mirrored images too")
    return ", ".join(words)


def _calibration(results: list[Result]) -> str:
    heading = ["model", "right %", "mean length", "expected calibration error %"]
    rows = [
        [
            f"`{r['model']}`",
            f"{100 * c['accuracy']:.2f}",
            f"{c['mean_length']:.3f}",
            f"{100 * c['error']:.2f}",
        ]
        for r in results
        if (c := r["calibration"])
    ]
    return markdown(heading, rows)


def _meaning(results: list[Result]) -> str:
    return "\n".join(f"`{result['model']}`:\n\n{_meaning_of(result['meaning'])}" for result in results)


def _meaning_of(meaning: Result) -> str:
    properties = meaning["properties"]
    rows = []
    for label, found in meaning["classes"].items():
        named = ", ".join(f"{m['dim']} {m['meaning']} ({m['score']:.2f})" for m in found["named"])
        rows.append([label, named or "none", *(f"{share:.2f}" for share in found["whole"])])
    return markdown(["class", "dimensions with a meaning (held-out R² alone)", *properties], rows, left=2)


def _directions(results: list[Result]) -> str:
    """Return a row for each model and property: medians over the classes, and the classes that are named."""
    heading = [
        "model", "property", "classes named", "linearity R²", "agreement", "vector R²", "curve R²", "map R²",
        "drawn slope", "drawn R²", "leak", "length",
    ]  # fmt: skip
    keys = (
        "linearity",
        "agreement",
        "by_vector",
        "by_curve",
        "by_map",
        "drawn_slope",
        "drawn_r2",
        "leak",
        "length",
    )
    rows = []
    for result in results:
        classes = result["directions"]["classes"]
        for index, first in enumerate(next(iter(classes.values()))):
            found = {label: each[index] for label, each in classes.items()}
            named = [label for label, each in found.items() if not each["failed"]]
            count = f"{len(named)} of {len(found)}"
            if 0 < len(named) < len(found):
                count += f": {', '.join(named)}"
            figures = [_median([each.get(key) for each in found.values()]) for key in keys]
            rows.append([f"`{result['model']}`", f"{first['property']}, {first['unit']}", count, *figures])
    counts = ", ".join(f"`{r['model']}` {r['directions']['images']}" for r in results)
    return f"{markdown(heading, rows, left=3)}\nTraining images of each class: {counts}; a third of them score.\n"


def _median(figures: Sequence[float | None]) -> str:
    """Return the median with two digits; a dash where an older measurement has none."""
    known = [each for each in figures if each is not None]
    return f"{median(known):.2f}" if known else "-"


def _faithfulness(results: list[Result]) -> str:
    """Return how long the capsule stays as ever more tiles are covered: the highest ranked first, or any."""
    heading = [
        "model",
        "test images",
        "mean length, random order",
        "by occlusion",
        "lower than random in % of images",
        "by votes",
        "lower than random in % of images",
    ]
    rows = [
        [
            f"`{result['model']}`",
            f"{found['images']:,}",
            f"{found['random']:.3f}",
            f"{found['ranked']:.3f}",
            f"{100 * found['lower']:.1f}",
            "no place" if found.get("votes") is None else f"{found['votes']:.3f}",
            "" if found.get("votes") is None else f"{100 * found['votes_lower']:.1f}",
        ]
        for result in results
        if (found := result["faithfulness"])
    ]
    return markdown(heading, rows)


def _attacks(results: list[Result]) -> str:
    heading = [
        "attack",
        "ε",
        "model",
        "right %",
        "attacks that succeed %",
        "of these caught %",
        "wrong and accepted %",
    ]
    by_attack: dict[tuple[str, float], list[tuple[str, Result]]] = {}
    for result in results:
        for row in result["attacks"]:
            by_attack.setdefault((row["attack"], row["epsilon"]), []).append((result["model"], row))
    rows = [
        [
            attack,
            f"{epsilon:g}",
            f"`{name}`",
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['success']:.1f}",
            "-" if row["caught"] is None else f"{100 * row['caught']:.1f}",
            f"{100 * row['undetected']:.1f}",
        ]
        for (attack, epsilon), found in by_attack.items()
        for name, row in found
    ]
    counts = ", ".join(f"`{r['model']}` {r['attacks'][0]['images']:,}" for r in results)
    return f"{markdown(heading, rows, left=3)}\nTest images attacked: {counts}.\n"


def _pairs(results: list[Result]) -> str:
    names = {
        "digits_right": "digits right",
        "exact_match": "both right",
        "squared_error_own": "squared error to its own digit",
        "squared_error_other": "squared error to the other digit",
        "light_present": "light drawn for a digit that is there",
        "light_absent": "light drawn for the likeliest that is not",
    }
    heading = ["", *(f"`{result['model']}`" for result in results)]
    rows = [[text, *(f"{result['pairs'][key]:.4g}" for result in results)] for key, text in names.items()]
    return markdown(heading, rows)


def _affine(results: list[Result]) -> str:
    """Return the accuracies of the networks side by side: on their own test set, then on the others."""
    sets = list(results[0]["affine"]["accuracy"])
    heading = [
        "model",
        "architecture",
        "encoder's parameters",
        "epochs",
        "validation error %",
        *(f"right on `{name}` %" for name in sets),
        "points lost",
    ]
    rows = [
        [
            f"`{result['model']}`",
            found["architecture"],
            f"{found['parameters']:,}",
            f"{found['best_epoch']}",
            f"{100 * found['validation_error']:.2f}",
            *(f"{100 * found['accuracy'][name]:.2f}" for name in sets),
            f"{100 * (found['accuracy'][sets[0]] - found['accuracy'][sets[-1]]):.2f}",
        ]
        for result in results
        if (found := result["affine"])
    ]
    caption = "Shares classified rightly on the test sets, and under each deformation alone at each strength"
    return f"{markdown(heading, rows, left=2)}\n![{caption}](images/{AFFINE_CHART})\n"


CARDS: dict[str, Callable[[list[ModelCard]], str]] = {
    "errors": _errors,
    "compute": _compute,
    "anchors": _anchors,
}
TABLES: dict[str, Callable[[list[Result]], str]] = {
    "calibration": _calibration,
    "meaning": _meaning,
    "directions": _directions,
    "faithfulness": _faithfulness,
    "attacks": _attacks,
    "pairs": _pairs,
    "affine": _affine,
}
# Sections that a command of their own name measures.
OWN_COMMANDS = ("directions", "faithfulness")
COMMANDS = {
    "calibration": "artifacts/mnist",
    "meaning": "artifacts/mnist",
    "directions": "artifacts/mnist --output docs",
    "faithfulness": "artifacts/mnist --output docs",
    "attacks": "runs/mnist/best.safetensors",
    "pairs": "artifacts/multimnist",
    "affine": "runs/translated-efficient-seed-0/translated-efficient runs/translated-cnn-seed-0/translated-cnn",
}
