"""Bring a pretrained potential in: ``python import.py kind=... file=... output=...``; options in conf/import.yaml."""

from scalarpath.cli import import_

if __name__ == "__main__":
    import_()
