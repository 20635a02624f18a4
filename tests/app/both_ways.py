"""A file of tests with `server = both_ways()` runs with the fast path and without it."""

from typing import Any

import pytest

from tests.app.server_process import PLAIN, Server


def both_ways() -> Any:
    """Return a fixture: the server that answers on the fast path, then one that has none."""

    @pytest.fixture(scope="session", params=["fast path"] if PLAIN else ["fast path", "parser"])
    def server(request: pytest.FixtureRequest, server: Server) -> Server:
        if request.param == "fast path":
            return server
        parsing: Server = request.getfixturevalue("parsing_server")
        return parsing

    return server
