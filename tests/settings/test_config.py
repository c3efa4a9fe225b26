from pathlib import Path

import pytest
import yaml

from utils.runtime.errors import InputError
from utils.settings.config import DEFAULT_CONFIG, Config, differing_settings, leaves, to_plain
from utils.settings.loading import load_config


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "conf.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_holds_every_key_with_the_value_that_is_its_default(tmp_path):
    shipped = dict(leaves(yaml.safe_load(DEFAULT_CONFIG.read_text())))
    assert shipped.keys() == dict(leaves(to_plain(Config()))).keys()
    if shipped["experiment"] != "demo":
        pytest.skip("conf.yaml has been edited: its values are its owner's")
    copied = load_config(write(tmp_path, DEFAULT_CONFIG.read_text()))
    assert copied == load_config(write(tmp_path, ""))


def test_every_shipped_key_has_a_comment():
    lines = DEFAULT_CONFIG.read_text().splitlines()
    keys = [line for line in lines if ":" in line and not line.lstrip().startswith("#")]
    bare = [line for line in keys if "#" not in line and not line.rstrip().endswith(":")]
    assert len(keys) > 25
    assert bare == []


def test_overrides_win_and_are_read_as_yaml():
    config = load_config(
        overrides=[
            *("training.epochs=3", "training.learning_rate=1e-4"),
            *("wandb=True", "seed=1e3", 'experiment="007"'),
        ]
    )
    assert (config.training.epochs, config.training.learning_rate) == (3, 1e-4)
    assert config.wandb is True
    assert (config.seed, config.experiment) == (1000, "007")


def test_relative_paths_start_from_the_file_and_vector_files_from_input_path(tmp_path):
    path = write(tmp_path, "output_path: out\ntrain_data: {input_path: in, audio_scene: /x/s.h5}")
    config = load_config(path)
    assert config.output_path == tmp_path / "out"
    assert config.train_data.audio_logits == tmp_path / "in/audio_logits_passt.hdf5"
    assert config.train_data.audio_scene == Path("/x/s.h5")


@pytest.mark.parametrize(
    ("written", "info"),
    [("tags", "tags"), ("sent_notags", "sent_notags"), *((none, "none") for none in ("null", "~"))],
)
def test_each_kind_of_tag_text_has_its_own_file(written, info):
    config = load_config(overrides=[f"model.audioset_info={written}"])
    assert config.model.audioset_info == info
    assert config.tag_embeddings.name == f"audioset_527_{info}_embeddings_mpnet.hdf5"


def test_all_problems_come_in_one_message_with_file_and_key(tmp_path):
    path = write(
        tmp_path,
        """
        trainning: {epochs: 3}
        experiment: 007
        seed: -1
        wandb: 1
        passt: {arch: passt_s_swa, weights: 5}
        training: {epochs: many, learning_rate: 0, device: gpu, criterion: TripletRankingLos}
        model: [1]
        """,
    )
    with pytest.raises(InputError) as caught:
        load_config(
            path,
            ["train_data.input_path=", "nonsense", "epochs=3", "output_path=~no-such-user/x"],
        )
    message = str(caught.value)
    assert message.startswith("15 problems in the settings")
    assert str(path) in message
    for part in (
        "trainning: unknown key; did you mean training?",
        "experiment: 7 should be a text; put it in quotes",
        "output_path: '~no-such-user/x' names a home directory that does not exist",
        "seed: -1 should be greater than or equal to 0",
        "wandb: 1 should be True or False",
        "passt.arch: 'passt_s_swa' should be 'demo', 'passt_s_swa_p16_128_ap476',",
        "passt.weights: 5 should be a path",
        "training.epochs: 'many' should be a valid integer",
        "training.learning_rate: 0 should be greater than 0",
        "training.device: 'gpu' should be auto, cpu, mps, cuda or cuda:N",
        "train_data.input_path: None should be a path",
        "did you mean TripletRankingLoss?",
        "model: [1] should be a section of keys",
        "--set 'nonsense': write it as section.key=value",
        "epochs: unknown key; did you mean training.epochs?",
    ):
        assert part in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no settings file .*gone\.yaml\. Pass one with --config"):
        load_config(tmp_path / "gone.yaml")


def test_settings_written_to_a_file_are_read_back(tmp_path):
    config = load_config(overrides=["training.epochs=3", "passt.weights=w.pt"])
    path = write(tmp_path, yaml.safe_dump(to_plain(config)))
    assert load_config(path) == config


@pytest.mark.parametrize("value", ["", "0", "[]", "{}"])
def test_a_section_cannot_be_overwritten_as_a_whole(value):
    with pytest.raises(InputError, match="'training' is a section; name a key in it"):
        load_config(overrides=[f"training={value}"])


@pytest.mark.parametrize("value", ["0", "false", "[]", "''"])
def test_a_section_that_is_a_value_is_refused_and_an_empty_one_is_not(tmp_path, value):
    with pytest.raises(InputError, match="should be a section of keys"):
        load_config(write(tmp_path, f"training: {value}"))
    assert load_config(write(tmp_path, "training:")).training == Config().training


def test_a_repeated_key_is_refused_with_its_lines(tmp_path):
    with pytest.raises(InputError, match="'training' is on line 1 and again on line 3"):
        load_config(write(tmp_path, "training: {epochs: 5}\nseed: 1\ntraining: {margin: 0.1}"))
    with pytest.raises(InputError, match="'epochs' is on line 2 and again on line 3"):
        load_config(write(tmp_path, "training:\n  epochs: 5\n  epochs: 6"))


def test_differing_settings_are_listed_by_key():
    one = load_config()
    other = load_config(overrides=["seed=2", "training.epochs=3", "model.ratio_embed1=0.5"])
    assert differing_settings(other, one) == [
        "seed: 2, not 1",
        "model.ratio_embed1: 0.5, not 0.8",
        "training.epochs: 3, not 30",
    ]
    assert differing_settings(other, one, only=["model", "seed"], but=["seed"]) == [
        "model.ratio_embed1: 0.5, not 0.8"
    ]
