"""kernels=cuequivariance: the same numbers from another package's convolutions, here by its plain torch method."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from composed_jobs import SMOKE, job, run
from e3nn import o3
from samples import batch_of, make_potential, quartz_like, silanol

from scalarpath.core.errors import ConfigError, TrainingError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded, with_zero_row
from scalarpath.nn.angular import SphericalHarmonics
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.convolution.cuequivariance import CuequivarianceConvolution
from scalarpath.potential.backend import verify
from scalarpath.potential.cuequivariance import CuequivariancePotential

pytest.importorskip("cuequivariance_torch")
GRAPH = batch_of(quartz_like(), silanol())


def loss(prediction):
    return sum(value.nan_to_num().square().mean() for value in prediction.values())


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("irreps", ["3x0e", "4x0e+2x1o", "6x0e+3x0o+3x1o+3x1e+9x2e"])
def test_the_convolution_equals_our_own(irreps, gated):
    generator = torch.Generator().manual_seed(0)
    inputs, targets = o3.Irreps(irreps), [ir for _, ir in o3.Irreps("0e+0o+1o+2e")]
    targets = [ir for ir in targets if any(ir in a * o3.Irrep(l, (-1) ** l) for _, a in inputs for l in range(3))]  # noqa: E741
    centre, slot = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 0, 0, 1, 2])
    vectors = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    neighbour = torch.tensor([1, 2, 0, 1, 0, 2])
    graph = SimpleNamespace(edge_index=torch.stack([centre, neighbour]), edge_slot=slot, max_degree=3)
    geometry = EdgeGeometry.from_vectors(
        vectors, graph, torch.zeros(3).long(), 9.0, torch.full((1, 1), 9.0, dtype=torch.float64)
    )
    convolution = ChannelwiseConvolution(inputs, 2, targets)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    features = [draw(3, ir.dim, channels) for channels, ir in inputs]
    weights = with_zero_row(draw(6, convolution.weight_numel), geometry).tensor_split([convolution.scalar_width], 1)
    harmonics = to_padded(SphericalHarmonics(2)(geometry.units), geometry)
    gate = draw(3, 3, 1) if gated else None
    ours = convolution(features, weights, harmonics, geometry, gate)
    theirs = CuequivarianceConvolution(convolution)(features, weights, harmonics, geometry, gate)
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "head"), [("mace", "panpgs"), ("nequip", "panpgs"), ("mace", "baseline"), ("mace", "nonlinear")]
)
def test_predictions_and_gradients_of_a_loss_agree(kind, head):
    potential = make_potential(head, kind=kind, dtype="float64").train()
    state = set(potential.state_dict())
    verify(CuequivariancePotential(potential), GRAPH, loss, forces=True, stress=True)
    assert set(potential.state_dict()) == state


def test_what_differs_is_refused(monkeypatch):
    potential = make_potential("baseline", kind="mace", dtype="float64").train()
    backend = CuequivariancePotential(potential)
    call = CuequivarianceConvolution.__call__
    monkeypatch.setattr(
        CuequivarianceConvolution, "__call__", lambda self, *args: [(1 + 1e-6) * values for values in call(self, *args)]
    )
    with pytest.raises(TrainingError, match=r"kernels=cuequivariance: .* differs from that of the plain potential"):
        verify(backend, GRAPH, loss, forces=True, stress=True)


def test_what_fails_in_the_other_package_is_one_sentence(monkeypatch):
    potential = make_potential("baseline", kind="mace", dtype="float64").train()
    backend = CuequivariancePotential(potential)

    def broken(self, like):
        raise RuntimeError("no such kernel\nand much more")

    monkeypatch.setattr(CuequivarianceConvolution, "_module", broken)
    with pytest.raises(ConfigError, match=r"does not work here \(RuntimeError: no such kernel\); set kernels=null"):
        verify(backend, GRAPH, loss, forces=True, stress=True)


def test_a_backbone_without_such_convolutions_is_refused():
    with pytest.raises(ConfigError, match="backbone allegro has no channelwise convolution"):
        CuequivariancePotential(make_potential("baseline", kind="allegro"))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("scalarpath.nn.convolution.cuequivariance.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install scalarpath\[cuequivariance\]"):
        CuequivariancePotential(make_potential("baseline", kind="mace"))


def test_both_forms_at_once_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="exclude one another"):
        run(job(*SMOKE, f"output_dir={tmp_path}/run", "kernels=cuequivariance", "compile=true"))


def test_training_in_kernels_ends_where_plain_training_ends(tmp_path):
    ends = []
    for name in ("null", "cuequivariance"):
        # SOAP also turns to what rounding leaves
        run(job(*SMOKE, "dtype=float64", "optimizer=adamw", f"kernels={name}", f"output_dir={tmp_path / name}"))
        ends.append(torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-10)
