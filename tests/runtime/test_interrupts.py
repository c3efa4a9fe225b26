import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import run_python
from utils.runtime.paths import PROJECT_ROOT

# It prints "ready" when it may be signalled.
PROGRAM = """
import signal, sys, time
{before}
from utils.runtime import interrupts, terminal

def main():
    try:
        {body}
    finally:
        {tidying}
        print("tidied up", flush=True)

sys.exit(terminal.run(main, after_interrupt="run it again"))
"""
WAIT = 'print("ready", flush=True); time.sleep(60)'


def start(body=WAIT, tidying="pass", before=""):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body, tidying=tidying, before=before)],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_that_ask_to_stop_allow_cleanup_and_set_the_status(number, status):
    process = start()
    process.send_signal(number)
    assert process.stdout.read() == "tidied up\n"
    assert process.stderr.read() == "\ninterrupted; run it again\n"
    assert process.wait() == status


def test_a_request_forwarded_by_a_launcher_does_not_cut_cleanup_short():
    process = start(tidying='print("tidying", flush=True); time.sleep(0.5)')
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == "tidied up\n"
    assert process.stderr.read() == "\ninterrupted; run it again\n"
    assert process.wait() == 130


def test_a_second_request_ends_the_process_at_once_without_a_traceback():
    process = start(tidying='print("tidying", flush=True); time.sleep(60)')
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "tidying\n"
    time.sleep(1.2)  # later than a launcher forwards it
    process.send_signal(signal.SIGINT)
    assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert process.wait() == 130


def test_a_deferred_request_waits_for_the_end_of_the_block():
    body = """
        with interrupts.deferred():
            with interrupts.deferred():
                signal.raise_signal(signal.SIGTERM)
                print("ready", flush=True)
            print("still there", flush=True)
        print("never", flush=True)
"""
    process = start(body=body.strip())
    assert process.stdout.read() == "still there\ntidied up\n"
    assert process.wait() == 143


def test_what_is_ignored_stays_ignored():
    process = start(
        'print("ready", flush=True); sys.stdin.read(1)', before="signal.signal(1, signal.SIG_IGN)"
    )
    process.send_signal(signal.SIGHUP)
    assert process.communicate("x")[0] == "tidied up\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("folder", "quiet"), [("scripts", True), (".", True), ("elsewhere", False)]
)
def test_start_makes_ctrl_c_quiet_only_for_programs_of_the_project(tmp_path, folder, quiet):
    for name in ("scripts", "elsewhere"):
        (tmp_path / name).mkdir()
    shutil.copy(PROJECT_ROOT / "scripts/start.py", tmp_path / "scripts")
    program = tmp_path / folder / "program.py"
    program.write_text(
        "import signal, sys\n"
        f"sys.path.insert(0, {str(tmp_path / 'scripts')!r})\n"
        "import start\n"
        "print(signal.getsignal(signal.SIGINT) is signal.SIG_DFL, sys.path[0])\n"
    )
    result = subprocess.run(
        [sys.executable, program], cwd="/", capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{quiet} {tmp_path}\n"


@pytest.mark.parametrize("script", ["main.py", "scripts/03_audio_features.py"])
def test_ctrl_c_during_the_imports_leaves_no_traceback(script):
    # Signalled by the first import that every script does after the start.
    program = (
        "import os, runpy, signal, sys\n"
        f"sys.path.insert(0, {str(Path(script).parent)!r})\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'utils.settings': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv = [{script!r}, '--help']\n"
        f"runpy.run_path({script!r}, run_name='__main__')\n"
    )
    result = run_python(program, status=-signal.SIGINT)
    assert (result.stdout, result.stderr) == ("", "")
