"""What is wrong with a recipe is said at once: path, value, what is allowed, the next step."""

from pathlib import Path

import pytest

from runner.recipe import Problem, RecipeError, load_recipe, parse_recipe
from runner.recipe.errors import dotted, shown
from tests.runner.recipe.test_recipe import DESIGN, SMALL, parse, problems


def only(text: str, *overrides: str) -> Problem:
    found = problems(text, *overrides)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def test_all_problems_come_at_once_in_a_neat_text() -> None:
    text = """
name = "x"
learning_rate = 3
[model]
method = "quora"
[data]
source = "hub:some/data"
split = { validation = 0.6, test = 0.6 }
[training]
learning_rat = 0.001
epochs = 0
[evaluation]
select = "test/accuracy"
"""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=Path("/nowhere"), source="recipe.toml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "recipe.toml: 8 problems"
    assert [problem.path for problem in caught.value.problems] == [
        "learning_rate",
        "task",
        "model.base",
        "model.method",
        "data.split",
        "training.epochs",
        "training.learning_rat",
        "evaluation.select",
    ]
    starts = [line.index(message) for line, message in zip(lines[6:8], ["must be", "unknown"], strict=True)]
    assert starts[0] == starts[1], "the messages stand in one column"
    assert "unknown key; did you mean learning_rate?" in lines[7]
    assert "must be an integer ≥ 1" in lines[6]


