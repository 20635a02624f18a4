"""Find the models in a folder, read their cards, and refuse a graph that is not the one of its card."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from capsnet.card import CARD_FILE, METADATA_EXPORT_ID, SAMPLES_FILE, CardError, ModelCard

from ..errors import ModelError

log = structlog.get_logger(__name__)


def hash_cards(cards: Iterable[ModelCard]) -> dict[str, str]:
    """Return a hash of each model's card, which holds the hashes of its graphs, by name."""
    return {card.name: hashlib.sha256(card.to_json().encode()).hexdigest() for card in cards}


@dataclass(frozen=True)
class ModelFiles:
    """A model folder whose graphs are those of its card."""

    folder: Path
    card: ModelCard

    @property
    def decoder(self) -> Path:
        """Return the decoder's file."""
        return self.folder / self.card.decoder.file

    def encoder(self, precision: str) -> Path:
        """Return the file of the encoder that computes in `precision`."""
        return self.folder / self.card.variants[precision].encoder.file

    def read_samples(self) -> bytes | None:
        """Return the strip of images beside the card; None without one, which the model does not need."""
        if not self.card.samples:
            return None
        try:
            return (self.folder / SAMPLES_FILE).read_bytes()
        except OSError as error:
            log.warning(
                "the samples of a model cannot be read", folder=str(self.folder), error=error.strerror
            )
            return None

    def choose_precision(self, wanted: str, on_gpu: bool) -> tuple[str, str]:
        """Return the variant to serve for the setting `wanted` (auto or a precision), and the reason in words.

        Raises
        ------
        ModelError
            If the model has no variant of that precision.
        """
        variants = self.card.variants
        if wanted == "auto":
            return self.card.fastest_precision(on_gpu)
        if wanted not in variants:
            raise ModelError(
                f"{self.folder}: CAPSNET_PRECISION is {wanted!r}, but the model has only {', '.join(variants)}"
            )
        return wanted, "CAPSNET_PRECISION asks for it"

    def check_metadata(self, metadata: Mapping[Path, Mapping[str, str]]) -> None:
        """Check by its own metadata that each graph comes from the export that wrote the card.

        Raises
        ------
        ModelError
            If not; names the file and both export ids.
        """
        for file, entries in metadata.items():
            if (found := entries.get(METADATA_EXPORT_ID)) != self.card.export_id:
                raise ModelError(
                    f"{file}: is of another export than its card: {METADATA_EXPORT_ID} is {found!r}, "
                    f"{CARD_FILE} says {self.card.export_id!r}"
                )


def discover_models(folder: Path) -> dict[str, ModelFiles]:
    """Return the models of a folder by name: one in each subfolder, or the folder itself where it holds a card.

    Hidden folders and folders with neither a card nor a graph are skipped.

    Raises
    ------
    ModelError
        If there is no such folder, no model in it, one of them is broken, or two have one name.
    """
    models, errors = open_models(folder)
    if errors:
        raise ModelError(errors[0])
    return models


def open_models(folder: Path) -> tuple[dict[str, ModelFiles], list[str]]:
    """Return the models of a folder by name, as `discover_models` does, and the errors of the others.

    Of models that have one name none is returned, since nothing says which of them is meant.
    """
    named: dict[str, list[ModelFiles]] = {}
    errors: list[str] = []
    try:
        candidates = model_folders(folder)
    except ModelError as error:
        return {}, [str(error)]
    for candidate in candidates:
        try:
            model = open_model(candidate)
        except ModelError as error:
            errors.append(str(error))
            continue
        alike = named.setdefault(model.card.name, [])
        if alike:
            errors.append(describe_doubled(model.card.name, alike[0].folder, candidate))
        alike.append(model)
    if not named and not errors:
        errors.append(f"{folder}: holds no model: no folder in it has a {CARD_FILE}")
    return {name: models[0] for name, models in named.items() if len(models) == 1}, errors


def describe_doubled(name: str, first: Path, other: Path) -> str:
    """Say that two folders hold models of one name."""
    return f"{other}: is called {name!r}, and so is {first}"


def model_folders(folder: Path) -> list[Path]:
    """Return the folders of models in a folder, or the folder itself where it is one.

    Raises
    ------
    ModelError
        If there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder; CAPSNET_MODELS names the folder of the models")
    try:
        return [folder] if _looks_like_model(folder) else sorted(filter(_looks_like_model, folder.iterdir()))
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error.strerror}") from None


def _looks_like_model(folder: Path) -> bool:
    """Tell whether a folder is meant as a model: a graph without its card is a broken model, not an empty folder."""
    if not folder.is_dir() or folder.name.startswith("."):
        return False
    try:
        return (folder / CARD_FILE).exists() or any(folder.glob("*.onnx"))
    except PermissionError as error:  # such as lost+found, where a volume begins
        log.warning("an unreadable folder is ignored", folder=str(folder), error=error.strerror)
        return False


def open_model(folder: Path) -> ModelFiles:
    """Read a card and compare the SHA-256 of every graph it names.

    Raises
    ------
    ModelError
        If the card or a graph is missing, unreadable or not what it should be; names the file.
    """
    try:
        card = ModelCard.load(folder)
        card.check_files(folder)
    except CardError as error:
        raise ModelError(str(error)) from None
    return ModelFiles(folder, card)
