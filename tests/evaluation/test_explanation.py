"""What a trained head shows of itself: identity at the start, parts switched off, sums, the numbers in the panels."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from composed_jobs import run
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from samples import SMALL, batch_of, head_config, make_potential, quartz_like, silanol

from scalarpath.core.errors import ArtifactError, ConfigError, DataError
from scalarpath.core.resources import CONF_DIR
from scalarpath.evaluation import command
from scalarpath.evaluation.head_record import panels_of_head, soft_neighbours
from scalarpath.evaluation.settings import EvaluationSettings
from scalarpath.evaluation.several import evaluate_each
from scalarpath.evaluation.switched_off import ALL_PARTS, INTERPLAY, NETWORK, compressed, shares, switched_off
from scalarpath.graph.layout import to_padded
from scalarpath.heads import PathwayPart
from scalarpath.heads.panels import Panel, binned
from scalarpath.heads.recording import RecordingPathway
from scalarpath.potential import build_potential

OF_GATE = ("a", "without node_gate")  # curves whose difference the node gate is


@pytest.fixture
def few_scales(monkeypatch) -> np.ndarray:
    """Three lengths of the compressed crystal, which take less time than all."""
    scales = np.array([0.9, 1.0, 1.2])
    monkeypatch.setattr("scalarpath.evaluation.switched_off.SCALES", scales)
    return scales


def frames():
    return batch_of(quartz_like(), silanol())


def panels_by_title(panels: list[Panel]) -> dict[tuple[str, str], Panel]:
    return {(panel.title, panel.x_label): panel for panel in panels}


@pytest.mark.parametrize("kind", SMALL)
def test_gates_of_an_untrained_head_are_one_and_what_it_adds_is_zero(kind):
    potential = make_potential("panpgs", kind=kind, awake=False)
    panels = panels_of_head(potential, frames())
    assert {panel.title.split(",")[0] for panel in panels} == set(potential.head.parts)
    for panel in panels:
        for curve in panel.curves:
            if not curve.dashed:
                expected = 0.0 if panel.identity is None else panel.identity
                for values in (curve.y, curve.low or curve.y, curve.high or curve.y):
                    assert values == pytest.approx([expected] * len(values), abs=1e-12), panel.title
    assert all(share.forces_rms_meV_A == 0.0 for share in shares(potential, switched_off(potential), frames())[:-2])


@pytest.mark.parametrize("kind", SMALL)
def test_a_part_that_is_off_is_a_head_that_was_built_without_it(kind):
    """The same weights in a potential whose configuration never had the part."""
    potential = make_potential("panpgs", kind=kind)
    for name in potential.head.parts:
        config = copy.deepcopy(potential.config)
        del config["head"]["parts"][name]
        built = build_potential(config, seed=5)
        built.load_state_dict(potential.state_dict(), strict=False)
        expected = built.eval()(frames())
        found = potential.without([name])(frames())
        assert name not in potential.without([name]).head.parts
        for key in ("energy", "forces"):
            torch.testing.assert_close(found[key], expected[key])
            assert not torch.allclose(found[key], potential(frames())[key]), f"{name} was off before"
    plain = make_potential("baseline", kind=kind)
    torch.testing.assert_close(
        potential.without(list(potential.head.parts))(frames())["energy"], plain(frames())["energy"]
    )


def test_mean_energies_of_the_parts_and_their_interplay_add_up_to_that_of_the_head():
    potential = make_potential("panpgs")
    rows = {share.part: share for share in shares(potential, switched_off(potential), frames())}
    *parts, interplay, whole = (share.energy_mean_meV_atom for share in rows.values())
    assert list(rows) == [*potential.head.parts, INTERPLAY, ALL_PARTS]
    assert sum(parts) + interplay == pytest.approx(whole)
    assert abs(interplay) > 1.0, "gates act on what the band has added"
    atoms = torch.bincount(frames().batch)
    per_atom = [p(frames())["energy"].detach() / atoms for p in (potential, make_potential("baseline"))]
    assert whole == pytest.approx(1000 * float((per_atom[0] - per_atom[1]).mean()))


def test_readouts_in_the_panels_are_the_energy_that_goes_when_the_part_is_off():
    potential = make_potential("pgs_readout")
    recorder = RecordingPathway(potential.head)
    potential.head, own = recorder, potential.head
    energy = potential(frames(), forces=False, stress=False)["node_energy"]
    potential.head = own
    off = potential.without(["embedding_readout"])(frames(), forces=False, stress=False)["node_energy"]
    (values,) = recorder.readouts["embedding_readout"].values()
    torch.testing.assert_close(1.3 * values, energy - off)


def test_energies_by_descriptor_add_up_to_the_embedding_energy():
    potential = make_potential("pgs_readout")
    part, recorder = potential.head.parts["embedding_readout"], RecordingPathway(potential.head)
    potential.head = recorder
    potential(frames(), forces=False, stress=False)
    local, species = recorder.inputs.descriptors, recorder.inputs.geometry.species
    t = torch.tanh(0.5 * local.values) - torch.tanh(0.5 * local.isolated)[species]
    by_channel = part.expansion.by_channel(t, part.coefficients[species])
    torch.testing.assert_close(by_channel.sum(1), recorder.readouts["embedding_readout"][1])


def test_a_single_sine_of_the_band_is_the_whole_band():
    """Then its share is the mean square of b V over that of the backbone's weights."""
    potential = make_potential("pgs_edge")
    part, recorder = potential.head.parts["edge_band"], RecordingPathway(potential.head)
    with torch.no_grad():
        part.mix[torch.arange(8) != 2] = 0.0
    panels = panels_by_title(panels_of_head(potential, frames()))
    potential.head = recorder
    potential(frames(), forces=False, stress=False)
    geometry, terms = recorder.inputs.geometry, recorder.edge_terms["edge_band"]
    like = (geometry.centre_species == 1) & (geometry.neighbour_species == 1)
    for layer in range(2):
        (curve,) = (
            curve
            for curve in panels[f"edge_band, layer {layer + 1}, by sine", "n of sin(n π r / cutoff)"].curves
            if curve.label == "Si-Si"
        )
        expected = (terms[layer][like].mean() / recorder.plain_weights[layer][like].mean()).sqrt().item()
        assert curve.x == pytest.approx(range(9, 17))
        assert np.nonzero(curve.y)[0].tolist() == [2]
        assert curve.y[2] == pytest.approx(expected)


