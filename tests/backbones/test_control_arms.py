"""Arms that change the backbone: baseline made wider to match another arm, and interactions of MACE."""

from __future__ import annotations

import functools

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hydra import compose, initialize_config_dir
from samples import SMALL_MACE, batch_of, group, head_config, make_potential, quartz_like

from scalarpath.backbones import Backbone
from scalarpath.backbones.mace import MACE
from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost.timing import baseline_twin, flops, head_overhead, inference_step
from scalarpath.potential import build_potential, load_potential, potential_config, to_checkpoint
from scalarpath.potential.widening import nearest

BACKBONES = ("mace", "nequip", "allegro", "mace_medium")
WIDE = ("wide_param", "wide_flop")
SPECIES = {1: [47], 2: [3, 9]}


def potential_of(head: dict, backbone: str = "mace", species: int = 1, **options):
    return build_potential(potential_config(SPECIES[species], group("backbone", backbone), head), **options)


@functools.cache
def built(name: str, backbone: str = "mace", species: int = 1):
    """The potential of an arm as its files say, for tests that leave it as it is."""
    return potential_of(head_config(name), backbone, species)


def crystal(backbone: str, species: int):
    """A small crystal in which every atom has 42 neighbours, as one batch."""
    cutoff = group("backbone", backbone)["cutoff"]
    atoms = bulk("Ag", a=cutoff / 1.3, cubic=True)
    atoms.numbers[:] = SPECIES[species] * (4 // species)
    return batch_of(atoms, cutoff=cutoff)


def parameters(potential) -> int:
    return sum(parameter.numel() for parameter in potential.parameters())


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_wide_param_has_as_many_parameters_as_panpgs_within_half_a_percent(backbone, species):
    wide, panpgs, plain = (built(name, backbone, species) for name in ("wide_param", "panpgs", "baseline"))
    assert parameters(wide) == pytest.approx(parameters(panpgs), rel=0.005)
    assert abs(parameters(wide) - parameters(panpgs)) < 0.1 * (parameters(panpgs) - parameters(plain))


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_wide_flop_takes_as_many_operations_as_panpgs_within_half_a_percent(backbone, species):
    batch = crystal(backbone, species)
    wide, panpgs, plain = (
        flops(inference_step(built(name, backbone, species), batch)) for name in ("wide_flop", "panpgs", "baseline")
    )
    assert wide == pytest.approx(panpgs, rel=0.005)
    assert abs(wide - panpgs) < 0.2 * (panpgs - plain)


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_ctrl_mlp_has_the_parameters_and_the_operations_of_panpgs_within_half_a_percent(backbone, species):
    control, panpgs = (built(name, backbone, species) for name in ("ctrl_mlp", "panpgs"))
    assert parameters(control) == parameters(panpgs)
    batch = crystal(backbone, species)
    control, panpgs = (flops(inference_step(potential, batch)) for potential in (control, panpgs))
    assert control == pytest.approx(panpgs, rel=0.005)


@pytest.mark.parametrize("backbone", ["mace", "nequip", "allegro"])
def test_operations_match_at_the_number_of_neighbours_of_the_data(backbone):
    atoms = molecule("CH3CH2OH")  # eight each, where 40 are counted unless told
    atoms.numbers[:] = 47
    batch = batch_of(atoms, cutoff=group("backbone", backbone)["cutoff"])
    wide = potential_of(head_config("wide_flop"), backbone, neighbours=batch.edge_index.shape[1] / len(atoms))
    wide, panpgs = (flops(inference_step(potential, batch)) for potential in (wide, built("panpgs", backbone)))
    assert wide == pytest.approx(panpgs, rel=0.0025)


@pytest.mark.parametrize("arm", WIDE)
@pytest.mark.parametrize("backbone", ["mace", "nequip", "allegro"])
def test_a_wide_arm_changes_hidden_widths_alone_and_none_to_less(backbone, arm):
    wide, start = built(arm, backbone), built("baseline", backbone)
    changes = wide.config["head"]["backbone"]
    assert changes.keys() == start.backbone.hidden_widths.keys()
    assert wide.config["backbone"] == start.config["backbone"]
    assert wide.backbone.hidden_widths == changes != start.backbone.hidden_widths
    for name, widths in start.backbone.hidden_widths.items():
        pairs = zip(*((v if isinstance(v, list) else [v]) for v in (changes[name], widths)), strict=True)
        assert all(new >= old for new, old in pairs), name
    assert not list(wide.head_parameters())


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (52, (4, 4)),  # what is there already
        (65, (5, 5)),  # proportional growth
        (73, (7, 4)),  # of which no step is as near as an exchange
        (53, (4, 4)),  # (5, 3) would be nearer, but nothing may shrink
    ],
)
def test_the_search_grows_in_proportion_then_exchanges_and_never_shrinks(target, found):
    assert nearest((4, 4), lambda widths: (7 * widths[0] + 6 * widths[1]) / target - 1.0, aim=0.001) == found


def test_the_head_to_match_can_be_another_one():
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose(
            "train", ["head=wide_param", "head@head.widen.match=pan", "head.widen.match.parts.edge_gate.hidden=99"]
        )
    assert config.head.widen.match.name == "pan"
    wide = potential_of(head_config("wide_param") | {"widen": config.head.widen})
    pan = head_config("pan")
    pan["parts"]["edge_gate"]["hidden"] = 99
    assert parameters(wide) == pytest.approx(parameters(potential_of(pan)), rel=0.005)


