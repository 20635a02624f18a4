"""`python -m training`: fit, evaluate, export, download."""

from training.cli import main

if __name__ == "__main__":
    main()