def test_one_problem_is_one_problem() -> None:
    with pytest.raises(RecipeError, match=r"^<recipe>: 1 problem\n  training.epochs = 0   must be an integer ≥ 1"):
        parse(SMALL, "training.epochs=0")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("training.learning_rat=1", "did you mean learning_rate?"),
        ("training.learning-rate=1", "did you mean learning_rate?"),
        ("trainig.epochs=1", "did you mean training?"),
        ("learning_rate=1", "learning_rate belongs in [training]"),
        ("model.learning_rate=1", "learning_rate belongs in [training]"),
        ("training.dropout=0.1", "dropout belongs in [model] or in [model.lora]"),
        ("training.tags=1", "tags belongs at the top of the file, before the first [table] or in [data.columns]"),
        ("training.lr=1", "did you mean learning_rate?"),
        ("model.lr=1", "did you mean learning_rate, in [training]?"),
        ("data.source={trian='a'}", "did you mean train?"),
        ("base=gpt2", "base belongs in [model]"),
        ("checkpoints.zzz=1", "known here: keep"),
    ],
)
def test_a_typo_gets_the_nearest_known_key(override: str, hint: str) -> None:
    unknown = [problem for problem in problems(SMALL, override) if problem.message == "unknown key"]
    assert [problem.hint for problem in unknown] == [hint]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rate=0", "must be a number > 0"),
        ("training.learning_rate=-1.5", "must be a number > 0"),
        ("training.learning_rate=nan", "must be finite: a number > 0"),
        ("training.learning_rate=inf", "must be finite: a number > 0"),
        ("training.epochs=1.5", "must be an integer ≥ 1"),
        ("training.epochs=true", "must be an integer ≥ 1"),
        ("training.seed=4294967296", "must be an integer ≥ 0 and < 4294967296"),
        ("training.warmup=1", "must be a number ≥ 0 and < 1"),
        ("training.deterministic=1", "must be true or false"),
        ("training.device=gpu", "must be auto, cpu, cuda, cuda:N or mps"),
        ("training.schedule=liner", "must be linear, cosine or constant"),
        ("training.class_weights=equal", "must be none or balanced or a table of label = number > 0"),
        ("training.class_weights=3", "must be none or balanced or a table of label = number > 0"),
        ("training=3", "must be a table"),
        ("model.max_length=7", "must be an integer ≥ 8 and ≤ 1000000"),
        ("model.base=''", "must be a non-empty string"),
        ("model.base='builtin:bert'", "must be builtin:minilm"),
        ("model.base='hub:gpt2'", "must be the name on the hub alone: gpt2"),
        ("data.source=[]", "must be a non-empty string or a table"),
        ("data.source='hub:'", "must be hub:NAME or hub:NAME:config"),
        ("data.source='dataset:tweets'", "must be dataset:NAME@VERSION"),
        ("data.source='builtin:imdb'", "must be builtin:docstrings"),
        ("data.source='https://x.org/a.csv'", "is a URL, which is not read; download the file, or write hub:NAME"),
        ("data.labels=['a']", "must be a list of at least 2 strings"),
        ("data.labels=['a','b','a']", "must be different from each other; given twice: a"),
        ("data.max_examples=1", "must be an integer ≥ 2"),
        ("data.split.test=0", "must be a number > 0 and < 1"),
        ("evaluation.every='step'", "must be epoch or an integer ≥ 1"),
        ("evaluation.every=0", "must be epoch or an integer ≥ 1"),
        ("recording.system_seconds=0", "must be a number > 0"),
        ('name="a\\tb"', "must be 1 to 100 characters, no control characters, no blanks at the ends"),
        ("name=' a'", "must be 1 to 100 characters, no control characters, no blanks at the ends"),
        (f"name={'a' * 101}", "must be 1 to 100 characters, no control characters, no blanks at the ends"),
        (
            "task=translation",
            "must be text-classification, pair-classification, multi-label-classification, regression, "
            "rerank, token-classification, causal-lm, masked-lm, instruction or seq2seq",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(override: str, message: str) -> None:
    problem = only(SMALL, override)
    assert problem.path == override.partition("=")[0]
    assert problem.message == message
    assert problem.where == "--set"


def test_a_near_choice_and_a_quoted_number_get_their_next_step() -> None:
    assert only(SMALL, "training.schedule=liner").hint == "did you mean linear?"
    assert only(SMALL + '[training]\nepochs = "3"').hint == "write it without quotes"
    assert only(SMALL, "data.labels=[a, b]").hint.startswith("not valid TOML, so it was taken as text")


@pytest.mark.parametrize(
    ("select", "word"), [("test/accuracy", "leak"), ("train/loss", "training split"), ("validation/f1", "macro_f1")]
)
def test_a_checkpoint_is_selected_on_validation_only(select: str, word: str) -> None:
    problem = only(SMALL, f"evaluation.select={select}")
    assert problem.path == "evaluation.select"
    assert word in problem.message


def test_missing_keys_are_named_even_when_their_table_is_missing() -> None:
    found = problems("")
    assert [problem.path for problem in found] == ["name", "task", "model.base", "data.source"]
    assert all(problem.value is None and problem.message.startswith("missing: ") for problem in found)


@pytest.mark.parametrize(
    ("table", "path", "words"),
    [
        ("[model.lora]\nr = 8", "model.lora", "belongs to method lora or qlora, and the method is full, the default"),
        ("[model.lora]", "model.lora", "belongs to method lora"),
        ("model.top_layers = 2", "model.top_layers", "belongs to method top-layers"),
        ("model.config = {a = 1}", "model.config", "goes with base = scratch:TYPE only"),
    ],
)
def test_a_setting_of_another_method_is_refused_where_it_is_written(table: str, path: str, words: str) -> None:
    head = 'name = "x"\ntask = "text-classification"\ndata.source = "/a.csv"\nmodel.base = "gpt2"\n'
    problem = only(head + table)
    assert problem.path == path
    assert words in problem.message


def test_the_command_line_may_choose_another_method_than_the_file_was_written_for() -> None:
    lora = SMALL.replace('"gpt2"', '"gpt2", method = "lora", lora = { r = 4 }')
    loaded = parse(lora, "model.method=head")
    assert "lora" not in loaded.resolved["model"]
    assert loaded.hash == parse(SMALL, "model.method=head").hash
    assert only(lora, "model.method=head", "model.lora.r=8").path == "model.lora"


def test_random_weights_need_a_tokenizer_and_take_a_configuration() -> None:
    assert only(SMALL, "model.base=scratch:bert").path == "model.tokenizer"
    no_type = problems(SMALL, "model.base='scratch:'")
    assert no_type[0].message == "must be scratch:TYPE, a transformers model type such as bert or gpt2"
    loaded = parse(SMALL, "model.base=scratch:bert", "model.tokenizer=gpt2", "model.config.num_layers=2")
    assert loaded.resolved["model"]["config"] == {"num_layers": 2}
    bad = "model.config={a=nan}"
    assert only(SMALL, "model.base=scratch:bert", "model.tokenizer=gpt2", bad).path == "model.config"


def test_the_fractions_leave_something_to_train_on() -> None:
    assert only(SMALL, "data.split.validation=0.9").path == "data.split"
    assert only(SMALL, "data.split.validation=0.5", "data.split.test=0.5").path == "data.split"
    assert parse(SMALL, "data.split.validation=0.5", "data.split.test=0.49").recipe.data.split.test == 0.49


def test_class_weights_are_positive_and_belong_to_labels() -> None:
    weighted = SMALL.replace('"hub:some/data"', '"hub:some/data", labels = ["good", "bad"]')
    assert parse(weighted, "training.class_weights={good=2}").recipe.training.class_weights == {"good": 2.0}
    assert only(weighted, "training.class_weights={good=0}").path == "training.class_weights.good"
    typo = only(weighted, "training.class_weights={god=1}")
    assert (typo.path, typo.hint) == ("training.class_weights.god", "did you mean good?")


def test_text_and_label_are_two_columns() -> None:
    assert only(SMALL, "data.columns.text=label").path == "data.columns"


def test_both_epochs_and_steps_or_early_stopping_without_checkpoints_are_fine() -> None:
    training = parse(SMALL, "training.epochs=2", "training.max_steps=5").recipe.training
    assert (training.epochs, training.max_steps) == (2, 5)
    assert parse(SMALL, "checkpoints.keep=none", "training.early_stopping=2").recipe.checkpoints.keep == "none"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name = 'a'\ntask = \n", "line 2, column 8"),
        ("name = 'a'\nname = 'b'\n", "line 2, column 11"),
        ("[model", "line 1, column 7"),
    ],
)
def test_a_syntax_error_says_the_file_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.source == str(path)
    assert caught.value.problems[0].message.startswith(f"{place}: not valid TOML: ")


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "1" * 10_000])
def test_absurd_toml_is_an_error_not_a_crash(text: str) -> None:
    assert "not valid TOML" in problems(text)[0].message


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "tweets.toml").write_text(SMALL)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    for name, words in {
        "tweet.toml": "no such file; did you mean",
        "": "is a folder",
        "latin.toml": "is not UTF-8 text (byte 8)",
    }.items():
        with pytest.raises(RecipeError) as caught:
            load_recipe(tmp_path / name)
        assert words in str(caught.value)


