"""Run the command `capsnet` as `python -m capsnet.cli`, where it is not installed."""

from capsnet.cli.main import main

if __name__ == "__main__":
    main()
