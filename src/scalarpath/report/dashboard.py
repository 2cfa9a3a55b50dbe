"""The W&B dashboard of a project: a workspace that compares arms, made by code (``python report.py wandb=true``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scalarpath.artifacts.registry import all_measures
from scalarpath.core.errors import ConfigError
from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import PRIMARY_FIRST

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

NAME = "Arms"
MAX_ARMS = 50  # W&B draws ten otherwise
ERRORS: Mapping[str, str] = MappingProxyType(
    {f"{quantity.name} MAE ({quantity.shown_unit})": metric_name(quantity.name) for quantity in PRIMARY_FIRST}
)
# Section -> title of a bar chart -> key in the summary of a run. A bar is the mean over the seeds of an arm.
BARS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Errors": {
            f"{name}, {split}": f"{prefix}/{key}"
            for prefix, split in (
                ("test", "test"),
                ("valid_frames", "validation"),
                ("train_frames", "train, tested weights"),
                ("val", "validation, last epoch"),
            )
            for name, key in ERRORS.items()
        },
        "Cost": {
            "training step, ratio to baseline": "overhead/train_ratio",
            "inference, ratio to baseline": "overhead/inference_ratio",
            "FLOPs, ratio to baseline": "overhead/flops_ratio",
            "training step, ms": "time/step_ms",
            "parameters": "parameters/total",
            "parameters of the head": "parameters/head",
        },
        "Artifacts": {
            title: f"artifact/{measure.name}/{key}" for measure in all_measures() for title, key in measure.charts
        },
    }
)
# Section -> title of a curve over epochs -> logged key
CURVES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Learning curves": {
            f"{name}, {split}": f"{prefix}/{key}"
            for name, key in ERRORS.items()
            for prefix, split in (("val", "validation"), ("train", "training"))
        },
        "Cost": {"training step over epochs, ms": "time/step_ms", "epoch, s": "time/epoch_s"},
        "Training health": {
            "training loss": "train/loss",
            "gradient norm, mean": "train/grad_norm_mean",
            "gradient norm, largest": "train/grad_norm_max",
            "learning rate": "lr",
            "share of time waiting for data": "time/data_share",
        },
    }
)
LOGARITHMIC = ("MAE", "loss", "gradient", "rate")
FIGURES = tuple(dict.fromkeys(f"artifact/{measure.name}" for measure in all_measures() if measure.has_figure()))
SECTIONS = ("Errors", "Learning curves", "Cost", "Training health", "Artifacts")


def build_workspace(entity: str, project: str) -> Workspace:
    """The specification of the dashboard, built without network.

    Runs are grouped by arm (data set, backbone, head and budget, ``scalarpath.training.loggers.arm_of``): bars and
    curves are means over seeds, with their range. Raises ConfigError where wandb-workspaces is not installed.
    """
    workspaces, panels = _packages()
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            workspaces.Section(name=name, panels=_panels(panels, name), is_open=name == SECTIONS[0])
            for name in SECTIONS
        ],
        settings=workspaces.WorkspaceSettings(x_axis="epoch", max_runs=MAX_ARMS),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Config("arm")]),
    )


def publish(entity: str | None, project: str) -> str:
    """Save the dashboard in W&B and return its address; ``entity`` None is the default one of the account.

    Raises ConfigError where wandb-workspaces, a key or the server is missing.
    """
    _packages()
    from scalarpath.training.loggers import has_credentials  # here: Lightning takes seconds

    if not has_credentials():
        raise ConfigError(
            "the dashboard is kept by W&B, but there is no key: log in with 'wandb login' or set WANDB_API_KEY."
        )
    import wandb

    try:
        owner = entity or wandb.Api().default_entity
        # every call makes a view of its own; earlier ones stay as they are
        return str(build_workspace(str(owner), project).save().url)
    except (wandb.Error, OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"the dashboard of {project} cannot be saved in W&B ({reason}); check key, entity, project and network."
        ) from error


def _packages() -> tuple[Any, Any]:
    """The modules that make workspaces and panels."""
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ConfigError("the dashboard needs the package wandb-workspaces; install scalarpath[dashboard].") from error
    return workspaces, panels


def _panels(panels: Any, section: str) -> Sequence[Any]:
    by_arm = {
        "groupby": panels.Config("arm"),
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "minmax",
        "max_runs_to_show": MAX_ARMS,
    }
    made = [
        panels.BarPlot(title=title, metrics=[key], max_bars_to_show=MAX_ARMS, **by_arm)
        for title, key in BARS.get(section, {}).items()
    ]
    made += [
        panels.LinePlot(
            title=title, x="epoch", y=[key], log_y=any(word in title for word in LOGARITHMIC), title_x="epoch", **by_arm
        )
        for title, key in CURVES.get(section, {}).items()
    ]
    if section == "Artifacts":
        made += [panels.MediaBrowser(title=key.split("/")[1], media_keys=[key], num_columns=3) for key in FIGURES]
    return made
