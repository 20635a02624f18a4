"""Write measured numbers into docs/results.md; none is copied by hand.

A table stands between `<!-- figures: NAME -->` and `<!-- end -->`; in place of a missing one stands the command that
measures it. Numbers come from results/NAME.json beside the page, and from the cards of the models that ship.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import mean, median
from typing import Any

from capsnet.card import CARD_FILE, Metrics, ModelCard
from capsnet.config import ModelConfig
from training.data.datasets import describe
from training.evaluation.intervals import fisher_p
from training.recipes import RECIPES, SAME_SPLIT, Recipe
from training.reporting.tables import draws, interval
from training.trainer.config import TrainConfig
from training.trainer.data_lineage import made_by
from training.trainer.run_state import BEST, LAST
from training.trainer.stages import Stage

ARTIFACTS = Path("artifacts")
AFFINE_CHART = "affine.png"
# The small chart of the README.
COMPARISON_CHART = "comparison.png"
PLACEHOLDER = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# The log of every stage: NAME/stage-1.csv and so on; NAME/seed-0/stage-1.csv where networks are compared.
LOGS = Path("docs") / "results" / "logs"
# Networks that do not ship and have a row on the page. Their logs have the stages; the page has the commands of the two
# that are no recipes.
COMPARED = {
    f"compared-{architecture}": Recipe(
        dataset="fashion_mnist", architecture=architecture, network=SAME_SPLIT, stages=()
    )
    for architecture in ("residual", "cnn-residual")
} | {
    name: RECIPES[name]
    for name in (
        "capsnet-1-routing-reconstruction",
        "capsnet-3-routings-reconstruction",
        "fashion_mnist-capsnet",
        "fashion_mnist-three",
        "mnist-efficient-published",
        "mnist-three",
        "multimnist-shift6",
    )
}
# Cores that trained one network together in each stage, where it was not one.
CORES = {
    "capsnet-1-routing-reconstruction": (2,),
    "capsnet-3-routings-reconstruction": (2,),
    "fashion_mnist-capsnet": (2, 1, 2),
    "mnist-capsnet": (2,),
}
BLEND = "blend.safetensors"
TRAINING_IMAGES = 60_000  # of both published data sets, with those that are held out
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
# Of other models, only the paper's figure for the same architecture is shown.
OWN_ANCHORS = {
    "capsnet": "CapsNet (Sabour et al. 2017), mean of 3, ± 0.005",
    "efficient": "Efficient-CapsNet (Mazzia et al. 2021)",
}
Result = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """The error in percent that a model was to reach, and the one that was aimed at, set before its training."""

    reach: float
    aim: float

    def outcome(self, error: float) -> str:
        """Say which of the two an error in percent has reached, and by how much it misses the other."""
        if error <= self.aim:
            return "aim reached"
        if error <= self.reach:
            return f"reached; aim missed by {error - self.aim:.2f}"
        return f"missed by {error - self.reach:.2f}"


GOALS = {
    "fashion_mnist": Goal(4.9, 4.5),
    "mnist": Goal(0.28, 0.22),
    "mnist-capsnet": Goal(0.38, 0.33),
    "multimnist": Goal(4.0, 3.2),
    "translated-residual": Goal(7.0, 4.0),
}


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
    if name in OVERVIEWS:
        return OVERVIEWS[name](_cards(), results)
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
            _seeds(card),
            precision,
            f"{m.errors} of {m.images * card.objects:,}",
            f"{100 * m.error:.2f}",
            interval(m),
            draws(m) or "–",
            "" if m.accepted is None else f"{100 * m.accepted:.1f}",
        ]
        for card in cards
        for precision, variant in card.variants.items()
        if (m := variant.metrics) is not None
    ]
    heading = [
        "model",
        "architecture",
        "seeds",
        "variant",
        "errors",
        "error %",
        "95 % (Wilson)",
        "ten draws %",
        "accepted %",
    ]
    return markdown(heading, rows, left=4)


def _stages(cards: list[ModelCard]) -> str:
    """Return every stage of the shipped models, and the weights that it began with."""
    rows = [
        [
            f"`{card.name}`",
            str(number),
            f"`{stage.augmentation}`",
            beginning(stage.start_from),
            str(_epochs(card, number, stage)),
            f"{stage.learning_rate:g}" if stage.learning_rate else "–",
        ]
        for card in cards
        for number, stage in enumerate(made_by(ARTIFACTS / card.name, card).stages, 1)
    ]
    return markdown(["model", "stage", "augmentation", "began with", "epochs", "rate"], rows, left=4)


def beginning(start_from: str | None) -> str:
    """Say which weights a stage began with, from the name of their file."""
    if start_from is None:
        return "fresh weights"
    said = {
        LAST: "last epoch of the stage before",
        BEST: "best epoch of the stage before",
        BLEND: "blend of the stages before",
    }
    return said.get(Path(start_from).name, f"model `{start_from}`")


def _seeds(card: ModelCard) -> str:
    stages = made_by(ARTIFACTS / card.name, card).stages
    return ", ".join(map(str, sorted({stage.seed for stage in stages})))


def _goals(cards: list[ModelCard], results: list[Result]) -> str:
    """Return the errors beside those that were to be reached, and how far they miss them."""
    errors = {
        card.name: (str(card.training.get("dataset")), _percent_wrong(m))
        for card in cards
        if (m := card.variants["fp32"].metrics) is not None
    }
    for result in results:
        if "affine" in result:
            shares = result["affine"]["accuracy"]
            errors[result["model"]] = "affnist", 100 * (1 - shares["affnist"])
    rows = [
        [
            f"`{name}`",
            f"`{dataset}`",
            f"{error:.2f}",
            f"{goal.reach:.2f}",
            f"{goal.aim:.2f}",
            goal.outcome(error),
        ]
        for name, goal in GOALS.items()
        if name in errors
        for dataset, error in [errors[name]]
    ]
    return markdown(
        ["model", "test set", "wrong %", "to be reached", "aim", "outcome, in points"], rows, left=2
    )


def _percent_wrong(metrics: Metrics) -> float:
    """Return the error in percent; the mean of all draws where a test set has several."""
    return 100 * mean(metrics.draw_errors or [metrics.error])


def _compute(cards: list[ModelCard], results: list[Result]) -> str:
    """Return what each network costs that has a row on the page: to train, and for an image."""
    heading = [
        "model",
        "seeds",
        "encoder's parameters",
        "multiply-adds an image",
        "images seen",
        "core-hours",
    ]
    rows = [_compute_of(card) for card in cards]
    rows += [
        _compute_of_compared(name, recipe) for name, recipe in COMPARED.items() if (LOGS / name).is_dir()
    ]
    rows += [_compute_of_affine(result) for result in results if "affine" in result]
    return markdown(heading, rows)


def _compute_of(card: ModelCard) -> list[str]:
    stages = made_by(ARTIFACTS / card.name, card).stages
    whole = card.training["training_images"] + card.training["validation_images"]
    seen = sum(
        _epochs(card, number, stage) * (whole - min(stage.validation, whole // 10))
        for number, stage in enumerate(stages, 1)
    )
    views = card.members * (2 if card.mirrored else 1)
    return [
        f"`{card.name}`",
        _seeds(card),
        *_network_cost(card.config, views),
        f"{seen / 1e6:.1f} M",
        core_hours(LOGS / card.name, stages=len(stages), cores=CORES.get(card.name, (1,))),
    ]


def _epochs(card: ModelCard, number: int, stage: Stage) -> int:
    """Return the epochs of a stage: as its log has them, or as planned where that was not kept."""
    log = next((LOGS / card.name).glob(f"**/stage-{number}.csv"), None)
    return stage.epochs if log is None else len(_epoch_seconds(log))


def _compute_of_compared(name: str, recipe: Recipe) -> list[str]:
    """Return the cost of each of several networks, from the logs of their stages."""
    spec, folders = describe(recipe.dataset).input, sorted((LOGS / name).glob("seed-*"))
    config = ModelConfig(architecture=recipe.architecture, height=spec.height, width=spec.width)
    epochs = sum(len(_epoch_seconds(log)) for log in folders[0].glob("*.csv"))
    seen = epochs * (TRAINING_IMAGES - int(recipe.network.get("validation", TrainConfig.validation)))
    seeds = ", ".join(folder.name.removeprefix("seed-") for folder in folders)
    hours = core_hours(LOGS / name, networks=len(folders), cores=CORES.get(name, (1,)))
    return [f"`{name}`", seeds, *_network_cost(config), f"{seen / 1e6:.1f} M", hours]


def _compute_of_affine(result: Result) -> list[str]:
    name, found = result["model"], result["affine"]
    spec = describe(RECIPES[name].dataset).input
    config = ModelConfig(architecture=found["architecture"], height=spec.height, width=spec.width)
    seen = found["best_epoch"] * (TRAINING_IMAGES - TrainConfig.validation)
    return [f"`{name}`", "0", *_network_cost(config), f"{seen / 1e6:.1f} M", core_hours(LOGS / name)]


def _network_cost(config: ModelConfig, views: int = 1) -> list[str]:
    """Return the encoder's parameters, and its multiply-adds for one image that it sees `views` times."""
    from model.architectures.registry import build  # slow to import

    parameters = build(config).parameter_counts()["encoder"]
    return [f"{parameters:,}", f"{views * multiply_adds(config) / 1e6:.0f} M"]


