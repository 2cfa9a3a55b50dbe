"""compile=true: the same numbers from a traced potential, checked before training; here mostly without the compiler."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import bulk
from composed_jobs import SMOKE, job, run
from samples import CUTOFF, batch_of, make_potential, quartz_like, silanol

from scalarpath.backbones import Backbone
from scalarpath.core.errors import ConfigError, DataError, TrainingError
from scalarpath.heads import PathwayShape
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.potential import build_potential
from scalarpath.potential.backend import TOLERANCE, verify
from scalarpath.potential.compiled import CompiledPotential


class PairSum(Backbone):
    """E_i = w sum_j (1 - r_ij / cutoff)^3 or, to trip the tracer, something that depends on the values of tensors."""

    def __init__(self, atomic_numbers, cutoff, generator, *, flaw: str | None = None):
        super().__init__()
        self.flaw = flaw
        self.weight = torch.nn.Parameter(torch.randn(1, generator=generator, dtype=torch.float64))
        self.pathway = PathwayShape(cutoff, len(atomic_numbers), 1, (), (), ())

    def set_mean_degree(self, mean_degree):
        pass

    def forward(self, geometry, head):
        pair = torch.nn.functional.silu(self.weight * (1 - geometry.scaled_distances) ** 3)
        if self.flaw == "values":
            pair = pair * float(pair.detach().sum())
        if self.flaw == "size":
            pair = pair * len(geometry.distances)
        return neighbour_sum(pair, geometry).squeeze(1)


def pair_potential(**options: object):
    config = {"species": [8, 14], "cutoff": CUTOFF, "dtype": "float64", "head": {"name": "baseline", "parts": {}}}
    return build_potential({**config, "backbone": {"kind": f"{__name__}:PairSum", **options}}).train()


def loss(prediction):
    return sum(value.nan_to_num().square().mean() for value in prediction.values())


def two_frames():
    return batch_of(quartz_like() * (2, 2, 1), silanol())


@pytest.fixture
def without_compiler(monkeypatch) -> list[int]:
    """torch.compile replaced by nothing: what is left is the traced graph. Counts its calls."""
    calls: list[int] = []

    def compile_(graph, **_):
        calls.append(1)
        return graph

    monkeypatch.setattr(torch, "compile", compile_)
    return calls


def largest_difference(potential, compiled, graph) -> float:
    """Over predictions and gradients, relative to the largest value of each."""
    out = []
    parameters = list(potential.parameters())
    for model in (potential, compiled):
        prediction = model(graph)
        gradients = torch.autograd.grad(loss(prediction), parameters, allow_unused=True, materialize_grads=True)
        out.append(
            [*(value.nan_to_num() for value in prediction.values()), torch.cat([g.flatten() for g in gradients])]
        )
    return max(float(((a - b).abs().max() / a.abs().max()).detach()) for a, b in zip(*out, strict=True))


def test_one_program_serves_batches_of_any_size_with_every_head_part(without_compiler):
    potential = make_potential("panpgs", kind="allegro", num_layers=1, dtype="float64").train()
    compiled = CompiledPotential(potential)
    for graph in (two_frames(), batch_of(quartz_like(), quartz_like() * (2, 2, 1), silanol())):
        assert largest_difference(potential, compiled, graph) < 1e-12
    assert len(without_compiler) == 1


def test_the_program_reads_the_weights_of_the_moment(without_compiler):
    potential = pair_potential()
    compiled = CompiledPotential(potential)
    before = compiled(two_frames())["energy"]
    with torch.no_grad():
        potential.backbone.weight.mul_(2.0)
    assert not torch.allclose(before, compiled(two_frames())["energy"])
    assert largest_difference(potential, compiled, two_frames()) < 1e-12


def test_evaluation_mode_gives_no_graph_of_gradients_and_only_what_is_asked_for(without_compiler):
    compiled = CompiledPotential(pair_potential().eval())
    prediction = compiled(two_frames(), stress=False)
    assert set(prediction) == {"energy", "node_energy", "forces"}
    assert not any(value.requires_grad for value in prediction.values())
    compiled.potential.train()
    assert compiled(two_frames())["forces"].requires_grad
    assert len(without_compiler) == 2


@pytest.mark.parametrize(
    "graph",
    [
        batch_of(quartz_like() * (3, 2, 1)),  # one frame
        batch_of(quartz_like(), silanol()),  # few atoms
        batch_of(bulk("Si", cubic=True) * (2, 2, 1), Atoms("SiO", [[0, 0, 0], [2, 0, 0]])),  # one oxygen
        batch_of(*[Atoms("O2Si2", [[99.0 * k, 0, 0] for k in range(4)])] * 9),  # no edge
    ],
)
def test_a_batch_with_too_small_a_size_runs_eagerly_and_is_no_check(without_compiler, graph):
    compiled = CompiledPotential(pair_potential())
    torch.testing.assert_close(compiled(graph), compiled.potential(graph), equal_nan=True)
    assert not without_compiler
    with pytest.raises(ConfigError, match=r"needs batches of two frames, 32 atoms.* raise data\.batch_size"):
        verify(compiled, graph, loss, forces=True, stress=True)


def test_an_unknown_element_is_an_error_as_ever(without_compiler):
    graph = two_frames()
    graph.z[0] = 79
    with pytest.raises(DataError, match="atomic number 79"):
        CompiledPotential(pair_potential())(graph)


@pytest.mark.parametrize("wrong", ["forces", "gradient of the loss", "energy in validation"])
def test_what_differs_from_eager_is_refused_by_name(monkeypatch, wrong):
    def compile_(graph, **_):
        def program(*inputs):
            out = dict(graph(*inputs))
            if wrong == "forces":
                out["forces"] = out["forces"] * (1 + 1e-6)
            elif wrong == "energy in validation" and not torch.is_grad_enabled():
                out["energy"] = out["energy"] + 1e-3
            elif wrong == "gradient of the loss":
                out["energy"] = out["energy"].detach()
            return out

        return program

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(
        TrainingError, match=f"compile=true: {wrong} differs from that of the plain potential .* more than 1e-09"
    ):
        verify(CompiledPotential(pair_potential()), two_frames(), loss, forces=True, stress=True)


def test_a_machine_without_a_c_compiler_is_told_so(monkeypatch):
    from torch._inductor.exc import InvalidCxxCompiler

    def compile_(graph, **_):
        raise InvalidCxxCompiler

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(
        ConfigError, match=r"No working C\+\+ compiler found.*install a C\+\+ compiler .* compile=false"
    ):
        CompiledPotential(pair_potential())(two_frames())


@pytest.mark.parametrize(
    ("flaw", "complaint"), [("values", "cannot be compiled here"), ("size", "as if it were const")]
)
def test_a_backbone_that_cannot_be_traced_is_refused(without_compiler, flaw, complaint):
    with pytest.raises(ConfigError, match=f"compile=true: .*{complaint}.* set compile=false"):
        CompiledPotential(pair_potential(flaw=flaw))(two_frames())


def test_a_compiled_run_ends_with_the_weights_of_an_eager_one(tmp_path, without_compiler):
    small = ("backbone=allegro", "backbone.num_layers=1", "backbone.l_max=1", "dtype=float64", "data.batch_size=4")
    small += ("optimizer=adamw",)  # SOAP also turns to what rounding leaves
    ends = []
    for name in ("true", "false"):
        run(job(*SMOKE, *small, f"compile={name}", f"output_dir={tmp_path / name}"))
        ends.append(torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True))
    assert len(without_compiler) == 2  # training and validation
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    for weights in ([end["state_dict"] for end in ends], [end["potential"]["state_dict"] for end in ends]):
        torch.testing.assert_close(*weights, rtol=1e-8, atol=1e-10)  # the plain ones, and their average


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "dtype"), [("mace", "float64"), ("nequip", "float64"), ("allegro", "float32")])
def test_the_compiler_itself_agrees_and_never_compiles_twice(backbone, dtype):
    potential = make_potential("baseline", kind=backbone, dtype=dtype).train()
    compiled = CompiledPotential(potential)
    verify(compiled, two_frames(), loss, forces=True, stress=True)
    with torch.compiler.set_stance("fail_on_recompile"):
        larger = batch_of(quartz_like(), quartz_like() * (2, 2, 1), silanol())
        assert largest_difference(potential, compiled, larger) < TOLERANCE[potential.dtype]
        potential.eval()
        assert compiled(larger)["energy"].shape == (3,)
