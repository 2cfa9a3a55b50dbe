"""Compare finished runs: ``python report.py runs=outputs/multirun/...``; all options in conf/report.yaml."""

from scalarpath.cli import report

if __name__ == "__main__":
    report()
