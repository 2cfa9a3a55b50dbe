"""What a GPU has to show, with one command: ``python benchmark.py suite=gpu``."""
