"""The W&B dashboard: what its panels show is what runs log; nothing here needs a network."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from composed_jobs import run
from hydra import compose, initialize_config_dir

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.report.dashboard import FIGURES, SECTIONS, build_workspace, publish

RUN = (
    "experiment=smoke",
    "data=lif",
    "head=pan",
    "callbacks.progress.style=none",
    "callbacks.step_timer.warmup_steps=0",
)


def logged(path: Path, *overrides: str) -> tuple[set[str], set[str]]:
    """Train; the keys that are logged per epoch (W&B gets those of metrics.csv) and those of the summary."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        run(compose("train", [*RUN, f"output_dir={path}", *overrides]))
    with (path / "metrics.csv").open() as stream:
        curves = set(next(csv.reader(stream)))
    return curves, set(json.loads((path / "summary.json").read_text()))


@pytest.fixture(scope="module")
def workspace() -> dict[str, Any]:
    pytest.importorskip("wandb_workspaces")
    return json.loads(build_workspace("somebody", "scalarpath")._to_model().model_dump_json(by_alias=True))


def sections(workspace: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: [panel | panel["config"] for panel in section["panels"]] for section in found}


def keys(workspace: dict[str, Any], kind: str) -> set[str]:
    return {
        key
        for panels in sections(workspace).values()
        for panel in panels
        if panel["viewType"] == kind
        for key in panel.get("metrics") or panel["mediaKeys"]
    }


def test_every_section_has_panels_and_compares_arms_over_epochs(workspace: dict[str, Any]) -> None:
    assert tuple(sections(workspace)) == SECTIONS
    for panels in sections(workspace).values():
        assert len({panel["chartTitle"] for panel in panels}) == len(panels) > 0
        for panel in panels:
            if panel["viewType"] == "Media Browser":
                continue
            # W&B stores the config key 'arm' as arm.value
            assert (panel["groupBy"], panel["groupAgg"], panel["groupArea"]) == ("arm.value", "mean", "minmax")
            assert panel.get("xAxis", "epoch") == "epoch"
    shown = workspace["spec"]["section"]
    assert shown["runSets"][0]["grouping"] == [{"section": "config", "name": "arm.value"}]
    assert (workspace["entity"], workspace["project"]) == ("somebody", "scalarpath")


def test_every_metric_of_the_panels_is_one_that_a_run_logs(workspace: dict[str, Any], tmp_path: Path) -> None:
    curves, summary = logged(tmp_path / "run")
    asked = keys(workspace, "Run History Line Plot")
    assert len(asked) > 10
    assert asked <= curves
    bars = {key for key in keys(workspace, "Bar Chart") if not key.startswith("artifact/")}
    assert len(bars) > 10
    assert bars <= summary | curves


@pytest.mark.slow
def test_every_artifact_of_the_panels_is_one_that_a_run_logs(workspace: dict[str, Any], tmp_path: Path) -> None:
    _, summary = logged(tmp_path / "run", "artifacts=smoke", "measure_overhead=false")
    artifacts = {key for key in keys(workspace, "Bar Chart") if key.startswith("artifact/")}
    assert len(artifacts) > 5
    assert artifacts <= summary
    assert keys(workspace, "Media Browser") == set(FIGURES)
    drawn = {f"artifact/{path.stem}" for path in (tmp_path / "run" / "artifacts").glob("*.png")}
    # an untrained potential melts into nothing: no liquid, no figure of it
    assert set(FIGURES) - {"artifact/rdf"} <= drawn <= set(FIGURES)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(ConfigError, match=r"needs the package wandb-workspaces; install scalarpath\[dashboard\]"):
        publish(None, "scalarpath")


def test_publishing_without_a_key_says_so_and_asks_nobody(monkeypatch, tmp_path: Path) -> None:
    pytest.importorskip("wandb_workspaces")
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for input"))
    with pytest.raises(ConfigError, match="there is no key: log in with 'wandb login' or set WANDB_API_KEY"):
        publish("somebody", "scalarpath")


@pytest.mark.parametrize("problem", ["wandb", "network"])
def test_a_server_that_refuses_or_is_not_there_is_one_clear_sentence(monkeypatch, problem: str) -> None:
    workspaces = pytest.importorskip("wandb_workspaces.workspaces")
    import wandb

    error = {"wandb": wandb.errors.CommError("permission\ndenied"), "network": OSError("no route to host")}[problem]

    def refused(*_: Any) -> None:
        raise error

    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(workspaces.Workspace, "save", refused)
    with pytest.raises(ConfigError, match=r"cannot be saved in W&B .*(permission denied|no route to host).*check key"):
        publish("somebody", "scalarpath")


def test_publishing_saves_the_workspace_of_the_project_and_returns_its_address(monkeypatch) -> None:
    workspaces = pytest.importorskip("wandb_workspaces.workspaces")
    saved = []

    class Saved:
        url = "https://host/somebody/scalarpath?nw=abc"

    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(workspaces.Workspace, "save", lambda self: (saved.append(self), Saved)[1])
    assert publish("somebody", "silver") == Saved.url
    assert [(item.entity, item.project) for item in saved] == [("somebody", "silver")]
