from dataclasses import replace

import pytest

from utils.settings.loading import load_config
from utils.settings.relocation import relocated


@pytest.fixture
def places(tmp_path):
    """A project as its run recorded it, and a copy of it elsewhere."""
    for name in ("old", "new"):
        (tmp_path / name / "outputs/try/run").mkdir(parents=True)
        (tmp_path / name / "data/processed").mkdir(parents=True)
    return tmp_path / "old", tmp_path / "new"


def settings(project, *others):
    paths = {
        "output_path": project / "outputs",
        "train_data.input_path": project / "data/processed",
        "train_data.dataset_path": project / "gone",
    }
    given = [f"{key}={path}" for key, path in paths.items()]
    return load_config(overrides=[*given, "experiment=try", *others])


def test_what_was_copied_beside_a_run_is_used_from_there(places):
    old, new = places
    config = relocated(settings(old), new / "outputs/try/run")
    assert config.output_path == new / "outputs"
    assert config.train_data.input_path == new / "data/processed"
    assert config.tag_embeddings.parent == new / "data/processed"
    assert config.train_data.dataset_path == new / "gone"  # where it should be
    assert config.sentence_model == settings(old).sentence_model
    nested = new / "outputs/try/sweep/runs/run"
    assert relocated(settings(old), nested) == config


def test_what_was_left_behind_is_used_where_it_is(places):
    old, new = places
    (old / "gone").mkdir()
    (new / "data/processed").rmdir()
    (new / "data").rmdir()
    config = relocated(settings(old), new / "outputs/try/run")
    assert config.output_path == new / "outputs"
    assert config.train_data == settings(old).train_data


def test_settings_of_a_run_in_its_place_or_alone_elsewhere_stay(places, tmp_path):
    old, _ = places
    config = settings(old)
    assert relocated(config, old / "outputs/try/run") is config
    (tmp_path / "link").symlink_to(old)
    linked = replace(config, output_path=tmp_path / "link/outputs")
    assert relocated(linked, old / "outputs/try/run") is linked
    assert relocated(config, tmp_path / "elsewhere/run") is config
