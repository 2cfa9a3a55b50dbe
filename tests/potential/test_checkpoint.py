"""A checkpoint file: damage is found, and loading one runs no code of others."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from samples import make_potential

from scalarpath.backbones.interface import OF_THE_POTENTIAL
from scalarpath.core.errors import CheckpointError, TrustError
from scalarpath.core.resources import CONF_DIR
from scalarpath.potential import load_potential, read_checkpoint, to_checkpoint


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "best.ckpt"
    torch.save({"potential": to_checkpoint(make_potential("panpgs")), "epoch": 3}, path)
    return path


@pytest.fixture
def outside(tmp_path, monkeypatch) -> str:
    """A module that leaves a trace when it is imported, with a backbone."""
    (tmp_path / "outside_code.py").write_text(
        "from pathlib import Path\n"
        "from scalarpath.backbones.mace import MACE\n"
        f"Path({str(tmp_path / 'trace')!r}).touch()\n"
        "class Net(MACE):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outside_code", raising=False)
    yield "outside_code:Net"
    sys.modules.pop("outside_code", None)


def test_a_flipped_bit_in_any_record_is_refused(checkpoint):
    whole = bytearray(checkpoint.read_bytes())
    with zipfile.ZipFile(checkpoint) as archive:
        starts = [entry.header_offset + 200 for entry in archive.infolist() if entry.file_size > 400]
    assert len(starts) > 5
    for start in starts:
        damaged = bytearray(whole)
        damaged[start] ^= 1
        checkpoint.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged"):
            load_potential(checkpoint)
    checkpoint.write_bytes(whole)
    load_potential(checkpoint)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_half_a_file_is_refused(checkpoint, part):
    checkpoint.write_bytes(checkpoint.read_bytes()[: int(part * checkpoint.stat().st_size)])
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        load_potential(checkpoint)


@pytest.mark.parametrize("content", [None, 3, [1], {"epoch": 1}, {"potential": None}, {"config": {}, "state_dict": {}}])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint of scalarpath"):
        load_potential(tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="it lacks optimizer_states"):
        read_checkpoint(tmp_path / "other.ckpt", needs=["optimizer_states"])


def test_settings_that_no_potential_has_are_the_files_fault(tmp_path):
    content = to_checkpoint(make_potential("baseline"))
    content["config"] = {**content["config"], "cutoff": -1.0}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match=r"bad.ckpt does not fit its own configuration: .*cutoff"):
        load_potential(tmp_path / "bad.ckpt")


@pytest.mark.parametrize("place", ["backbone", "head part", "head descriptors"])
def test_a_checkpoint_runs_no_code_that_it_names(tmp_path, outside, place):
    content = to_checkpoint(make_potential("panpgs"))
    config = content["config"]
    if place == "backbone":
        config = {**config, "backbone": {**config["backbone"], "kind": outside}}
    else:
        head = dict(config["head"])
        section, name = ("parts", "extra") if place == "head part" else ("descriptors", "kind")
        head[section] = {**(head.get(section) or {}), name: {"kind": outside} if section == "parts" else outside}
        config = {**config, "head": head}
    torch.save({**content, "config": config}, tmp_path / "theirs.ckpt")
    with pytest.raises(TrustError, match=r"theirs.ckpt: .*outside_code:Net.*add trust=\[outside_code\]"):
        load_potential(tmp_path / "theirs.ckpt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("trust", [["outside_code"], ["outside_code:Net"], ["outside"], []])
def test_what_the_user_names_or_has_imported_is_loaded(tmp_path, outside, trust):
    content = to_checkpoint(make_potential("panpgs"))
    defaults = OmegaConf.to_container(OmegaConf.load(CONF_DIR / "backbone" / "mace.yaml"))
    options = {key: defaults[key] for key in defaults if key not in OF_THE_POTENTIAL}
    backbone = {**options, **content["config"]["backbone"], "kind": outside}
    torch.save({**content, "config": {**content["config"], "backbone": backbone}}, tmp_path / "theirs.ckpt")
    if trust == ["outside"]:  # the beginning of a name is not the name
        with pytest.raises(TrustError):
            load_potential(tmp_path / "theirs.ckpt", trust=trust)
        return
    if not trust:
        __import__("outside_code")
    assert type(load_potential(tmp_path / "theirs.ckpt", trust=trust).backbone).__name__ == "Net"
    assert (tmp_path / "trace").exists()
