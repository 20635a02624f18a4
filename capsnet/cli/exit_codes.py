"""Define the exit status of the command, for scripts."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status; `HELP` says the same to the user."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_SERVER = 3
    KEY_REFUSED = 4
    SOME_REFUSED = 5
    INTERRUPTED = 130
    SIGPIPE = 141


HELP = """\b
Exit status:
  0  every image has its answer
  1  some images failed; each has its problem in its place
  2  wrong usage: an option, a parameter or a model that does not exist
  3  the server cannot be reached, stays busy, fails, or is no capsnet service
  4  the server asks for an API key, or for another one
  5  with --fail-on-refused: the guard has refused an image
"""
