"""What ``export.py`` does: the potential of a finished run as one file, with all that is to be known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from scalarpath.core.files import prepare_new
from scalarpath.core.metrics import PARTS, TEST, VALIDATION
from scalarpath.core.overrides import next_command
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import open_console
from scalarpath.data.config import own_places
from scalarpath.models.mace_torch import write_mace_torch
from scalarpath.models.mliap import write_mliap
from scalarpath.models.settings import ExportSettings
from scalarpath.models.standalone import write_standalone
from scalarpath.potential import Potential, load_potential, write_model
from scalarpath.runs.identity import deciding
from scalarpath.runs.job import stored_config
from scalarpath.runs.provenance import versions
from scalarpath.runs.run_directory import RunDirectory


def run(settings: ExportSettings) -> dict[str, Any]:
    """Write the file that ``settings`` ask for; returns the facts in it.

    Raises CheckpointError where there is no finished run or it is damaged, ConfigError where the file exists or cannot
    be written, or the format cannot hold the potential, TrustError for a run that names somebody else's code,
    UpstreamError where mace-torch is missing or cannot make its file.
    """
    file = Path(settings.file)
    directory = RunDirectory.finished(Path(settings.run))
    prepare_new("file", file)
    directory.check_results()
    potential = load_potential(directory.path, trust=settings.trust)
    facts = facts_of(directory, potential, settings.licence)
    if settings.format == "torch-export":
        compared = _compared(*write_standalone(file, potential, facts))
        lines = [compared, "How to call it where this package is not: docs/simulations.md"]
    elif settings.format == "mace":
        compared = _compared(*write_mace_torch(file, potential, str(settings.python)))
        lines = [compared, f'In the environment of mace-torch: MACECalculator("{file}", device="cpu")']
    elif settings.format == "mliap":
        compared = _compared(*write_mliap(file, potential, facts, settings.trust))
        lines = [compared, f"In LAMMPS (docs/simulations.md): pair_style mliap unified {file} 0"]
    else:
        write_model(file, potential, facts)
        go_on = next_command("predict", "model", file)
        lines = [f'In ASE: ScalarPathCalculator("{file}"). For files of structures: {go_on} path=... output=...']
    what = f"{', '.join(facts['elements'])}; {facts['backbone']} x {facts['head']}, cutoff {potential.cutoff:g} Å"
    for line in (f"Written: {file} ({what})", *lines):
        open_console().print(line, highlight=False, markup=False, soft_wrap=True)
    return facts


def _compared(deviations: Mapping[str, float], sizes: Sequence[int]) -> str:
    return (
        f"Compared with the potential on structures of {', '.join(map(str, sorted(sizes)))} atoms: "
        f"{', '.join(f'{name} {value:.0e}' for name, value in deviations.items())} of the largest value"
    )


def facts_of(directory: RunDirectory, potential: Potential, licence: str | None) -> dict[str, Any]:
    """What is to be known of the potential of a finished run, as plain values.

    Of the settings those that decide numbers; where files lie on this machine is left out. Errors are those of
    summary.json: of test and validation frames, as far as they were measured.
    """
    summary = directory.read_json("summary.json", ["backbone", "head", "best_epoch", "hash/data", "hash/config"])
    record = directory.read_json("provenance.json", ["versions", "git"])
    parts = tuple(f"{PARTS[part]}/" for part in (TEST, VALIDATION))
    return {
        "elements": [chemical_symbols[z] for z in potential.species],
        "cutoff_A": potential.cutoff,
        "dtype": potential.config["dtype"],
        "units": {"length": "A", **{name: _unit(name) for name in QUANTITIES}},
        "backbone": summary["backbone"],
        "head": summary["head"],
        "best_epoch": summary["best_epoch"],
        "errors": {key: value for key, value in summary.items() if key.startswith(parts)},
        "settings": _without_places(deciding(stored_config(directory.path))),
        "hash": {"data": summary["hash/data"], "config": summary["hash/config"]},
        "trained": {"versions": record["versions"], "git": record["git"]},
        "exported": {"time": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()},
        "licence": licence,
    }


def _unit(name: str) -> str:
    """The unit of a prediction: errors of energies are divided by the number of atoms, energies are not."""
    return QUANTITIES[name].unit.removesuffix("/atom")


def _without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    places = own_places(config["data"])
    return {**config, "data": {key: value for key, value in config["data"].items() if key not in places}}
