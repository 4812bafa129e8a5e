"""Each bad study file gets its named errors, all at once, each at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.records.errors import BadInput, Problem
from limen.study.parse import parse_study, read_study
from limen.study.starter import STARTER

GOOD = """name = "good"
[encoder.bow]
source = "bag-of-words"
[task.t]
train = "t.csv"
input = "text"
"""


def problems(text: str | bytes) -> list[Problem]:
    with pytest.raises(BadInput) as caught:
        parse_study(text.encode() if isinstance(text, str) else text)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def lines(text: str | bytes) -> list[str]:
    return [f"{p.where}: {p.what}" + (f" [{p.fix}]" if p.fix else "") for p in problems(text)]


def test_good_text_parses_with_mark_and_either_line_end() -> None:
    study, _ = parse_study(GOOD.encode())
    assert study == parse_study(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "study.toml:1:1: the study file is empty [limen init writes one to start from]"),
        (b" \n\t\n", "study.toml:1:1: the study file is empty [limen init writes one to start from]"),
        (b"\x93NUMPY\x01\x00", "study.toml: expected a TOML text, got a binary file (it contains zero bytes) [name the"
         " study's .toml file; data files are named inside it]"),
        (b"name = 1\nx = '\xe9'", "study.toml:2:6: expected UTF-8, got the byte 0xe9 [save the file as UTF-8]"),
        ("name = 'x'".encode("utf-16"), "study.toml:1:1: expected UTF-8, got UTF-16 [save the file as UTF-8]"),
        (b"name = good\n", "study.toml:1:8: this is no TOML: invalid value [text needs quotes: key = \"value\"]"),
        (b"a = 1\nx = [1,\n2", "study.toml:3:2: this is no TOML: unclosed array"
         " [correct the marked place; limen init DIR writes an example]"),
    ],
)  # fmt: skip
def test_files_that_are_no_toml(content: bytes, expected: str) -> None:
    assert lines(content) == [expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("name =", "nmae ="), ['study.toml: needs the key "name" [add name = …]',
                                'study.toml:1:1: nmae: unknown key [did you mean "name"?]']),
        (("source =", "sorce ="), ['study.toml:2:10: encoder.bow: needs the key "source" [add source = …'
                                   " (sentence-transformers, transformers, timm, open-clip, torch, embeddings, pixels,"
                                   " bag-of-words, random-features, pretrain)]"]),
        (('"bag-of-words"', '"bag-of-word"'), ['study.toml:3:10: encoder.bow.source: unknown value "bag-of-word",'
                                               ' expected one of "sentence-transformers", "transformers", "timm",'
                                               ' "open-clip", "torch", "embeddings", "pixels", "bag-of-words",'
                                               ' "random-features", "pretrain"'
                                               ' [did you mean "bag-of-words"?]']),
        (('words"', 'words"\ndimenson = 3'), ['study.toml:4:1: encoder.bow.dimenson: unknown key'
                                              ' [did you mean "dimension"?]']),
        (('"text"', '"text"\nlable = "y"'), ['study.toml:7:1: task.t.lable: unknown key [did you mean "label"?]']),
        (("[task.t]", "[task.t]\nencoders = ['bov']"), ['study.toml:2:10: encoder.bow: this encoder has no task: it is'
                                                        " named by none [add a task for it, name it in a task's"
                                                        " encoders, or remove it]",
                                                        'study.toml:5:13: task.t.encoders[0]: no encoder is named "bov"'
                                                        ' [did you mean "bow"?]']),
        (('"text"', '"image"'), ["study.toml:2:10: encoder.bow: this encoder has no task: it takes text and no task"
                                 " gives that [add a task for it, name it in a task's encoders, or remove it]",
                                 'study.toml:6:9: task.t.input: no encoder takes image [add an encoder with input ='
                                 ' "image"]']),
    ],
)  # fmt: skip
def test_misspelt_and_missing(change: tuple[str, str], expected: list[str]) -> None:
    assert lines(GOOD.replace(*change)) == expected


ADAPT = [
    ("seeds = 0", "8:9: adapt.seeds: expected ≥ 1, got 0"),
    ('seeds = "5"', '8:9: adapt.seeds: expected a valid integer, got the text "5" [remove the quotes]'),
    ("labels = []", "adapt.labels: expected at least one, got none"),
    ('labels = [9, "al"]', '8:14: adapt.labels[1]: expected a whole number ≥ 1 or "all", got the text "al"'),
    ("labels = [0.5]", '8:11: adapt.labels[0]: expected a whole number ≥ 1 or "all", got 0.5'),
    ('methods = ["lor"]', '8:12: adapt.methods[0]: unknown value "lor"'),
    ('loss = "lgo"', '8:8: adapt.loss: unknown value "lgo", expected one of "log", "squared" [did you mean "log"?]'),
    ("linear-probe.radius = -1", 'adapt.linear-probe.radius: expected "auto", a number > 0 or a list of numbers > 0'),
    ("linear-probe.radius = nan", "adapt.linear-probe.radius: expected"),
    ("knn.k = 3", '8:1: adapt.knn: "knn" is not among the methods, so this section changes nothing'),
]


@pytest.mark.parametrize(("line", "expected"), ADAPT)
def test_wrong_values(line: str, expected: str) -> None:
    (found,) = lines(f"{GOOD}[adapt]\n{line}\n")
    assert expected in found


PRETRAIN = (
    GOOD
    + """[encoder.scratch]
