"""Tag every clip with PaSST: wavs ─► logits and scene embeddings.

Reads   <dataset_path>/<split>/*.wav, as listed in <input_path>/<split>_captions.json
Writes  train_data.audio_logits and train_data.audio_scene (HDF5, one row per clip)

    python scripts/03_audio_features.py --config conf.yaml

Can be stopped at any moment: the same command goes on with the clips that are missing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from models import passt
from utils import audio, cli, clotho, datasets, devices, extraction, inputs, weights
from utils.config import PROJECT_ROOT
from utils.files import sha256

BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = cli.parser(__doc__).parse_args(argv)
    config = cli.load_config(args)
    data = config.train_data
    summary = cli.Summary()

    ids, paths = [], []
    for split in datasets.SPLITS:
        clips = datasets.load_captions(data.input_path, split)
        folder = data.dataset_path / split
        summary.reads(datasets.captions_file(data.input_path, split), folder)
        ids += clips.audio_ids
        paths += clotho.require_audio(folder, clips.clip_names)

    device = devices.choose_device(config.training.device)
    precision = devices.choose_precision(config.precision, device)
    architecture = passt.ARCHITECTURES[config.passt.arch]
    weights_file = weights.find_passt_weights(
        config.passt.weights, url=architecture.weights_url, bundled=BUNDLED_WEIGHTS
    )
    summary.reads(weights_file)

    def start():
        model = passt.Passt(arch=config.passt.arch)
        weights.load_weights(model, weights_file)
        model.to(device).eval()

        @torch.inference_mode()
        def tag(windows: np.ndarray) -> np.ndarray:
            with devices.autocast(device, precision):
                outputs = model(torch.from_numpy(windows).to(device))
            return torch.cat(outputs, dim=1).cpu().numpy()

        return lambda missing: extraction.clip_batches(
            paths,
            missing,
            tag,
            sample_rate=passt.SAMPLE_RATE,
            window=model.window,
            hop=model.hop,
            shortest=passt.MIN_SAMPLES,
            batch_size=config.passt.batch_size,
        )

    made_by = {
        "model": config.passt.arch,
        "weights_sha256": sha256(weights_file),
        "precision": precision,
        "sample_rate": passt.SAMPLE_RATE,
        "window_seconds": architecture.window_seconds,
        "hop_seconds": passt.HOP_SECONDS,
    }
    with cli.progress(len(ids), "PaSST", "clips") as bar:
        update = extraction.update_vector_files(
            [data.audio_logits, data.audio_scene],
            ids,
            attributes=[
                {"what": inputs.LOGITS, **made_by},
                {"what": inputs.SCENE, **made_by},
            ],
            columns={"sources": [audio.fingerprint(path) for path in paths]},
            widths=[passt.CLASSES, architecture.embedding_size],
            start=start,
            advance=bar.update,
        )
    if update.written:
        summary.writes(data.audio_logits, data.audio_scene)
    summary.finish(
        f"tagged {update.computed} clips with {config.passt.arch} ({device.type}, {precision}); "
        f"{len(ids) - update.computed} were up to date"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
