"""The sections of a model card about the data: what it is, what it came from, and what is known to be wrong with it.

No text of an example gets into a card: of findings their number is told, of slices those that metadata name.
"""

from collections.abc import Iterator

from evals.triage.findings import DETECTORS
from evals.triage.phrases import counted
from runner.publish.facts import Facts, Step
from runner.publish.kinds import KINDS
from runner.publish.markdown import clean, inline, paragraphs, table
from runner.triage.sentences import of_labels, percent

MOST_LABELS = 200
MOST_SLICES = 10


def data_section(facts: Facts) -> str:
    """What the model was trained and measured on."""
    dataset = facts.dataset
    if dataset is None:
        return "Not stated: the run names no dataset."
    card = facts.recipe.card
    licence = inline(card.data_licence) if card and card.data_licence else "not stated"
    rows = [
        ["name and version", inline(dataset)],
        ["fingerprint", f"`{dataset.fingerprint}`"],
        ["source", _source(facts)],
        ["examples", ", ".join(f"{n:,} {inline(split)}" for split, n in dataset.n_rows.items())],
        ["licence of the data", licence],
    ]
    blocks = [table(["", ""], rows)]
    if len(facts.balance):
        blocks.append("How often each label is given:\n\n" + _balance(facts))
    blocks.append(_lineage(facts))
    return "\n\n".join(blocks)


def _source(facts: Facts) -> str:
    """Where it was read from: the name of a file, never its folder."""
    source = facts.recipe.model_dump(mode="json")["data"]["source"]
    parts = source.values() if isinstance(source, dict) else [source]
    names = [name for part in parts if part for name in ([part] if isinstance(part, str) else part)]
    kept = [clean(name) if name.startswith(("hub:", "dataset:", "builtin:")) else _file_name(name) for name in names]
    return ", ".join(inline(name) for name in dict.fromkeys(kept)) or "not stated"


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _balance(facts: Facts) -> str:
    splits = [column for column in facts.balance.columns if column != "label"]
    shown = facts.balance.head(MOST_LABELS)
    totals = {split: max(int(facts.balance[split].sum()), 1) for split in splits}
    rows = [
        [inline(row["label"]), *(f"{row[split]:,} ({percent(row[split] / totals[split])})" for split in splits)]
        for row in shown.to_dict("records")
    ]
    text = table(["label", *(inline(split) for split in splits)], rows, right=range(1, 1 + len(splits)))
    more = len(facts.balance) - len(shown)
    return text + (f"\n\nand {more:,} more labels." if more > 0 else "")


def _lineage(facts: Facts) -> str:
    if not facts.lineage:
        return "This version was read from its source; it was not made of another version."
    return "Lineage, the newest first:\n\n" + "\n".join(f"- {_step(step)}" for step in facts.lineage)


def _step(step: Step) -> str:
    dataset = step.dataset
    parent = dataset.source.get("made_from") or "an earlier version"
    changes = [f"{n:,} {_WORDS.get(name, name)}" for name, n in step.counts.items() if n]
    who = (
        "" if step.n_people is None else f", decided by {step.n_people} {'person' if step.n_people == 1 else 'people'}"
    )
    return f"{inline(dataset)} was made of {inline(parent)}: {', '.join(changes) or 'no changes counted'}{who}."


_WORDS = {
    "relabel": "relabelled",
    "edit": "with an edited text",
    "edit and relabel": "relabelled and edited",
    "drop": "dropped",
}


def limits_section(facts: Facts) -> str:
    """What is known to be wrong with model and data: first what people wrote, then what was measured."""
    card = facts.recipe.card
    blocks = [paragraphs(card.limitations) if card and card.limitations else "Stated by its makers: nothing."]
    blocks.append("\n".join(f"- {line}" for line in _measured(facts)))
    return "\n\n".join(blocks)


def _measured(facts: Facts) -> Iterator[str]:
    yield _length(facts)
    if facts.dataset is not None and facts.dataset.cleaning is not None:
        done = f"Texts were cleaned before training ({inline(facts.dataset.cleaning)})"
        yield f"{done}: what the model is asked has to be cleaned in the same way."
    if KINDS[str(facts.run.task)].writes:
        yield "What it writes was not checked for truth, bias or harm."
    yield "The results below are of one training run; other seeds give other numbers."
    if facts.triage is None:
        yield "The training data: faults were not looked for."
    else:
        yield f"The training data: {inline(of_labels(facts.triage))}"
        counts = facts.triage.get("findings") or {}
        found = [counted(d.kind, counts[d.kind]) for d in DETECTORS if counts.get(d.kind) and d.kind != "label_error"]
        if found:
            yield f"Also found in the data: {inline(', '.join(found))}."
    for row in facts.slices.head(MOST_SLICES).to_dict("records"):
        yield _slice(str(row["kind"]), str(row["name"]), row["n"], row["evidence"])


def _length(facts: Facts) -> str:
    n, says = f"{facts.recipe.model.max_length:,}", KINDS[str(facts.run.task)].says
    if says in ("continuation", "gaps"):
        return f"Texts longer than {n} tokens were read in stretches of so many."
    if says == "answer":
        return f"Prompt and answer together had at most {n} tokens in training; longer prompts lose their beginning."
    if says == "tags":
        return (
            f"Training saw the first {n} tokens of a sentence. The results below are of whole ones, longer ones read "
            "in overlapping windows; the lines above cut them off."
        )
    return f"Texts longer than {n} tokens are cut off."


def _slice(kind: str, name: str, n: int, evidence: dict[str, float | None]) -> str:
    if kind == "rare_class":
        return f"The class {inline(name)} is rare and pays for it."
    title = "a region of similar texts" if name.startswith("region = ") else inline(name)  # regions are named by words
    mean, rest = evidence.get("mean"), evidence.get("rest")
    said = "" if mean is None or rest is None else f": {percent(mean)} errors, elsewhere {percent(rest)}"
    return f"More errors in {title} ({n:,} examples){said}."
