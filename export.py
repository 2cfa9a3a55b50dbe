"""A potential as one file: ``python export.py run=outputs/... file=model.sp``; all options in conf/export.yaml."""

from scalarpath.cli import export

if __name__ == "__main__":
    export()
