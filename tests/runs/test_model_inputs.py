import shutil
from dataclasses import replace

import numpy as np
import pytest

from utils.datasets.corpus import CLOTHO, corpus
from utils.datasets.splits import CaptionSplit, QuerySplit
from utils.features.vector_file import CAPTIONS, LOGITS, SCENE, row_keys, tags_of, write_vectors
from utils.runs.model_inputs import read_inputs
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

SENTENCES = "a" * 64
SPLIT = CaptionSplit(
    split="validation",
    cids=np.array([7, 8, 9]),
    captions=["rain", "a dog", "rain again"],
    clip_of_caption=np.array([1, 0, 1]),
    clip_names=["b.wav", "a.wav"],
    clip_fids=np.array([3, 4]),
)


@pytest.fixture
def files(tmp_path):
    """Small vector files: logits 3, scene 2, text 4 numbers."""
    audio = {"model": "demo", "weights_sha256": "p", "precision": "fp32"}
    text = {"weights_sha256": SENTENCES, "precision": "fp32"}
    tags = {"what": tags_of("tags"), **text}
    clips = ["validation/a.wav", "validation/b.wav", "evaluation/a.wav"]
    paths = {name: tmp_path / f"{name}.hdf5" for name in ("captions", "logits", "scene", "tags")}
    write_vectors(
        paths["logits"],
        clips,
        np.arange(9.0).reshape(3, 3),
        attributes={"what": LOGITS, **audio},
        columns={"sources": ["1", "2", "3"]},
        failed={row_keys(["validation/c.wav"], {"sources": ["4"]})[0]: "holds no samples"},
    )
    write_vectors(
        paths["scene"],
        clips,
        100 + np.arange(6.0).reshape(3, 2),
        attributes={"what": SCENE, **audio},
    )
    captions = [f"validation/{cid}" for cid in (9, 8, 7)]
    texts = {"texts": ["rain again", "a dog", "rain"]}
    write_vectors(
        paths["captions"],
        captions,
        np.arange(12.0).reshape(3, 4),
        attributes={"what": CAPTIONS, **text},
        columns=texts,
    )
    write_vectors(paths["tags"], ["2", "0", "1"], np.arange(12.0).reshape(3, 4), attributes=tags)
    return paths


def read(files, *settings):
    paths = [
        f"train_data.{key}={files[name]}"
        for name, key in (
            ("captions", "caption_embeddings"),
            ("logits", "audio_logits"),
            ("scene", "audio_scene"),
            ("tags", "tag_embeddings"),
        )
    ]
    config = load_config(overrides=[*paths, f"sentence_model.sha256={SENTENCES}", *settings])
    return read_inputs(config, corpus(config, CLOTHO), terminal.Summary())


def test_rows_are_lined_up_with_clips_and_captions(files):
    inputs = read(files)
    np.testing.assert_array_equal(inputs.clip_features(SPLIT), [[3, 4, 5], [0, 1, 2]])
    np.testing.assert_array_equal(inputs.clip_logits(SPLIT), [[3, 4, 5], [0, 1, 2]])
    np.testing.assert_array_equal(inputs.sentences(SPLIT)[:, 0], [8, 4, 0])
    np.testing.assert_array_equal(inputs.tag_table()[:, 0], [4, 8, 0])
    assert (inputs.audio_size, inputs.text_size) == (3, 4)


def test_tag_vectors_may_be_taken_without_their_mean(files):
    inputs = read(files, "model.tag_embedding=centred")
    np.testing.assert_allclose(inputs.tag_table()[:, 0], [0, 4, -4], atol=1e-5)


def test_both_features_are_concatenated(files):
    inputs = read(files, "model.audio_features=both")
    np.testing.assert_array_equal(
        inputs.clip_features(SPLIT), [[3, 4, 5, 102, 103], [0, 1, 2, 100, 101]]
    )
    assert inputs.audio_size == 5


