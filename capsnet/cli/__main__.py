"""`python -m capsnet.cli`: the `capsnet` command where it is not installed."""

from capsnet.cli.main import main

if __name__ == "__main__":
    main()
