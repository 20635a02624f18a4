"""Write the model card in Markdown, README.md beside card.json, from card.json: `python -m training cards`.

Nothing in it is written by hand. A model that a recipe makes says how to train it again by that recipe; any other model
lists its commands.
"""

from pathlib import Path

from capsnet.card import METADATA_EXPORT_ID, Metrics, ModelCard
from model.export.exporter import MODEL_CARD_FILE
from training.data.datasets import FOLDER_PREFIX, source_of
from training.recipes import RECIPES
from training.reporting.results_page import markdown
from training.reporting.tables import draws, interval

THEN = " && "

# The name and the paper of each architecture.
ARCHITECTURES = {
    "capsnet": ("CapsNet", "[Sabour, Frosst and Hinton 2017](https://arxiv.org/abs/1710.09829)"),
    "efficient": (
        "Efficient-CapsNet",
        "[Mazzia, Salvetti and Chiaberge 2021](https://arxiv.org/abs/2101.12491)",
    ),
    "cnn-small": (
        "CNN without capsules",
        "CNN+CR of [Qin et al. 2019](https://arxiv.org/abs/1907.02957), on the trunk of Efficient-CapsNet",
    ),
    "shared": (
        "Shared-weight capsules",
        "an architecture of this project, with the capsule layer of Keras' example",
    ),
    "residual": ("Residual capsules", "an architecture of this project"),
}
# What each data set shows, and under which terms its makers give it away.
MNIST = "MNIST is by LeCun, Cortes and Burges, under CC BY-SA 3.0."
DATASETS = {
    "mnist": ("Handwritten digits, 28 × 28 pixels", MNIST),
    "fashion_mnist": (
        "Photographs of clothes, 28 × 28 pixels",
        "Fashion-MNIST is by Zalando SE, under the MIT licence.",
    ),
    "multimnist": ("Two overlapping handwritten digits, 36 × 36 pixels", MNIST),
    "multimnist_shift6": ("Two overlapping handwritten digits, 36 × 36 pixels", MNIST),
}


def write_model_card(folder: Path) -> Path:
    """Write README.md beside card.json in a model's folder, and return its path.

    Raises
    ------
    CardError
        If the folder holds no valid card.
    """
    path = folder / MODEL_CARD_FILE
    path.write_text(model_card(ModelCard.load(folder), folder), encoding="utf-8")
    return path


def model_card(card: ModelCard, folder: Path) -> str:
    """Return the model card of a model in Markdown, ending in a newline."""
    sections = [
        _title(card),
        f"## Description\n\n{_description(card)}",
        f"## Training\n\n{_training(card)}",
        f"## Figures\n\n{_figures(card, folder)}",
        f"## Pose dimensions\n\n{_poses(card)}",
        f"## Limits\n\n{_limits(card)}",
        f"## Use\n\n{_use(card)}",
        f"## Rebuild\n\n{_rebuild(card, folder)}",
        f"## Licence\n\n{_licence(card)}",
    ]
    return "\n".join(sections)


def _title(card: ModelCard) -> str:
    name, _ = _architecture(card)
    licence = "" if _is_own(card) else "license: apache-2.0\n"
    front = f"---\n{licence}library_name: onnx\ntags: [capsule-network, image-classification]\n---\n\n"
    note = "<!-- Written by `python -m training cards` from card.json. Do not edit. -->"
    return f"{front}# {card.name}\n\n{note}\n\n{name} for {_dataset(card)}, version {card.version}.\n"


def _architecture(card: ModelCard) -> tuple[str, str]:
    return ARCHITECTURES.get(
        card.config.architecture, (card.config.architecture, "see `model/architectures`")
    )


def _is_own(card: ModelCard) -> bool:
    """Tell whether the model learned from a folder of its user's own images."""
    return str(card.training.get("dataset")).startswith(FOLDER_PREFIX)


def _dataset(card: ModelCard) -> str:
    return f"`{card.training.get('dataset', 'an unknown data set')}`"


