"""Builds compared by the real commands: this checkout and a copy of it."""

import json
import shutil
import subprocess

import pytest

from tests.support import DEMO_CONFIG, load_script
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT


def benchmark(outputs, *arguments):
    """Run the script; returns what it wrote."""
    settings = ["--config", str(DEMO_CONFIG), "--set", f"output_path={outputs}"]
    load_script("benchmark").main([*arguments, "--small", *settings])
    return json.loads((outputs / "benchmark.json").read_text())


@pytest.fixture(scope="session")
def copy(made_once):
    """A copy of what git knows of this checkout."""

    def make(folder):
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT_ROOT / name).is_file() and not name.startswith("tests/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT_ROOT / name, folder / name)

    return made_once("copy_of_the_checkout", make)


@pytest.mark.slow
def test_a_stage_of_both_builds_is_compared(copy, tmp_path, capsys):
    found = benchmark(tmp_path, "--against", str(copy), "--stages", "ranking", "--rounds", "1",
                      "--model", str(tmp_path))  # fmt: skip
    assert found["rounds"] == 1
    this, other = found["builds"]
    assert (this["root"], other["root"]) == (str(PROJECT_ROOT), str(copy))
    assert other["commit"] is None
    (row,) = found["rows"]
    assert (row["stage"], row["unit"]) == ("ranks and metrics", "250x50")
    assert row["ratio"] == pytest.approx(
        row["seconds"]["other"]["median"] / row["seconds"]["this"]["median"]
    )
    assert len(row["seconds"]["this"]["all"]) == 1
    assert "ranks and metrics" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [tmp_path / "benchmark.json"]


@pytest.mark.slow
def test_this_build_alone_is_measured_in_a_few_sounds(trained, tmp_path):
    rows = benchmark(tmp_path, "--stages", "query", "--rounds", "1", "--model", str(trained))
    (row,) = rows
    assert (row["stage"], row["unit"]) == ("query", "22 sounds")
    assert row["reference"] is row["ratio"] is None
    assert row["ours"] > 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--rounds", "0"], r"--rounds 0: give 1 or more"),
        (["--sounds", "3"], r"--sounds 3: give 20 or more"),
        (["--against", "{}"], r"no checkout"),
    ],
)
def test_what_cannot_be_compared_is_an_error(arguments, error, tmp_path):
    with pytest.raises(InputError, match=error):
        benchmark(tmp_path, *(argument.format(tmp_path) for argument in arguments))
    assert not (tmp_path / "benchmark.json").exists()


def test_a_stage_that_the_other_build_has_not_is_an_error(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/07_search.py").write_text("")
    (tmp_path / "scripts/benchmark.py").write_text("print('[--stages {ranking,passt} [...]]')")
    arguments = ["--against", str(tmp_path), "--model", str(tmp_path), "--stages"]
    with pytest.raises(InputError, match=r"--stages mpnet cells: .* does not have them"):
        benchmark(tmp_path, *arguments, "mpnet", "ranking", "cells")