def test_only_what_is_needed_is_read(files):
    files["scene"].unlink()
    assert read(files).files == [files["captions"], files["logits"], files["tags"]]
    files["tags"].unlink()
    inputs = read(files, "model.audioset_info=none")
    assert inputs.tag_table() is None
    assert inputs.clip_logits(SPLIT) is None
    with pytest.raises(InputError, match=r"scene\.hdf5.*03_audio_features"):
        read(files, "model.audio_features=scene", "model.audioset_info=none")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("passt.arch=passt_20sec", r"logits\.hdf5 does not fit.*03_audio_features"),
        (f"passt.weights={__file__}", r"logits\.hdf5 .* weights_sha256 is 'p', .*03_audio"),
        (f"sentence_model.sha256={'b' * 64}", r"captions\.hdf5 does not fit.*04_sentence"),
        ("model.audioset_info=sent_tags", r"tags\.hdf5 .* \(tags\)'.*\(sent_tags\).*06_audio"),
        ("precision=bf16", r"logits\.hdf5 .* precision is 'fp32', the settings ask for 'bf16'"),
    ],
)
def test_files_of_other_models_are_refused(files, changed, message):
    with pytest.raises(InputError, match=message):
        read(files, changed)


def test_vectors_of_other_sound_files_and_captions_are_refused(files):
    inputs = read(files, "precision=fp32")
    with pytest.raises(InputError, match=r"other texts for 1 of 3 .*'validation/8'.* Run .*04_sen"):
        inputs.sentences(replace(SPLIT, captions=["rain", "a cat", "rain again"]))
    inputs.clip_features(replace(SPLIT, clip_sources=["2", "1"]))
    with pytest.raises(InputError, match=r"other sources for 1 of 2 .*b\.wav.* Run .*03_audio"):
        inputs.clip_features(replace(SPLIT, clip_sources=["9", "1"]))


def test_clips_that_could_not_be_used_are_left_out_with_their_captions(files):
    split = CaptionSplit(
        split="validation",
        cids=np.array([6, 7, 8, 9]),
        captions=["nothing", "rain", "a dog", "rain again"],
        clip_of_caption=np.array([0, 2, 1, 2]),
        clip_names=["c.wav", "b.wav", "a.wav"],
        clip_fids=np.array([2, 3, 4]),
    )
    usable = read(files).usable(split)
    assert (usable.clip_names, usable.captions) == (["b.wav", "a.wav"], split.captions[1:])
    assert usable.clip_of_caption.tolist() == [1, 0, 1]
    queries = QuerySplit(
        split="validation",
        cids=split.cids,
        captions=split.captions,
        clip_names=split.clip_names,
        clip_fids=split.clip_fids,
    )
    usable = read(files).usable(queries)
    assert (usable.clip_names, usable.captions) == (["b.wav", "a.wav"], split.captions)


def test_logits_and_scene_of_different_weights_are_refused(files):
    write_vectors(
        files["scene"],
        ["validation/a.wav"],
        np.ones((1, 2)),
        attributes={"what": SCENE, "model": "demo", "weights_sha256": "q"},
    )
    with pytest.raises(InputError, match="different PaSST weights"):
        read(files, "model.audio_features=both")


@pytest.mark.parametrize(
    ("tags", "width", "message"),
    [
        (["0"], 5, r"vectors of 4 numbers and .* of 5"),
        (["0", "1"], 4, r"3 numbers per clip, .* 2 tags"),
    ],
)
def test_tags_of_another_dimension_or_number_are_refused(files, tags, width, message):
    attributes = {"what": tags_of("tags"), "weights_sha256": SENTENCES}
    write_vectors(files["tags"], tags, np.ones((len(tags), width)), attributes=attributes)
    with pytest.raises(InputError, match=message):
        read(files).tag_table()


@pytest.mark.parametrize(
    ("kind", "other"),
    [("logits", "scene"), ("scene", "logits"), ("captions", "tags"), ("tags", "captions")],
)
def test_one_kind_of_file_is_not_taken_for_another(files, tmp_path, kind, other):
    copied = tmp_path / "copied.hdf5"
    shutil.copy(files[other], copied)
    with pytest.raises(InputError, match=r"copied\.hdf5 does not fit the settings: what is"):
        read({**files, kind: copied}, "model.audio_features=both")
