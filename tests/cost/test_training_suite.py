"""``python benchmark.py suite=training``: where the time of a whole training goes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from toy_training import ToyData, ToyPotential, new_directory, toy_job

from scalarpath.core.resources import CONF_DIR
from scalarpath.core.stopwatch import Stopwatch
from scalarpath.cost import run
from scalarpath.cost.training import BETWEEN, EPOCH, STEP, VALIDATION, grouped
from scalarpath.training import fit


def test_every_hook_of_a_fit_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Stopwatch()
    monkeypatch.setattr(fit, "WATCH", watch)
    watch.phase("fit")
    begun = time.process_time()
    fit.fit(ToyPotential(), ToyData(), toy_job(trainer={"max_epochs": 2}), new_directory(tmp_path / "run"), [])
    passed = time.process_time() - begun
    watch.phase("end")
    times = {name: values for name, values in watch.parts.items() if "python" not in name}
    parts = grouped(times)
    assert sum(sum(values.values()) for values in parts.values()) == pytest.approx(passed, rel=0.05)
    places = {
        name: part for name in times for part, values in grouped({name: [1.0, 1.0, 1]}).items() if any(values.values())
    }
    assert places["[Callback]Ema.on_train_batch_end"] == BETWEEN
    assert places["[Callback]MetricsCsv.on_train_epoch_end"] == EPOCH
    assert places["[Callback]Ema.on_validation_start"] == VALIDATION
    assert times["[Strategy]SingleDeviceStrategy.backward"][2] == 6  # 3 steps, 2 epochs
    assert all(seconds > 0 for seconds in parts[STEP].values())
    # nothing that comes with every step or epoch counts as a start
    assert [
        name for name in times if places[name] not in (STEP, BETWEEN, VALIDATION, EPOCH) and times[name][2] > 3
    ] == []


@pytest.mark.slow
def test_the_suite_trains_and_tells(tmp_path: Path) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        overrides = ["suite=training", "training.max_epochs=1", f"output={tmp_path / 'out.json'}"]
        run(compose("benchmark", overrides))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["epochs"] == 1
    assert found["steps"] > 1
    assert all(sum(values.values()) > 0 for values in found["cpu_s"].values())
