"""The command `python -m training`: each module adds its commands to the application when it is imported."""

from training.cli import directions, download, evaluate, export, fit, recipes, report, votes
from training.cli.app import app, main

__all__ = [
    "app",
    "directions",
    "download",
    "evaluate",
    "export",
    "fit",
    "main",
    "recipes",
    "report",
    "votes",
]
