"""docs/tutorial.md: its commands, run one after another in an empty folder, and its Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/tutorial.md").read_text()
SHORTER = {"train.py": ["trainer.max_epochs=2", "measure_overhead=false", "callbacks.progress.style=none"]}


def test_every_command_of_the_tutorial_runs(tmp_path):
    commands = re.findall(r"^    python (\S.*)$", TEXT, re.MULTILINE)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for script in ("train.py", "evaluate.py"):
        (tmp_path / script).symlink_to(ROOT / script)
    environment = os.environ | {"WANDB_MODE": "offline", "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(command: str) -> str:
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    said = [run(" ".join([sys.executable, text, *SHORTER.get(text.split()[0], [])])) for text in commands]
    assert [command.split()[0] for command in commands] == ["docs/tutorial_vasp.py", "-m", "train.py", "evaluate.py"]
    assert "136 folders" in said[0]
    assert "python train.py 'data.path=vasp/*/vasprun.xml' data=extxyz" in said[1]
    rows = json.loads((tmp_path / "outputs/tutorial/artifacts/phonons.json").read_text())["rows"]
    assert any(row["reference"] for row in rows), "beside a stored reference"
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "use.py").write_text(block)
    assert float(run(f"{sys.executable} use.py")) < -20.0
