"""What is fuzzed: the commands, on configurations composed as their command lines do, and the reading of data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scalarpath import cli
from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.datamodule import AtomicDataModule

READ = ("pos", "energy", "forces", "stress")
COMMANDS = {
    "train": cli._run, "evaluate": cli._evaluate, "report": cli._report, "benchmark": cli._benchmark,
    "export": cli._export, "predict": cli._predict, "import": cli._import,
}  # fmt: skip


def composed(command: str, overrides: list[str]) -> Any:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(command, overrides)


def run(command: str, overrides: list[str], folder: Path) -> None:
    """Run a command in a folder; raises ConfigError for what Hydra refuses by itself."""
    os.chdir(folder)
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):  # which benchmarks compose their heads from
        try:
            cfg = compose(command, overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"Hydra: {str(error).splitlines()[0]}") from error
        COMMANDS[command](cfg)


def read(path: str, **settings: Any) -> dict[int, dict[str, list[float]]]:
    """Positions and labels of every frame as a training would get them, by the number of the frame."""
    data = AtomicDataModule(
        {"path": path, "cache": False, "valid_size": 2, "test_size": 2, **settings}, cutoff=5.0, seed=0
    )
    data.setup()
    found = {}
    for graphs in (data.train_graphs, data.valid_graphs, data.test_graphs):
        for number, graph in zip(graphs.frames, graphs, strict=True):
            found[int(number)] = {
                name: graph[name].flatten().tolist() for name in ("pos", "energy", "forces", "stress")
            }
    return found
