"""Write results as HTML for notebooks: small, without scripts and colours, with an alternative text for each image."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capsnet.image_encoding import Png
    from capsnet.results import (
        Check,
        Classification,
        Explanation,
        Prediction,
        Reconstruction,
        Sweep,
        Transformation,
    )

# Width in CSS pixels of one image of the network's size, and of a column of a sweep.
IMAGE_WIDTH_PIXELS = 112
FRAME_WIDTH_PIXELS = 40

# Classes of a classification that are listed, longest first.
MAX_CLASSES = 5


def classification_html(found: Classification) -> str:
    """Return a classification: its images where it has them, the longest capsules as bars, the guard's decision."""
    label = escape(found.label)
    figures = []
    if found.input is not None:
        figures.append(figure(found.input, "input of the network", "input"))
    if found.drawn is not None:
        figures.append(figure(found.drawn, f"drawing of the class {label}", "reconstruction"))
    verdict = "" if found.reconstruction is None else _paragraph(_verdict(found.reconstruction))
    return _section(f"{label}, length {found.length:.3f}", found.model, figures, _lengths(found) + verdict)


def reconstruction_html(drawn: Reconstruction) -> str:
    """Return a reconstruction: the input, the capsule's drawing, and the drawing of the moved pose."""
    label = escape(drawn.capsule.label)
    figures = [
        figure(drawn.input, "input of the network", "input"),
        figure(drawn.reconstruction, f"drawing of the class {label}", "reconstruction"),
    ]
    if drawn.moves or drawn.directions:
        changes = [*drawn.directions.items(), *drawn.moves.items()]
        moved = ", ".join(f"{escape(str(name))}: {amount:+g}" for name, amount in changes)
        figures.append(figure(drawn.perturbed, f"drawing with the pose moved, {moved}", f"moved {moved}"))
    distance = _paragraph(f"Distance of the reconstruction from the input: {drawn.distance:.2f}")
    return _section(_heading(drawn.capsule), drawn.model, figures, distance)


def sweep_html(swept: Sweep) -> str:
    """Return a sweep: the input, the capsule's drawing, and the sheet of all frames."""
    label, moved = escape(swept.capsule.label), _moved(swept)
    text = f"sheet of the class {label}: a row for each dimension and direction, {moved}"
    figures = [
        figure(swept.input, "input of the network", "input"),
        figure(swept.reconstruction, f"drawing of the class {label}", "reconstruction"),
        figure(swept.sheet(), text, moved, FRAME_WIDTH_PIXELS * len(swept.deltas)),
    ]
    return _section(_heading(swept.capsule), swept.model, figures, "")


def _moved(swept: Sweep) -> str:
    """Return what a sweep moves, and how far; directions have other amounts than dimensions."""
    parts = [
        f"{escape(name)} from {amounts[0]:+g} to {amounts[-1]:+g}"
        for name, amounts in swept.directions.items()
    ]
    if swept.dims:
        dims = ", ".join(map(str, swept.dims))
        parts.insert(0, f"dimensions {dims} from {swept.deltas[0]:+g} to {swept.deltas[-1]:+g}")
    return f"{'; '.join(parts)}; {len(swept.deltas)} steps"


def transformation_html(found: Transformation) -> str:
    """Return a transformation: its sheet, and how well the direction predicts the pose."""
    first, last = found.steps[0].amount, found.steps[-1].amount
    reach = f"{escape(found.property)} from {first:+g} to {last:+g} {escape(found.unit)}"
    text = f"sheet of the class {escape(found.capsule.label)}: inputs, drawings, drawings of predicted poses, {reach}"
    sheet = figure(found.sheet(), text, reach, FRAME_WIDTH_PIXELS * len(found.steps))
    words = "no direction is named" if found.explained is None else f"foretold R² {found.explained:.2f}"
    return _section(_heading(found.capsule), found.model, [sheet], _paragraph(words))


def explanation_html(found: Explanation) -> str:
    """Return an explanation: the input, and the map of each iteration or of occlusion."""
    label = escape(found.capsule.label)
    figures = [figure(found.input, "input of the network", "input")]
    for number, each in enumerate(found.iterations, 1):
        text = f"votes for the class {label} over the image, iteration {number}"
        figures.append(figure(each.map, text, f"iteration {number}, length {each.length:.3f}"))
    if not found.iterations:
        figures.append(figure(found.map, f"evidence for the class {label} over the image", "occlusion"))
    words = "Orange supports the class, blue speaks against it."
    return _section(_heading(found.capsule), found.model, figures, _paragraph(words))


def figure(image: Png, text: str, caption: str, width: int = IMAGE_WIDTH_PIXELS) -> str:
    """Return an image with its alternative text and its caption, both of them escaped."""
    data = base64.b64encode(image).decode("ascii")
    return (
        f'<figure style="display:inline-block;margin:0 1em 0 0;vertical-align:top;max-width:{width}px">'
        f'<img src="data:image/png;base64,{data}" alt="{text}" width="{width}" '
        f'style="image-rendering:pixelated;max-width:100%">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _section(heading: str, model: str, figures: Iterable[str], rest: str) -> str:
    return f"<div><p><strong>{heading}</strong> (model {escape(model)})</p>{''.join(figures)}{rest}</div>"


def _heading(capsule: Prediction) -> str:
    return f"{escape(capsule.label)}, length {capsule.length:.3f}"


def _paragraph(text: str) -> str:
    return f"<p>{text}</p>"


def _verdict(check: Check) -> str:
    word = "accepted" if check.accepted else "refused as out-of-distribution"
    return f"Guard: {word}; distance {check.distance:.2f}, threshold {check.threshold:.2f}"


def _lengths(found: Classification) -> str:
    """Return the predictions as a table with a bar for each length."""
    rows = "".join(_row(each) for each in found.predictions[:MAX_CLASSES])
    return (
        '<table><thead><tr><th scope="col">class</th><th scope="col">length</th><th scope="col"></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(each: Prediction) -> str:
    meter = f'<meter value="{each.length:.3f}" aria-label="length {each.length:.3f}"></meter>'
    return f'<tr><th scope="row">{escape(each.label)}</th><td>{each.length:.3f}</td><td>{meter}</td></tr>'
