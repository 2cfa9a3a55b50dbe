"""Errors of finished runs with the weights of their best epoch, which are tested, and with those of their last one.

python docs/results/last_epoch.py OUT.csv RUN...

A row per run and epoch: MAE on validation and test frames, in the units of the columns' names. Best is the epoch with
the smallest validation loss, which few frames decide (docs/training.md#best-or-last-epoch): the validation frame that
alone has chosen it, if there is one, and the loss of all others in the last epoch over that in the best one.
"""

import csv
import sys
from pathlib import Path

import torch

from scalarpath.core.quantities import QUANTITIES
from scalarpath.evaluation.finished_run import FinishedRun
from scalarpath.potential import load_potential
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.deciding_frame import FRAME, RATIO, deciding_frame, frame_losses
from scalarpath.training.evaluation import evaluate
from scalarpath.training.losses import WeightedLoss

torch.set_num_threads(1)
out, *runs = sys.argv[1:]
NAMES = [f"{quantity.name}_mae_{quantity.unit_in_names}" for quantity in QUANTITIES.values()]
rows = []
for run in runs:
    found = FinishedRun.load(run)
    data = found.read_data()
    summary = found.summary
    checkpoints = RunDirectory(Path(run)).checkpoints
    weights = {epoch: load_potential(checkpoints / f"{epoch}.ckpt") for epoch in ("best", "last")}
    loss = WeightedLoss(found.job.loss)
    decided = deciding_frame(*(frame_losses(potential, data.val_dataloader(), loss) for potential in weights.values()))
    for epoch, potential in weights.items():
        row = {name: summary[name] for name in ("data", "backbone", "head", "seed", "epochs", "best_epoch")}
        row |= {"weights": epoch, FRAME: decided.get(FRAME), RATIO: decided.get(RATIO)}
        for part, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
            errors = evaluate(potential, loader)
            row |= {f"{part}/{name}": errors.get(name) for name in NAMES}
        rows.append(row)
        print(run, epoch, *(f"{row[f'test/{name}'] or float('nan'):.3f}" for name in NAMES), flush=True)
with open(out, "w", encoding="utf-8", newline="") as file:
    table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
