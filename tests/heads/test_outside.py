"""Parts, descriptors and readouts from outside the package, those of docs/heads.md among them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from command_line import ROOT, train_py
from documented import write_examples

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Positive
from scalarpath.heads import PathwayPart, PathwayShape, build_head

PATHWAY = PathwayShape(4.0, 2, n_radial=3, edge_channels=(4,), pool_channels=(4,), readout_channels=(4,))


class Amplify(PathwayPart):
    """m_i <- (factor + a) m_i + offset: pooling from outside, whose order among other parts shows."""

    def __init__(self, *, factor: Positive = 1.0, offset: float = 0.0):
        super().__init__()
        self.factor, self.offset = factor, offset
        self.a = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def pool(self, layer, features, prepared):
        return (self.factor + self.a) * features + self.offset


@pytest.mark.parametrize("backbone", ["mace", "allegro"])
def test_a_head_from_outside_trains_from_the_command_line(backbone: str, tmp_path: Path) -> None:
    assert len(write_examples("heads.md", tmp_path)) == 2
    arguments = ["--config-dir", "my_conf", "head=coordination", f"backbone={backbone}", "experiment=smoke"]
    arguments += [f"+head.parts.amplify={{kind: '{__name__}:Amplify', factor: 1}}"]
    paths = os.pathsep.join(map(str, (ROOT / "src", tmp_path, ROOT / "tests", Path(__file__).parent)))
    result = train_py(*arguments, "output_dir=run", cwd=tmp_path, PYTHONPATH=paths)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["head"] == "coordination"
    state = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["potential"]["state_dict"]
    assert state["head.parts.polynomial.coefficients"].shape[1:] == (1, 3)
    assert state["head.parts.polynomial.coefficients"].any(), "trained"
    assert state["head.parts.amplify.a"] != 0.0
    assert "head.parts.edge_band.mix" in state


def test_parts_from_outside_come_after_those_of_the_package_in_the_order_of_the_configuration() -> None:
    double, shift = ({"kind": f"{__name__}:Amplify", "factor": 2.0}, {"kind": f"{__name__}:Amplify", "offset": 1.0})
    features = torch.ones(1, 4, dtype=torch.float64)
    for parts, expected in (({"a": double, "b": shift}, 3.0), ({"b": shift, "a": double}, 4.0)):
        head = build_head({"parts": {**parts, "spectral_readout": {}, "edge_band": None}}, PATHWAY, seed=0)
        assert list(head.parts) == ["edge_band", "spectral_readout", *parts]
        assert head.pool(0, features, dict.fromkeys(head.parts)).tolist() == [[expected] * 4]


def test_one_kind_may_be_there_twice_under_two_names() -> None:
    head = build_head({"parts": {"fine": {"kind": "edge_band", "first": 16}, "edge_band": {}}}, PATHWAY, seed=0)
    assert list(head.parts) == ["fine", "edge_band"]
    ratio = head.parts["fine"].frequencies[0] / head.parts["edge_band"].frequencies[0]
    assert ratio == pytest.approx(17 / 9)  # each begins one above its "first"
    assert not torch.equal(head.parts["fine"].mix, head.parts["edge_band"].mix)


def test_options_of_a_part_from_outside_are_checked_by_its_annotations() -> None:
    with pytest.raises(ConfigError, match=r"head\.parts\.mine\.factor must be greater than 0, not -1"):
        build_head({"parts": {"mine": {"kind": f"{__name__}:Amplify", "factor": -1}}}, PATHWAY, seed=0)
    with pytest.raises(ConfigError, match=r"head\.parts\.mine has no setting 'faktor' \(did you mean 'factor'\?\)"):
        build_head({"parts": {"mine": {"kind": f"{__name__}:Amplify", "faktor": 1}}}, PATHWAY, seed=0)
    with pytest.raises(ConfigError, match="part 'nowhere:Part' cannot be imported"):
        build_head({"parts": {"mine": {"kind": "nowhere:Part"}}}, PATHWAY, seed=0)
    with pytest.raises(ConfigError, match="is not a subclass of"):
        build_head({"descriptors": {"kind": f"{__name__}:Amplify"}}, PATHWAY, seed=0)
