"""Where values come from: inherited files, `--set`, the environment, and paths relative to each."""

from pathlib import Path

import pytest

from runner.recipe import RecipeError, load_recipe, parse_recipe
from tests.runner.recipe.test_recipe import SMALL, parse, problems


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_tables_merge_and_everything_else_replaces(tmp_path: Path) -> None:
    write(
        tmp_path / "base.toml",
        SMALL + 'tags = ["a", "b"]\n[training]\nepochs = 5\nseed = 7\nclass_weights = { x = 1.0 }\n',
    )
    child = write(
        tmp_path / "child.toml",
        'base = "base.toml"\nname = "child"\ntags = ["c"]\n[training]\nepochs = 6\nclass_weights = { y = 2.0 }\n',
    )
    recipe = load_recipe(child).recipe
    assert (recipe.name, recipe.tags) == ("child", ("c",))
    assert (recipe.training.epochs, recipe.training.seed) == (6, 7)
    assert recipe.training.class_weights == {"y": 2.0}
    assert recipe.model.base == "gpt2"


def test_a_source_replaces_the_inherited_one_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "base.toml", SMALL.replace('"hub:some/data"', '{ train = "a.csv", test = "t.csv" }'))
    one = write(tmp_path / "one.toml", 'base = "base.toml"\n[data]\nsource = "b.csv"')
    two = write(tmp_path / "two.toml", 'base = "base.toml"\n[data]\nsource = { train = "b.csv" }')
    assert load_recipe(one).resolved["data"]["source"] == str(tmp_path / "b.csv")
    assert load_recipe(two).resolved["data"]["source"] == {
        "train": str(tmp_path / "b.csv"),
        "validation": None,
        "test": None,
    }
    added = load_recipe(tmp_path / "base.toml", ["data.source.validation=hub:v"]).resolved["data"]["source"]
    assert added == {"train": str(tmp_path / "a.csv"), "validation": "hub:v", "test": str(tmp_path / "t.csv")}


def test_a_range_replaces_a_list_and_another_range(tmp_path: Path) -> None:
    sweep = '[sweep.space]\n"training.epochs" = { low = 1, high = 9, step = 2 }\n"training.batch_size" = [1, 2]\n'
    write(tmp_path / "base.toml", SMALL + sweep)
    child = 'base = "base.toml"\n[sweep.space]\n"training.epochs" = { low = 2, high = 3 }\n'
    resolved = load_recipe(write(tmp_path / "child.toml", child)).resolved
    assert resolved["sweep"]["space"] == {
        "training.epochs": {"low": 2, "high": 3, "log": False, "step": None, "when": None, "int": False},
        "training.batch_size": [1, 2],
    }


def test_grandparents_and_problems_name_the_file_that_wrote_the_value(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "top.toml", SMALL + "[training]\nepochs = 0\n")
    write(tmp_path / "middle.toml", 'base = "shared/top.toml"\n[training]\nseed = -1\n')
    leaf = write(tmp_path / "leaf.toml", 'base = "middle.toml"\n[training]\nbatch_size = 0\n')
    with pytest.raises(RecipeError) as caught:
        load_recipe(leaf)
    where = {problem.path: problem.where for problem in caught.value.problems}
    assert where == {
        "training.epochs": "shared/top.toml",
        "training.seed": "middle.toml",
        "training.batch_size": "",
    }
    assert "(from shared/top.toml)" in str(caught.value)


def test_a_circle_is_refused_and_shown(tmp_path: Path) -> None:
    write(tmp_path / "a.toml", 'base = "b.toml"')
    write(tmp_path / "b.toml", 'base = "sub/../c.toml"')
    write(tmp_path / "c.toml", 'base = "b.toml"')
    (tmp_path / "sub").mkdir()
    with pytest.raises(RecipeError, match=r"recipes inherit in a circle: b.toml → c.toml → b.toml"):
        load_recipe(tmp_path / "a.toml")
    itself = write(tmp_path / "self.toml", 'base = "self.toml"')
    with pytest.raises(RecipeError, match=r"circle: self.toml → self.toml"):
        load_recipe(itself)
    with pytest.raises(RecipeError, match=r"circle: b.toml → c.toml → b.toml"):
        parse_recipe('base = "b.toml"', folder=tmp_path)