def _description(card: ModelCard) -> str:
    name, paper = _architecture(card)
    shown, _ = DATASETS.get(str(card.training.get("dataset")), ("Images of a folder", ""))
    shape = f"{card.input.channels} × {card.input.height} × {card.input.width}"
    classes = ", ".join(card.classes)
    light = ", light on dark" if card.input.preprocess in ("mnist", "fashion") else ""
    objects = "one object" if card.objects == 1 else f"{card.objects} objects that overlap"
    rows = [
        ["architecture", f"{name} ({paper})"],
        ["images", f"{shown}; {objects} in each"],
        ["input", f"{shape} float32 from 0 to 1{light}"],
        ["preprocessing", f"`{card.input.preprocess}`"],
        ["classes", f"{card.config.num_classes}: {classes}"],
        ["pose", f"{card.config.pose_dim} dimensions for each class"]
        if card.config.has_capsules
        else ["features", f"{card.config.pose_dim} for each class, in the place of a pose"],
        ["parameters", ", ".join(f"{count:,} ({part})" for part, count in card.parameters.items())],
        ["variants", ", ".join(card.variants)],
        ["export", f"`{card.export_id}`, in the metadata `{METADATA_EXPORT_ID}` of each graph"],
    ]
    if card.members > 1:
        rows.append(["ensemble", f"{card.members} networks; lengths are means over them"])
    if card.mirrored:
        rows.append(["mirrored", "lengths are means over an image and its mirror image"])
    table = markdown(["", ""], rows, left=2)
    if not card.config.has_capsules:
        return (
            "This network has no capsules. It is here for comparison. The encoder gives a probability for each class "
            "where a capsule has its length, and a group of features where it has its pose. "
            f"The decoder draws an image from the features of one class.\n\n{table}"
        )
    return (
        "The encoder gives the length of each class capsule and its pose. "
        f"The decoder draws an image from one pose.\n\n{table}"
    )


def _training(card: ModelCard) -> str:
    made = card.training
    facts = [
        f"{made[key]:,} {text}"
        for key, text in (("training_images", "training images"), ("validation_images", "validation images"))
        if isinstance(made.get(key), int)
    ]
    lines = [
        f"Data set {_dataset(card)}: {', '.join(facts)}.\n" if facts else f"Data set {_dataset(card)}.\n"
    ]
    if "best_epoch" in made:
        lines.append(
            f"The best epoch of the last stage is epoch {made['best_epoch']}, by validation "
            f"{'margin loss' if card.config.has_capsules else 'cross-entropy'}."
        )
    if "torch" in made:
        lines.append(f"PyTorch {made['torch']} trained it.")
    commands = "".join(f"{command}\n" for command in str(made.get("command", "")).split(THEN) if command)
    if commands:
        lines.append(f"The stages, in order:\n\n```\n{commands}```")
    return "\n".join(lines) + "\n"


def _figures(card: ModelCard, folder: Path) -> str:
    measured = {
        name: metrics for name, each in card.variants.items() if (metrics := each.metrics) is not None
    }
    if not measured:
        words = (
            f"evaluate {folder.as_posix()}{' --dataset folder:PATH' if _is_own(card) else ''} --write-card"
        )
        return f"Not measured yet; `python -m training {words}` measures the test error.\n"
    heading = ["variant", "errors", "error %", "95 % (Wilson)", "margin loss", "pixel error", "accepted %"]
    rows = [[name, *_metrics(metrics, card.objects)] for name, metrics in measured.items()]
    notes = [
        "`python -m training evaluate` measured these on the test set. "
        "*Accepted* is the share of test images that the guard lets pass.\n"
    ]
    first = next(iter(measured.values()))
    if first.exact_match_error is not None:
        notes.append(
            "An error here is one missed object; "
            f"{100 * first.exact_match_error:.2f} % of the images have at least one.\n"
        )
    if draws(first):
        notes.append(f"Over several draws of the test set the error is {draws(first)} %.\n")
    if speeds := _speeds(card):
        notes.append(speeds)
    return markdown(heading, rows) + "\n" + "\n".join(notes)