class Outside(PathwayPart):
    """m_i <- 2 m_i, E_i <- E_i + 1, and twice the weight for neighbours of silicon: it shows nothing by itself."""

    def prepare(self, inputs):
        return inputs.geometry

    def edge_gate(self, layer, prepared):
        return to_padded(1.0 + prepared.neighbour_species[:, None].double(), prepared)

    def pool(self, layer, features, prepared):
        return 2.0 * features

    def readout(self, layer, features, prepared):
        return torch.ones_like(features[:, 0]) if layer == 0 else None


def test_a_part_from_outside_is_shown_by_its_hooks():
    config = make_potential("baseline").config | {
        "head": head_config("baseline") | {"parts": {"mine": {"kind": f"{__name__}:Outside"}}}
    }
    potential = build_potential(config).eval()
    panels = panels_of_head(potential, frames())
    assert [panel.title for panel in panels] == [f"mine, layer {layer}" for layer in (1, 1, 2, 2, 1, 2, 1)]
    gates = {curve.label: set(curve.y) for panel in panels[:4] for curve in panel.curves}
    assert gates == {"O around O": {1.0}, "O around Si": {1.0}, "Si around O": {2.0}, "Si around Si": {2.0}}
    assert {y for panel in panels[4:6] for curve in panel.curves for y in curve.y} == {2.0}
    assert {y for curve in panels[6].curves for y in curve.y} == {1000.0}
    assert not isinstance(potential.head, RecordingPathway), "the potential is as it was"