def test_a_base_that_is_missing_broken_or_a_model_is_said_so(tmp_path: Path) -> None:
    (missing,) = problems('base = "gpt2"')
    assert missing.message == "no such recipe file: /nowhere/gpt2"
    assert "[model]" in missing.hint
    assert problems("base = 3")[0].message == "must be the path of another recipe"
    broken = write(tmp_path / "broken.toml", "x = ")
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "child.toml", 'base = "broken.toml"'))
    assert caught.value.source == str(broken)


@pytest.mark.parametrize(
    ("override", "keys", "value"),
    [
        ("training.epochs=4", ("training", "epochs"), 4),
        ("training.learning_rate=1e-3", ("training", "learning_rate"), 1e-3),
        ("training.learning_rate = 1", ("training", "learning_rate"), 1.0),
        ("training.deterministic=true", ("training", "deterministic"), True),
        ("training.schedule=cosine", ("training", "schedule"), "cosine"),
        ('training.schedule="cosine"', ("training", "schedule"), "cosine"),
        ('data.metadata=["a", "b"]', ("data", "metadata"), ["a", "b"]),
        ("data.columns={text='t'}", ("data", "columns"), {"text": "t", "label": "label", "id": None}),
        ('training.class_weights."very good"=2', ("training", "class_weights"), {"very good": 2.0}),
        ("training.class_weights.'a=b'=2", ("training", "class_weights"), {"a=b": 2.0}),
        ("name=2026", ("name",), "2026"),
        ("name=2026-11-21", ("name",), "2026-11-21"),
        ("model.revision=1234567", ("model", "revision"), "1234567"),
        ("model.revision=1e5", ("model", "revision"), "1e5"),
        ("notes=a = b\nc", ("notes",), "a = b\nc"),
        ("notes=1\nname = 'x'", ("notes",), "1\nname = 'x'"),
        ("evaluation.every=50", ("evaluation", "every"), 50),
        ("recording={dynamics=false}", ("recording", "dynamics"), False),
    ],
)
def test_set_takes_toml_values_and_plain_text(override: str, keys: tuple[str, ...], value: object) -> None:
    loaded = parse(SMALL, override)
    found: object = loaded.resolved
    for key in keys:
        assert isinstance(found, dict)
        found = found[key]
    assert found == value
    assert type(found) is type(value)
    assert loaded.overrides == (override,)


def test_the_later_set_wins_and_a_table_leaves_its_neighbours() -> None:
    training = parse(SMALL, "training.epochs=2", "training={seed=3}", "training.epochs=9").recipe.training
    assert (training.epochs, training.seed) == (9, 3)


@pytest.mark.parametrize("override", ["training.epochs", "=3", "a b=3", "[training]=3", "training.=1", "a#b=1", ""])
def test_a_set_without_key_or_value_is_reported_beside_the_rest(override: str) -> None:
    found = problems(SMALL, override, "training.seed=-1")
    assert found[0].message == f"--set {override}: must be KEY=VALUE, such as training.epochs=3"
    assert found[1].path == "training.seed"


def test_variables_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = SMALL.replace("hub:some/data", "${ASSAY_T_DATA}/train.csv").replace("gpt2", "${ASSAY_T_MODEL:-gpt2}")
    monkeypatch.setenv("ASSAY_T_DATA", str(tmp_path))
    monkeypatch.delenv("ASSAY_T_MODEL", raising=False)
    loaded = parse(text)
    assert loaded.resolved["data"]["source"] == f"{tmp_path}/train.csv"
    assert loaded.resolved["model"]["base"] == "gpt2"
    assert "${ASSAY_T_DATA}" in loaded.text
    monkeypatch.setenv("ASSAY_T_MODEL", "bert-base-uncased")
    assert parse(text).recipe.model.base == "bert-base-uncased"


