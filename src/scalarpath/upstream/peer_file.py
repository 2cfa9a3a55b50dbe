"""Files of other packages that are pickles: a process of an environment with the package opens and writes them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalarpath.core.errors import UpstreamError
from scalarpath.core.interpreters import last_line, run_python

WORKERS = Path(__file__).parent / "workers"


@dataclass(frozen=True)
class Opener:
    """What opens the files of a package there: the name of the package in pip, its ``module``, and the script, which
    writes model.json and weights.pt. ``file``: what the package calls such a file."""

    package: str
    module: str
    script: str
    file: str

    def run(self, python: str, script: str, path: Path, folder: str) -> subprocess.CompletedProcess[str]:
        """What becomes of a script of WORKERS that gets a file and a folder.

        Raises ConfigError for a python that is none, UpstreamError for one without the package.
        """
        result = run_python("python", python, self.package, str(WORKERS / script), str(path.absolute()), folder)
        if last_line(result).startswith(f"ModuleNotFoundError: No module named '{self.module}'"):
            raise UpstreamError(
                f"python = {python} has no {self.package}; install it there: {python} -m pip install {self.package}."
            )
        return result

    def opened(self, path: Path, python: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Content of model.json and, in float64, of weights.pt, empty where the script wrote none.

        Code that stands in the file is run, by ``python``. Raises ConfigError for a python that is none, UpstreamError
        where the file is missing or unreadable there.
        """
        if not path.is_file():
            raise UpstreamError(f"{path} does not exist; give {self.file}.")
        with tempfile.TemporaryDirectory() as folder:
            result, written = self.run(python, self.script, path, folder), Path(folder)
            if result.returncode != 0 or not (written / "model.json").is_file():
                raise UpstreamError(
                    f"{path} is no model that the {self.package} of {python} can read ({last_line(result)})."
                )
            content = json.loads((written / "model.json").read_text())
            state = {}
            if (written / "weights.pt").is_file():
                state = torch.load(written / "weights.pt", map_location="cpu", weights_only=True)
        return content, {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
