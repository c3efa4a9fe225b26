"""The project's own rules: which part may import which, and how scripts behave."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.settings.config import PROJECT_ROOT

SCRIPTS = sorted((PROJECT_ROOT / "scripts").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def offending(path: Path, *forbidden: str) -> list[str]:
    return sorted(
        name
        for name in imported(path)
        if any(name == part or name.startswith(part + ".") for part in forbidden)
    )


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "utils").rglob("*.py")), ids=str)
def test_utils_import_no_models_scripts_or_main(path):
    assert offending(path, "models", "scripts", "main") == []


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "models").glob("*.py")), ids=str)
def test_models_import_products_and_facts_alone_of_the_project_and_no_wandb(path):
    found = offending(path, "models", "utils", "scripts", "main", "wandb")
    modules = {
        name if name == "utils.runtime.onednn" else name.rpartition(".")[0] for name in found
    }
    # The facts make the network that they are about, importing it only then.
    expected = {"architectures.py": {"models.passt"}, "passt.py": {"models.architectures"}}
    assert modules - {"utils.runtime.onednn"} <= expected.get(path.name, set())


def test_products_import_nothing_of_the_project():
    path = PROJECT_ROOT / "utils/runtime/onednn.py"
    assert offending(path, "models", "utils", "scripts", "main") == []


def test_a_search_in_tagged_sounds_does_not_import_the_tagger():
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print('hear21passt' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code, PROJECT_ROOT / "scripts/07_search.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "False\n"


def test_training_knows_no_model():
    assert (
        offending(PROJECT_ROOT / "utils/training/trainer.py", "hear21passt", "transformers") == []
    )


def test_wandb_is_imported_in_one_place_and_not_at_its_top():
    users = [p for p in PROJECT_ROOT.glob("[mu]*/*.py") if offending(p, "wandb")]
    assert [p.name for p in users] == ["tracking.py"]
    tree = ast.parse(users[0].read_text(encoding="utf-8"))
    assert not [n for n in tree.body if isinstance(n, ast.Import) and n.names[0].name == "wandb"]


@pytest.mark.parametrize("script", [*SCRIPTS, PROJECT_ROOT / "main.py"], ids=lambda p: p.name)
def test_every_script_runs_from_any_directory_and_explains_itself(script, tmp_path):
    result = subprocess.run(
        [sys.executable, script, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Reads" in result.stdout
    assert "Writes" in result.stdout


@pytest.mark.parametrize(
    "script", [s for s in SCRIPTS if s.name[0].isdigit()], ids=lambda p: p.name
)
def test_bad_settings_are_one_error_and_status_2(script, tmp_path):
    result = subprocess.run(
        [sys.executable, script, "--config", "gone.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: no settings file gone.yaml")
    assert "Traceback" not in result.stderr
