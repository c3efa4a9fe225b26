import contextlib
import errno
import os
import subprocess
import sys

import pytest
import torch

from utils.runtime import distributed, terminal
from utils.runtime.distributed import ALONE
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings import options


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (
            OSError(errno.EMFILE, "Too many open files", "x.wav"),
            2,
            "error: [Errno 24] Too many open files: 'x.wav'. Raise the limit (ulimit -n); run the "
            "same command again to resume.\n",
        ),
        (InputError("no such file: x. Run y."), 2, "error: no such file: x. Run y.\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted; run the same command again to resume\n"),
        *(
            (
                OSError(code, "disk", "x.wav"),
                2,
                f"error: the disk is full: [Errno {code}] disk: 'x.wav'. Free some space; run the "
                "same command again to resume.\n",
            )
            for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        ),
    ],
)
def test_what_a_user_can_fix_is_one_message_and_a_status(error, status, message, capsys):
    assert terminal.run(raising(error)) == status
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("error", [OSError(errno.EBADF, "Bad file"), ZeroDivisionError()])
def test_a_bug_still_shows_its_traceback(error):
    with pytest.raises(type(error)):
        terminal.run(raising(error))


def too_much(where):
    if where == "torch":
        torch.empty(1 << 50)
    if where == "gpu":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has")
    return bytearray(1 << 62)


@pytest.mark.parametrize("where", ["torch", "gpu", "python"])
@pytest.mark.parametrize("in_a_team", [False, True])
def test_too_little_memory_is_one_message_and_no_lost_connection(where, in_a_team, capsys):
    def main():
        with ALONE.group() if in_a_team else contextlib.nullcontext():
            too_much(where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "_group", lambda: None)
        assert terminal.run(main) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: not enough memory: ")
    assert message.count("\n") == 1
    assert "lower passt.batch_size" in message


def test_a_broken_pipe_is_neither_success_nor_a_traceback(tmp_path):
    program = (
        "import sys; from utils.runtime import terminal\n"
        "def main():\n"
        "    for i in range(100000): print(i)\n"
        "sys.exit(terminal.run(main))"
    )
    command = f"{sys.executable} -c '{program}' | head -n 1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", command], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["0", "141"]
    assert result.stderr == ""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_characters_that_the_output_does_not_have_are_escaped(environment):
    script = PROJECT_ROOT / "scripts/03_audio_features.py"
    result = subprocess.run(
        [sys.executable, script, "--help"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "wavs \\u2500\\u25ba logits" in result.stdout


def test_progress_without_a_terminal_is_a_line_at_intervals(monkeypatch, capsys):
    with terminal.progress(4, "tagging", "sounds") as bar:
        bar.update(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "_LINE_EVERY", 0)
    with terminal.progress(4, "tagging", "sounds") as bar:
        bar.update(1)
        bar.update(2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("tagging:  25% 1/4 [")
    assert second.startswith("tagging:  75% 3/4 [")
    assert second.endswith(" sounds/s]")


def test_options_before_and_after_a_subcommand_count_together(tmp_path):
    parser = options.parser("about")
    command = parser.add_subparsers().add_parser("train")
    options.add_config_options(command, of_subcommand=True)
    args = parser.parse_args(["--set", "seed=5", "train", "--set", "training.epochs=2"])
    config = options.load_config(args)
    assert (config.seed, config.training.epochs) == (5, 2)
    (tmp_path / "c.yaml").write_text("seed: 9")
    args = parser.parse_args(["train", "--config", str(tmp_path / "c.yaml")])
    assert options.load_config(args).seed == 9


def test_paths_are_shown_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert terminal.shown(tmp_path / "a/b") == "a/b"
    assert terminal.shown(tmp_path.parent) == str(tmp_path.parent)


def test_the_summary_names_what_is_read_and_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = terminal.Summary()
    summary.reads(tmp_path / "in")
    summary.writes(tmp_path / "out")
    summary.finish("did 3 things")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["reads  in", "writes out"]
    assert lines[2].startswith("did 3 things [")
    assert terminal.run(lambda: summary.finish("done")) == 0
