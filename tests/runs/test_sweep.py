import csv
import json
import shutil

import pytest

from tests.support import DEMO_CONFIG, load_script, options, settings_for
from utils.files.locks import only_run
from utils.runs.sweep import Sweep
from utils.runs.sweep_recipe import Question, read_recipe
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.loading import load_config


def test_the_shipped_recipe_is_valid_and_shares_what_questions_share():
    questions = read_recipe(PROJECT_ROOT / "data/sweeps/paper.yaml")
    config = load_config(DEMO_CONFIG)
    sweep = Sweep.new(config, questions, [1, 2], base=PROJECT_ROOT)
    combinations = sum(len(question.combinations) for question in questions)
    configs = sweep.configs()
    # The settings of the paper are the first, or the second, of all four questions.
    assert len(configs) == 2 * (combinations - 3)
    assert len({sweep.run(config).folder for config in configs}) == len(configs)
    assert {config.seed for config in configs} == {1, 2}


def test_a_setting_that_is_not_valid_is_named_with_its_question():
    question = Question("Which?", {"training.margin": [0.4, -1]})
    sweep = Sweep.new(load_config(DEMO_CONFIG), [question], [1], base=PROJECT_ROOT)
    with pytest.raises(InputError, match=r"(?s)'Which\?', margin = -1.*training\.margin"):
        sweep.configs()


def test_a_sweep_trains_everything_once_and_writes_its_table(small_demo, tmp_path, capsys):
    module = load_script("main")
    settings = options(settings_for(small_demo, outputs=tmp_path))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "- question: Which ratio | or none?\n  vary: {model.ratio_embed1: [0.8, 1.0]}\n"
        "- question: Tags?\n  vary: {model.audioset_info: [none, tags]}\n"
    )
    module.main(["sweep", *settings, "--recipe", str(recipe), "--seeds", "1", "2"])
    (folder,) = (tmp_path / "demo").iterdir()
    runs = sorted((folder / "runs").iterdir())
    assert len(runs) == 6  # ratio 0.8 with tags is asked about twice
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["question"], row["setting"]) for row in rows] == [
        ("Which ratio | or none?", "ratio_embed1 = 0.8"),
        ("Which ratio | or none?", "ratio_embed1 = 1.0"),
        ("Tags?", "audioset_info = none"),
        ("Tags?", "audioset_info = tags"),
    ]
    shared = ("mAP@10 mean", "mAP@10 sd", "validation mAP@10 mean")
    assert [rows[0][name] for name in shared] == [rows[3][name] for name in shared]
    # Each run is what main.py trains by itself.
    alone = tmp_path / "alone"
    module.main(["train", *settings, "--set", f"output_path={alone}", "--set", "seed=2"])
    (metrics,) = alone.rglob("metrics.json")
    by_itself = json.loads(metrics.read_text())["scores"]
    assert by_itself in [json.loads((run / "metrics.json").read_text())["scores"] for run in runs]

    table = (folder / "table.csv").read_bytes()
    before = {path: path.stat().st_mtime_ns for run in runs for path in run.iterdir()}
    unfinished = runs[0]
    (unfinished / "metrics.json").unlink()
    capsys.readouterr()
    with (
        only_run("sweep", folder),
        pytest.raises(InputError, match=rf"another run of sweep is writing to {folder}"),
    ):
        module.main(["sweep", "--resume", str(folder)])
    module.main(["sweep", "--resume", str(folder)])
    after = {path: path.stat().st_mtime_ns for run in runs for path in run.iterdir()}
    changed = {path.parent for path in before if before[path] != after[path]}
    assert changed == {unfinished}
    assert (folder / "table.csv").read_bytes() == table
    assert "| ratio_embed1 = 1.0 |" in capsys.readouterr().out


def test_a_sweep_without_a_question_or_with_a_seed_twice_is_refused(tmp_path):
    main = load_script("main").main
    vary, resume = ["--vary", "training.margin=1,2"], ["--resume", str(tmp_path)]
    for arguments, message in (
        ([], "nothing to compare"),
        ([*vary, "--seeds", "1", "1"], "a seed occurs twice"),
        ([*vary, *resume], "resumed as it began"),
        (resume, r"holds no sweep\.yaml"),
        (["--recipe", str(tmp_path / "none.yaml")], r"no recipe of a sweep .*none\.yaml"),
    ):
        with pytest.raises(InputError, match=message):
            main(["sweep", *arguments])


def test_data_sets_are_not_compared_with_each_other(small_demo, tmp_path):
    settings = options(settings_for(small_demo, outputs=tmp_path))
    other = tmp_path / "processed"
    shutil.copytree(small_demo / "processed", other)
    captions = json.loads((other / "evaluation_captions.json").read_text())
    for column in captions.values():
        column.pop("0")
    (other / "evaluation_captions.json").write_text(json.dumps(captions))
    vary = f"train_data.input_path={small_demo / 'processed'},{other}"
    with pytest.raises(InputError, match="has other captions than the first"):
        load_script("main").main(["sweep", *settings, "--vary", vary])
    assert not (tmp_path / "demo").exists()
