"""The server that the client and the command ask: the same as that of tests/app."""

from tests.app.conftest import client, server, seven, tiny_models

__all__ = ["client", "server", "seven", "tiny_models"]