def core_hours(folder: Path, networks: int = 1, stages: int = 0, cores: Sequence[int] = (1,)) -> str:
    """Return the hours of one network's training: epochs times the median epoch, as other work delayed single ones.

    `stages` is how many a network has; where fewer logs were kept, the answer says so. `cores` has those that
    trained it together in each stage, in turn.
    """
    logs = [_epoch_seconds(log) for log in sorted(folder.glob("**/*.csv"))]
    if not logs:
        return "log not kept"
    seconds = sum(len(each) * median(each) * used for each, used in zip(logs, cycle(cores), strict=False))
    hours = f"{seconds / 3600 / networks:.1f}"
    return f"{hours}, of {len(logs)} of {stages} stages" if len(logs) < stages else hours


def _epoch_seconds(log: Path) -> list[float]:
    return [float(row["seconds"]) for row in csv.DictReader(log.read_text(encoding="utf-8").splitlines())]


def multiply_adds(config: ModelConfig) -> int:
    """Return the multiply-adds of an encoder for one image: convolutions and products of matrices."""
    import torch  # slow to import
    from torch.utils.flop_counter import FlopCounterMode

    from model.architectures.registry import build

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        build(config).eval().encode(torch.zeros(1, *config.image_shape))
    return int(counter.get_total_flops()) // 2


def _anchors(cards: list[ModelCard]) -> str:
    """Return published errors on 10,000 test images beside the shipped models', and Fisher's p of each pair."""
    rows = []
    for card in cards:
        m = card.variants["fp32"].metrics
        if m is None or card.training.get("dataset") not in ANCHORS or m.images != ANCHOR_IMAGES:
            continue
        for name, percent in ANCHORS[card.training["dataset"]].items():
            if card.name not in ANCHORS and name != OWN_ANCHORS.get(card.config.architecture):
                continue
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
    "anchors": _anchors,
    "stages": _stages,
}
OVERVIEWS: dict[str, Callable[[list[ModelCard], list[Result]], str]] = {
    "goals": _goals,
    "compute": _compute,
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
