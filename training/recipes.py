"""Define the rows of docs/results.md by the stages of training that make them: `python -m training recipe NAME`.

A recipe is a table of options. It becomes the commands that a user would type, which are printed before they run: `fit`
for a teacher, if there is one, and for every stage, each starting from the weights of the stage before; `blend` where a
stage goes back towards these; `export`; and `evaluate` for every test set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from capsnet.config import UserError
from training.trainer.provenance import option
from training.trainer.run_state import BEST, LAST, STATE

Options = Mapping[str, str | int | float | bool]


class UnknownRecipe(UserError):
    """No recipe has this name; the message lists those that there are."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The stages and options that make one result.

    Attributes
    ----------
    dataset, architecture
        The data set, and the network that is trained on it.
    network
        Options of `fit` that hold for all runs.
    stages
        Options of each run of `fit`, in order.
    teacher
        Options of the run that trains a teacher. The stages that have a `teacher_weight` learn from it.
    best
        Stages, counted from 1, that hand on the weights of their best epoch. The last one does so unless it stops at an
        error; the others hand on those of their last epoch.
    shares
        By stage, except the first: the share of its weights in the blend with those that it began with.
    members
        Networks that are exported together as one graph. Their seeds follow each other from that of the row.
    export
        Options of `export`, such as its variants.
    draws
        Draws of the data set's own test set, where that is composed.
    also
        Test sets to measure on beside the data set's own.
    seeds
        Seeds of the published figure.
    """

    dataset: str
    architecture: str
    stages: tuple[Options, ...]
    network: Options = field(default_factory=dict)
    teacher: Options | None = None
    best: tuple[int, ...] = ()
    shares: Mapping[int, float] = field(default_factory=dict)
    members: int = 1
    export: Options = field(default_factory=dict)
    draws: int = 1
    also: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)


# Networks of all seeds hold out the same images, so that they compare in pairs and can be exported together.
SAME_SPLIT: Options = {"validation": 2500, "split_seed": 0}
# Digits with large augmentations, then a short stage with small ones at a low rate.
FAR: Options = {
    "epochs": 48,
    "batch_size": 64,
    "learning_rate": 0.0015,
    "ema": 0.9997,
    "augmentation": "handwriting",
}
NEAR: Options = {
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": 0.0004,
    "ema": 0.9995,
    "augmentation": "gentle",
}
# Other handwriting and pens, then the previous augmentation again; after each stage, halfway back to its first weights.
HANDS: tuple[Options, ...] = (
    {**FAR, "epochs": 64, "augmentation": "hands", "validation": 2500},
    {**FAR, "epochs": 36, "validation": 2500},
)
# A pen draws a quarter of the digits again: among large augmentations, then among small ones.
PENS: tuple[Options, ...] = (
    {**FAR, "epochs": 12, "learning_rate": 0.0012, "augmentation": "handwriting-pens", "validation": 2500},
    {**NEAR, "epochs": 5, "augmentation": "pens", "validation": 2500},
)
CLOTHES: tuple[Options, ...] = (
    {"epochs": 36, "learning_rate": 0.002, "augmentation": "clothes"},
    {
        "epochs": 20,
        "batch_size": 64,
        "learning_rate": 0.0012,
        "ema": 0.9995,
        "augmentation": "gentle-clothes",
    },
)
# 97 minutes of a core: shifts by whole pixels, which keep the weave of a cloth sharp, and large erased areas; then
# small shifts alone.
RESIDUAL_CLOTHES: tuple[Options, ...] = (
    {"epochs": 90, "learning_rate": 0.002, "weight_decay": 0.05, "augmentation": "whole-clothes"},
    {
        "epochs": 6,
        "batch_size": 64,
        "ema": 0.9995,
        "weight_decay": 0.05,
        "augmentation": "gentle-whole-clothes",
        "keep_epochs": True,
    },
)
# 45 minutes of a core for each network: small augmentations, then large erased areas, then small ones at a low rate.
ERASED_CLOTHES: tuple[Options, ...] = (
    {"epochs": 12, "learning_rate": 0.002, "augmentation": "gentle-clothes"},
    {"epochs": 18, "learning_rate": 0.002, "augmentation": "erased-clothes"},
    {
        "epochs": 6,
        "batch_size": 64,
        "ema": 0.9995,
        "augmentation": "gentle-clothes",
        "keep_epochs": True,
    },
)
# 45 minutes of a core for each network: large augmentations, then small ones, and a pen draws a quarter again.
RESIDUAL_DIGITS: tuple[Options, ...] = (
    {**FAR, "epochs": 28},
    {**NEAR, "epochs": 6, "augmentation": "pens", "keep_epochs": True},
)
RESIDUAL_PAIRS: tuple[Options, ...] = (
    {"epochs": 38, "until": 11, "learning_rate": 0.002, "augmentation": "none"},
    {"epochs": 5, "learning_rate": 0.0015, "augmentation": "none"},
)
TAUGHT: Options = {
    "epochs": 14,
    "batch_size": 64,
    "learning_rate": 0.0015,
    "ema": 0.9995,
    "augmentation": "gentle-clothes",
    "teacher_weight": 0.7,
}
# Large augmentations, then pairs of the digits as they are: there are so many that they need no others.
PAIRS: tuple[Options, ...] = (
    {
        "epochs": 30,
        "until": 18,
        "batch_size": 64,
        "learning_rate": 0.0015,
        "ema": 0.9997,
        "augmentation": "gentle",
    },
    {
        "epochs": 16,
        "batch_size": 64,
        "learning_rate": 0.0012,
        "ema": 0.9997,
        "augmentation": "handwriting",
    },
    {"epochs": 36, "batch_size": 64, "learning_rate": 0.0012, "ema": 0.9997, "augmentation": "none"},
    {"epochs": 12, "batch_size": 64, "ema": 0.9997, "augmentation": "none"},
)
# The paper's network on clothes with shifts and mirror images alone, the setting of public reproductions, in six and a
# half core-hours. After the first stage it erred on nearly as many training images as on others. So further ones keep
# the images sharp and shift them less. At 0.95 an epoch the rate would need 50 epochs and more to be as small.
CAPSNET_CLOTHES: tuple[Options, ...] = (
    {"epochs": 34, "learning_rate": 0.001, "augmentation": "shift-flip"},
    {"epochs": 30, "until": 20, "learning_rate": 0.001, "augmentation": "whole-shift-flip"},
    {"epochs": 15, "learning_rate": 0.0004, "augmentation": "gentle-whole-clothes"},
)
# As `FAR` varies digits, in ten minutes of one core.
BESIDE: Options = {
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 0.0015,
    "augmentation": "handwriting",
}
# Shifts of up to two pixels and nothing else, so that the four rows differ in what they are named for. The paper shifts
# by whole pixels (`whole-shift`), and trains some 640 epochs; 15 take 37 minutes of two cores.
PAPER: Options = {"epochs": 15, "augmentation": "shift"}
# The same in less than two hours. The shipped run was stopped after epoch 41, since its margin loss on the validation
# images had been smallest after epoch 35.
LONGER: Options = {**PAPER, "epochs": 46}
# As the code of Efficient-CapsNet trains on MNIST, in two and three quarter hours of a core.
PUBLISHED: Options = {
    "epochs": 150,
    "batch_size": 16,
    "learning_rate": 0.0005,
    "schedule": "exponential",
    "decay": 0.97,
    "floor": 0.00005,
    "warmup": 0,
    "ema": 0.0,
    "augmentation": "published",
    "keep_epochs": True,
}
# Networks that are to be compared stop when they are equally good, where the paper stopped its two. An average of the
# weights over about one epoch, not four: it has to be good in the middle of the schedule.
TRANSLATED: Options = {
    "epochs": 12,
    "until_error": 0.008,
    "batch_size": 64,
    "learning_rate": 0.0015,
    "ema": 0.999,
    "augmentation": "none",
}


def _paper(iterations: int, weight: float) -> Recipe:
    network: Options = {**SAME_SPLIT, "routing_iterations": iterations, "reconstruction_weight": weight}
    return Recipe(dataset="mnist", architecture="capsnet", network=network, stages=(PAPER,), seeds=(0, 1))


def _translated(architecture: str) -> Recipe:
    return Recipe(
        dataset="translated_mnist", architecture=architecture, stages=(TRANSLATED,), also=("affnist",)
    )


RECIPES = {
    "mnist": Recipe(
        dataset="mnist",
        architecture="efficient",
        stages=(FAR, {**NEAR, "until": 4}, *HANDS, *PENS),
        best=(2, 3, 4),
        shares={3: 0.5, 4: 0.5},
        export={"accept": 0.97, "variants": "int8,fp16"},
    ),
    "mnist-three": Recipe(
        dataset="mnist",
        architecture="residual",
        network=SAME_SPLIT,
        stages=RESIDUAL_DIGITS,
        members=3,
        seeds=(0,),
    ),
    "fashion_mnist": Recipe(
        dataset="fashion_mnist",
        architecture="residual",
        network=SAME_SPLIT,
        stages=RESIDUAL_CLOTHES,
        export={"mirrored": True, "variants": "fp16"},
    ),
    "fashion_mnist-three": Recipe(
        dataset="fashion_mnist",
        architecture="residual",
        network=SAME_SPLIT,
        stages=ERASED_CLOTHES,
        members=3,
        export={"mirrored": True},
        seeds=(0,),
    ),
    "multimnist": Recipe(
        dataset="multimnist",
        architecture="residual",
        network={"split_seed": 0},
        stages=RESIDUAL_PAIRS,
        export={"variants": "fp16"},
        draws=10,
    ),
    "multimnist-shift6": Recipe(
        dataset="multimnist_shift6",
        architecture="residual",
        network={"split_seed": 0},
        stages=RESIDUAL_PAIRS,
        draws=10,
    ),
    "fashion_mnist-efficient": Recipe(
        dataset="fashion_mnist",
        architecture="efficient",
        network={"primary_capsules": 32, "validation": 2500},
        stages=CLOTHES,
    ),
    "multimnist-efficient": Recipe(dataset="multimnist", architecture="efficient", stages=PAIRS, draws=10),
    "mnist-shared": Recipe(
        dataset="mnist",
        architecture="shared",
        network={"routing_iterations": 5, "pose_dim": 30},
        stages=({**FAR, "epochs": 40, "learning_rate": 0.002}, {**NEAR, "learning_rate": 0.0005}),
    ),
    "mnist-capsnet": Recipe(dataset="mnist", architecture="capsnet", stages=(LONGER,)),
    "fashion_mnist-capsnet": Recipe(
        dataset="fashion_mnist",
        architecture="capsnet",
        network={**SAME_SPLIT, "batch_size": 100, "keep_epochs": True},
        stages=CAPSNET_CLOTHES,
    ),
    "mnist-cnn": Recipe(
        dataset="mnist", architecture="cnn-small", network={"decoder_hidden": "256,512"}, stages=(BESIDE,)
    ),
    "mnist-cnn-paper": Recipe(dataset="mnist", architecture="cnn", stages=(FAR, NEAR)),
    "fashion_mnist-taught": Recipe(
        dataset="fashion_mnist",
        architecture="efficient",
        network={"validation": 2500},
        teacher={
            "architecture": "cnn-residual",
            "epochs": 18,
            "learning_rate": 0.002,
            "ema": 0.9995,
            "augmentation": "clothes",
        },
        stages=({**CLOTHES[0], "epochs": 24}, TAUGHT),
    ),
    "mnist-wide": Recipe(
        dataset="mnist",
        architecture="efficient",
        network={"primary_capsules": 32, "validation": 2500},
        stages=({**FAR, "epochs": 60},),
    ),
    "capsnet-1-routing": _paper(1, 0.0),
    "capsnet-1-routing-reconstruction": _paper(1, 0.0005),
    "capsnet-3-routings": _paper(3, 0.0),
    "capsnet-3-routings-reconstruction": _paper(3, 0.0005),
    "mnist-efficient-published": Recipe(
        dataset="mnist", architecture="efficient", network=SAME_SPLIT, stages=(PUBLISHED,), seeds=(0, 1)
    ),
    "translated-capsnet": _translated("capsnet"),
    "translated-efficient": _translated("efficient"),
    "translated-cnn": _translated("cnn-small"),
    "translated-residual": _translated("residual"),
    "translated-cnn-residual": _translated("cnn-residual"),
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name; raises UnknownRecipe."""
    if name not in RECIPES:
        raise UnknownRecipe(f"no recipe '{name}'; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def commands(name: str, seed: int, folder: Path, more: tuple[str, ...] = ()) -> list[list[str]]:
    """Return the words after `python -m training` of each command that makes a row with one seed below `folder`.

    The commands of a stage that has begun contain `--resume`. `more` are further words of every `fit`, such as the
    device.

    Raises
    ------
    UnknownRecipe
        If there is no such recipe.
    """
    row = find_recipe(name)
    below = folder / f"{name}-seed-{seed}"
    runs, ends = [], []
    for member in range(row.members):
        inside = below if row.members == 1 else below / f"member-{member + 1}"
        fits, end = _member_commands(row, seed + member, inside, more)
        runs += fits
        ends.append(end)
    model = below / name
    return [
        *runs,
        ["export", *ends, "--output", str(model), *_words(row.export)],
        ["evaluate", str(model), "--write-card", *(["--draws", str(row.draws)] if row.draws > 1 else [])],
        *(["evaluate", str(model), "--dataset", dataset] for dataset in row.also),
    ]


def _member_commands(
    row: Recipe, seed: int, below: Path, more: tuple[str, ...]
) -> tuple[list[list[str]], str]:
    """Return the commands that train one network, and the checkpoint that they end with."""

    def fit(run: Path, options: Options, *needs: str) -> list[str]:
        options = {"dataset": row.dataset, "architecture": row.architecture, **options, "seed": seed}
        words = [*_words(options), *needs, *(["--resume"] if (run / STATE).exists() else [])]
        return ["fit", *words, "--output", str(run), *more]

    teacher = below / "teacher"
    fits = [] if row.teacher is None else [fit(teacher, {**row.network, **row.teacher})]
    end = ""  # the weights that the stage before ends with
    for number, stage in enumerate(row.stages, 1):
        run, begin = below / f"stage-{number}", end
        needs = ["--start-from", begin] if begin else []
        needs += ["--teacher", str(teacher / LAST)] if "teacher_weight" in stage else []
        fits.append(fit(run, {**row.network, **stage}, *needs))
        # A run that stops at an error hands on its last epoch, even if another had a smaller loss.
        best = number in row.best or (number == len(row.stages) and "until_error" not in stage)
        end = str(run / (BEST if best else LAST))
        if number in row.shares:
            between = str(run / "blend.safetensors")
            share = option("share", row.shares[number]).split()
            fits.append(["blend", begin, end, *share, "--output", between])
            end = between
    return fits, end


def _words(options: Options) -> list[str]:
    """Return options as the words of a command."""
    return [word for key, value in options.items() for word in option(key, value).split()]