source = "pretrain"
data = "digits"
steps = 50
[task.digits]
train = "digits"
input = "image"
"""
)


@pytest.mark.parametrize(
    ("change", "expected", "carets"),
    [
        (("steps = 50", "steps = 50\ncheckpoints = [10, 60]"), "checkpoint 60 lies beyond steps = 50", 2),
        (("steps = 50", 'steps = 50\noptimizer = {name = "sgd", learning_rate = "1e-4"}'), "[remove the quotes]", 1),
        (("steps = 50", 'steps = 50\narchitecture = {name = "resnet50"}'), '"resnet50" is not available', 1),
        (("steps = 50", 'steps = 50\narchitecture = {name = "resnet81"}'), '[did you mean "resnet18"?]', 1),
        (
            ("steps = 50", 'steps = 50\narchitecture = {name = "resnet18", width = 0}'),
            "architecture.width: expected",
            1,
        ),
        (("steps = 50", 'steps = 50\narchitecture = {name = "mlp", hiden = [3]}'), '[did you mean "hidden"?]', 1),
        (("steps = 50", 'steps = 50\narchitecture = {name = "mlp", hidden = []}'), "expected at least one", 1),
        (("steps = 50", "steps = 50\narchitecture = {widht = 3}"), '[did you mean "width"?]', 1),
        (("steps = 50", 'steps = 50\nobjective = "supervised"\ntemperature = 0.1'), "temperature says nothing to", 2),
        (("steps = 50", 'steps = 50\nloss = "squared"'), 'loss says nothing to objective = "nt-xent"', 1),
        (("steps = 50", 'steps = 50\nlabel = "y"'), 'label says nothing to objective = "nt-xent"', 1),
        (
            ("steps = 50", "steps = 50\noptimizer = {name = 'sgd', nesterov = true, momentum = 0}"),
            "needs a momentum",
            2,
        ),
        (("steps = 50", "steps = 50\noptimizer = {name = 'sgd', nesterov = true, dampening = 0.5}"), "no dampening", 2),
        (("steps = 50", "steps = 50\noptimizer = {name = 'sgd', dampening = 1}"), "dampening: expected < 1", 1),
        (("steps = 50", 'steps = 50\nobjective = "maskd"'), '[did you mean "masked"?]', 1),
        (("steps = 50", "steps = 50\nprojection = 0"), 'leaves out the head, which objective = "nt-xent" needs', 1),
        (("steps = 50", 'steps = 50\nobjective = "masked"\nshare = 1.0'), "share: expected < 1", 1),
        (("steps = 50", 'steps = 50\nobjective = "masked"\narchitecture = {name = "mlp"}'), "has one position", 2),
        (("steps = 50", 'steps = 50\nobjective = "next-token"'), 'needs input = "text"', 1),
        (
            ("steps = 50", 'steps = 50\nobjective = "contrastive"\nlabel = "y"'),
            'label says nothing to pairs = "views"',
            1,
        ),
        (
            ("steps = 50", 'steps = 50\nobjective = "contrastive"\nbatch_size = 8\nnegatives = 8'),
            "negatives = 8 needs a batch of more than as many, not of 8",
            2,
        ),
        (("steps = 50", 'steps = 50\narchitecture = {name = "sound"}'), 'takes audio, not input = "image"', 1),
        (("steps = 50", 'steps = 50\narchitecture = {name = "vit", heads = 5}'), "heads = 5 does not divide", 1),
        (
            ("steps = 50", 'steps = 50\narchitecture = {name = "vit", patch = 3, image_size = 8}'),
            "patch = 3 does not divide image_size = 8",
            2,
        ),
        (("steps = 50", "steps = 50\naugmentation = {drop = 0.1}"), 'drop says nothing to input = "image"', 1),
        (("steps = 50", "steps = 50\naugmentation = {drpo = 0.1}"), '[did you mean "drop"?]', 1),
        (("steps = 50", "steps = 50\ntokens = {length = 9}"), 'tokens says nothing to input = "image"', 1),
        (("steps = 50", "steps = 50\nsound = {bands = 9}"), 'sound says nothing to input = "image"', 1),
        (("steps = 50", 'steps = 50\nrecord = "everything"'), 'record: unknown value "everything"', 1),
        (("steps = 50", 'steps = 50\naugmentation = "some"'), "augmentation: expected", 1),
        (("steps = 50", 'steps = 50\nstart = "own@3"'), 'no encoder is named "own"', 1),
        (("steps = 50", 'steps = 50\nstart = "bow@3"'), 'encoder "bow" is not trained by this study', 2),
        (("steps = 50", 'steps = 50\nstart = "scratch@50"'), '"scratch" starts from itself', 1),
        (("steps = 50", 'steps = 50\nstart = "scratch:stem@50"'), "start: expected NAME[#seed][@step]", 1),
        (('train = "digits"', 'train = "digits"\nencoders = ["scratch:hidden1"]'), 'unknown layer "hidden1"', 1),
        (("steps = 50", "steps = 50\nheldout = 1.5"), "expected a fraction between 0 and 1 or a path, got 1.5", 1),
        (('train = "digits"', 'train = "digits"\nencoders = ["scratch#1"]'), "seed 1 does not exist: seeds = 1", 1),
        (('train = "digits"', 'train = "digits"\nencoders = ["scratch", "bow"]'), 'encoder "bow" takes text', 2),
        (('train = "t.csv"', 'train = "t.csv"\nencoders = ["bow@3"]'), "has no seeds or steps", 2),
        (('train = "t.csv"', 'train = "t.csv"\nencoders = ["bow:2"]'), 'layer "2" cannot be taken', 2),
        (('train = "t.csv"', 'train = "t.csv"\nsame_population = true'), "speaks of a test file", 2),
        (('train = "t.csv"', 'train = "t.csv"\nshift.test = "x"'), 'cannot be named "test"', 1),
        (('name = "good"', 'name = "good"\nadvice.target = {loss = 0.3, error = 0.1}'), "not both", 2),
    ],
)
def test_contradictions_show_every_line_concerned(change: tuple[str, str], expected: str, carets: int) -> None:
    found = problems(PRETRAIN.replace(*change, 1))
    (match,) = [p for p in found if expected in f"{p.what} [{p.fix}]"]
    assert sum("^" in line for line in match.context.split("\n")) >= carets
    assert match.where.startswith("study.toml:")


WORDS = (
    GOOD
    + """[encoder.scratch]
