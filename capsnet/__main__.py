"""Run the command `capsnet` as `python -m capsnet`, where its script is not in PATH."""

from capsnet.cli.main import main

if __name__ == "__main__":
    main()
