"""Number the clips and queries of the official Task 6b evaluation subset.

Reads   eval_data.audio_path: its wavs, and eval_data.captions_file: one caption per query
Writes  eval_data.input_path: audio_info.pkl, audio_info.json (the same), test_captions.json,
        audio_sources.json, and failed_files.csv if wavs cannot be used: they are left out, and the
        exit status is 3

    python scripts/02_preprocess_evaluation_set_task6b.py --config conf.yaml

Which clip a caption belongs to is not published, and is not in these files either.
"""

import start

from utils.datasets import task6b
from utils.datasets.corpus import TASK6B, corpus
from utils.datasets.sound_checks import report_failed
from utils.files import writing
from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.settings import options


def main(argv: list[str] | None = None) -> int:
    """Run the script."""
    distributed.refuse_team("scripts/02_preprocess_evaluation_set_task6b.py")
    parser = options.parser(__doc__)
    options.add_strict_option(parser)
    options.add_accept_truncated_option(parser)
    options.add_list_skipped_option(parser)
    args = parser.parse_args(argv)
    config = options.load_config(args)
    data = config.eval_data
    summary = terminal.Summary()
    summary.reads(data.audio_path, data.captions_file)
    with only_run("02_preprocess_evaluation_set_task6b", data.input_path):
        contents, failed = task6b.preprocess_task6b(
            data.audio_path,
            data.captions_file,
            strict=args.strict,
            accept_truncated=args.accept_truncated,
        )
        for name, content in contents.items():
            if writing.write_if_changed(data.input_path / name, content):
                summary.writes(data.input_path / name)
        corpus(config, TASK6B).report_others(summary, list_all=args.list_skipped)
        status = report_failed(
            summary,
            data.input_path,
            "02_preprocess_evaluation_set_task6b",
            failed,
            list_all=args.list_skipped,
        )
    queries = task6b.load_queries(data.input_path)
    summary.finish(f"{len(queries.captions)} queries, {len(queries.clip_names)} clips")
    return status


if __name__ == "__main__":
    start.run(main)
