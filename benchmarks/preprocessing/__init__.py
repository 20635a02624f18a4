"""Generators of images as people send them, and reports on how they are read."""
