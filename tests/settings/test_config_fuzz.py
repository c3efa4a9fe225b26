"""Any content of a settings file, a recipe or an option gives settings or one InputError."""

import datetime
import io
import math
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import DEMO_CONFIG
from utils.runs.sweep import Sweep
from utils.runs.sweep_recipe import Question, label, parse_questions, parse_vary, read_recipe
from utils.runtime.errors import InputError
from utils.settings.config import DEFAULT_CONFIG, Config, leaves, to_plain
from utils.settings.loading import load_config

SHIPPED = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
KEYS = [key for section in SHIPPED.values() if isinstance(section, dict) for key in section]
LONGEST_MESSAGE = 100_000  # characters


def fuzz(examples: int):
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


odd_texts = st.sampled_from(
    [
        *("", " ", "~", "null", "None", "NA", "no", "1e3", "1e400", "0x", "0b_", "1_0", "-", "="),
        *("<<", "é\x85\u2028", "\ud800", "~\ud800", "\0", "\x1b[31m", "..", "{audioset_info}"),
        *("a/" * 3000, "x" * 5000, "9" * 5000, "1:59" + ":59" * 300 + ".0", "0x" + "f" * 9000),
        *("cuda:٣", "cuda:999", "&a [*a]", "!!bool x", "!!int ''", "!!python/name:os.system"),
        *("2020-13-45", "{a: 1, a: 2}"),
    ]
)
huge = st.sampled_from([2**63, 2**64, 10**400, -(10**400), 16**900, 0, -1])
numbers = st.none() | st.booleans() | st.integers() | huge | st.floats()
texts = st.text(max_size=20) | st.text(string.printable, max_size=40) | odd_texts
scalars = numbers | texts | st.binary(max_size=8) | st.dates() | st.datetimes()
keys = st.sampled_from([*SHIPPED, *KEYS]) | st.text(max_size=8) | odd_texts | scalars
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(scalars, max_size=3)
    ),
    max_leaves=12,
)


@st.composite
def nearly_valid(draw):
    """The shipped settings with some keys moved, renamed or given other values."""
    document = {k: dict(v) if isinstance(v, dict) else v for k, v in SHIPPED.items()}
    sections = [document, *(part for part in document.values() if isinstance(part, dict))]
    for _ in range(draw(st.integers(1, 4))):
        section = draw(st.sampled_from([section for section in sections if section]))
        key = draw(st.sampled_from(list(section)))
        value = section.pop(key)
        section = draw(st.sampled_from([section, section, document]))
        section[draw(st.just(key) | keys)] = draw(st.just(value) | values)
    return document


def dumped(document) -> bytes:
    text = io.StringIO()
    yaml.dump(document, text, allow_unicode=True)
    return text.getvalue().encode("utf-8", "surrogatepass")


pieces = (
    st.binary(max_size=6)
    | st.text("\t\n :[]{}&*!|>%@`'\"#-?,<=a1.", max_size=12).map(str.encode)
    | odd_texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@st.composite
def damaged(draw):
    """The bytes of the shipped settings with a few pieces replaced by others."""
    content = draw(st.sampled_from([DEFAULT_CONFIG, DEMO_CONFIG])).read_bytes()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 40))
        content = content[:start] + draw(pieces) + content[end:]
    return content


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "conf.yaml"


def read_or_refused(read, *arguments):
    """Read, or return None after an InputError that can be shown."""
    try:
        return read(*arguments)
    except InputError as error:
        assert 0 < len(str(error)) < LONGEST_MESSAGE
        str(error).encode()  # as it is printed
        return None


def load_and_write(path, overrides=()):
    config = load_config(path, overrides)
    assert isinstance(config, Config)
    assert 1 <= config.training.epochs <= 10**6
    assert math.isfinite(config.training.learning_rate)
    yaml.safe_dump(to_plain(config), allow_unicode=True).encode()


@fuzz(800)
@given(content=(values | nearly_valid()).map(dumped) | damaged() | st.binary(max_size=60))
def test_settings_files(path, content):
    path.write_bytes(content)
    read_or_refused(load_and_write, path)


all_keys = st.sampled_from([key for key, _ in leaves(SHIPPED)])
written = st.text(max_size=12) | odd_texts
written |= values.map(lambda value: yaml.dump(value, default_flow_style=True))
options = st.builds("{}={}".format, all_keys | st.text(max_size=9), written) | st.text(max_size=20)


@fuzz(250)
@given(overrides=st.lists(options, min_size=1, max_size=3))
def test_set(path, overrides):
    path.write_bytes(DEMO_CONFIG.read_bytes())
    read_or_refused(load_and_write, path, overrides)


def plan(questions: list[Question], path) -> None:
    """Settle the runs of questions, as a sweep does before any work."""
    sweep = Sweep.new(Config(), questions, [1], base=path.parent)
    for question in questions:
        for combination in question.combinations[:20]:
            label(combination).encode("utf-8", "backslashreplace")
    if sum(len(question.combinations) for question in questions) < 50:
        sweep.configs()