def test_any_value_survives_being_shown() -> None:
    assert shown({"a b": [1, True, "x\n"]}) == '{ "a b" = [1, true, "x\\n"] }'
    assert shown("\udcff") == '"\\udcff"'
    assert len(shown("x" * 1000)) == 60
    assert dotted(("a", "b c", 2)) == 'a."b c"[2]'


def test_text_that_is_not_unicode_is_refused() -> None:
    problem = only(SMALL, "notes=\udcff")
    assert (problem.path, problem.message) == ("notes", "must be valid text: it holds bytes that are not UTF-8")
    str(RecipeError("x", [problem])).encode()


def test_a_problem_as_plain_strings() -> None:
    assert only(SMALL, "training.epochs=0").as_dict() == {
        "path": "training.epochs",
        "value": "0",
        "message": "must be an integer ≥ 1",
        "hint": "",
        "where": "--set",
    }


def test_sweep_paths_and_values_are_checked_like_the_fields() -> None:
    space = """
[sweep.space]
"training.learning_rat" = [1e-4]
"epochs" = [1]
"training.epochs" = { low = 0, high = 4 }
"training.weight_decay" = { low = 0.1, high = 0.1 }
"training.learning_rate" = { low = 0, high = 1, log = true, step = 0.5 }
"training.batch_size" = { low = 8, high = 64, step = 1.5 }
"model.method" = ["full", "banana"]
"model.lora.r" = [4]
"model.dropout" = []
"name" = ["a"]
"training.warmup" = { low = 0.0, hihg = 0.5 }
"""
    found = {(problem.path, problem.message): problem.hint for problem in problems(SMALL + space)}
    prefix = "sweep.space."
    assert found == {
        (f'{prefix}"training.learning_rat"', "is no path of a recipe"): "did you mean training.learning_rate?",
        (f"{prefix}epochs", "is no path of a recipe"): "did you mean training.epochs?",
        (f'{prefix}"training.epochs".low', "must be an integer ≥ 1"): "",
        (f'{prefix}"training.weight_decay"', "low must be below high"): "",
        (f'{prefix}"training.learning_rate".low', "must be a number > 0 on a logarithmic scale"): "",
        (
            f'{prefix}"training.learning_rate".step',
            "has no meaning on a logarithmic scale",
        ): "leave step or log out",
        (f'{prefix}"training.batch_size".step', "must be an integer, as training.batch_size is"): "",
        (f'{prefix}"model.method"[1]', "must be full, head, top-layers, lora, qlora or peft"): "",
        (
            f'{prefix}"model.lora.r"',
            "belongs to method lora or qlora, which no trial would use",
        ): 'add "model.method" = [..., "lora"] to the space',
        (
            f'{prefix}"model.dropout"',
            "must be a value, a non-empty list of values, or a table with low and high, or with values",
        ): "",
        (f"{prefix}name", "is no choice to search over"): "sweep model, data, training, evaluation",
        (f'{prefix}"training.warmup".high', "missing: a number"): "",
        (f'{prefix}"training.warmup".hihg', "unknown key"): "did you mean high?",
    }


@pytest.mark.parametrize("written", ['"abc"', "-1.0", "0", "inf", "true"])
def test_a_learning_rate_that_is_none_is_said_once(written: str) -> None:
    head = SMALL.replace('"gpt2"', '"gpt2", method = "head"')
    assert only(f"{head}\n[training]\nlearning_rate = {written}").path == "training.learning_rate"


def test_a_sweep_needs_a_space_and_a_grid_needs_steps() -> None:
    assert only(SMALL + "[sweep]\ntrials = 3").path == "sweep.space"
    grid = SMALL + '[sweep]\nsampler = "grid"\n[sweep.space]\n"training.epochs" = { low = 1, high = 3 }'
    assert only(grid).message == "a grid needs a list of values, or a range with a step"
    assert parse(grid.replace("high = 3", "high = 3, step = 1")).recipe.sweep is not None


def test_a_sweep_reaches_into_tables_of_your_own_keys() -> None:
    scratch = SMALL.replace('"gpt2"', '"scratch:bert", tokenizer = "gpt2"')
    space = '[sweep.space]\n"model.config.hidden_size" = [16, 32]\n"training.class_weights.a" = { low = 1, high = 2 }'
    assert parse(scratch + space).recipe.sweep is not None
    assert parse(DESIGN).recipe.sweep is not None
