"""What scripts/start.py does before a script runs, in processes of their own."""

import signal

import pytest

from tests.support import run_python
from utils.runtime.paths import PROJECT_ROOT

SCRIPT = (
    "import os, resource, signal, sys\n"
    "sys.modules['__main__'].__file__ = 'main.py'\n"
    "resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
    "from scripts import start\n"
)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_an_abort_under_a_limit_of_memory_is_explained(number):
    error = run_python(f"{SCRIPT}os.kill(os.getpid(), {int(number)})", status=2).stderr
    assert error.startswith(f"error: not enough memory: a library aborted ({number.name}), ")
    assert "Raise the limit of this process, 8.6 GB (ulimit -v)" in error


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        # A signal to the process that waits reaches the one that works.
        (
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
            "os.kill(os.getppid(), signal.SIGTERM); signal.pause()",
            143,
        ),
    ],
)
def test_any_other_end_stays_the_same_under_a_limit(end, status):
    assert run_python(SCRIPT + end, status=status).stderr == ""


def test_an_import_that_fails_for_lack_of_memory_is_one_error():
    text = "libtorch_cpu.so: failed to map segment from shared object"
    error = run_python(f"{SCRIPT}raise ImportError({text!r})", status=2).stderr
    assert error.startswith(f"error: not enough memory: {text}. Raise the limit")
    assert error.count("\n") == 1
    assert "Traceback" in run_python(f"{SCRIPT}raise ImportError('no module')", status=1).stderr


def test_a_command_says_that_there_is_too_little_memory_for_its_libraries():
    program = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    arguments = [PROJECT_ROOT / "main.py", "train", "--config", PROJECT_ROOT / "conf.yaml"]
    error = run_python(program, *arguments, status=2).stderr
    assert "error: not enough memory: " in error
    assert "Raise the limit of this process, 1.0 GB (ulimit -v)" in error
    assert "Traceback" not in error