def _metrics(m: Metrics, objects: int) -> list[str]:
    return [
        f"{m.errors} of {m.images * objects:,}",
        f"{100 * m.error:.2f}",
        interval(m),
        f"{m.margin_loss:.4f}",
        f"{m.reconstruction_mse:.4f}",
        "–" if m.accepted is None else f"{100 * m.accepted:.1f}",
    ]


def _speeds(card: ModelCard) -> str:
    speeds = {name: variant.speed for name, variant in card.variants.items() if variant.speed is not None}
    if not speeds:
        return ""
    heading = ["variant", "processor, one thread", "best batch", "images/s of the encoder"]
    rows = [
        [name, each.processor, str(each.best_batch), f"{each.images_per_second[str(each.best_batch)]:,.0f}"]
        for name, each in speeds.items()
    ]
    if any(each.memory_mb is not None for each in speeds.values()):  # older cards have none
        heading.append("MB of its session")
        for row, each in zip(rows, speeds.values(), strict=True):
            row.append("–" if each.memory_mb is None else f"{each.memory_mb:.0f}")
    return markdown(heading, rows, left=2)


def _poses(card: ModelCard) -> str:
    rows = [
        [label, ", ".join(f"{each.dim} {each.meaning} ({each.score:.2f})" for each in named)]
        for label, named in card.pose_meaning.items()
        if named
    ]
    if not rows:
        return "No dimension of this model has a measured meaning.\n"
    return (
        "`python -m training meaning` gave these dimensions a name. "
        "The score in brackets is R² on images that were not fitted.\n\n"
        + markdown(["class", "dimensions"], rows, left=2)
    )


def _limits(card: ModelCard) -> str:
    refused = 100 * (1 - next(iter(card.variants.values())).guard.accepts)
    limits = [
        "No figure of a GPU has been taken.",
        "The model knows images like those of its data set. Other images get the nearest class.",
        f"The guard refuses about {refused:.0f} % of good images, and does not refuse every wrong one.",
        "The guard is no defence against an attacker who knows the network.",
    ]
    if card.config.has_capsules:
        limits += [
            "A pose dimension means what training made of it; its meaning differs from class to class.",
            "The length of a capsule ranks answers. It is not a probability.",
        ]
    else:
        limits.append("The probabilities are those of a softmax: they sum to 1 whatever the image shows.")
    if card.objects > 1:
        limits.append(f"The model always names {card.objects} classes, also where an image shows one object.")
    if not _is_whole(card):
        limits.append("The lengths are not those of the poses, because they are means.")
    return "".join(f"- {limit}\n" for limit in limits)


def _is_whole(card: ModelCard) -> bool:
    return card.members == 1 and not card.mirrored


def _use(card: ModelCard) -> str:
    return (
        "In Python, in a clone of the repository, without a server:\n\n"
        "```python\n"
        "from capsnet import load\n\n"
        f'model = load("{card.name}")\n'
        'found = model("image.png")\n'
        "print(found.label, found.length, found.reconstruction.accepted)\n"
        "```\n\n"
        "Over HTTP, with `make serve` running:\n\n"
        "```\n"
        f"curl -s -F file=@image.png 'http://127.0.0.1:8000/classify?model={card.name}'\n"
        "```\n"
    )


def _rebuild(card: ModelCard, folder: Path) -> str:
    if card.name not in RECIPES:
        return "Run the commands under *Training*, then `python -m training export`.\n"
    return (
        "```\n"
        "make install-train && . .venv/bin/activate\n"
        f"python -m training download {source_of(RECIPES[card.name].dataset)}\n"
        f"python -m training recipe {card.name} --seed 0\n"
        f"python -m training evaluate {folder.as_posix()}\n"
        "```\n\n"
        "The recipe writes below `runs/`. The last command measures the committed model again.\n"
    )


def _licence(card: ModelCard) -> str:
    shown = (
        "`samples.png` shows some of the validation images."
        if card.samples
        else "No image of the data set is part of the files."
    )
    if _is_own(card):
        return (
            f"The weights come from images of your own: choose the licence before you publish them. {shown}\n"
        )
    _, terms = DATASETS.get(str(card.training.get("dataset")), ("", ""))
    return f"The weights have the licence of the project, Apache-2.0. {shown} {terms}".strip() + "\n"
