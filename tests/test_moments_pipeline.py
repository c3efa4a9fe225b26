"""From synthetic recordings to a submission of the moments in them, with and without training."""

import json
import shutil

import numpy as np
import pytest

from tests.support import load_script, options, settings_for
from utils.datasets.moment_lists import read_moment_list
from utils.files.reading import read_json
from utils.runtime.errors import InputError


def settings_of(folder, demo):
    return [
        *settings_for(demo, outputs=folder / "outputs"),
        f"clotho_moment.dataset_path={folder / 'set'}",
        f"clotho_moment.input_path={folder / 'processed'}",
    ]


@pytest.fixture(scope="module")
def moment_set(small_demo, made_once):
    """A small set of moments, with its vectors and its grid, and the settings for it."""

    def make(folder):
        of = options(settings_of(folder, small_demo))
        load_script("00_make_demo_data").main(["--moments", "--recordings", "2", "1", "2", *of])
        for script in ("01_preprocess", "03_audio_features", "04_sentence_embeddings"):
            load_script(script).main(["--subset", "clotho-moment", *of])

    folder = made_once("moment_set", make)
    return folder, settings_of(folder, small_demo)


@pytest.fixture
def own_moment_set(moment_set, small_demo, tmp_path):
    """The same, to change."""
    folder = shutil.copytree(moment_set[0], tmp_path / "own")
    return folder, settings_of(folder, small_demo)


def moments(settings, *arguments):
    load_script("main").main([*arguments, *options(settings)])


@pytest.mark.slow
def test_moments_are_found_untrained_and_trained(moment_set, trained, tmp_path, capsys):
    folder, settings = moment_set
    model = ["--checkpoint", str(trained), "--output", str(tmp_path)]
    moments(settings, "moments", *model, "--submit", "--compare")
    printed = capsys.readouterr().out
    assert "by likeness alone, untrained" in printed
    rows = {line[:22].strip(): line[22:].split() for line in printed.splitlines()}
    assert float(rows["oracle"][0]) > 95
    assert float(rows["whole recording"][1]) < float(rows["found"][1])
    assert float(rows["best passage of 20 s"][1]) < float(rows["found"][1])
    untrained = read_json(tmp_path / "clotho-moment_test.json")
    truth = folder / "set/clotho_moment_test_release.jsonl"
    queries = read_moment_list(truth)
    assert untrained["queries"] == len(queries)
    report = (tmp_path / "clotho-moment_test.html").read_text()
    assert "best passage of 20 s" in report
    assert any(query.query in report for query in queries)

    moments(
        [],
        "score-moments",
        str(tmp_path / "clotho-moment_test.jsonl"),
        "--truth",
        str(truth),
        "--json",
    )
    scored = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert scored["brief"] == untrained["brief"]
    submission = tmp_path / "submission.jsonl"
    moments([], "check-submission", str(submission), "--queries", str(truth))
    windows = json.loads(submission.read_text().splitlines()[0])["pred_relevant_windows"]
    assert {len(window) for window in windows} == {2}

    # Chance is about one in fifty; the demo's sounds are easy.
    assert untrained["brief"]["MR-full-R1@0.5"] > 20

    moments([*settings, "moments.epochs=2"], "train-moments", *model)
    network = tmp_path / "moments_clotho-moment.safetensors"
    moments([*settings, f"moments.network={network}"], "moments", *model)
    assert f"by {network.name}" in capsys.readouterr().out
    assert read_json(tmp_path / "clotho-moment_test.json")["queries"] == len(queries)


@pytest.mark.slow
def test_moments_need_no_training_at_all(moment_set, tmp_path, capsys):
    _, settings = moment_set
    moments(settings, "moments", "--model", "tags", "--output", str(tmp_path))
    assert read_json(tmp_path / "clotho-moment_test.json")["brief"]["MR-full-R1@0.5"] > 10


@pytest.mark.slow
def test_the_grid_is_kept_and_only_what_is_missing_is_computed(own_moment_set, trained, capsys):
    folder, settings = own_moment_set
    script = load_script("03_audio_features")
    of = ["--subset", "clotho-moment", *options(settings)]
    script.main(of)
    assert "tagged 0 clips" in capsys.readouterr().out
    first, *_ = sorted((folder / "processed/audio_grid_passt").glob("*/*.f16"))
    before = np.fromfile(first, "<f2")
    first.unlink()
    with pytest.raises(InputError, match="lacks recordings"):
        moments(settings, "moments", "--checkpoint", str(trained), "--split", "train")
        moments(settings, "moments", "--checkpoint", str(trained), "--split", "val")
        moments(settings, "moments", "--checkpoint", str(trained), "--split", "test")
    script.main(of)
    assert "tagged 1 clips" in capsys.readouterr().out
    np.testing.assert_array_equal(np.fromfile(first, "<f2"), before)


@pytest.mark.slow
def test_a_grid_of_another_network_is_refused(own_moment_set, trained):
    folder, settings = own_moment_set
    path = folder / "processed/audio_grid_passt/origin.json"
    path.write_text(path.read_text().replace('"demo"', '"other"'))
    with pytest.raises(InputError, match="made with another PaSST"):
        moments(settings, "moments", "--checkpoint", str(trained))
