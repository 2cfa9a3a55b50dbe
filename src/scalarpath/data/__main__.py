"""Command line: ``python -m scalarpath.data {table,near-duplicates} data=NAME [data.KEY=VALUE ...]``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from rich.console import Console

from scalarpath.core.errors import ScalarPathError
from scalarpath.core.overrides import as_meant, check_overrides, explained
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.config import DataConfig
from scalarpath.data.split_report import (
    SplitData,
    audit_duplicates,
    key_table,
    read_split,
    render_audit,
    write_key_table,
)


def _table(arguments: argparse.Namespace) -> None:
    rows = key_table(_split(arguments.settings))
    write_key_table(rows, arguments.out)
    print(f"{arguments.out}: {len(rows)} keys")


def _near_duplicates(arguments: argparse.Namespace) -> None:
    data = _split(arguments.settings)
    # a table in a file or a pipe is not to be folded to 80 columns
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(render_audit(data, audit_duplicates(data), arguments.shown))


def _split(settings: Sequence[str]) -> SplitData:
    overrides = check_overrides("train", as_meant(settings))
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            cfg = compose("train", overrides=overrides)
    except HydraException as error:
        raise explained(error, "train", overrides) from error
    config = OmegaConf.to_container(cfg.data, resolve=True)
    return read_split(DataConfig.read(config), float(cfg.backbone.cutoff))  # type: ignore[arg-type]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scalarpath.data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    table = commands.add_parser("table", help="write which key of a grouped split is in which split, as CSV")
    table.add_argument("--out", type=Path, required=True, help="the CSV file")
    table.set_defaults(run=_table)
    near = commands.add_parser("near-duplicates", help="list the test frames that are most like a train frame")
    near.add_argument("--shown", type=int, default=10, help="how many pairs to list")
    near.set_defaults(run=_near_duplicates)
    for command in (table, near):
        command.add_argument("settings", nargs="+", metavar="SETTING", help="as for train.py, for example data=lif")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, 2 for an error of the user."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except ScalarPathError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
