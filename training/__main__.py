"""`python -m training`: fit, export, evaluate, report, cards, recipes, download."""

from training.cli import main

if __name__ == "__main__":
    main()
