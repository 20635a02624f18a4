"""Gather items of several requests into batches."""
