"""Rooms of src/scalarpath: imports point one way, some rooms do without torch, and the pictures show what is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import dataflow  # noqa: E402
import rooms  # noqa: E402

# files that import against the order, each with its reason
EXCEPTIONS = {
    ("training/run.py", "evaluation"),  # the train command measures the artifacts of what it has trained
}


def test_imports_point_one_way():
    wrong = [
        (file, imported)
        for (importer, imported), files in rooms.imports_between_rooms().items()
        for file in files
        if rooms.ORDER.index(imported) > rooms.ORDER.index(importer) and (file, imported) not in EXCEPTIONS
    ]
    assert not wrong, f"rooms.ORDER in docs/rooms.py puts these imports after the room that imports them: {wrong}"


def test_every_room_has_a_place_in_the_order():
    names = {path.stem for path in rooms.PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert names - {"__init__", "__pycache__"} == set(rooms.ORDER)


@pytest.mark.parametrize("modules", ["core.settings", "runs.job", "artifacts.suite", "report.command"])
def test_these_rooms_import_no_torch(modules):
    code = f"import scalarpath.{modules}, sys; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


# what takes long to import and is not needed by then
LATER = ("wandb", "tensorboard", "phonopy", "pandas", "optuna", "submitit", "scalarpath.report")
BEFORE_SETTINGS_ARE_READ = ("torch", "scipy", "matplotlib", "pytorch_lightning", "torch_geometric", "torchmetrics")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("cli", (*LATER, *BEFORE_SETTINGS_ARE_READ)),
        ("training.checks", (*LATER, *BEFORE_SETTINGS_ARE_READ[1:], "e3nn", "torch._dynamo")),
        ("training.run", LATER),
    ],
)
def test_nothing_is_imported_before_it_is_needed(module, absent):
    code = f"import scalarpath.{module}, sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(absent) & set(result.stdout.split())


@pytest.mark.parametrize("module", [dataflow, rooms])
def test_pictures_show_what_the_code_says(module):
    stored = Path(module.__file__).with_suffix(".svg").read_text(encoding="utf-8")
    assert stored == module.picture(), f"out of date; run: python docs/{module.__name__}.py"


def test_no_room_for_odds_and_ends():
    assert not [p for p in rooms.PACKAGE.rglob("*") if p.stem in ("utils", "common", "helpers", "misc")]


def test_all_sentences_and_tables_go_to_one_kind_of_console():
    assert [p.name for p in rooms.PACKAGE.rglob("*.py") if re.search(r"\bConsole\(", p.read_text())] == ["terminal.py"]
