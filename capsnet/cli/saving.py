"""Pictures that were made, as files."""

from pathlib import Path

from app.client import Png
from app.client.pictures import printable


def save(folder: Path, name: str, pictures: dict[str, Png]) -> list[str]:
    """Write each picture to `folder/NAME.KIND.png`; gives the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, picture in pictures.items():
        path = folder / f"{name}.{kind}.png"
        picture.save(path)
        paths.append(printable(path))
    return paths
