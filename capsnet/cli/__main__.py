"""`python -m app.shell`: the `capsnet` command where it is not installed."""

from app.shell.cli import main

if __name__ == "__main__":
    main()
