"""The chart of speed is drawn from the figures of the benchmark."""

import json
from pathlib import Path

from PIL import Image

from benchmarks.output import RESULTS
from benchmarks.report import draw_speed


def test_the_chart_of_speed_is_small_and_shows_every_server(tmp_path: Path) -> None:
    rows = json.loads((RESULTS / "serving.json").read_text(encoding="utf-8"))["figures"]
    heights = []
    for count in (2, len(rows)):
        draw_speed(rows[:count], tmp_path / "speed.png")
        with Image.open(tmp_path / "speed.png") as chart:
            assert chart.width < 700
            heights.append(chart.height)
    assert heights[0] < heights[1]
