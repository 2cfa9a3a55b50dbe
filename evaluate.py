"""Measure physical artifacts: ``python evaluate.py run=outputs/... size=smoke``; all options in conf/evaluate.yaml."""

from scalarpath.cli import evaluate

if __name__ == "__main__":
    evaluate()
