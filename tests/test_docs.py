"""What the pages name exists: links, files, modules, and the settings of every command line that they show."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from scalarpath.core.overrides import as_meant, check_overrides
from scalarpath.core.resources import CONF_DIR

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/scalarpath"
# the pages, but not those that a report has written
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if page.name != "report.md" or page.parent.name == "docs"),
    *ROOT.glob("data/*/SOURCE.md"),
]
CONFIGS = sorted(CONF_DIR.rglob("*.yaml"))
WALKS = (ROOT / "docs/architecture.md").read_text()
SCRIPTS = "train|evaluate|benchmark|report|import|export|predict"
NOT_KEPT = ("outputs/", "my_", "labels/")  # made by the commands that are shown


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", [*PAGES, *CONFIGS], ids=name_of)
def test_files_and_modules_exist(page):
    text = page.read_text()
    rooms = "|".join(path.name for path in SOURCE.iterdir() if path.is_dir())
    for path in re.findall(rf"(?<![\w./<-])((?:src|docs|tests|data|conf|{rooms})/[\w./*-]*\w)", text):
        if not path.startswith(NOT_KEPT) and "NAME" not in path:
            assert any([*ROOT.glob(path), *SOURCE.glob(path)]), path
    for module in re.findall(r"(?<![\w.])scalarpath((?:\.\w+)+)", text):
        names = module[1:].split(".")
        depth = next((n for n in range(len(names), 0, -1) if module_file(names[:n])), 0)
        assert depth, module
        # what is left is something in the module
        assert not names[depth:] or names[depth] in module_file(names[:depth]).read_text(), module


@pytest.mark.parametrize("page", [*PAGES, *CONFIGS], ids=name_of)
def test_extras_exist(page):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"scalarpath\[(\w+)\]", page.read_text())) <= extras.keys()


def module_file(names: list[str]) -> Path | None:
    path = SOURCE.joinpath(*names)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def commands() -> list[str]:
    """Every command line of a page or in the comments of a configuration, once."""
    found = []
    for page in [*PAGES, *CONFIGS]:
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        found += re.findall(rf"python ((?:{SCRIPTS})\.py[^\n`#]*?)(?: {{3,}}[^\n]*)?$", text, re.MULTILINE)
        found += re.findall(rf"`python ((?:{SCRIPTS})\.py [^`]*)`", text)
    return sorted({" ".join(command.split()) for command in found} - {""})


@pytest.mark.parametrize("command", commands())
def test_shells_leave_commands_as_they_are(command):
    outside = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    assert not re.search(r"\{[^}]*,", outside), "bash makes several arguments of a {b,c}; quotes keep it whole"


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command):
    script, *arguments = shlex.split(command)
    if "--config-dir" in arguments:
        pytest.skip("with a configuration of the user's")
    check_overrides(script.removesuffix(".py"), as_meant([text for text in arguments if text != "..."]))
    overrides = []
    for argument in arguments:
        if argument in ("-m", "--multirun", "..."):
            continue
        (override,) = OverridesParser.create().parse_overrides([argument])
        if override.is_sweep_override():
            first = next(override.sweep_string_iterator()) if override.is_discrete_sweep() else "1.0"
            argument = f"{override.input_line.split('=')[0]}={first}"
        overrides.append(argument)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        compose(script.removesuffix(".py"), overrides, return_hydra_config=True)


@pytest.mark.parametrize("line", re.findall(r"^\| \d+ \| (.*)$", WALKS, re.MULTILINE))
def test_walks_name_what_the_code_has(line):
    for path, name in re.findall(r"`([\w/.]+)`: `(\w+)`", line):
        file = ROOT / path if path.startswith("conf") else SOURCE / path
        assert re.search(rf"^\s*(def |class )?{name}\b", file.read_text(), re.MULTILINE), line


def test_pre_commit_has_the_pinned_ruff():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    used = {package for hook in hooks for package in hook["additional_dependencies"] if package.startswith("ruff")}
    assert used <= set((ROOT / "constraints.txt").read_text().split())
    assert len(used) == 1