def test_an_unset_variable_says_how_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_T_DATA", raising=False)
    text = SMALL.replace('"hub:some/data"', '{ train = "${ASSAY_T_DATA}/train.csv" }')
    for value in (None, ""):
        if value is not None:
            monkeypatch.setenv("ASSAY_T_DATA", value)
        with pytest.raises(RecipeError) as caught:
            parse_recipe(text, folder=Path("/nowhere"), source="r.toml", overrides=["training.epochs=0"])
        problem, other = caught.value.problems
        assert problem.path == "data.source.train"
        assert problem.message == "ASSAY_T_DATA is not set in the environment"
        assert problem.hint == "set it: ASSAY_T_DATA=... runner train r.toml, or --set data.source.train=..."
        assert other.path == "training.epochs"
    assert parse(text, "data.source=hub:x").recipe.data.source == "hub:x"


@pytest.mark.parametrize("source", ["${A", "${1A}/x", "${A-b}", "${}"])
def test_a_malformed_variable_is_refused(source: str) -> None:
    (problem,) = problems(SMALL.replace("hub:some/data", source))
    assert problem.message == "must write a variable as ${NAME} or ${NAME:-fallback}"


def test_paths_start_from_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("ASSAY_T_DATA", "from-shell")
    base = SMALL.replace("hub:some/data", "../data/a.csv").replace("gpt2", "./model")
    write(tmp_path / "shared" / "base.toml", base)
    child = write(tmp_path / "recipes" / "r.toml", 'base = "../shared/base.toml"\n[model]\ntokenizer = "./tok"\n')
    resolved = load_recipe(child).resolved
    assert resolved["data"]["source"] == str(tmp_path / "data" / "a.csv")
    assert resolved["model"]["base"] == str(tmp_path / "shared" / "model")
    assert resolved["model"]["tokenizer"] == str(tmp_path / "recipes" / "tok")
    for source, expected in {
        "b.csv": here / "b.csv",
        "/abs/b.csv": Path("/abs/b.csv"),
        "~/b.csv": Path.home() / "b.csv",
        "${ASSAY_T_DATA}/b.csv": here / "from-shell" / "b.csv",
    }.items():
        assert load_recipe(child, [f"data.source={source}"]).recipe.data.source == str(expected)
    child.write_text(child.read_text() + '[data]\nsource = "${ASSAY_T_DATA}/b.csv"')
    assert load_recipe(child).recipe.data.source == str(here / "from-shell" / "b.csv")
    child.write_text(child.read_text().replace("${ASSAY_T_DATA}", "${ASSAY_T_UNSET:-fallback}"))
    assert load_recipe(child).recipe.data.source == str(tmp_path / "recipes" / "fallback" / "b.csv")


def test_a_model_is_a_folder_only_if_it_looks_like_one(tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.toml", SMALL)
    assert load_recipe(recipe).recipe.model.base == "gpt2"
    (tmp_path / "gpt2").mkdir()
    assert load_recipe(recipe).recipe.model.base == "gpt2"
    write(tmp_path / "gpt2" / "config.json", "{}")
    assert load_recipe(recipe).recipe.model.base == str(tmp_path / "gpt2")
    (tmp_path / "gpt2" / "config.json").rename(tmp_path / "gpt2" / "model.safetensors")  # not whole: that is said
    assert load_recipe(recipe).recipe.model.base == str(tmp_path / "gpt2")


@pytest.mark.parametrize("source", ["hub:a/b:c", "dataset:tweets@3", "builtin:docstrings"])
def test_named_sources_are_no_paths(source: str) -> None:
    assert parse(SMALL, f"data.source={source}").recipe.data.source == source


def test_paths_in_a_sweep_are_made_absolute_too(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "b.toml", SMALL + '[sweep.space]\n"data.source.train" = ["x.csv"]\n')
    child = load_recipe(write(tmp_path / "c.toml", 'base = "sub/b.toml"')).resolved
    assert child["sweep"]["space"] == {"data.source.train": [str(tmp_path / "sub" / "x.csv")]}
    space = '[sweep.space]\n"data.source" = ["a.csv", "hub:b", { train = "c.csv" }]\n"model.base" = ["gpt2", "./m"]\n'
    loaded = load_recipe(write(tmp_path / "r.toml", SMALL + space))
    assert loaded.resolved["sweep"]["space"] == {
        "data.source": [str(tmp_path / "a.csv"), "hub:b", {"train": str(tmp_path / "c.csv")}],
        "model.base": ["gpt2", str(tmp_path / "m")],
    }
