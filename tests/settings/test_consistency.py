from pathlib import Path

import pytest

from tests.support import DEMO_CONFIG, load_script, options, settings_for
from utils.runs.sweep import Sweep
from utils.runs.sweep_recipe import read_recipe
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.config import DEFAULT_CONFIG, to_plain
from utils.settings.consistency import destructive
from utils.settings.loading import load_config, parse_config
from utils.settings.needed_files import require_files


@pytest.mark.parametrize("path", [DEFAULT_CONFIG, DEMO_CONFIG])
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        # What the README recommends.
        ["train_data.dataset_path=data/clotho", "train_data.input_path=data/clotho/processed"],
        ["audiocaps.dataset_path=data/ac", "audiocaps.input_path=data/ac/processed"],
        ["model.ratio_embed1=1"],
        ["model.ratio_embed1=0", "model.audioset_info=none"],
        ["model.ratio_embed1=0", "model.text_projection=True"],
        ["training.criterion=InfoNCE", "training.learnable_temperature=True"],
        ["training.criterion=MixupTripletRankingLoss"],
        ["training.mixup_rate=0"],
    ],
)
def test_sensible_settings_pass(path, overrides):
    load_config(path, overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train_data.audio_scene=audio_logits_passt.hdf5"],
            r"train_data\.audio_logits: it is the same as train_data\.audio_scene \(/.*5\): each",
        ),
        (
            ["audiocaps.input_path=x/../data/task6b/processed"],
            r"eval_data\.input_path: it is the same as audiocaps\.input_path .*one data set's",
        ),
        (
            ["train_data.tag_embeddings=/v/tags.h5", "eval_data.caption_embeddings=/v/tags.h5"],
            r"train_data\.tag_embeddings: it is the same as eval_data\.caption_embeddings",
        ),
        (
            ["passt.weights=a.pt", "training.init_checkpoint=a.pt"],
            r"passt\.weights: it is the same as training\.init_checkpoint",
        ),
        (["model.ratio_embed1=0"], r"model\.ratio_embed1: it is 0: .* nothing is left to train"),
        (
            ["model.tag_embedding=centred", "model.audioset_info=none"],
            r"model\.tag_embedding: it is centred, but .* there are no tag vectors",
        ),
        (
            ["training.learnable_temperature=True"],
            r"learnable_temperature: it is True, but TripletRankingLoss has no temperature",
        ),
        (
            ["training.criterion=MixupTripletRankingLoss", "training.mixup_rate=0"],
            r"training\.mixup_rate: it is 0, so MixupTripletRankingLoss mixes nothing",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides, message):
    with pytest.raises(InputError, match=message):
        load_config(DEFAULT_CONFIG, overrides)


def test_a_link_to_the_same_folder_is_the_same_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    places = [f"train_data.input_path={tmp_path}/a", f"audiocaps.input_path={tmp_path}/b"]
    with pytest.raises(InputError) as caught:
        load_config(DEMO_CONFIG, places)
    message = str(caught.value)
    # The folder, and the three files that both would hold.
    assert message.startswith("4 problems")
    assert "train_data.input_path: it is the same as audiocaps.input_path" in message


def test_contradictions_are_listed_with_other_problems_but_not_for_an_invalid_value():
    with pytest.raises(InputError) as caught:
        load_config(
            DEMO_CONFIG,
            [
                *("training.learnable_temperature=True", "training.criterion=InfoNCEE"),
                *("model.ratio_embed1=0", "seed=-1"),
            ],
        )
    message = str(caught.value)
    assert message.startswith("3 problems in the settings")
    assert "did you mean InfoNCE?" in message
    assert "nothing is left to train" in message
    assert "has no temperature" not in message


def test_a_sweep_may_vary_what_only_some_of_its_runs_use():
    base = load_config(DEMO_CONFIG, ["training.learnable_temperature=True"], check=destructive)
    questions = read_recipe(PROJECT_ROOT / "data/sweeps/paper.yaml")
    assert len(Sweep.new(base, questions, [1], base=PROJECT_ROOT).configs()) == 16
    recipe = [type(questions[0])("Which?", {"model.ratio_embed1": [0.5, 0]})]
    with pytest.raises(InputError, match=r"ratio_embed1 = 0 .*\n.*nothing is left to train"):
        Sweep.new(base, recipe, [1], base=PROJECT_ROOT).configs()


def test_settings_of_a_checkpoint_may_contradict_each_other():
    plain = to_plain(load_config(DEMO_CONFIG))
    plain["training"]["learnable_temperature"] = True
    assert parse_config(plain, base=Path(), source="c.pt").training.learnable_temperature


def test_missing_files_come_in_one_message(tmp_path):
    (tmp_path / "there").touch()
    require_files([("a.b", tmp_path / "there", "Do x."), ("a.c", None, "Do y.")])
    with pytest.raises(InputError, match=r"^a\.d: .*gone: no such file\. Do z\.$"):
        require_files([("a.d", tmp_path / "gone", "Do z.")] * 2)
    with pytest.raises(InputError) as caught:
        require_files([("a.d", tmp_path / "gone", "Do z."), ("a.e", tmp_path, "Do w.")])
    message = str(caught.value)
    assert message.startswith("2 files are missing:")
    assert f"a.e: {tmp_path}: is a folder, not a file. Do w." in message


def test_every_file_that_a_run_lacks_is_listed_before_it_begins(tmp_path):
    main = load_script("main").main
    settings = [
        *settings_for(tmp_path),
        f"training.init_checkpoint={tmp_path / 'gone.pt'}",
        f"train_data.excluded_clips={tmp_path / 'gone.txt'}",
    ]
    for arguments in ([], ["sweep", "--vary", "training.margin=0.1,0.2"]):
        with pytest.raises(InputError) as caught:
            main([*arguments, *options(settings)])
        message = str(caught.value)
        assert message.startswith("8 files are missing:")
        for part in (
            "training.init_checkpoint: ",
            "train_data.excluded_clips: ",
            "evaluation_captions.json: no such file. Run scripts/01_preprocess.py, which",
            "train_data.audio_logits: ",
            "Run scripts/03_audio_features.py, which writes it.",
            "train_data.caption_embeddings: ",
            "train_data.tag_embeddings: ",
        ):
            assert part in message
        assert "audio_scene" not in message  # nothing needs it
    assert not (tmp_path / "outputs").exists()


def test_script_03_names_missing_weights_and_captions_together(tmp_path):
    settings = [*settings_for(tmp_path), f"passt.weights={tmp_path / 'gone.pt'}"]
    with pytest.raises(InputError, match=r"(?s)^4 files .*passt\.weights: .*development_captions"):
        load_script("03_audio_features").main(options(settings))
    with pytest.raises(InputError, match=r"^3 files are missing"):  # log-mels need no weights
        load_script("03_audio_features").main([*options(settings), "--kind", "logmel"])
