"""Errors on frames of another source, paired by seed: python docs/results/other_frames.py OUTPUT.csv NAME FOLDER...

NAME: of the file that ``python evaluate.py run=RUN frames=NAME artifact=null`` measured runs inside of the FOLDERs on.
Energies of two DFT settings differ by a constant, so the error of each is taken about the median error of its run.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np

from scalarpath.report.cells import BASELINE
from scalarpath.report.effects import NEEDED_CONTROL, percent
from scalarpath.report.paired_tests import t_test

ERRORS = ("forces_meV_A", "energy_about_median_meV_atom", "stress_meV_A3")
REFERENCES = (BASELINE, NEEDED_CONTROL)


def row_of(found: Path) -> dict[str, str]:
    """What one run has, as a row of the table."""
    said = json.loads(found.read_text())
    run = found.parent.parent
    provenance = json.loads((run / "provenance.json").read_text())
    with found.with_suffix(".csv").open() as file:
        energies = np.array([float(row["energy_error_meV_atom"]) for row in csv.DictReader(file)])
    return {
        "run": str(run),
        **{key: str(said[key]) for key in ("backbone", "head", "seed")},
        "epochs": str(json.loads((run / "summary.json").read_text())["epochs"]),
        "revision": provenance["git"]["commit"][:7],
        "forces_meV_A": f"{said['frames/forces_mae_meV_A']:.5g}",
        "energy_about_median_meV_atom": f"{np.abs(energies - np.median(energies)).mean():.5g}",
        "stress_meV_A3": f"{said['frames/stress_mae_meV_A3']:.5g}",
    }


def change(logs: np.ndarray) -> str:
    """Mean and 95 % t interval of paired logarithms, as percent."""
    mean, low, high = (f"{percent(value):+.0f}" for value in t_test([logs])[:3])
    return f"{mean} [{low}, {high}]"


def main(output: str, name: str, *folders: str) -> None:
    """Write the rows, and print a table of their means and of paired changes."""
    found = [path for folder in folders for path in sorted(Path(folder).glob(f"*/artifacts/frames_{name}.json"))]
    rows = [row_of(path) for path in found]
    with Path(output).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    arms: dict[tuple[str, str, str], dict[str, np.ndarray]] = {}
    for row in rows:
        seeds = arms.setdefault((row["backbone"], row["epochs"], row["head"]), {})
        seeds[row["seed"]] = np.array([float(row[error]) for error in ERRORS])
    for (backbone, epochs, head), seeds in sorted(arms.items()):
        values = np.stack(list(seeds.values()))
        spread = values.std(0, ddof=1) if len(values) > 1 else np.full(len(ERRORS), np.nan)
        cells = [f"{mean:.3g} ± {deviation:.2g}" for mean, deviation in zip(values.mean(0), spread, strict=True)]
        for reference in REFERENCES:
            other = arms.get((backbone, epochs, reference), {})
            both = sorted(seeds.keys() & other.keys())
            if head not in (reference, BASELINE) and len(both) > 1:
                logs = np.log(np.stack([seeds[seed] / other[seed] for seed in both]))
                changes = ", ".join(change(column) for column in logs.T)
                cells.append(f"against {reference} ({len(both)}): {changes}")
        print(" | ".join([backbone, f"{epochs} epochs", head, *cells]))


if __name__ == "__main__":
    main(*sys.argv[1:])
