"""Files of mace-torch: the same energies, forces and stress, one head of several, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from hydra import compose, initialize_config_dir

from scalarpath.core.errors import ConfigError, ScalarPathError, UpstreamError
from scalarpath.core.resources import CONF_DIR
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.potential import load_potential
from scalarpath.upstream import from_upstream
from scalarpath.upstream.command import read_upstream, run
from scalarpath.upstream.mace_file import check_parts, read_mace, select_head
from scalarpath.upstream.settings import ImportSettings

HERE = Path(__file__).parent
TWO_HEADS = HERE / "fixtures" / "two_heads.json"
HEADS = {"one_head": ["Default"], "two_heads": ["pbe", "scan"], "unscaled": ["a", "b", "c"], "nonlinear": ["x", "y"]}


def compare(potential, reference: dict[str, np.ndarray]) -> None:
    calculator = ScalarPathCalculator(potential)
    for k in range(3):
        at = {key: reference[f"{key}_{k}"] for key in ("numbers", "positions", "cell", "pbc")}
        calculator.calculate(Atoms(**at))
        for key in ("energy", "forces", "stress") if at["pbc"].all() else ("energy", "forces"):
            expected = reference[f"{key}_{k}"]
            largest = np.abs(expected).max()
            assert largest > 0
            np.testing.assert_allclose(calculator.results[key], expected, rtol=0, atol=1e-10 * largest)


def two_heads() -> tuple[dict[str, torch.Tensor], dict, dict[str, dict[str, np.ndarray]]]:
    with np.load(TWO_HEADS.with_suffix(".npz")) as arrays:
        state = {name: torch.as_tensor(arrays[name]) for name in arrays if not name.startswith("reference_")}
        references = {
            head: {name.removeprefix(f"reference_{head}_"): arrays[name] for name in arrays if f"ce_{head}_" in name}
            for head in ("pbe", "scan")
        }
    return state, json.loads(TWO_HEADS.read_text()), references


@pytest.mark.parametrize("head", ["pbe", "scan"])
def test_each_head_of_a_model_agrees_to_rounding(head):
    state, content, references = two_heads()
    check_parts(content, Path("two.model"))
    compare(from_upstream("mace", *select_head(state, content["hyperparameters"], head)), references[head])


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (None, r"has 2 heads; choose one with head_name=: pbe, scan"),
        ("scam", r"no head 'scam' \(did you mean 'scan'\?\); it has: pbe, scan"),
    ],
)
def test_a_head_is_chosen_by_its_name(head, complaint):
    state, content, _ = two_heads()
    with pytest.raises(UpstreamError, match=complaint):
        select_head(state, content["hyperparameters"], head)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"class": "MACELES"}, "x.model holds a MACELES; only MACE and ScaleShiftMACE"),
        (
            {"class": "MACE", "parts": ["MACE", "LoRAO3Linear", "ZBLBasis", "NonLinearBiasReadoutBlock"]},
            "x.model has parts without a native equivalent: LoRAO3Linear, NonLinearBiasReadoutBlock",
        ),
    ],
)
def test_a_model_with_unknown_parts_is_refused(content, complaint):
    with pytest.raises(UpstreamError, match=complaint):
        check_parts(content, Path("x.model"))


def test_what_cannot_be_opened_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "a.model"
    with pytest.raises(UpstreamError, match=r"a.model does not exist; give a .model"):
        read_mace(file, "/no/python")
    file.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"python = /no/python is no executable file; .* with mace-torch"):
        read_mace(file, "/no/python")
    other = tmp_path / "python"
    other.write_text("no program")
    other.chmod(0o755)
    with pytest.raises(ConfigError, match=r"python = .* is no working python \(Exec format error\)"):
        read_mace(file, str(other))
    for line, complaint in (
        ("pass", r"a.model is no model .* can read \(it wrote nothing\)"),
        ("raise ModuleNotFoundError(\"No module named 'mace'\")", "has no mace-torch; install it there: .* -m pip"),
        ("raise EOFError('Ran out of input')", r"a.model is no model .* can read \(EOFError: Ran out of input\)"),
    ):
        other.write_text(f"#!{sys.executable}\n{line}\n")
        with pytest.raises(UpstreamError, match=complaint) as raised:
            read_mace(file, str(other))
        assert "\n" not in str(raised.value)


def test_e0s_keep_their_digits_where_the_network_is_float32(tmp_path):
    state, content, _ = two_heads()
    state["atomic_energies_fn.atomic_energies"][:] = -20_000.123456789
    torch.save(state, tmp_path / "weights.pt")
    (tmp_path / "model.json").write_text(json.dumps(content))
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        f"for name in ('weights.pt', 'model.json'):\n    shutil.copy({str(tmp_path)!r} + '/' + name, sys.argv[-1])\n"
    )
    python.chmod(0o755)
    potential = read_upstream("mace", python, "float32", python=str(python), head="pbe")
    assert (potential.e0.tolist(), potential.dtype) == ([-20_000.123456789] * 3, torch.float32)


def import_py(*overrides: str) -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        run(ImportSettings.from_hydra(compose("import", list(overrides))))


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["kind=mace"], "only mace-torch can open its files; .* set python=PEER/bin/python"),
        (["kind=sevennet", "head_name=pbe"], "head_name is for kind=mace; leave it out with kind=sevennet"),
        (["kind=sevennet", "python=python3"], "python is for kind=mace and nequip and allegro"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides, complaint, tmp_path):
    with pytest.raises(ConfigError, match=complaint):
        import_py(*overrides, f"file={tmp_path}/a", f"output={tmp_path}/b")


@pytest.mark.slow
def test_the_files_of_the_installed_package_agree_to_rounding(tmp_path):
    python = os.environ.get("SCALARPATH_PEER_MACE")
    if python is None:
        pytest.skip("SCALARPATH_PEER_MACE names no python with the package")
    script = HERE / "mace_models.py"
    subprocess.run([python, str(script), str(tmp_path)], check=True, timeout=300, capture_output=True)
    for name, heads in HEADS.items():
        for head in heads:
            given = head if len(heads) > 1 else None
            potential = read_upstream("mace", tmp_path / f"{name}.model", "float64", python=python, head=given)
            with np.load(tmp_path / f"{name}_{head}.npz") as reference:
                compare(potential, dict(reference))
    for name, complaint in (
        ("two_heads", "choose one with head_name=: pbe, scan"),
        ("lora", "LoRAFCLayer, LoRAO3Linear"),
    ):
        with pytest.raises(ScalarPathError, match=rf"{name}.model.*{complaint}"):
            read_upstream("mace", tmp_path / f"{name}.model", python=python)
    output = tmp_path / "out.ckpt"
    import_py("kind=mace", f"file={tmp_path}/two_heads.model", f"python={python}", "head_name=scan", f"output={output}")
    assert load_potential(output).species == [1, 8, 14]
