"""Tag every clip with PaSST: wavs ─► logits and scene embeddings.

Reads   <dataset_path>/<split>/*.wav, as listed in <input_path>/<split>_captions.json
Writes  train_files.audio_logits and train_files.audio_scene (HDF5, one row per clip)

    python scripts/03_audio_features.py --config conf.yaml
    python scripts/03_audio_features.py --subset task6b       # eval_data instead of train_data
    python scripts/03_audio_features.py --subset audiocaps    # audiocaps instead of train_data
    python scripts/03_audio_features.py --kind logmel         # or waveform: to train on elsewhere

With --kind logmel or waveform it writes <input_path>/audio_<kind>.hdf5 instead, one dataset per
clip under its fid: (frames, 64) log-mels at the rate of the file, or samples at 32 kHz.

Can be stopped at any moment: the same command goes on with the clips that are missing. PaSST's work
can be shared among processes, on one machine or several that see the same folders:

    torchrun --nproc-per-node 2 scripts/03_audio_features.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import passt
from utils import audio, cli, corpora, devices, distributed, extraction, inputs, weights
from utils.clip_features import Clip, write_clip_features
from utils.config import PROJECT_ROOT, Config, DataFiles
from utils.consistency import require_files

BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = cli.parser(__doc__)
    cli.add_subset_option(parser, "clotho", "task6b", "audiocaps")
    parser.add_argument(
        "--kind",
        choices=("passt", "logmel", "waveform"),
        default="passt",
        help="what to compute (default: passt)",
    )
    args = parser.parse_args(argv)
    config = cli.load_config(args)
    summary = cli.Summary()
    corpus = corpora.corpus(config, args.subset)
    given = config.passt.weights if args.kind == "passt" else None
    advice = "Set it to null for the architecture's own weights."
    needed = corpus.needed_captions(corpus.splits)
    require_files([("passt.weights", given, advice), *needed])
    ids, fids, paths = [], [], []
    for split, folder in corpus.audio_folders.items():
        summary.reads(corpus.captions_file(split), folder)
        clips = corpus.load(split)
        ids += clips.audio_ids
        fids += clips.clip_fids.tolist()
        paths += corpus.require_audio(split, clips.clip_names)
    if args.kind == "passt":
        tag(config, corpus.files, ids, paths, summary)
    else:
        distributed.refuse_team(f"--kind {args.kind}")
        clips = [Clip(*clip) for clip in zip(fids, ids, paths, strict=True)]
        path = corpus.files.input_path / f"audio_{args.kind}.hdf5"
        with cli.progress(len(clips), args.kind, "clips") as bar:
            update = write_clip_features(path, clips, kind=args.kind, advance=bar.update)
        if update.written:
            summary.writes(path)
        summary.finish(
            f"computed {update.computed} clips ({args.kind}); "
            f"{len(clips) - update.computed} were up to date"
        )


def tag(
    config: Config, files: DataFiles, ids: list[str], paths: list[Path], summary: cli.Summary
) -> None:
    """Bring logits and scene embeddings of clips up to date."""
    device = devices.choose_device(config.training.device)
    precision = devices.choose_precision(config.precision, device)
    architecture = passt.ARCHITECTURES[config.passt.arch]
    weights_file, weights_sha256 = weights.find_passt_weights(
        config.passt.weights,
        url=architecture.weights_url,
        bundled=BUNDLED_WEIGHTS,
        sha256_expected=architecture.weights_sha256,
    )
    summary.reads(weights_file)

    def start():
        model = passt.Passt(arch=config.passt.arch)
        weights.load_weights(model, weights_file)
        tag_windows = extraction.tagger(model, device, precision)
        return extraction.clip_units(len(paths)), lambda units: extraction.clip_batches(
            paths,
            units,
            tag_windows,
            sample_rate=passt.SAMPLE_RATE,
            window=model.window,
            hop=model.hop,
            shortest=passt.MIN_SAMPLES,
            batch_size=config.passt.batch_size or passt.windows_at_once(device),
        )

    made_by = {
        "model": config.passt.arch,
        "weights_sha256": weights_sha256,
        "precision": precision,
        "sample_rate": passt.SAMPLE_RATE,
        "window_seconds": architecture.window_seconds,
        "hop_seconds": passt.HOP_SECONDS,
    }
    with cli.progress(len(ids), "PaSST", "clips") as bar:
        update = extraction.update_vector_files(
            [files.audio_logits, files.audio_scene],
            ids,
            attributes=[
                {"what": inputs.LOGITS, **made_by},
                {"what": inputs.SCENE, **made_by},
            ],
            columns={"sources": [audio.fingerprint(path) for path in paths]},
            widths=[passt.CLASSES, architecture.embedding_size],
            start=start,
            team=distributed.team(),
            advance=bar.update,
        )
    if update.written:
        summary.writes(files.audio_logits, files.audio_scene)
    summary.finish(
        f"tagged {update.computed} clips with {config.passt.arch} ({device.type}, {precision}); "
        f"{len(ids) - update.computed} were up to date"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
