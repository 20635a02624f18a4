"""Save figures: one JSON file for each benchmark, with the machine."""

import json
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"


def save(name: str, options: dict[str, Any], figures: Any, folder: Path) -> Path:
    """Write NAME.json: the machine, the options and the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"machine": machine.describe(), "options": options, "figures": figures}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path