lists = st.lists(scalars, min_size=1, max_size=3)
entries = st.fixed_dictionaries(
    {},
    optional={
        "question": st.text(min_size=1, max_size=5) | values,
        "vary": st.dictionaries(all_keys | keys, lists, min_size=1, max_size=3) | values,
        "set": st.dictionaries(all_keys, scalars, max_size=2) | values,
        "sett": values,
    },
)


@fuzz(250)
@given(recipe=st.lists(entries | values, max_size=3) | values)
def test_recipes(path, recipe):
    path.write_bytes(dumped(recipe))
    read_or_refused(lambda: plan(read_recipe(path), path))


@fuzz(200)
@given(given_options=st.lists(options, min_size=1, max_size=3))
def test_vary(path, given_options):
    read_or_refused(lambda: plan([parse_vary(given_options)], path))


GOOD_PLAN = {
    "questions": [{"question": "a", "vary": {"training.margin": [0.1]}}],
    "seeds": [1],
    "base": "/",
    "settings": {},
}
plans = st.fixed_dictionaries({key: values | st.just(good) for key, good in GOOD_PLAN.items()})


@fuzz(100)
@given(content=values | plans)
def test_plans_of_sweeps(path, content):
    (path.parent / "sweep.yaml").write_bytes(dumped(content))
    read_or_refused(lambda: Sweep.existing(path.parent).configs())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "holds a list"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['touch /tmp/never']", "not valid YAML"),
        ("training: &a [*a]", "should be a section of keys"),
        ("training: &a {x: *a}", r"training\.x: unknown key"),
        ("training: " + "{a: " * 60 + "1" + "}" * 60, r"training\.a: unknown key"),
        ("[" * 5000, "nested too deep"),
        ("training: {epochs: !!bool x}", r"does not fit its tag \(KeyError"),
        ("training: {epochs: !!int ''}", r"does not fit its tag \(IndexError"),
        ("training: {epochs: !!timestamp x}", r"does not fit its tag \(AttributeError"),
        ("training: !!map [1]", "expected a mapping node"),
        ("a: 1:59" + ":59" * 300 + ".0", r"does not fit its tag \(OverflowError"),
        ("seed: 0x" + "f" * 9000, "seed: a whole number of 36000 bits should be less than"),
        ("training: {margin: 1" + "0" * 400 + "}", "of 1329 bits should be a valid number"),
        ("training: {epochs: " + "9" * 5000 + "}", "not valid YAML: Exceeds the limit"),
        ("training: {device: 'cuda:٣'}", "should be auto, cpu, mps, cuda or cuda:N"),
        (r'output_path: "~\ud800"', "should be a path in Unicode"),
        (r'experiment: "a\e[31m"', "should be a text of printable characters"),
        (r'"\ud800": 1', r"'\\ud800': unknown key"),
        ("output_path: " + "x" * 300, "255 in each name"),
        ("experiment: " + "a" * 200_000 + "!", "should be a folder name of at most 100"),
        ("seed: 1\0", "not valid YAML"),
        ("training:\n\tepochs: 1", "not valid YAML"),
        ("1: 2\n[a]: 3", "found unhashable key"),
    ],
)  # fmt: skip
def test_odd_values_are_one_clear_problem(path, text, message):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_config(path)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_named(path, encoding):
    path.write_bytes("seed: 1\nexperiment: café".encode(encoding))
    with pytest.raises(InputError, match=r"on line \d\. Save it with the encoding UTF-8"):
        load_config(path)


def test_aliases_and_merge_keys_are_read(path):
    path.write_text(
        "training: &t {epochs: 3, margin: 0.1}\n"
        "model: {ratio_embed1: &r 0.5}\npasst: &p {batch_size: 4}\nsentence_model: *p\n"
    )
    config = load_config(path, ["passt.batch_size=5"])
    assert (config.training.epochs, config.model.ratio_embed1) == (3, 0.5)
    # An override of one section does not change the other one, which has the same alias.
    assert (config.passt.batch_size, config.sentence_model.batch_size) == (5, 4)
    path.write_text("passt: &p {batch_size: 4}\nsentence_model: {<<: *p, batch_size: 6}\n")
    assert load_config(path).sentence_model.batch_size == 6


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"vary": {5: [1]}}, "5 should be a valid string"),
        ({"vary": {"k": [datetime.date(2020, 1, 1)]}}, r"k.* is not a number, a text, True or F"),
        ({"vary": {"k": [16**5000]}}, "a whole number of 20001 bits is not a number"),
        ({"vary": {f"k{i}": list(range(9)) for i in range(9)}}, "387420489 combinations"),
        ({"vary": {"k": [1]}, "set": {"s": datetime.date(2020, 1, 1)}}, "s: .* is not a number"),
    ],
)
def test_recipes_that_cannot_be_run(entry, message):
    with pytest.raises(InputError, match=message):
        parse_questions([{"question": "q", **entry}], source="x")
