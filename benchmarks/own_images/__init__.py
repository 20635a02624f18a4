"""Folders of images as users have them, drawn by this project, and what `python -m training fit` makes of them."""
