"""Lays out the pages of the site: python docs/site_pages.py FOLDER, before mkdocs or zensical builds it (make docs).

They are the pages of this folder, those of the repository's root, and a reference from docstrings. Nothing is written
twice: links between them are changed as they are copied.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
PUBLIC = {
    "scalarpath.deploy": "Calculators and drivers of simulations.",
    "scalarpath.potential": "Building, reading and writing potentials.",
    "scalarpath.graph": "Structures as graphs, in batches.",
    "scalarpath.backbones.interface": "What a backbone is.",
    "scalarpath.heads.interface": "What a head is.",
    "scalarpath.artifacts.measure": "What a measure of the bench is.",
    "scalarpath.core.errors": "Errors of the package.",
}


def pages() -> dict[str, str]:
    """Text of every page of the site, by its path there."""
    own = {str(path.relative_to(ROOT / "docs")): path.read_text() for path in ROOT.glob("docs/**/*.md")}
    of_root = {page: re.sub(r"\]\(docs/", "](", (ROOT / name).read_text()) for name, page in OF_ROOT.items()}
    parts = [f"## {what}\n\n::: {module}\n" for module, what in PUBLIC.items()]
    found = {**own, **of_root, "reference.md": "\n".join(["# Reference\n", *parts])}
    return {page: _with_links(text, page.count("/")) for page, text in found.items()}


def _with_links(text: str, depth: int) -> str:
    """Links to pages of the root lead to where they are on the site."""
    for name, page in OF_ROOT.items():
        if depth == 0 or name != "README.md":  # folders have a README of their own
            text = re.sub(rf"\]\((?:\.\./)*{re.escape(name)}(#[^)]*)?\)", rf"]({'../' * depth}{page}\1)", text)
    return text


def lay_out(folder: Path) -> None:
    """Write the pages and what they show to ``folder``, in place of what was there."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md", "*.py", "__pycache__"))
    for page, text in pages().items():
        (folder / page).write_text(text)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
