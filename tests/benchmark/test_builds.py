import subprocess

import pytest

from utils.benchmark.builds import Build, Sample
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT


@pytest.fixture
def checkout(tmp_path):
    """A git working tree of two scripts: a search, and what the table of stages is read from."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/07_search.py").write_text(
        "import os, sys\nprint(os.getcwd(), sys.argv[1:])\nheld = b'1' * 100_000_000\n"
        "import time; time.sleep(0.3)\n"
    )
    (tmp_path / "scripts/benchmark.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return tmp_path.resolve()


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_a_checkout_has_its_commit_and_whether_files_differ_from_it(checkout):
    build = Build.at(checkout, "other")
    commit = git(checkout, "rev-parse", "HEAD")
    expected = {"name": "other", "root": str(checkout), "commit": commit, "dirty": False}
    assert build.as_json() == expected
    (checkout / "scripts/benchmark.py").write_text("pass")
    assert Build.at(checkout, "other").dirty


def test_a_copy_in_another_working_tree_has_no_commit(checkout):
    copy = checkout / "copy"
    (copy / "scripts").mkdir(parents=True)
    for script in ("07_search.py", "benchmark.py"):
        (copy / "scripts" / script).write_text("")
    assert Build.at(copy, "other").commit is None


def test_a_folder_that_is_no_checkout_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no checkout .* scripts/07_search\.py.*git worktree add"):
        Build.at(tmp_path, "other")


def test_a_search_runs_in_the_checkout_and_its_memory_is_sampled(checkout):
    sample, answer = Build.at(checkout, "other").search("a dog", known=True)
    assert answer == f"{checkout} ['--json', 'a dog']\n"  # it does not know --no-update
    assert sample.seconds > 0
    assert sample.mb is None or 90 < sample.mb < 1000


def test_a_build_that_knows_it_is_asked_not_to_look_at_the_folder(checkout):
    script = checkout / "scripts/07_search.py"
    script.write_text("import sys; print('--no-update' if '--help' in sys.argv else sys.argv[1:])")
    build = Build.at(checkout, "other")
    assert build.search("a dog", known=True)[1] == "['--no-update', '--json', 'a dog']\n"
    assert build.search("a dog")[1] == "['--json', 'a dog']\n"


def test_the_last_lines_of_a_build_that_fails_are_shown(checkout):
    (checkout / "scripts/07_search.py").write_text(
        "import sys\nfor i in range(50): print('line', i, file=sys.stderr)\nsys.exit(3)"
    )
    with pytest.raises(InputError) as caught:
        Build.at(checkout, "other").search("a dog")
    first, *lines = str(caught.value).splitlines()
    assert first == f"{checkout}: 07_search.py ended with status 3; its last lines were:"
    assert lines == [f"line {i}" for i in range(35, 50)]


def test_the_driver_takes_the_modules_of_the_checkout(checkout):
    (checkout / "utils/search").mkdir(parents=True)
    (checkout / "utils/search/searcher.py").write_text(
        "class Searcher:\n"
        "    def open(**opening):\n"
        "        update_library(1, 2, origin=opening, width=5, tags=3, other=4)\n"
    )
    found = Build.at(checkout, "other").drive("kind", model="m", folder="f")
    assert found == {"origin": {"model": "m", "folder": "f"}, "width": 5, "tags": 3}


def test_samples_have_no_memory_unless_it_is_measured():
    assert Sample(1.0) == (1.0, None, "")
    assert Build.at(PROJECT_ROOT, "this").root == PROJECT_ROOT
