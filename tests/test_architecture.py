"""The project's own rules: which part may import which, and how scripts behave."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import load_script, run_python
from utils.runtime import terminal
from utils.runtime.paths import PROJECT_ROOT

SCRIPTS = sorted(set((PROJECT_ROOT / "scripts").glob("*.py")) - {PROJECT_ROOT / "scripts/start.py"})


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


GROUND = {"runtime"}
# What each room may import beside itself. `models` may be imported from `features` upwards.
MAY_IMPORT = {
    "runtime": set(),
    "settings": GROUND,
    "files": GROUND,
    "audio": GROUND,
    "datasets": GROUND | {"settings", "files", "audio"},
    "features": GROUND | {"settings", "files", "audio", "models"},
    "evaluation": GROUND | {"files", "datasets", "features"},
    "checkpoints": GROUND | {"settings", "files", "datasets", "models"},
    "training": GROUND | {"features", "evaluation", "models"},
    "finetuning": GROUND | {"settings", "files", "audio", "evaluation", "models"},
    "moments": GROUND | {"files", "datasets", "models"},
    "search": GROUND
    | {"settings", "files", "audio", "datasets", "features", "checkpoints", "moments", "models"},
    "runs": GROUND
    | {"settings", "files", "audio", "datasets", "features", "evaluation", "checkpoints"}
    | {"training", "finetuning", "moments", "models"},
    "demo": GROUND | {"files", "audio", "datasets"},
    "benchmark": GROUND
    | {"settings", "audio", "datasets", "features", "evaluation", "training", "search", "models"},
}
MODULES = {
    ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("utils", "models")
    for path in sorted((PROJECT_ROOT / folder).rglob("*.py"))
}


def room_of(name: str) -> str:
    """The room of a module, or `models`."""
    top, _, rest = name.partition(".")
    return rest.partition(".")[0] if top == "utils" else top


def modules_imported(path: Path) -> set[str]:
    """The project's own modules that a file imports."""
    return {
        name if name in MODULES else name.rpartition(".")[0]
        for name in offending(path, "utils", "models", "scripts", "main", "tests")
    }


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_below_it(room):
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if name.startswith(f"utils.{room}.") or name == f"utils.{room}"
        for other in modules_imported(path)
        if room_of(other) not in MAY_IMPORT[room] | {room}
    ]
    assert wrong == []


def test_every_module_of_utils_is_in_a_room():
    assert {room_of(name) for name in MODULES if name.startswith("utils.")} == set(MAY_IMPORT)


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: {other for other in modules_imported(path) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert sorted(graph) == []


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name) == "models"])
def test_models_import_only_fast_products_from_the_project(name):
    allowed = {"utils.runtime.onednn", "models.architectures"}
    assert modules_imported(MODULES[name]) - allowed == set()


def test_every_room_says_what_it_is_for():
    for room in MAY_IMPORT:
        doc = ast.get_docstring(ast.parse(MODULES[f"utils.{room}"].read_text(encoding="utf-8")))
        assert doc and "Imports" in doc, room


def test_a_search_in_tagged_sounds_does_not_import_the_tagger():
    code = "import sys, utils.search.searcher; print('hear21passt' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_the_networks_do_not_import_wandb():
    code = "import sys, models.passt, models.sentence_encoder; print('wandb' in sys.modules)"
    assert run_python(code).stdout == "False\n"


def test_training_imports_no_pretrained_model():
    assert (
        offending(PROJECT_ROOT / "utils/training/trainer.py", "hear21passt", "transformers") == []
    )


def test_wandb_is_imported_in_one_place_and_not_at_its_top():
    users = [path for path in MODULES.values() if offending(path, "wandb")]
    assert [p.name for p in users] == ["tracking.py"]
    tree = ast.parse(users[0].read_text(encoding="utf-8"))
    assert not [n for n in tree.body if isinstance(n, ast.Import) and n.names[0].name == "wandb"]


@pytest.mark.parametrize("script", [*SCRIPTS, PROJECT_ROOT / "main.py"], ids=lambda p: p.name)
def test_every_script_explains_itself_from_any_directory_and_refuses_bad_settings(
    script, tmp_path, monkeypatch, capsys
):
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
    if script in SCRIPTS and not script.name[0].isdigit():  # these need other arguments
        return
    monkeypatch.chdir(tmp_path)
    main = load_script(script.stem).main
    assert terminal.run(lambda: main(["--config", "gone.yaml"])) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no settings file gone.yaml")
    assert "Traceback" not in error
