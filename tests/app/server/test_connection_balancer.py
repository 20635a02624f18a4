"""Who has more connections than another worker knows it, and a worker that takes none counts for nothing."""

from app.server.connection_balancer import CLOSED, WorkerConnections
from app.server.shared_memory import sharing_numbers


def test_who_has_more_than_another_leaves_a_connection_to_it() -> None:
    with sharing_numbers("connections", [CLOSED] * 3) as (file, counts):
        first, second, third = (WorkerConnections(number, file) for number in range(3))
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
        counts[0] = CLOSED  # as the supervisor does where a worker has ended
        assert not second.has_most()
