"""What the command leaves with, for scripts."""

from enum import IntEnum


class Status(IntEnum):
    """Exit status; `HELP` says the same to the user."""

    GOOD = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_SERVER = 3
    KEY_REFUSED = 4
    SOME_REFUSED = 5
    INTERRUPTED = 130
    READER_GONE = 141


HELP = """\b
Exit status:
  0  every picture has its answer
  1  some pictures failed; each problem stands in its place
  2  wrong usage: an option, a parameter or a model that does not exist
  3  the server cannot be reached, stays busy, or is no capsnet service
  4  the server asks for an API key, or for another one
  5  with --fail-on-refused: the guard has refused a picture
"""
