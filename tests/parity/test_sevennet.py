"""SevenNet's weights give sevenn's energies, forces and stress; no file runs code or is taken for another thing."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from samples import make_potential
from sevenn_reference import KEYS, SMALL, calculator_of_sevenn, released, stored, structures

from scalarpath.core.errors import ConfigError, UpstreamError
from scalarpath.core.resources import CONF_DIR
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.potential import load_potential
from scalarpath.upstream import from_upstream
from scalarpath.upstream.command import read_upstream, run
from scalarpath.upstream.settings import ImportSettings
from scalarpath.upstream.sevennet_file import read_sevennet

BITS = {"float64": 1e-10, "float32": 1e-5}
NO_FILE = "needs the file of SevenNet-0: install sevenn, or put it into shared/parity/sevennet beside the checkout"


def compare(potential, references: list[dict[str, np.ndarray]], tolerance: float) -> None:
    calculator = ScalarPathCalculator(potential)
    for atoms, reference in zip(structures(), references, strict=True):
        calculator.calculate(atoms)
        for key in KEYS:
            if key in calculator.results:
                largest = np.abs(reference[key]).max()
                np.testing.assert_allclose(calculator.results[key], reference[key], rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("dtype", BITS)
def test_a_model_of_sevenn_agrees_to_rounding(dtype):
    assert len(structures()) == 20
    assert len({z for atoms in structures() for z in atoms.numbers}) >= 15
    compare(read_upstream("sevennet", SMALL, dtype), stored(f"small_{dtype}"), BITS[dtype])


@pytest.mark.skipif(released() is None, reason=NO_FILE)
@pytest.mark.parametrize("dtype", BITS)
def test_sevennet_0_agrees_to_rounding(dtype):
    compare(read_upstream("sevennet", released(), dtype), stored(f"released_{dtype}"), BITS[dtype])


@pytest.mark.parametrize("name", ["SevenNet_0__11Jul2024/checkpoint_sevennet_0", "SevenNet_l3i5/checkpoint_l3i5"])
def test_released_models_agree_with_the_installed_package(name):
    pytest.importorskip("sevenn", reason="sevenn is not installed")
    file = released().parents[1] / f"{name}.pth"
    theirs, ours = (
        calculator_of_sevenn(file, double=True),
        ScalarPathCalculator(read_upstream("sevennet", file, "float64")),
    )
    for atoms in structures()[::5]:
        reference = theirs(atoms)
        ours.calculate(atoms)
        for key in ("energies", "forces"):
            largest = np.abs(reference[key]).max()
            np.testing.assert_allclose(ours.results[key], reference[key], rtol=0, atol=1e-10 * largest)


def small() -> tuple[dict, dict]:
    return read_sevennet(SMALL)


def test_an_older_file_has_its_weights_in_another_order_and_may_have_other_signs():
    """As sevenn before 0.11 saved it: paths by source, harmonic, output, and a Wigner 3j symbol of the other sign."""
    state, config = small()
    channels, l_max = (8, 4, 2), 2
    for t in range(3):
        sources, targets = range(1 if t == 0 else 3), range(1 if t == 2 else 3)
        paths = [
            (source, harmonic, target)
            for target in targets
            for source in sources
            for harmonic in range(l_max + 1)
            if abs(source - harmonic) <= target <= source + harmonic
        ]
        name = f"{t}_convolution.weight_nn.layer2.weight"
        columns = dict(zip(paths, state[name].split([channels[path[0]] for path in paths], dim=1), strict=True))
        flipped = f"{t}_convolution.convolution._compiled_main_left_right._w3j_1_1_1"
        if flipped in state:
            state[flipped] = -state[flipped]
            columns[1, 1, 1] = -columns[1, 1, 1]
        assert paths != sorted(paths) or t != 1
        state[name] = torch.cat([columns[path] for path in sorted(paths)], dim=1)
    assert any("_w3j_1_1_1" in name for name in state)
    compare(from_upstream("sevennet", state, config | {"version": "0.9.1"}), stored("small_float64"), 1e-10)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_modality": True}, "use_modality = True has no native equivalent"),
        ({"is_parity": True}, "is_parity = True"),
        ({"_normalize_sph": None}, "_normalize_sph = False"),
        ({"readout_as_fcn": True}, "readout_as_fcn = True"),
        ({"self_connection_type": "nequip"}, "self_connection_type = nequip"),
        ({"self_connection_type": ["linear", "none", "linear"]}, "self_connection_type = "),
        ({"cutoff_function": {"cutoff_function_name": "cosine"}}, "cutoff_function cosine"),
        ({"act_gate": {"e": "ssp", "o": "tanh"}}, "act_gate = ssp"),
        ({"weight_nn_hidden_neurons": [6, 7]}, "only equal widths"),
        ({"irreps_manual": ["8x0e", "8x0e+4x1e+2x2e", "8x0e", "8x0e"]}, "irreps_manual"),
        ({"num_convolution_layer": 2}, "irreps_manual"),
        ({"radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 5}}, "entries where"),
        ({"version": "new"}, "no version of sevenn"),
        ({"cutoff": None}, "'cutoff' is missing"),
    ],
)
def test_what_cannot_be_imported_faithfully_is_refused(change, complaint):
    state, config = small()
    changed = {key: value for key, value in (config | change).items() if value is not None}
    with pytest.raises(UpstreamError, match=complaint):
        from_upstream("sevennet", state, changed)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made_by_a_foreign_file",)


def changed_file(path: Path, **changes: object) -> Path:
    content = torch.load(SMALL, weights_only=False)
    torch.save({**content, **changes}, path)
    return path


def test_no_code_of_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UpstreamError, match=r"evil.pth is damaged or no checkpoint of sevenn \(UnpicklingError\)"):
        read_sevennet(changed_file(tmp_path / "evil.pth", config=Evil()))
    Path("plain.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UpstreamError, match=r"plain.pkl is damaged or no checkpoint"):
        read_sevennet(Path("plain.pkl"))
    assert not Path("made_by_a_foreign_file").exists()


def test_numbers_of_numpy_in_the_configuration_do_not_matter(tmp_path):
    config = {**small()[1], "shift": np.arange(21.0), "epoch": np.float32(3.0)}
    path = changed_file(tmp_path / "numpy.pth", config=config)
    assert read_upstream("sevennet", path).species == read_upstream("sevennet", SMALL).species


def test_damaged_and_foreign_files_are_refused_in_one_sentence(tmp_path):
    whole = bytearray(SMALL.read_bytes())
    with zipfile.ZipFile(SMALL) as archive:
        start = next(entry.header_offset + 200 for entry in archive.infolist() if entry.file_size > 400)
    whole[start] ^= 1
    (tmp_path / "flipped.pth").write_bytes(whole)
    (tmp_path / "half.pth").write_bytes(SMALL.read_bytes()[:5000])
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    changed_file(tmp_path / "types.pth", config={**small()[1], "_type_map": 3})
    changed_file(tmp_path / "empty.pth", model_state_dict={})
    for name, complaint in (
        ("flipped.pth", "is damaged"),
        ("half.pth", "is damaged or no checkpoint of sevenn"),
        ("other.pth", "it lacks model_state_dict or config"),
        ("types.pth", "its configuration cannot be read"),
        ("empty.pth", "has no 'onehot_to_feature_x"),
        ("none.pth", "does not exist"),
    ):
        with pytest.raises(UpstreamError, match=complaint) as raised:
            read_upstream("sevennet", tmp_path / name)
        assert str(tmp_path / name) in str(raised.value)
        assert "\n" not in str(raised.value)


def import_py(*overrides: str) -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        run(ImportSettings.from_hydra(compose("import", list(overrides))))


def test_the_command_writes_a_checkpoint_that_loads(tmp_path, capsys):
    output = tmp_path / "new" / "small.ckpt"
    import_py("kind=sevennet", f"file={SMALL}", f"output={output}")
    assert "small.ckpt: nequip with 21 elements" in capsys.readouterr().out
    assert load_potential(output).config["backbone"]["self_connection_type"] == "linear"
    compare(output, stored("small_float32"), 1e-5)
    with pytest.raises(ConfigError, match=r"small.ckpt is there already"):
        import_py("kind=sevennet", f"file={SMALL}", f"output={output}")


def test_the_command_leaves_nothing_where_it_cannot_go_on(tmp_path):
    torch.save({}, tmp_path / "other.pth")
    for overrides, complaint in (
        ([], "give kind=sevennet"),
        (["kind=sevennet", "output=x.ckpt"], "give file="),
        (["kind=sevennt", "file=a", "output=b"], "kind must be one of sevennet, mace"),
        (["kind=sevennet", f"file={tmp_path}/other.pth", f"output={tmp_path}/x.ckpt"], "no checkpoint of sevenn"),
        (["kind=sevennet", f"file={SMALL}", f"output={tmp_path}/other.pth/x.ckpt"], "cannot be written"),
    ):
        with pytest.raises((ConfigError, UpstreamError), match=complaint):
            import_py(*overrides)
    assert [path.name for path in tmp_path.iterdir()] == ["other.pth"]


def test_only_the_embedding_grows_with_the_number_of_elements():
    backbone = read_upstream("sevennet", SMALL).backbone
    assert [name for name, values in backbone.named_parameters() if 21 in values.shape] == ["type_embedding"]
    skips = [weight.ndim for layer in backbone.layers for weight in layer.skip.weights]
    assert skips == [2] * 5  # scalars in the first layer, three degrees in the second, scalars in the last


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cutoff_on": 4.0}, "backbone.cutoff_on = 4.0 must be less than cutoff = 4.0"),
        ({"parity": True}, "leave mirror_symmetry=false out, or parity=true"),
        ({"self_connection_type": "none"}, "self_connection_type must be one of nequip, linear"),
    ],
)
def test_options_that_contradict_one_another_are_refused(options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make_potential("baseline", kind="sevennet", **options)
