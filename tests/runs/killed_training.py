"""A training of a toy potential that can be killed and started again with the same command: PATH wandb|csv."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from toy_training import ToyData, ToyPotential, toy_job

from scalarpath.runs.processes import shared_directory
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.fit import fit
from scalarpath.training.loggers import build_loggers, finish_loggers

WANDB = {
    "kind": "wandb",
    "wandb": {"project": "kill", "entity": None, "group": None, "name": None, "tags": [], "mode": "offline"},
}


replace = os.replace


def replace_slowly(source: Any, target: Any) -> None:
    """As on a slow disk: every new file lies beside the old one for a while, so that kills meet it there."""
    time.sleep(0.005)
    replace(source, target)


def main() -> None:
    os.replace = replace_slowly  # type: ignore[assignment]
    torch.set_num_threads(1)
    path, logger = Path(sys.argv[1]), sys.argv[2]
    job = toy_job(trainer={"max_epochs": 100}, **({"logger": WANDB} if logger == "wandb" else {}))
    resume = RunDirectory(path).has_epoch
    with shared_directory(path, resume=resume) as directory:
        if not resume:
            directory.write_text("config.yaml", "seed: 0\n")
        loggers = build_loggers(job.logger, directory, job.config)
        fit(ToyPotential(), ToyData(n_train=24), job, directory, loggers, resume=resume)
        finish_loggers(loggers, {})


if __name__ == "__main__":
    main()
