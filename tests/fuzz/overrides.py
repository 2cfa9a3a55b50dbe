"""Every leaf of a composed configuration, with values that nobody means."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from commands import composed
from omegaconf import OmegaConf

from scalarpath.artifacts.registry import MEASURES
from scalarpath.core.resources import CONF_DIR

VALUES = (
    "null", "[]", "{}", "-1", "0", "1e300", "1e-300", "nan", "inf", "''", "abc", "true", "18446744073709551616",
    "{a: {b: 1}}", "[null]", "[abc, 3]", "1.5", "1000000",
)  # fmt: skip
# of the type that the setting has: what a check of types alone lets through
LIKELY = {
    bool: ("true", "false"),
    int: ("0", "1", "2", "100", "1000000", "1000000000"),
    float: ("0", "1e-300", "1e-12", "1", "1.5", "1e6", "1e12"),
    str: ("''", "abc", "'a b'", "../x", "'[ä]'", "none"),
    list: ("[]", "[abc]", "[0]", "[1, 1]"),
}

FRAMES = CONF_DIR.parent / "data/si/frames.extxyz"
# small, so that what is accepted ends soon
TRAIN = [
    "experiment=smoke", "trainer.max_epochs=1", "data.train_size=4", "data.valid_size=2", "data.test_size=2",
    "callbacks.progress.style=none", "measure_overhead=false", "data.cache=false",
    "data.cache_dir=cache", "output_dir=run",
]  # fmt: skip
MACE = ["backbone.num_channels=4", "backbone.max_ell=1", "backbone.radial_mlp=[8]", "backbone.correlation=2"]
BASES = [
    ("train", [*TRAIN, *MACE]),
    ("train", [*TRAIN, *MACE, "head=panpgs", "loss=huber", "scheduler=plateau", "callbacks=early_stopping"]),
    ("train", [*TRAIN, "backbone=nequip", "backbone.num_features=4", "backbone.l_max=1", "head=pgs_readout"]),
    ("train", [*TRAIN, "backbone=allegro", "backbone.num_tensor_features=2", "backbone.l_max=1", "head=pan_inject"]),
    ("evaluate", ["run=RUN", "artifact=null", "size=smoke", "output_dir=evaluated"]),
    ("evaluate", ["calculator=ase.calculators.emt:EMT", "material=ag", "size=smoke", "output_dir=evaluated"]),
    ("report", ["runs=RUN", "bootstrap.samples=100", "output=report"]),
    ("benchmark", [*MACE, "backbone=mace", "structure=ethanol1", "heads=[]", "rounds=1", "output=out.json"]),
    ("benchmark", [*MACE, "backbone=mace", "structure=ethanol1", "suite=profile", "rounds=1", "output=out.json"]),
    ("export", ["run=RUN", "file=model.sp"]),
    ("predict", ["model=RUN", f"path={FRAMES}@0:3", "output=predicted.extxyz"]),
    ("import", ["kind=sevennet", "file=RUN/checkpoints/best.ckpt", "output=imported.ckpt"]),
]


def leaves(config: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a configuration and its groups, by their way from its top, and their values."""
    for key, value in config.items():
        name = f"{path}.{key}" if path else str(key)
        yield name, value
        if isinstance(value, dict):
            yield from leaves(value, name)


def overrides(seed: int) -> tuple[str, list[str], str]:
    """One command, its arguments, and the last of them, which is nonsense."""
    rng = random.Random(seed)
    command, base = BASES[seed % len(BASES)]
    config = OmegaConf.to_container(composed(command, base), resolve=False)
    # GROUP=value is Hydra's, which asks for its options by itself
    name, value = rng.choice([(name, value) for name, value in leaves(config) if not (CONF_DIR / name).is_dir()])
    # several devices would start this command again, which is a test
    likely = LIKELY.get(type(value), ()) if name != "trainer.devices" else ()
    wrong = f"{name}={rng.choice(likely if likely and rng.random() < 0.7 else VALUES)}"
    base = [text for text in base if not text.startswith((f"{name}=", f"{name}."))]
    if name.startswith("settings."):
        section = name.split(".")[1]
        measure = section if section in MEASURES else "phonons"  # a molecule's have another section
        base = [*(text for text in base if not text.startswith("artifact=")), f"artifact={measure}"]
    return command, [*base, wrong], wrong
