"""Read sound files and caption CSVs, check them and number clips and captions.

Reads   train_data.dataset_path: {development,validation,evaluation}/*.wav and
        clotho_captions_{development,validation,evaluation}.csv
Writes  train_data.input_path: audio_info.pkl, vocab_info.pkl, audio_sources.json,
        {development,validation,evaluation}_captions.json, missing_clips.txt, and
        failed_files.csv if sound files cannot be used: their clips are left out;
        {train,val,test}_moments.json of castella and clotho-moment

    python scripts/01_preprocess.py --config conf.yaml
    python scripts/01_preprocess.py --subset audiocaps    # audiocaps instead of train_data
    python scripts/01_preprocess.py --subset castella     # or clotho-moment

AudioCaps is read from audiocaps.dataset_path: {train,val,test}.csv and audio/{train,val,test}/.
CASTELLA and Clotho-Moment have lists, {castella,clotho_moment}_{train,val,test}_release.jsonl or
{train,val,test}.json, and recordings in audio/ or audio/{train,val,test}/, in any format. Many
clips of AudioCaps and CASTELLA are gone from YouTube: clips without a file are skipped and listed.
Other files in the folders of the sounds are counted; --list-skipped lists everything that is
skipped.
The exit status is 3 if sound files cannot be used; --strict stops at the first. Truncated ones can
be used as far as they go: give --accept-truncated to this script and to script 03.
"""

from functools import partial

import start

from utils.datasets import audiocaps, clotho, moment_sets, numbering
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, MOMENT_SETS
from utils.datasets.corpus import corpus as corpus_of
from utils.datasets.sound_checks import report_failed
from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.runtime.errors import SHOWN, shorten
from utils.settings import options


def main(argv: list[str] | None = None) -> int:
    """Preprocess the data set that the settings name."""
    parser = options.parser(__doc__)
    options.add_subset_option(parser, CLOTHO, AUDIOCAPS, *MOMENT_SETS)
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="skip Clotho clips without a wav, instead of stopping",
    )
    options.add_strict_option(parser)
    options.add_accept_truncated_option(parser)
    options.add_list_skipped_option(parser)
    args = parser.parse_args(argv)
    distributed.refuse_team("scripts/01_preprocess.py")
    config = options.load_config(args)
    corpus = corpus_of(config, args.subset)
    data = corpus.files
    summary = terminal.Summary()
    summary.reads(data.dataset_path)
    checks = {
        "strict": args.strict,
        "accept_truncated": args.accept_truncated,
        "progress": partial(terminal.progress, description="durations", unit="files"),
    }
    with only_run("01_preprocess", data.input_path):
        if args.subset == CLOTHO:
            preprocessed = clotho.preprocess_clotho(
                data.dataset_path,
                blank_captions=data.blank_captions,
                allow_missing=args.allow_missing,
                **checks,
            )
        elif args.subset == AUDIOCAPS:
            preprocessed = audiocaps.preprocess_audiocaps(data.dataset_path, **checks)
        else:
            preprocessed = moment_sets.preprocess_moments(data.dataset_path, args.subset, **checks)
        for note in preprocessed.notes:
            print(note)
        most = None if args.list_skipped else SHOWN
        if preprocessed.missing:
            print(f"missing, and left out:\n{shorten(preprocessed.missing, most=most)}")
        if preprocessed.extra:
            print(f"without captions:\n{shorten(preprocessed.extra, most=most)}")
        if preprocessed.respelt:
            print(f"under another spelling:\n{shorten(preprocessed.respelt, most=most)}")
        corpus.report_others(summary, list_all=args.list_skipped)
        summary.writes(*numbering.write_preprocessed(data.input_path, preprocessed))
        status = report_failed(
            summary,
            data.input_path,
            "01_preprocess",
            preprocessed.failed,
            list_all=args.list_skipped,
        )
    summary.finish(preprocessed.summary())
    return status


if __name__ == "__main__":
    start.run(main)
