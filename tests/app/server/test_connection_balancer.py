"""Who has more connections than another worker knows it, and a worker that takes none counts for nothing."""

import contextlib
from collections.abc import Iterator

import pytest

from app.server.connection_balancer import ConnectionCounts, WorkerConnections


@pytest.fixture
def counts() -> Iterator[ConnectionCounts]:
    with contextlib.closing(ConnectionCounts(3)) as shared:
        yield shared


def test_who_has_more_than_another_leaves_a_connection_to_it(counts: ConnectionCounts) -> None:
    first, second, third = (WorkerConnections(number, counts.file) for number in range(3))
    first.publish(3)
    assert not first.has_most()  # the others do not take any yet
    second.publish(4)
    assert not first.has_most()
    assert second.has_most()
    third.publish(2)
    assert first.has_most()
    assert not third.has_most()
    third.close()
    assert not first.has_most()
    assert third.has_most()
    counts.remove(0)
    assert not second.has_most()
