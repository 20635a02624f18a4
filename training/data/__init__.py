"""Data sets, their files and their augmentation."""
