"""Find the models of this installation: beside the package in a clone, inside it in the wheel."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
MODELS_VARIABLE = "CAPSNET_MODELS"


def default_models() -> Path:
    """Return the folder of the models: that of the clone or the wheel, else `artifacts` in the working folder."""
    folders = (PACKAGE / "models", PACKAGE.parent / "artifacts")
    return next((folder for folder in folders if folder.is_dir()), Path("artifacts"))


def chosen_models() -> Path:
    """Return the folder that `CAPSNET_MODELS` names, or else `default_models()`."""
    return Path(os.environ.get(MODELS_VARIABLE) or default_models())
