"""Layers, routing and their mathematics."""