def test_the_compressed_crystal_has_the_energies_of_the_potentials(few_scales):
    potential, baseline = make_potential("panpgs"), make_potential("baseline")
    atoms = bulk("Si")
    off = {name: found for name, found in switched_off(potential).items() if name in ("node_gate", ALL_PARTS)}
    whole, parts = compressed("si", atoms, 2.35, {"a": potential, "b": baseline}, off)
    curves = {curve.label: curve for curve in whole.curves}
    assert curves["a"].x == pytest.approx(2.35 * few_scales)
    assert curves["b"].y == pytest.approx(curves["without all parts"].y), "the same backbone"
    energy = potential(batch_of(atoms))["energy"].item()
    assert curves["a"].y[1] == pytest.approx(energy / 2 + 1.0)  # E0 = -1
    gate = {curve.label: curve for curve in parts.curves}["node_gate"]
    assert gate.y == pytest.approx([1000 * (a - b) for a, b in zip(*(curves[c].y for c in OF_GATE), strict=True)])


def test_bins_hold_every_point_once_and_leave_out_what_is_not_defined():
    x = np.arange(60.0)
    curve = binned("x", x, np.column_stack([2 * x, np.full(60, np.nan)]), 3)
    assert (len(curve.x), curve.colour) == (3, 3)
    assert np.mean(curve.x) == pytest.approx(x.mean())
    assert curve.y == pytest.approx([19.0, 59.0, 99.0])


def test_the_soft_number_of_neighbours_counts_near_ones_fully():
    potential = make_potential("panpgs")
    potential.head = RecordingPathway(potential.head)
    potential(batch_of(bulk("Si")), forces=False, stress=False)
    x = 5.43 / 4.0 * np.array([3**0.5 / 4, 0.5**0.5])  # 4 and 12 neighbours within a cutoff of 4 Å
    u = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    assert soft_neighbours(potential.head.inputs.geometry).tolist() == pytest.approx([u @ [4, 12]] * 2, rel=1e-4)


def composed(name: str, *overrides: str):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(name, list(overrides))


