"""Strict reading of configuration sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from toy_training import toy_config

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Among, Count, Range, choose, read_settings
from scalarpath.runs.job import Job


def changed(path: str, value: Any) -> dict[str, Any]:
    config = toy_config()
    *sections, key = path.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[key] = value
    return config


def test_a_sound_configuration_is_read() -> None:
    settings = Job.read(toy_config())
    assert settings.optimizer.lr == 0.01
    assert settings.callbacks.ema is not None
    assert settings.callbacks.ema.decay == 0.9
    assert settings.trainer.max_time is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("optimizer.learning_rate", 0.1, r"optimizer has no setting 'learning_rate'.*; known settings: .*lr"),
        ("callbacks.swa", {}, r"callbacks has no setting 'swa'.*; known settings: .*ema"),
        ("callbacks.ema.decya", 0.1, r"callbacks\.ema has no setting 'decya' \(did you mean 'decay'\?\)"),
        ("optimizer.lr", 0.0, r"optimizer\.lr must be greater than 0, not 0"),
        ("optimizer.lr", float("nan"), r"optimizer\.lr must be a finite number, not nan"),
        ("optimizer.lr", float("inf"), r"optimizer\.lr must be a finite number, not inf"),
        ("optimizer.kind", "adamW", r"not 'adamW' \(did you mean 'adamw'\?\)"),
        ("optimizer.lr", "fast", r"optimizer\.lr must be a number, not 'fast'"),
        ("optimizer.lr", True, r"optimizer\.lr must be a number, not true"),
        ("optimizer.lr", None, r"optimizer\.lr must be a number, not null"),
        ("optimizer.amsgrad", 1, r"optimizer\.amsgrad must be true or false, not 1"),
        ("optimizer.kind", "sgd", r"optimizer\.kind must be one of adam, adamw, soap, muon, schedule_free, not 'sgd'"),
        ("trainer.max_epochs", 0, r"trainer\.max_epochs must be at least 1"),
        ("trainer.max_epochs", 1.5, r"trainer\.max_epochs must be a whole number, not 1\.5"),
        ("trainer.max_time", -1.0, r"trainer\.max_time must be greater than 0"),
        ("optimizer.lr", 1e300, r"optimizer\.lr must be at most 1e\+12, not 1e\+300"),
        ("loss.energy", float("inf"), r"loss\.energy must be a finite number, not inf"),
        ("loss.huber_delta", {"energy": float("inf"), "forces": 1, "stress": 1}, r"delta\.energy must be a finite"),
        ("scheduler.final_factor", 5.0, r"scheduler\.final_factor must be at most 1, not 5"),
        (
            "trainer.gradient_clip",
            "atuo",
            r"trainer\.gradient_clip must be a number greater than 0 or auto or null, not 'atuo' .did you mean 'auto'",
        ),
        ("trainer.gradient_clip", 0, r"trainer\.gradient_clip must be greater than 0, not 0"),
        ("data.e0s", "mena", r"e0s must be one of least_.* or a group of settings, not 'mena' .did you mean 'mean'"),
        ("data.stress_order", "ab", r"data\.stress_order must be one of .* or null, not 'ab'"),
        ("repulsion", "lj", r"repulsion must be zbl or null, not 'lj'"),
        ("trainer.gradient_clip", float("nan"), r"trainer\.gradient_clip must be a finite number, not nan"),
        ("trainer.threads", 100_000, r"trainer\.threads must be at most 1024, not 100000"),
        ("trainer.max_epochs", 2**64, r"trainer\.max_epochs must be at most 1e\+09"),
        ("seed", 2**64, r"seed must be less than 9\.22337e\+18, not 18446744073709551616"),
        ("data.split_seed", 2**64, r"data\.split_seed must be less than 9\.22337e\+18"),
        ("data.name", " ", r"data\.name must be a name without /, not ' '"),
        ("data.name", "../x", r"data\.name must be a name without /, not '../x'"),
        ("output_dir", "", r"output_dir must be a text that is not empty, not ''"),
        ("data.e0s", {"Si": 1e300}, r"data\.e0s\.Si must be at most 1e\+07, not 1e\+300"),
        ("backbone.cutoff", 1e-300, r"backbone\.cutoff must be at least 0\.1, not 1e-300"),
        ("backbone.cutoff", 1000, r"backbone\.cutoff must be at most 100, not 1000"),
        ("callbacks.ema.decay", 1.0, r"callbacks\.ema\.decay must be less than 1"),
        ("callbacks.ema", 0.99, r"callbacks\.ema must be a group of settings, not 0\.99"),
        ("callbacks.checkpoint", None, r"callbacks\.checkpoint must be a group of settings"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_refused_in_one_sentence(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Job.read(changed(path, value))
    assert "\n" not in str(error.value)


def test_a_plateau_lowers_the_rate_and_never_raises_it() -> None:
    plateau = {"monitor": "val/loss", "factor": 0.5, "patience": 2, "threshold": 0.0, "min_factor": 5.0}
    with pytest.raises(ConfigError, match=r"scheduler\.plateau\.min_factor must be less than 1, not 5"):
        Job.read(toy_config(scheduler={"kind": "plateau", "final_factor": None, "plateau": plateau}))


def test_a_missing_setting_is_named() -> None:
    config = toy_config()
    del config["optimizer"]["lr"]
    with pytest.raises(ConfigError, match="optimizer lacks the setting 'lr'"):
        Job.read(config)


def constructor(  # what a backbone or a part of a head looks like
    generator: object,
    *,
    width: Count,
    widths: Sequence[Count] | Count,
    fraction: Annotated[float, Range(above=0.0, at_most=1.0)] = 0.5,
    basis: Literal["bessel", "gaussian"] | None = None,
    energies: Literal["fit"] | dict[str, float] = "fit",
) -> dict[str, Any]:
    return {"width": width, "widths": widths, "fraction": fraction, "basis": basis, "energies": energies}


def test_a_signature_says_what_a_section_may_hold() -> None:
    section = {"width": 4, "widths": [1, 2], "energies": {"Si": 1}}
    found = read_settings(constructor, section, "part", {"generator": None})
    assert found == {"width": 4, "widths": [1, 2], "fraction": 0.5, "basis": None, "energies": {"Si": 1.0}}
    assert read_settings(constructor, {"width": 4, "widths": 8}, "part", {"generator": None})["widths"] == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": 1}, "part has no setting 'generator'"),
        ({"width": 4.0}, r"part\.width must be a whole number, not 4\.0"),
        ({"widths": [4, 0]}, r"part\.widths must be at least 1, not 0"),
        ({"widths": "wide"}, r"part\.widths must be a"),
        ({"fraction": 1.01}, r"part\.fraction must be at most 1, not 1\.01"),
        (
            {"basis": "besel"},
            r"part\.basis must be one of bessel, gaussian or null, not 'besel' .did you mean 'bessel'",
        ),
        ({"energies": {"Si": "x"}}, r"part\.energies\.Si must be a number, not 'x'"),
        ({"energies": {1: 2.0}}, r"the name '1' in part\.energies must be text, not 1"),
        ({"energies": "guess"}, r"part\.energies must be fit or a group of settings, not 'guess'"),
    ],
)
def test_a_setting_that_does_not_fit_the_signature_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(constructor, {"width": 4, "widths": 8, **changes}, "part", {"generator": None})


def test_a_choice_among_numbers_looks_at_the_type() -> None:
    assert choose(1, range(3), "degree") == 1
    for wrong in (1.0, True, 3, "1"):
        with pytest.raises(ConfigError, match="degree must be one of 0, 1, 2"):
            choose(wrong, range(3), "degree")


def from_outside(
    *args: Any, table: Annotated[str, Among({"a": 1, "b": 2})], path: Path, values: list, **rest: Any
) -> Any:
    return table, path, values


def test_a_constructor_from_outside_may_have_annotations_of_any_type() -> None:
    section = {"table": "a", "path": "anything", "values": [1, "x"]}
    assert read_settings(from_outside, section, "part") == ("a", "anything", [1, "x"])
    with pytest.raises(ConfigError, match=r"part\.table must be one of a, b, not 'c'"):
        read_settings(from_outside, section | {"table": "c"}, "part")
    with pytest.raises(ConfigError, match=r"part\.values must be a list, not 3"):
        read_settings(from_outside, section | {"values": 3}, "part")
    with pytest.raises(ConfigError, match="part has no setting 'rest'"):
        read_settings(from_outside, section | {"rest": 1}, "part")
