import pytest

from utils.runs.sweep_recipe import label, parse_questions, parse_vary, read_questions
from utils.runtime.errors import InputError


def test_vary_reads_values_as_yaml():
    question = parse_vary(["training.margin=0.2,0.4", "training.init_checkpoint=null,a/b.pt"])
    assert question.combinations == [
        {"training.margin": 0.2, "training.init_checkpoint": None},
        {"training.margin": 0.2, "training.init_checkpoint": "a/b.pt"},
        {"training.margin": 0.4, "training.init_checkpoint": None},
        {"training.margin": 0.4, "training.init_checkpoint": "a/b.pt"},
    ]
    assert label(question.combinations[1]) == "margin = 0.2, init_checkpoint = a/b.pt"


@pytest.mark.parametrize("option", ["training.margin", "training.margin=", "a=[", "=1"])
def test_vary_in_another_form_is_refused(option):
    with pytest.raises(InputError, match=r"--vary"):
        parse_vary([option])


def test_one_key_is_varied_once():
    with pytest.raises(InputError, match="with a key that is not varied yet"):
        parse_vary(["training.margin=1,2", "training.margin=3"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no questions"),
        (["x"], "question 1: 'x' is no mapping"),
        ([{"question": "a", "vary": {"k": []}}], r"question 1: k is \[\], and must be a list"),
        ([{"question": "a", "vary": {"k": [1, 1]}}], r"k has a value twice: \[1, 1\]"),
        ([{"question": " ", "vary": {"k": [1]}}], "question is ' ', and must be a text"),
        ([{"question": "a"}], "vary is None"),
        ([{"question": "a", "vary": {"k": [1]}, "sett": 1}], "unknown key 'sett'"),
        ([{"question": "a", "vary": {"k": [1]}, "set": 1}], "set is 1, and must be a mapping"),
        (
            [{"question": "a", "vary": {"k": [i]}} for i in (1, 2)],
            "question 2: 'a' is asked already",
        ),
    ],
)
def test_recipes_of_another_form_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        parse_questions(content, source="file")


def test_questions_of_a_recipe_come_before_the_one_of_the_options(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("- question: Which ratio?\n  vary: {model.ratio_embed1: [0.8, 1.0]}\n")
    asked = [q.question for q in read_questions(recipe, ["training.margin=0.2,0.4", "seedling=1"])]
    assert asked == ["Which ratio?", "training.margin and seedling"]
    assert read_questions(None, ["training.margin=0.2,0.4"])[0].vary == {
        "training.margin": [0.2, 0.4]
    }
    with pytest.raises(InputError, match="nothing to compare: give --recipe FILE or --vary"):
        read_questions(None, [])
