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


@pytest.mark.parametrize(
    "options", [["training.margin"], ["training.margin="], ["a=["], ["=1"], ["a.b=1,2", "a.b=3"]]
)
def test_vary_in_another_form_or_twice_is_refused(options):
    with pytest.raises(InputError, match=r"--vary"):
        parse_vary(options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "at least 1 item"),
        (["x"], "#1: .*dictionary"),
        ([{"question": "a", "vary": {"k": []}}], r"#1\.vary\.k: .*at least 1 item"),
        ([{"question": "a", "vary": {"k": 1}}], r"#1\.vary\.k: .*list"),
        ([{"question": "a", "vary": {"k": [[2]]}}], r"#1\.vary\.k\.#1: \[2\] is not a number, a"),
        ([{"question": "a", "vary": {"k": [1, 1]}}], r"k: a value occurs twice in \[1, 1\]"),
        ([{"question": "a", "vary": {"seed": [1]}}], "the seed is not varied or set here"),
        ([{"question": "a", "vary": {"a=b": [1]}}], "'a=b' is not a key"),
        ([{"question": "a", "vary": {5: [1]}}], r"- #1\.vary\.5: 5 should be a valid string"),
        ([{5: 1, "question": "a", "vary": {"k": [1]}}], r"- #1\.5: "),
        ([{"question": "a", "vary": {"k": [1, True, [2]]}}], r"#1\.vary\.k\.#3: \[2\] is"),
        ([{"question": " ", "vary": {"k": [1]}}], "question: ' ' must be a printable text"),
        ([{"question": "a"}], r"#1\.vary: "),
        ([{"question": "a", "vary": {"k": [1]}, "sett": 1}], r"#1\.sett: "),
        ([{"question": "a", "vary": {"k": [1]}, "set": 1}], r"#1\.set: .*dictionary"),
        ([{"question": "a", "vary": {"k": [1]}, "set": {"k": 2}}], "#1: varied and set: k"),
        ([{"question": "a", "vary": {"k": list(range(10_001))}}], "#1: 10001 combinations"),
        ([{"question": "a", "vary": {"k": [i]}} for i in (1, 2)], "a question is asked twice"),
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
    with pytest.raises(InputError, match="nothing to compare: give --recipe FILE or --vary"):
        read_questions(None, [])
