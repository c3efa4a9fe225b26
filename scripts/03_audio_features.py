"""Tag every clip with PaSST: wavs ─► logits and scene embeddings.

Reads   <dataset_path>/<split>/*.wav, as listed in <input_path>/<split>_captions.json
Writes  train_data.audio_logits and train_data.audio_scene (HDF5, one row per clip), and of the sets
        of moments audio_grid (a folder with a file per recording: a row per half second)

    python scripts/03_audio_features.py --config conf.yaml
    python scripts/03_audio_features.py --subset task6b       # eval_data instead of train_data
    python scripts/03_audio_features.py --subset audiocaps    # audiocaps instead of train_data
    python scripts/03_audio_features.py --subset castella     # or clotho-moment
    python scripts/03_audio_features.py --kind logmel         # or waveform: for training elsewhere

With --kind logmel or waveform it writes <input_path>/audio_<kind>.hdf5 instead, with one dataset
per clip under its fid: (frames, 64) log-mels at the sample rate of the file, or samples at 32 kHz.

Sound files that cannot be used are skipped and listed in <input_path>/failed_files.csv, and the
exit status is 3; --strict stops at the first, --list-skipped lists them all in the terminal too.
With --accept-truncated, truncated ones are used as far as they go. What is odd about sounds that
are used is listed in noted_files.csv: truncation, digital silence, a very low level, a DC offset,
integers as floating-point samples, channels that cancel in the mean (see passt.mono).

Stop it at any time: the same command resumes with the clips that are missing; log-mels and
waveforms start again. Several processes can share PaSST's work, on one machine or on several that
see the same folders:

    torchrun --nproc-per-node 2 scripts/03_audio_features.py
"""

from __future__ import annotations

import start

from utils.audio.sound_file import fingerprint
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, MOMENT_SETS, TASK6B
from utils.datasets.corpus import corpus as corpus_of
from utils.datasets.sound_checks import read_each, report_failed, report_noted
from utils.runtime import distributed, terminal
from utils.settings import options
from utils.settings.needed_files import require_files


def main(argv: list[str] | None = None) -> int:
    """Run the script."""
    parser = options.parser(__doc__)
    options.add_subset_option(parser, CLOTHO, TASK6B, AUDIOCAPS, *MOMENT_SETS)
    parser.add_argument(
        "--kind",
        choices=("passt", "logmel", "waveform"),
        default="passt",
        help="what to compute (default: passt)",
    )
    options.add_strict_option(parser)
    options.add_accept_truncated_option(parser)
    options.add_list_skipped_option(parser)
    args = parser.parse_args(argv)
    config = options.load_config(args)
    summary = terminal.Summary()
    corpus = corpus_of(config, args.subset)
    given = config.passt.weights if args.kind == "passt" else None
    advice = "Set it to null for the architecture's own weights."
    needed = corpus.needed_captions(corpus.splits)
    require_files([("passt.weights", given, advice), *needed])

    fids, paths = {}, {}  # by split/file name
    for split, folder in corpus.audio_folders.items():
        summary.reads(corpus.captions_file(split), folder)
        clips = corpus.load(split)
        found = corpus.require_audio(split, clips.clip_names)
        paths.update(zip(clips.audio_ids, found, strict=True))
        fids.update(zip(clips.audio_ids, clips.clip_fids.tolist(), strict=True))
    sources, unusable = read_each(fingerprint, paths, root=corpus.folder, strict=args.strict)
    if args.kind == "passt":
        from utils.features.audio_vectors import update_audio_vectors  # takes seconds

        done, update = update_audio_vectors(
            config,
            corpus.files,
            paths,
            sources,
            unusable,
            with_grid=args.subset in MOMENT_SETS,
            strict=args.strict,
            accept_truncated=args.accept_truncated,
            summary=summary,
        )
        failed = update.failed
    else:
        distributed.refuse_team(f"--kind {args.kind}")
        from utils.features.clip_features import Clip, write_clip_features

        done = f"computed {{}} clips ({args.kind})"
        clips = [Clip(fids[id], id, paths[id], source) for id, source in sources.items()]
        path = corpus.files.input_path / f"audio_{args.kind}.hdf5"
        with terminal.progress(len(clips), args.kind, "clips") as bar:
            update = write_clip_features(
                path,
                clips,
                kind=args.kind,
                strict=args.strict,
                accept_truncated=args.accept_truncated,
                advance=bar.update,
            )
        if update.written:
            summary.writes(path)
        failed = {**unusable, **update.failed}

    step = f"03_audio_features {args.kind}"
    if args.kind == "passt":
        report_noted(
            summary, corpus.files.input_path, step, update.notes, list_all=args.list_skipped
        )
    status = report_failed(
        summary, corpus.files.input_path, step, failed, list_all=args.list_skipped
    )
    up_to_date = len(paths) - len(failed) - update.computed
    summary.finish(
        f"{done.format(update.computed)}; {up_to_date} were up to date"
        + (f", {len(failed)} cannot be used" if failed else "")
    )
    return status


if __name__ == "__main__":
    start.run(main)
