"""Checkpoints of nequip-train: the same energies, forces and stress, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_mace_file import compare, import_py

from scalarpath.core.errors import ConfigError, UpstreamError
from scalarpath.upstream import nequip_file
from scalarpath.upstream.command import read_upstream
from scalarpath.upstream.nequip_file import read_allegro, read_nequip
from scalarpath.upstream.peer_file import Opener

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nequip", "allegro"])
def test_checkpoints_and_packages_of_the_installed_package_agree_to_rounding(kind, tmp_path):
    python = os.environ.get("SCALARPATH_PEER_NEQUIP")
    if python is None:
        pytest.skip("SCALARPATH_PEER_NEQUIP names no python with the package")
    script = HERE / "nequip_models.py"
    subprocess.run([python, str(script), str(tmp_path)], check=True, timeout=300, capture_output=True)
    if not (tmp_path / f"{kind}.ckpt").exists():
        pytest.skip(f"{python} has no {kind}")
    for file in (f"{kind}.ckpt", f"{kind}.nequip.zip"):
        potential = read_upstream(kind, tmp_path / file, "float64", python=python)
        with np.load(tmp_path / f"{kind}.npz") as reference:
            compare(potential, reference)


def opener(tmp_path: Path, content: dict) -> Opener:
    """One whose script writes this, and no weights."""
    script = tmp_path / "worker.py"
    script.write_text(
        f"import sys, pathlib\npathlib.Path(sys.argv[2], 'model.json').write_text({json.dumps(content)!r})\n"
    )
    return Opener("nequip", "nequip", str(script), "a .ckpt that nequip-train has written")


@pytest.mark.parametrize(
    ("read", "content", "complaint"),
    [
        (read_nequip, {"builder": "allegro.model.AllegroModel", "models": ["sole_model"]}, "use kind=allegro"),
        (read_allegro, {"builder": "nequip.model.NequIPGNNModel", "models": ["sole_model"]}, "use kind=nequip"),
        (
            read_nequip,
            {"builder": "other.Model", "models": ["sole_model"]},
            "only nequip.model.NequIPGNNModel and",
        ),
        (
            read_nequip,
            {"builder": "nequip.model.NequIPGNNModel", "models": ["a", "b"]},
            r"a.ckpt holds 2 models \(a, b\); only one can be imported",
        ),
    ],
)
def test_another_model_is_refused_by_name(read, content, complaint, tmp_path, monkeypatch):
    (tmp_path / "a.ckpt").touch()
    kind = "allegro" if read is read_allegro else "nequip"
    monkeypatch.setitem(nequip_file.OPENERS, kind, opener(tmp_path, content))
    with pytest.raises(UpstreamError, match=complaint):
        read(tmp_path / "a.ckpt", sys.executable)


@pytest.mark.parametrize("name", ["a.nequip.pt2", "a.nequip.pth"])
def test_a_compiled_file_is_refused_before_anything_is_started(name, tmp_path):
    complaint = (
        rf"{name} is compiled, and its weights have no names; give a .ckpt .* or a .nequip.zip of nequip-package"
    )
    with pytest.raises(UpstreamError, match=complaint):
        read_nequip(tmp_path / name, "/no/python")


def test_a_missing_file_package_or_python_is_said(tmp_path):
    with pytest.raises(UpstreamError, match=r"a.ckpt does not exist; give a .ckpt that nequip-train has written"):
        read_nequip(tmp_path / "a.ckpt", sys.executable)
    (tmp_path / "a.ckpt").touch()
    with pytest.raises(UpstreamError, match=r"has no nequip; install it there: .* -m pip install nequip"):
        read_nequip(tmp_path / "a.ckpt", sys.executable)
    with pytest.raises(ConfigError, match="only nequip-allegro can open its files"):
        import_py("kind=allegro", f"file={tmp_path}/a.ckpt", f"output={tmp_path}/b.ckpt")
    with pytest.raises(ConfigError, match="head_name is for kind=mace; leave it out with kind=nequip"):
        import_py("kind=nequip", "head_name=a", "python=p", f"file={tmp_path}/a.ckpt", f"output={tmp_path}/b.ckpt")
