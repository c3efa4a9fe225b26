"""Vectors that no longer fit what they were computed from are refused, and computed again."""

import shutil

import h5py
import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from tests.support import FILES, load_script, options, settings_for
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT


def run(name, settings):
    return load_script(name).main(options(settings))


@pytest.fixture
def quickly(own_demo, quick_sentence_model):
    """Settings with a quick sentence model, as if it had computed the vectors of that demo set."""
    checksum = quick_sentence_model[1].partition("=")[2]
    for key in ("caption_embeddings", "tag_embeddings"):
        with h5py.File(own_demo / "processed" / FILES[key], "a") as file:
            file.attrs["weights_sha256"] = checksum
    return [*settings_for(own_demo), *quick_sentence_model, "training.epochs=1"]


def test_another_sound_under_the_same_name(own_demo, capsys):
    settings = [*settings_for(own_demo), "training.epochs=1"]
    wav = sorted((own_demo / "clotho/evaluation").iterdir())[2]
    soundfile.write(wav, 0.1 * np.random.default_rng(0).standard_normal(44_100), 44_100)
    run("01_preprocess", settings)
    with pytest.raises(InputError, match=r"other sources for 1 of 10 .* Run scripts/03_audio"):
        run("main", settings)
    run("03_audio_features", settings)
    assert "tagged 1 clips" in capsys.readouterr().out
    run("main", settings)


def test_a_clip_more(own_demo, quickly, capsys):
    settings = quickly
    table = own_demo / "clotho/clotho_captions_development.csv"
    first = sorted((own_demo / "clotho/development").iterdir())[0]
    shutil.copy(first, first.with_name("00 new.wav"))
    with table.open("a") as file:
        file.write('00 new.wav,NA,None,null,nan,"with ""quotes"",\nand lines"\n')
    run("01_preprocess", settings)
    with pytest.raises(InputError, match=r"audio_logits.* lacks 1 of 31 .* Run scripts/03_audio"):
        run("main", settings)
    run("03_audio_features", settings)
    with pytest.raises(InputError, match=r"sentence_embeddings.* Run scripts/04_sentence"):
        run("main", settings)
    run("04_sentence_embeddings", settings)
    # All captions have new numbers, so that each is checked again.
    printed = capsys.readouterr().out
    assert "tagged 1 clips" in printed
    run("main", settings)


def test_another_precision(own_demo, quickly):
    settings = quickly
    # Computing in bf16 takes minutes where the processor lacks it.
    for path in (own_demo / "processed").glob("*.hdf5"):
        with h5py.File(path, "a") as file:
            file.attrs["precision"] = "bf16"
    for script, name in (
        ("03_audio_features", "audio_logits"),
        ("04_sentence_embeddings", "sentence_embeddings"),
        ("06_audioset_tag_embeddings", "audioset_527"),
    ):
        message = rf"{name}.* precision is 'bf16', the settings ask for 'fp32'\. Run .*{script[:8]}"
        with pytest.raises(InputError, match=message):
            run("main", settings)
        run(script, settings)
    run("main", settings)


def test_other_weights(own_demo, capsys):
    weights = load_file(PROJECT_ROOT / "data/demo/tagger.safetensors")
    changed = {name: 1.01 * tensor for name, tensor in weights.items()}
    save_file(changed, own_demo / "other.safetensors")
    settings = [
        *settings_for(own_demo),
        f"passt.weights={own_demo}/other.safetensors",
        "training.epochs=1",
    ]
    with pytest.raises(InputError, match=r"weights_sha256 is .* Run scripts/03_audio_features\.py"):
        run("main", settings)
    run("main", settings_for(own_demo))
    (model,) = (own_demo / "outputs/demo").iterdir()
    run("03_audio_features", settings)
    assert "tagged 50 clips" in capsys.readouterr().out
    # A model requires the weights that it was trained with.
    checkpoint = str(model / "checkpoint_best.safetensors")
    message = r"processed does not go with the model .*best\.safetensors:\n.*PaSST"
    with pytest.raises(InputError, match=message):
        load_script("main").main(["evaluate", "--checkpoint", checkpoint, *options(settings)])
    searched = ["--audio", str(own_demo / "clotho"), "--model", str(model), "rain"]
    with pytest.raises(InputError, match=r"passt or sentence_model in the settings does not go"):
        load_script("07_search").main([*searched, *options(settings)])
    with pytest.raises(InputError, match=r"processed does not go with the model"):
        run("main", [*settings, f"training.init_checkpoint={checkpoint}"])
    run("main", settings)