def test_a_checkpoint_carries_the_widths_and_is_read_without_a_search(tmp_path, monkeypatch):
    wide = potential_of(head_config("wide_param")).eval()
    torch.save(to_checkpoint(wide), tmp_path / "wide.pt")
    monkeypatch.setattr("scalarpath.potential.widening.matching_widths", None)
    loaded, batch = load_potential(tmp_path / "wide.pt"), crystal("mace", 1)
    assert "widen" not in loaded.config["head"]
    assert torch.equal(loaded(batch)["forces"], wide(batch)["forces"])


def test_the_same_widths_are_found_every_time():
    assert potential_of(head_config("wide_flop")).config == built("wide_flop").config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"quantity": "layers"}, "head.widen.quantity must be one of parameters, flops, not 'layers'"),
        ({"tolerance": 0.0}, "head.widen.tolerance must be greater than 0"),
        ({"match": None}, "head.widen.match must be a group of settings, not null"),
        ({"until": 3}, "head.widen has no setting 'until'"),
        ({"tolerance": 1e-9}, r"miss the parameters of head 'panpgs' by 0\.\d\d% of \d+; allow head.widen.tolerance="),
    ],
)
def test_an_impossible_widening_is_refused_in_one_sentence(change, complaint):
    head = head_config("wide_param")
    with pytest.raises(ConfigError, match=complaint) as error:
        potential_of(head | {"widen": head["widen"] | change})
    assert "\n" not in str(error.value)


def test_radial_widths_of_nequip_may_differ_by_layer_and_must_be_as_many():
    same, other = (make_potential("baseline", kind="nequip", radial_mlp_width=w) for w in ([8, 8], [8, 9]))
    expected = make_potential("baseline", kind="nequip", radial_mlp_width=8)
    assert torch.equal(same(batch_of(quartz_like()))["forces"], expected(batch_of(quartz_like()))["forces"])
    assert [layer.radial_mlp.weights[0].shape[1] for layer in other.backbone.layers] == [8, 9]
    with pytest.raises(ConfigError, match="radial_mlp_width has 1 entries for 2 layers"):
        make_potential("baseline", kind="nequip", radial_mlp_width=[8])


class Fixed(MACE):
    """A backbone that says nothing of its widths."""

    def __setattr__(self, name, value):
        if name != "hidden_widths":
            super().__setattr__(name, value)


def test_a_backbone_without_widths_to_raise_says_so():
    assert Backbone.hidden_widths == {}
    config = potential_config(
        [14], group("backbone", "mace") | SMALL_MACE | {"kind": f"{__name__}:Fixed"}, head_config("wide_param")
    )
    with pytest.raises(ConfigError, match="names no widths that head 'wide_param' could raise"):
        build_potential(config)


@pytest.mark.parametrize("arm", ["density", "nonlinear"])
@pytest.mark.parametrize("backbone", ["nequip", "allegro"])
def test_an_interaction_of_mace_is_refused_where_there_is_none(backbone, arm):
    with pytest.raises(ConfigError, match=f"head '{arm}' sets backbone.interaction_first, which backbone '{backbone}'"):
        potential_of(head_config(arm), backbone)


def test_a_head_cannot_change_what_the_backbone_is_given():
    with pytest.raises(ConfigError, match=r"sets backbone\.cutoff, which"):
        potential_of(head_config("baseline") | {"backbone": {"cutoff": 9.0}})


def test_density_replaces_the_normalisation_of_every_layer_and_nothing_else():
    density, plain = make_potential("density"), make_potential("baseline")
    own = {name for name, _ in density.backbone.named_parameters()}
    assert own - {name for name, _ in plain.backbone.named_parameters()} == {
        f"layers.{t}.density_mlp.weights.0" for t in range(2)
    }
    density.backbone.set_mean_degree(1.0)
    before = density(batch_of(quartz_like()))["forces"]
    density.backbone.set_mean_degree(50.0)
    assert torch.equal(density(batch_of(quartz_like()))["forces"], before), "the mean degree has no say"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({"envelope_on": "features"}, "neighbours would leave with a jump"), ({"radial_mlp": []}, "needs a hidden layer")],
)
def test_the_nonlinear_interaction_names_the_options_that_it_cannot_have(options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make_potential("baseline", interaction="nonlinear", **({"envelope_on": "weights"} | options))


def test_the_nonlinear_interaction_behind_one_without_skip_leaves_an_isolated_atom_its_reference_energy():
    potential = make_potential("baseline", interaction="nonlinear", envelope_on="weights")
    assert potential(batch_of(Atoms("Si")))["energy"].item() == pytest.approx(-1.0, abs=1e-12)


def test_of_one_element_both_directions_of_a_pair_share_what_the_nonlinear_interaction_computes():
    potential = build_potential(make_potential("nonlinear").config | {"species": [14]})
    silicon = quartz_like()
    silicon.numbers[:] = 14
    shared = potential(batch_of(silicon))
    potential.backbone.directed = True
    for key, value in potential(batch_of(silicon)).items():
        torch.testing.assert_close(value, shared[key], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("arm", [*WIDE, "density", "nonlinear"])
def test_the_cost_of_an_arm_that_changes_the_backbone_is_measured_against_the_true_baseline(arm):
    potential, batch = potential_of(head_config(arm)), crystal("mace", 1)
    potential.set_statistics({47: -2.0}, scale=1.0, shift=0.0, avg_num_neighbors=42.0)
    potential.backbone.set_mean_degree(42.0)  # the configuration has a number of its own
    twin = baseline_twin(potential)
    assert parameters(twin) == parameters(built("baseline")) < parameters(potential)
    assert twin.backbone.mean_degree == 42.0
    assert twin.e0 == -2.0
    overhead = head_overhead(potential, batch, rounds=1)
    assert 1.0 < overhead["flops_ratio"] < 1.1
    assert overhead["flops_ratio"] == flops(inference_step(potential, batch)) / flops(inference_step(twin, batch))