def evaluate(*overrides: str):
    return command.run(EvaluationSettings.from_hydra(composed("evaluate", *overrides)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Short trainings on frames of one's own, whose test part stays closed."""
    folder, frames = tmp_path_factory.mktemp("runs"), CONF_DIR.parent / "data/lif/frames.extxyz"
    options = [
        "experiment=smoke",
        "data=extxyz",
        f"data.path={frames}",
        "data.e0s=mean",
        "callbacks.progress.style=none",
    ]
    for head in ("panpgs", "baseline", "ionic"):
        run(composed("train", *options, f"head={head}", "evaluate_test=false", f"output_dir={folder / head}"))
    return {head: folder / head for head in ("panpgs", "baseline", "ionic")}


@pytest.mark.usefixtures("few_scales")
def test_a_run_is_explained_in_its_directory(runs: dict[str, Path], capsys) -> None:
    before = (runs["panpgs"] / "summary.json").read_text()
    evaluate(f"run={runs['panpgs']}", "explain=true")
    content = json.loads((runs["panpgs"] / "artifacts/head.json").read_text())
    assert content["panels"][0]["title"].startswith("frame "), "the one of lowest energy, where no material is known"
    assert [row["part"] for row in content["shares"]][-2:] == [INTERPLAY, ALL_PARTS]
    assert content["shares"][-2]["forces_rms_meV_A"] is None
    low, high = content["panels"][0]["span"]
    assert low < high
    labels = {curve["label"] for panel in content["panels"] for curve in panel["curves"]}
    assert {"Li around F", "Li-F, backbone", "F-F", "without edge_gate", "panpgs, seed 0"} <= labels
    assert "edge_gate" in capsys.readouterr().out
    assert (runs["panpgs"] / "artifacts/head.svg").stat().st_size > 10_000
    assert (runs["panpgs"] / "summary.json").read_text() == before, "the test part stays closed"


@pytest.mark.usefixtures("few_scales")
def test_several_runs_are_explained_without_a_table_of_errors_that_nobody_measures(runs, capsys) -> None:
    pattern = runs["panpgs"].with_name("[pi]*")
    each, _ = EvaluationSettings.from_hydra(composed("evaluate", f"run='{pattern}'", "explain=true")).each_run()
    evaluate_each(each)
    assert [Path(str(one.run)).name for one in each] == ["ionic", "panpgs"]
    assert all((runs[head] / "artifacts/head.json").is_file() for head in ("ionic", "panpgs"))
    assert "MAE on" not in capsys.readouterr().out


@pytest.mark.usefixtures("few_scales")
def test_a_second_run_and_a_material_are_drawn_beside(runs: dict[str, Path], tmp_path: Path) -> None:
    beside = [f"run={runs['panpgs']}", "explain=true", f"beside={runs['baseline']}", f"output_dir={tmp_path}"]
    evaluate(*beside, "material=lif")
    content = json.loads((tmp_path / "artifacts/head.json").read_text())
    assert content["panels"][0]["title"].startswith("lif, ")
    assert [curve["label"] for curve in content["panels"][0]["curves"][:2]] == ["panpgs, seed 0", "baseline, seed 0"]
    assert content["beside"]["head"] == "baseline"
    with pytest.raises(ArtifactError, match="material = ag needs Ag, but this potential knows F, Li"):
        evaluate(*beside, "material=ag")


@pytest.mark.usefixtures("few_scales")
def test_a_linear_potential_is_explained_by_its_terms(runs: dict[str, Path], capsys) -> None:
    evaluate(f"run={runs['ionic']}", "explain=true", f"beside={runs['baseline']}")
    content = json.loads((runs["ionic"] / "artifacts/head.json").read_text())
    assert [row["part"] for row in content["shares"]] == [
        "pair functions Li-Li", "pair functions Li-F", "pair functions F-F", "embedding functions",
        "products of densities", "Coulomb energy", ALL_PARTS, NETWORK,
    ]  # fmt: skip
    assert sum(row["forces_share"] for row in content["shares"][-2:]) == pytest.approx(1.0)
    drawn = [curve["label"] for curve in content["panels"][0]["curves"]]
    assert drawn == ["ionic, seed 0", "baseline, seed 0", "without all parts", "without network"]
    assert content["charges"]["share"] ** 2 == pytest.approx(content["charges"]["factor"])
    charges = content["charges"]["charges"]
    assert charges["Li"] == pytest.approx(-charges["F"])
    shown = capsys.readouterr().out
    assert f"as of charges Li {charges['Li']:+.2f}, F {charges['F']:+.2f} e." in shown
    assert "interplay" not in shown


def test_other_frames_that_charges_cannot_be_in_are_named(runs: dict[str, Path], tmp_path: Path) -> None:
    frames = ase.io.read(CONF_DIR.parent / "data/lif/frames.extxyz", ":2")
    frames[1].pbc = (True, True, False)
    del frames[1].calc.results["stress"]
    ase.io.write(tmp_path / "slab.extxyz", frames)
    with pytest.raises(DataError, match=r"slab.extxyz, frame 1: head.linear.charges need structures that are periodic"):
        evaluate(f"run={runs['ionic']}", f"frames={tmp_path / 'slab.extxyz'}", f"output_dir={tmp_path}")


def test_a_head_without_parts_says_so_and_writes_nothing(runs: dict[str, Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"explain=true: head=baseline of .* has no parts: every hook of the backbone"
    ):
        evaluate(f"run={runs['baseline']}", "explain=true")
    assert not (runs["baseline"] / "artifacts").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("run=r", "beside=other"), "beside= belongs to explain=true"),
        (("calculator=a:b", "material=si", "explain=true"), "explain=true belongs to run="),
        (("run=r", "explain=true", "frames=f.xyz"), "explain=true has no use for frames="),
        (("run=r", "explain=true", "material=si", "reference=a:b"), "explain=true has no use for reference="),
    ],
)
def test_settings_that_do_not_go_together(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationSettings.from_hydra(composed("evaluate", *overrides))
