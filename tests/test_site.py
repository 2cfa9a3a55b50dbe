"""The site: every page is in its navigation, every link leads somewhere, and it is built where mkdocs is installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


PAGES: dict[str, str] = module("site_pages").pages()


def named(entries: list[dict[str, Any]]) -> list[str]:
    found = []
    for entry in entries:
        for target in entry.values():
            found += named(target) if isinstance(target, list) else [target]
    return found


def test_the_navigation_names_every_page_once():
    assert sorted(named(SITE["nav"])) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_pages_and_files_of_the_site(page):
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            file = (Path("/") / Path(page).parent / target).resolve()
            assert str(file.relative_to("/")) in PAGES or (ROOT / "docs" / file.relative_to("/")).is_file(), target


def test_the_reference_is_of_modules_that_there_are():
    for name in re.findall(r"^::: (\S+)", PAGES["reference.md"], re.MULTILINE):
        assert importlib.util.find_spec(name), name


def test_laying_out_replaces_what_was_there(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/old.md").touch()
    module("site_pages").lay_out(tmp_path / "pages")
    assert not (tmp_path / "pages/old.md").exists()
    assert (tmp_path / "pages/index.md").read_text() == PAGES["index.md"]
    assert (tmp_path / "pages/dataflow.svg").exists()


def test_nothing_is_loaded_from_elsewhere():
    assert SITE["theme"]["font"] is False
    assert "analytics" not in (ROOT / "mkdocs.yml").read_text()


def test_the_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


MKDOCS = importlib.util.find_spec("mkdocstrings_handlers")


@pytest.mark.skipif(MKDOCS is None, reason="mkdocs is not installed: pip install .[docs]")
def test_it_is_built_without_a_warning(tmp_path):
    module("site_pages").lay_out(tmp_path / "pages")
    site = SITE | {"docs_dir": str(tmp_path / "pages"), "site_dir": str(tmp_path / "site")}
    text = yaml.safe_dump(site).replace("- src", f"- {ROOT / 'src'}").replace("docs/doc", f"{ROOT / 'docs/doc'}")
    (tmp_path / "mkdocs.yml").write_text(text)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(tmp_path / "mkdocs.yml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site/reference.html").read_text()
    assert "ScalarPathCalculator" in reference
    assert "<code>====" in reference.replace("<span></span>", ""), "tables of docstrings stay as they are drawn"
