"""Command line: ``python -m scalarpath.data {check,look,table,near-duplicates} ... [data.KEY=VALUE ...]``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scalarpath.core.errors import ScalarPathError
from scalarpath.core.overrides import as_meant, check_overrides, explained
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import NonNegative, Positive, checked
from scalarpath.core.terminal import open_console, use_plain_letters
from scalarpath.data.config import DataConfig
from scalarpath.data.labelled import check, read_for_training, stop_if_suspicious
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
    open_console().print(render_audit(data, audit_duplicates(data), arguments.shown))


def _check(arguments: argparse.Namespace) -> None:
    _, _, given = _files(arguments.settings)
    audit = check(given.data, given.cutoff, given.weighed)
    open_console().print(audit.render())
    stop_if_suspicious(audit, given.data)


def _look(arguments: argparse.Namespace) -> None:
    from scalarpath.data.first_look import first_look, prepare_figure

    files, settings, given = _files(arguments.settings)
    figure: Path = arguments.figure or Path(f"{Path(files[0]).stem if files else given.data.name}_first_look.svg")
    prepare_figure("--figure", figure)
    loaded, labels, audit = read_for_training(given.data, given.weighed)
    console = open_console()
    console.print(audit.render())
    look = first_look(loaded.frames, labels, given.cutoff)
    console.print(*look.tables())
    for note in look.notes():
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    look.draw(figure)
    said = f"Drawn: {figure.with_suffix('.svg')}, {figure.with_suffix('.png').name}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
    stop_if_suspicious(audit, given.data)
    if files and look.labelled:
        console.print(
            f"Train on them with: {look.command(files, settings)}", highlight=False, markup=False, soft_wrap=True
        )


class _Given(NamedTuple):
    """What the settings mean: those of the data, the cutoff in Å, and the quantities that the loss weighs."""

    data: DataConfig
    cutoff: float
    weighed: frozenset[str]


def _files(given: Sequence[str]) -> tuple[list[str], list[str], _Given]:
    """Files and settings among the arguments, and what they mean."""
    files = [text for text in given if "=" not in text or Path(text).exists()]
    settings = [_of_data(text) for text in given if text not in files]
    paths = {"path": files if len(files) > 1 else files[0]} if files else {}
    return files, settings, _settings(["data=extxyz", *settings] if files else settings, **paths)


def _of_data(text: str) -> str:
    """A setting of the data may lack its ``data.``."""
    key = text.partition("=")[0].lstrip("+")
    return text if "." in key or (CONF_DIR / key).is_dir() else f"data.{text}"


def _split(settings: Sequence[str]) -> SplitData:
    given = _settings(settings)
    return read_split(given.data, given.cutoff)


def _settings(settings: Sequence[str], **changes: Any) -> _Given:
    texts = check_overrides("train", as_meant(settings))
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            cfg = compose("train", overrides=texts)
    except (HydraException, OmegaConfBaseException) as error:
        raise explained(error, "train", texts) from error
    config: Any = OmegaConf.to_container(cfg.data, resolve=True)
    cutoff = checked(cfg.backbone.cutoff, Positive, "backbone.cutoff")
    weights = {name: checked(cfg.loss[name], NonNegative, f"loss.{name}") for name in QUANTITIES}
    weighed = frozenset(name for name, weight in weights.items() if weight > 0)
    return _Given(DataConfig.read({**config, **changes}), float(cutoff), weighed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scalarpath.data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    audit = commands.add_parser("check", help="read files and print the audit of their labels, without training")
    audit.set_defaults(run=_check)
    audit.add_argument(
        "settings", nargs="+", metavar="FILE|SETTING", help="files, and data settings such as energy_key=E_dft"
    )
    look = commands.add_parser("look", help="the same, with distances, volumes, forces, a figure, and what to set")
    look.set_defaults(run=_look)
    look.add_argument("--figure", type=Path, help="the figure (SVG and PNG); else FILE_first_look.svg, here")
    look.add_argument("settings", nargs="+", metavar="FILE|SETTING", help="as for check")
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
    use_plain_letters()
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except ScalarPathError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