source = "pretrain"
input = "text"
data = "t.csv"
steps = 50
"""
)


@pytest.mark.parametrize(
    ("line", "where", "expected"),
    [
        ("tokens = {vocabulary = 100}", "12:24", "encoder.scratch.tokens.vocabulary: expected ≥ 259, got 100"),
        ("tokens = {length = 1}", "12:20", "encoder.scratch.tokens.length: expected ≥ 2, got 1"),
        ("tokens = {lenght = 9}", "12:11", "encoder.scratch.tokens.lenght: unknown key"),
        ("architecture = {widht = 3}", "12:17", "encoder.scratch.architecture.widht: unknown key"),
        ("architecture = {width = 0}", "12:25", "encoder.scratch.architecture.width: expected ≥ 1, got 0"),
        ('architecture = {name = "conv"}', "12:16", 'architecture "conv" takes image, not input = "text"'),
        ("augmentation = {flip = true}", "12:24", 'augmentation.flip says nothing to input = "text"'),
        ("sound = {seconds = 2.0}", "12:9", 'sound says nothing to input = "text"'),
        ('objective = "autoencoder"\nnoise = 1.5', "13:9", 'noise = 1.5 is no probability, as input = "text" needs'),
        ('objective = "masked"\narchitecture = {causal = true}', "12:13", 'the architecture "transformer" is causal'),
        ('objective = "next-token"\nshare = 0.2', "13:9", 'share says nothing to objective = "next-token"'),
        ("column = 3", "12:10", "encoder.scratch.column: expected a valid string, got 3"),
    ],
)
def test_errors_of_an_encoder_of_text_stand_at_their_keys(line: str, where: str, expected: str) -> None:
    (found,) = problems(f"{WORDS}{line}\n")
    assert expected in found.what
    assert found.where == f"study.toml:{where}"


def test_a_misspelt_option_is_compared_with_those_of_the_architecture_that_is_meant() -> None:
    (found,) = problems(f"{WORDS}architecture = {{causl = true}}\n")
    assert found.fix == 'did you mean "causal"?'
    voices = f"{PRETRAIN}[encoder.voices]\nsource = 'pretrain'\ninput = 'audio'\ndata = 'a.csv'\nsteps = 9\n"
    (found,) = [p for p in problems(f"{voices}architecture = {{stags = 3}}\n") if "unknown key" in p.what]
    assert found.fix == 'did you mean "stages"?'


def test_all_contradictions_of_one_table_are_told_at_once() -> None:
    found = problems(f"{WORDS}share = 0.2\nradius = 2.0\nsound = {{bands = 3}}\ncheckpoints = [60]\n")
    assert [(p.where, p.what) for p in found] == [
        ("study.toml:12:9", 'encoder.scratch.share: share says nothing to objective = "nt-xent"'),
        ("study.toml:13:10", 'encoder.scratch.radius: radius says nothing to objective = "nt-xent"'),
        ("study.toml:14:9", 'encoder.scratch.sound: sound says nothing to input = "text"'),
        ("study.toml:15:15", "encoder.scratch.checkpoints: checkpoint 60 lies beyond steps = 50"),
    ]


@pytest.mark.parametrize(
    ("line", "layer", "known"),
    [
        ("architecture = {depth = 2}", "block3", "embedding, block1, block2"),
        ("", "stage1", "embedding, block1, block2, block3, block4"),
    ],
)
def test_layers_of_text_encoders_are_blocks(line: str, layer: str, known: str) -> None:
    text = f"{WORDS}{line}\n".replace("[task.t]", '[task.t]\nencoders = ["bow", "scratch:block2", "LAYER"]')
    assert parse_study(text.replace("LAYER", "scratch:embedding").encode())[0]
    (found,) = problems(text.replace("LAYER", f"scratch:{layer}"))
    assert f'unknown layer "{layer}"' in found.what
    assert found.fix == f"the layers of this transformer encoder are {known}"


BASE = """[encoder.base]
source = "pretrain"
data = "digits"
steps = 20
checkpoints = [0, 10, 20]
[encoder.scratch]
"""


@pytest.mark.parametrize(
    ("change", "expected", "carets"),
    [
        ('start = "base@11"', "step 11 is no checkpoint", 2),
        ('start = "base#1@10"', "seed 1 does not exist", 1),
        ('start = "base@10"\ndata = "digits:train"', "so their data must be the same", 2),
        ('start = "base@10"\nheldout = 0.2', "so their heldout must be the same", 1),
        ('start = "base@10"\nobjective = "supervised"', "so their objective must be the same", 1),
        ('start = "base@10"\narchitecture = {width = 8}', "so their architecture must be the same", 1),
        ('start = "base@10"\ncolumn = "pixels"', "so their column must be the same", 1),
    ],
)
def test_a_start_that_is_no_checkpoint_of_the_same_model_is_named(change: str, expected: str, carets: int) -> None:
    text = PRETRAIN.replace("[encoder.scratch]\n", BASE, 1).replace("steps = 50", f"steps = 50\n{change}")
    text = text.replace('data = "digits"\nsteps = 50\n', "steps = 50\n") if "data" in change else text
    found = problems(text)
    assert [expected in f"{p.what} [{p.fix}]" for p in found] == [True]
    assert sum("^" in line for line in found[0].context.split("\n")) >= carets


def test_starts_in_a_circle_are_named_and_a_start_needs_no_task() -> None:
    text = PRETRAIN.replace("[encoder.scratch]\n", BASE, 1).replace("steps = 50", 'steps = 50\nstart = "base@10"')
    chosen = text.replace('train = "digits"', 'train = "digits"\nencoders = ["scratch"]')
    study, _ = parse_study(chosen.encode())
    assert study.encoder["scratch"].start == "base@10"
    circle = problems(chosen.replace("steps = 20", 'steps = 20\nstart = "scratch"'))
    assert [p.what for p in circle] == [
        'encoder.base.start: "base" starts from itself', 'encoder.scratch.start: "scratch" starts from itself',
    ]  # fmt: skip


def test_repeats_show_both_lines_and_do_not_hide_other_errors() -> None:
    found = problems(f"{GOOD}lable = 3\ninput = 'text'\n[task.t]\nx = 1\n")
    assert [(p.where, p.what) for p in found] == [
        ("study.toml:7:1", "task.t.lable: unknown key"),
        ("study.toml:8:1", "task.t.input: repeated; it first stands at line 6"),
        ("study.toml:9:7", "task.t: repeated; it first stands at line 4"),
    ]
    assert found[1].context == ("     6 | input = \"text\"\n       | ^^^^^\n     8 | input = 'text'\n       | ^^^^^")


def test_the_text_of_an_error() -> None:
    (found,) = problems(GOOD.replace('"t.csv"', "3"))
    assert str(found) == (
        "study.toml:5:9: error: task.t.train: expected a valid string, got 3\n     5 | train = 3\n       |         ^"
    )


def test_twenty_errors_are_twenty_problems() -> None:
    extra = "".join(f"key{number} = 1\n" for number in range(20))
    assert len(problems(GOOD + extra)) == 20


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_study(tmp_path / "none.toml")
    with pytest.raises(BadInput, match="got a folder"):
        read_study(tmp_path)


PIECES = st.sampled_from(
    ["[", "]", "{", "}", "=", ".", ",", '"', "\'", "\n", "#", "\\", "1", "nan", "true", "[adapt]", "[[task]]", "source",
     '"""', "1979-05-27", "\x00", "\ufeff", "é", "x = ", "[encoder.pixels]\n", "[]", "{}", '"all"', "adapt = 3\n"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 12), PIECES), min_size=1, max_size=4), st.booleans())
def test_damaged_files_only_ever_raise_named_errors(edits: list[tuple[int, int, str]], short: bool) -> None:
    text = PRETRAIN if short else "\n".join(line for line in STARTER.splitlines() if not line.startswith("#"))
    for at, cut, piece in edits:
        at %= len(text) + 1
        text = text[:at] + piece + text[at + cut :]
    found: tuple[Problem, ...] = ()
    try:
        parse_study(text.encode())
    except BadInput as error:
        found = error.problems
    assert all(problem.where.startswith("study.toml") for problem in found)


@given(st.binary(max_size=60))
def test_any_bytes_only_ever_raise_named_errors(content: bytes) -> None:
    with pytest.raises(BadInput):
        parse_study(content)


@pytest.mark.parametrize("value", ["[" * 3000, "9" * 5000, "{a=" * 3000])
def test_absurd_values(value: str) -> None:
    with pytest.raises(BadInput):
        parse_study(f"x = {value}".encode())
