"""Tag every clip with PaSST: wavs ─► logits and scene embeddings.

Reads   <dataset_path>/<split>/*.wav, as listed in <input_path>/<split>_captions.json
Writes  train_data.audio_logits and train_data.audio_scene (HDF5, one row per clip)

    python scripts/03_audio_features.py --config conf.yaml
    python scripts/03_audio_features.py --subset task6b     # eval_data instead of train_data

Can be stopped at any moment: the same command goes on with the clips that are missing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from models import passt
from utils import audio, cli, clotho, datasets, devices, extraction, inputs, task6b, weights
from utils.config import PROJECT_ROOT, Config, EvalData, TrainData
from utils.files import sha256

BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"


def clotho_clips(config: Config, summary: cli.Summary) -> tuple[list[str], list[Path], TrainData]:
    """Find the clips of Clotho's three splits."""
    data = config.train_data
    ids, paths = [], []
    for split in datasets.SPLITS:
        clips = datasets.load_captions(data.input_path, split)
        folder = data.dataset_path / split
        summary.reads(datasets.captions_file(data.input_path, split), folder)
        ids += clips.audio_ids
        paths += clotho.require_audio(folder, clips.clip_names)
    return ids, paths, data


def task6b_clips(config: Config, summary: cli.Summary) -> tuple[list[str], list[Path], EvalData]:
    """Find the clips of the official Task 6b evaluation subset."""
    data = config.eval_data
    clips = task6b.load_queries(data.input_path)
    summary.reads(data.input_path / datasets.AUDIO_INFO_FILE, data.audio_path)
    return clips.audio_ids, clotho.require_audio(data.audio_path, clips.clip_names), data


SUBSETS = {"clotho": clotho_clips, "task6b": task6b_clips}


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--subset",
        choices=list(SUBSETS),
        default="clotho",
        help="clotho: train_data (default); task6b: eval_data, the official evaluation subset",
    )
    args = parser.parse_args(argv)
    config = cli.load_config(args)
    summary = cli.Summary()
    ids, paths, data = SUBSETS[args.subset](config, summary)

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
