"""How each kind of result looks in a table, in CSV and in JSON."""

from collections.abc import Sequence

from app.client import Classification, Model, Reconstruction, Sweep
from app.shell.writers import Row

CLASSIFY_CELLS = ("file", "class", "length", "distance", "accepted")
CLASSIFY_COLUMNS = (
    "file", "label", "length", "accepted", "distance", "threshold", "model", "version", "predictions", "lengths",
    "poses",
)  # fmt: skip
RECONSTRUCT_CELLS = ("file", "class", "length", "distance", "moved", "saved")
RECONSTRUCT_COLUMNS = (
    "file", "label", "index", "length", "distance", "model", "version", "pose", "perturbed_pose", "perturbations",
    "input", "reconstruction", "perturbed", "saved",
)  # fmt: skip
SWEEP_CELLS = ("file", "class", "length", "dimensions", "from", "to", "steps", "saved")
SWEEP_COLUMNS = (
    "file", "label", "index", "length", "model", "version", "pose", "dims", "deltas", "input", "reconstruction",
    "frames", "saved",
)  # fmt: skip
MODELS_CELLS = ("model", "version", "default", "classes", "input", "pose", "test error", "computed by")
MODELS_COLUMNS = ("name", "version", "default", "classes", "card")


def classify_row(file: str, found: Classification) -> Row:
    """The row of a classification."""
    best, check = found.predictions[0], found.reconstruction
    return Row(
        cells={
            "file": file,
            "class": ", ".join(each.label for each in found.predictions),
            "length": ", ".join(f"{each.length:.3f}" for each in found.predictions),
            "distance": "" if check is None else f"{check.distance:.2f}",
            "accepted": "" if check is None else "yes" if check.accepted else "no",
        },
        columns={
            "file": file,
            "label": best.label,
            "length": best.length,
            **({} if check is None else vars(check)),
            **{name: found.answer[name] for name in ("model", "version", "predictions", "lengths", "poses")},
        },
        record={"file": file, **found.answer},
    )


def reconstruct_row(file: str, drawn: Reconstruction, saved: Sequence[str]) -> Row:
    """The row of a reconstruction."""
    moved = ", ".join(f"{dim}: {delta:+g}" for dim, delta in drawn.moves.items())
    cells = {"distance": f"{drawn.distance:.2f}", "moved": moved}
    return _drawn_row(file, drawn, saved, cells)


def sweep_row(file: str, swept: Sweep, saved: Sequence[str]) -> Row:
    """The row of a sweep."""
    cells = {
        "dimensions": f"all {len(swept.dims)}"
        if len(swept.dims) == len(swept.answer["pose"])
        else ", ".join(map(str, swept.dims)),
        "from": f"{swept.deltas[0]:g}",
        "to": f"{swept.deltas[-1]:g}",
        "steps": str(len(swept.deltas)),
    }
    return _drawn_row(file, swept, saved, cells)


def _drawn_row(file: str, drawn: Reconstruction | Sweep, saved: Sequence[str], cells: dict[str, str]) -> Row:
    capsule = drawn.capsule
    answer = {name: value for name, value in drawn.answer.items() if name != "capsule"}
    kept = {"saved": list(saved)} if saved else {}
    common = {"file": file, "class": capsule.label, "length": f"{capsule.length:.3f}"}
    return Row(
        cells={**common, **cells, "saved": ", ".join(saved)},
        columns={"file": file, **vars(capsule), **answer, **kept},
        record={"file": file, **drawn.answer, **kept},
    )


def model_row(model: Model) -> Row:
    """The row of a model."""
    card = model.card
    spec, serving = card["input"], card["serving"]
    metrics = card["variants"][serving["precision"]].get("metrics")
    default = {"default": model.is_default}
    return Row(
        cells={
            "model": model.name,
            "version": model.version,
            "default": "yes" if model.is_default else "",
            "classes": ", ".join(model.classes),
            "input": f"{spec['height']} × {spec['width']}",
            "pose": str(card["config"]["pose_dim"]),
            "test error": "" if metrics is None else f"{100 * metrics['error']:.2f} %",
            "computed by": f"{serving['provider']}, {serving['precision']}",
        },
        columns={
            "name": model.name,
            "version": model.version,
            **default,
            "classes": list(model.classes),
            "card": card,
        },
        record={**default, **card},
    )
