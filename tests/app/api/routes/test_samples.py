"""The strip of images beside a model's card, which the playground offers."""

import dataclasses
from pathlib import Path

from capsnet.card import CARD_FILE, SAMPLES_FILE
from tests.app.server_process import serving
from tests.app.tiny_model import write_tiny_model


def test_a_model_with_samples_gives_them_and_another_has_none(seven: bytes, tmp_path: Path) -> None:
    own = tmp_path / "models" / "own"
    card = dataclasses.replace(write_tiny_model(own, name="own"), samples=("7",))
    (own / CARD_FILE).write_text(card.to_json())
    (own / SAMPLES_FILE).write_bytes(seven)
    write_tiny_model(tmp_path / "models" / "mnist")
    with serving(tmp_path / "log", models=tmp_path / "models") as server:
        strip = server.client.get("/models/own/samples.png")
        assert (strip.status_code, strip.headers["content-type"]) == (200, "image/png")
        assert strip.content == seven
        assert server.client.get("/models/own").json()["samples"] == ["7"]
        assert server.client.get("/models/mnist/samples.png").status_code == 404
        assert server.client.get("/models/none/samples.png").json()["title"] == "Unknown model"
