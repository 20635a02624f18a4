"""Connections handed from one worker to another: each arrives, and goes to who has the fewest."""

import contextlib
import resource
import socket
from collections.abc import Iterator

import pytest

from app.server.connection_balancer import Board, Siblings

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that carry files")


@pytest.fixture
def three() -> Iterator[tuple[Board, list[Siblings]]]:
    with contextlib.closing(Board(3)) as board, contextlib.ExitStack() as stack:
        workers = [Siblings(number, board.files(number)) for number in range(3)]
        for worker in workers:
            stack.callback(worker.box.detach)  # the board closes them
            for box in worker._boxes:
                stack.callback(box.detach)
            worker.publish(0)
        yield board, workers


def accepted() -> tuple[socket.socket, socket.socket]:
    """The client's and the server's end of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        return client, listening.accept()[0]


def test_a_connection_goes_to_who_has_the_fewest_and_arrives_whole(
    three: tuple[Board, list[Siblings]],
) -> None:
    board, (first, second, third) = three
    first.publish(3)
    second.publish(4)
    third.publish(2)
    client, server = accepted()
    with client:
        client.sendall(b"said before")
        assert first.hand_on(server)
        assert server.fileno() == -1
        client_of_another, another = accepted()
        with client_of_another, another:
            assert not first.hand_on(another)  # with that in its inbox the third has three as well
        assert list(second.handed_on()) == []
        (arrived,) = third.handed_on()
        with arrived:
            assert arrived.recv(20) == b"said before"
            arrived.sendall(b"answer")
        assert client.recv(20) == b"answer"
    client, server = accepted()
    with client, server:
        third.publish(3)
        assert not first.hand_on(server)
        third.close()
        assert not first.hand_on(server)
        board.gone(1)
        first.publish(9)
        assert not first.hand_on(server)
        assert server.fileno() != -1


def test_without_room_for_files_connections_stay_in_the_box(three: tuple[Board, list[Siblings]]) -> None:
    """Taken out all the same, they would be closed under their clients."""
    _, (first, second, third) = three
    first.publish(3)
    second.publish(3)
    client, server = accepted()
    with client:
        assert first.hand_on(server)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))  # open files stay open
        try:
            with pytest.raises(OSError, match="Too many open files"):
                list(third.handed_on())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        (arrived,) = third.handed_on()
        with arrived:
            arrived.sendall(b"answer")
            assert client.recv(20) == b"answer"


def test_where_a_box_is_full_a_connection_is_kept(three: tuple[Board, list[Siblings]]) -> None:
    _, (first, _, third) = three
    first.publish(10_000)
    third.close()
    handed = 0
    with contextlib.ExitStack() as stack:
        while handed < 5000:
            client, server = accepted()
            stack.enter_context(client)
            stack.enter_context(server)
            if not first.hand_on(server):
                break
            handed += 1
        assert 0 < handed < 5000
        assert first._counts.of(1) == handed  # what was kept is not counted there
        assert server.fileno() != -1


def test_nobody_has_a_worker_s_connections_until_it_says_that_it_takes_some() -> None:
    with contextlib.closing(Board(2)) as board:
        first = Siblings(0, board.files(0))
        first.publish(5)
        client, server = accepted()
        with client, server:
            assert not first.hand_on(server)
        first.box.detach()
        for box in first._boxes:
            box.detach()
