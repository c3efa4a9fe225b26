import csv

import numpy as np
import pytest

from utils.datasets import ucs
from utils.datasets.audioset import read_labels
from utils.datasets.ucs import parse_ucs_name, read_categories, suggest_ucs
from utils.runtime.errors import InputError

LABELS = read_labels()
ESC = {
    "airplane": "AERO", "breathing": "HMNBrth", "car horn": "VEHHorn", "cat": "ANMLCat",
    "chainsaw": "MACHGrdn", "chirping birds": "BIRDSong", "church bells": "BELLLrg",
    "clapping": "CRWDApls", "clock alarm": "ALRM", "clock tick": "CLOCK", "coughing": "HMNCough",
    "cow": "ANMLFarm", "crackling fire": "FIRE", "crickets": "ANMLInsc", "crow": "BIRDCrow",
    "crying baby": "VOX", "dog": "ANMLDog", "door wood knock": "DOORKnck", "fireworks": "FRWK",
    "frog": "ANMLAmph", "hand saw": "TOOLHand", "helicopter": "AEROHeli", "hen": "BIRDFowl",
    "insects": "ANMLInsc", "keyboard typing": "CMPTKey", "laughing": "VOXLaff", "pig": "ANMLFarm",
    "rain": "RAIN", "rooster": "BIRDFowl", "sea waves": "WATR", "sheep": "ANMLFarm",
    "siren": "VEHSirn", "sneezing": "HMNSneez", "snoring": "HMNSnor", "thunderstorm": "THUN",
    "toilet flush": "WATRPlmb", "train": "TRN", "water drops": "WATRDrip", "wind": "WIND",
}  # fmt: skip


def probabilities(**tags: float) -> np.ndarray:
    found = np.full(527, 0.001)
    for tag, value in tags.items():
        found[LABELS.index(tag.replace("_", " "))] = value
    return found


def test_the_list_has_all_categories_of_version_8_2_1():
    categories = read_categories()
    assert len(categories) == 753
    assert len({category.category for category in categories.values()}) == 82
    assert len({category[1:] for category in categories.values()}) == 753
    assert categories["AIRBrst"][1:] == ("AIR", "BURST")
    assert categories["WHSH"][1:] == ("SWOOSHES", "WHOOSH")
    assert categories["AMBHome"][1:] == ("AMBIENCE", "RESIDENTIAL")


def test_a_complete_name_is_read():
    name = parse_ucs_name("ANMLDog_Big Dog_JD_SFX1")
    assert name == ("ANMLDog", "ANIMALS", "DOG", "", "", "Big Dog", "JD", "SFX1", "")


def test_user_data_may_have_underscores():
    name = parse_ucs_name("ANMLDog-INT_Pets-Big-Dog_JD_SFX1_a_b_c")
    assert name.user_category == "INT"
    assert name.vendor_category == "Pets"
    assert name.fx_name == "Pets-Big-Dog"
    assert name.user_data == "a_b_c"


@pytest.mark.parametrize(
    "stem", ["ANMLDog", "ANMLDog_", "ANMLDog_Bark", "ANMLDog-INT", "AIRBrst_Pop 01"]
)
def test_a_category_alone_is_enough(stem):
    assert parse_ucs_name(stem).cat_id == stem.partition("_")[0].partition("-")[0]


@pytest.mark.parametrize(
    "stem",
    [
        "",
        "_",
        "-",
        "anmldog_bark_JD_X",
        "ANMLDogs_Bark_JD_X",
        "Bark_ANMLDog",
        "ANMLDog Bark",
        "RAW_take",
        "TEST",
        "WIND_strong_01",
    ],
)
def test_other_names_are_none_of_the_system(stem):
    assert parse_ucs_name(stem) is None


def test_a_category_in_capitals_needs_a_complete_name():
    assert parse_ucs_name("WIND_Strong_JD_SFX1").subcategory == "GENERAL"


def test_every_row_of_the_table_has_a_known_tag_once_and_a_known_category():
    with ucs.AUDIOSET_CSV.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tags = [row["tag"] for row in rows]
    assert set(tags) <= set(LABELS)
    assert len(tags) == len(set(tags)) > 450
    assert {row["cat_id"] for row in rows} <= set(read_categories())
    assert all(0 < float(row["weight"]) <= 1 for row in rows)


@pytest.mark.parametrize(
    ("tags", "cat_id"),
    [
        ({"Dog": 0.8, "Bark": 0.6, "Animal": 0.95, "Domestic_animals,_pets": 0.9}, "ANMLDog"),
        ({"Rain": 0.7, "Water": 0.8, "Raindrop": 0.3}, "RAIN"),
        ({"Music": 0.9, "Guitar": 0.6, "Plucked_string_instrument": 0.5}, "MUSCPluck"),
        ({"Music": 0.9, "Pop_music": 0.3}, "MUSCSong"),
        ({"Animal": 0.5}, "ANMLMisc"),
        ({"Vehicle": 0.9, "Car": 0.7, "Motor_vehicle_(road)": 0.7}, "VEHCar"),
        ({"Speech": 0.9, "Male_speech,_man_speaking": 0.6}, "VOXMale"),
    ],
)
def test_the_special_category_is_suggested_before_the_general_one(tags, cat_id):
    suggestion = suggest_ucs(probabilities(**tags))
    assert suggestion.cat_id == cat_id
    assert suggestion[1:3] == read_categories()[cat_id][1:]


def test_the_probability_is_a_noisy_or():
    found = np.zeros(527)
    found[LABELS.index("Cat")], found[LABELS.index("Meow")] = 0.5, 0.8
    found[LABELS.index("Hiss")] = 0.5  # its weight is .3
    suggestion = suggest_ucs(found)
    assert suggestion.cat_id == "ANMLCat"
    assert suggestion.probability == pytest.approx(1 - 0.5 * 0.2 * 0.85)


def test_real_sounds_get_the_category_that_they_are_of(shared_data):
    """Suggest categories for clips of ESC-50, by the tags of a small network."""
    folder = shared_data / "real-logits"
    logits = np.load(folder / "esc.npz")["logits"].astype(float)
    with (folder / "esc.csv").open(newline="") as file:
        kinds = [row["category"] for row in csv.DictReader(file)]
    found = [
        (suggest_ucs(1 / (1 + np.exp(-row))), ESC[kind])
        for row, kind in zip(logits, kinds, strict=True)
        if kind in ESC
    ]
    right = [suggestion.cat_id.startswith(cat_id) for suggestion, cat_id in found]
    sure = [
        right for right, (suggestion, _) in zip(right, found, strict=True) if suggestion[3] > 0.5
    ]
    assert np.mean(right) > 0.75
    assert np.mean(sure) > 0.9


def test_certain_tags_give_a_probability_of_one():
    suggestion = suggest_ucs(np.eye(527, dtype=np.float16)[LABELS.index("Dog")])
    assert suggestion.probability == pytest.approx(1)
    assert 0 <= suggestion.probability <= 1


def test_no_tags_give_a_probability_of_zero():
    assert suggest_ucs(np.zeros(527)).probability == 0


def test_a_damaged_list_is_an_error_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("cat_id,category\nA,B\n")
    monkeypatch.setattr(ucs, "CATEGORIES_CSV", tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a.csv must have the columns cat_id, category, sub"):
        read_categories.__wrapped__()
