"""Tune uvicorn; nothing but app.__main__ needs this package."""
