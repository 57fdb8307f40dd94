"""The model card: README.md with YAML front matter, all of it from the store and the recipe. Loads no torch.

What people wrote is shown as text, whatever is in it; what was not measured or not stated is said to be so.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from runner.publish.card_data import data_section, limits_section
from runner.publish.card_results import UNKNOWN, known_number, results_section
from runner.publish.example import Loading
from runner.publish.facts import Facts, Stage
from runner.publish.kinds import KINDS
from runner.publish.markdown import inline, paragraphs, table
from runner.publish.metadata import front_matter, is_merge
from runner.publish.plan import base_name
from runner.recipe import resolved_form

FOLDER = "path/to/this/folder"

# Tables of the recipe that are no hyper-parameters, or have a section of their own.
_LEFT_OUT = ("name", "notes", "tags", "task", "data", "card", "sweep", "triage", "recording", "checkpoints")


@dataclass(frozen=True)
class Checked:
    """How an exported model was compared with the run's own."""

    n_compared: int
    difference: float
    """Largest of a probability, or of a number in standard deviations of the training targets."""
    n_written: int | None = None
    """Texts that both wrote, to the letter the same; None: it writes none."""
    n_otherwise: int = 0
    """Prompts that the lines of the README cut into other tokens than training did; they were not compared."""


@dataclass(frozen=True)
class Exported:
    """How a model was written, and how it was checked."""

    loading: Loading
    reason: str | None
    """Why it is no class of transformers; None where it is, or nobody asked."""
    note: str | None
    checked: Checked


def card_text(facts: Facts, exported: Exported) -> str:
    """The whole file."""
    sections = {
        "How to use it": _use(exported),
        "Intended use": _intended(facts),
        "Limits": limits_section(facts),
        "Results": results_section(facts),
        "Data": data_section(facts),
        "Method": _method(facts),
        "Cost": _cost(facts),
        "Where it comes from": _origin(facts),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{front_matter(facts, exported.loading.form)}\n# {inline(facts.run.name)}\n\n{_what(facts)}\n\n{body}\n"


def _what(facts: Facts) -> str:
    kind = KINDS[str(facts.run.task)]
    made = "merged" if is_merge(facts) else "fine-tuned"
    base = inline(base_name(facts.recipe.model) if facts.root is None else facts.root)
    stages = f" in {len(facts.stages) + 1} stages" if facts.stages else ""
    said = f"A {kind.noun}, {made} from {base}{stages} by {_version()}."
    if not (facts.labels and kind.has_labels):
        return said
    labels = ", ".join(inline(label) for label in facts.labels[:20])
    more = f" and {len(facts.labels) - 20:,} more" if len(facts.labels) > 20 else ""
    one, many = ("type of spans", "types of spans") if kind.says == "tags" else ("label", "labels")
    known = f"one {one}" if len(facts.labels) == 1 else f"{len(facts.labels):,} {many}"
    return f"{said} It knows {known}: {labels}{more}."


def _use(exported: Exported) -> str:
    loading = exported.loading
    is_adapter = loading.form == "adapter"
    needs = ["torch", "transformers", *(["peft"] if is_adapter else [])]
    lines = [f"Needs {', '.join(needs)}; not Assay."]
    if loading.form == "parts" or (is_adapter and not loading.kind.is_language):
        lines.append('A name on the hub becomes a folder with `huggingface_hub.snapshot_download("NAME")`.')
    if exported.reason:
        lines.append(f"It is no `{loading.kind.auto_class}`: {inline(exported.reason)}.")
    further = f"\n\nWhere you train it further: {exported.note}." if exported.note else ""
    return f"{' '.join(lines)}\n\n```python\n{loading.example(FOLDER)}```\n\n{_checked(exported)}{further}"


def _checked(exported: Exported) -> str:
    checked, kind = exported.checked, exported.loading.kind
    what = "probability of a token" if kind.is_language else "number" if kind.says == "number" else "probability"
    unit = " standard deviations of the training targets" if kind.says == "number" else ""
    said = (
        f"These lines were run on {checked.n_compared:,} texts when the folder was written: no {what} differs by more "
        f"than {at_most(checked.difference)}{unit} from the run's own model"
    )
    if checked.n_written is not None:
        said += f", and what it writes is the same to the letter ({checked.n_written:,} texts)"
    if checked.n_otherwise:
        said += (
            f". {checked.n_otherwise:,} more were not compared: the chat template cuts them into other tokens than "
            "training did, which took each turn by itself"
        )
    return f"{said}."


def at_most(difference: float) -> str:
    """A power of ten that is no smaller.

    >>> at_most(4.2e-8), at_most(0.0)
    ('1e-07', '1e-12')
    """
    return f"{10.0 ** math.ceil(math.log10(max(difference, 1e-12))):.0e}"


def _intended(facts: Facts) -> str:
    card = facts.recipe.card
    use = paragraphs(card.intended_use) if card and card.intended_use else "Not stated."
    licence = inline(card.licence) if card and card.licence else "not stated"
    language = ", ".join(map(inline, card.language)) if card and card.language else "not stated"
    return f"{use}\n\nLicence of the model: {licence}. Languages: {language}."


# how it was made -----------------------------------------------------------------------------------------------------


def _method(facts: Facts) -> str:
    merge: Any = (facts.run.provenance or {}).get("merge")
    if merge:
        return _merge(merge)
    resolved = {name: part for name, part in resolved_form(facts.recipe).items() if name not in _LEFT_OUT}
    resolved["model"] |= {"base": base_name(facts.recipe.model), "tokenizer": _tokenizer(facts)}
    method = facts.recipe.model.method
    rows = [[f"`{path}`", inline(_shown(value))] for path, value in _flat(resolved) if value not in (None, {}, [])]
    return f"Method `{inline(method)}`. Hyper-parameters:\n\n{table(['', ''], rows)}"


def _tokenizer(facts: Facts) -> str | None:
    named = facts.recipe.model.tokenizer
    return None if named is None else named.rstrip("/").rsplit("/", 1)[-1] if named.startswith("/") else named


def _merge(merge: Mapping[str, Any]) -> str:
    parents = [
        [
            inline(p["name"]),
            f"`{inline(p['id'])}`",
            inline(p.get("task") or "not stated"),
            f"{p['step']:,}",
            known_number(p["weight"]),
            inline(p["dataset"] or "not stated"),
        ]
        for p in merge["parents"]
    ]
    facts = [f"combined by `{inline(merge['method'])}`"]
    if merge.get("density") is not None:
        facts.append(f"density {merge['density']:g}")
    if merge.get("seed") is not None:
        facts.append(f"seed {merge['seed']}")
    if merge.get("folded"):
        facts.append("the adapter folded into its base")
    if merge.get("head_of"):
        facts.append(f"with the head, the labels and the data of {inline(merge['head_of']['name'])}")
    return f"Not trained, but made of other runs' models: {', '.join(facts)}.\n\n" + table(
        ["parent", "run", "task", "step", "weight", "data"], parents, right=(3, 4)
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        is_table = isinstance(value, Mapping) and bool(value)
        rows += _flat(value, f"{prefix}{key}.") if is_table and key != "config" else [(prefix + key, value)]
    return rows


def _shown(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cost(facts: Facts) -> str:
    cost = facts.cost
    device: Any = (facts.run.provenance or {}).get("device") or {}
    rows = [
        ["device", inline(device.get("name") or UNKNOWN)],
        ["wall time", _seconds(cost.wall_seconds)],
        ["of it training", _seconds(cost.train_seconds)],
        ["largest memory", f"{_bytes(cost.peak_host_bytes)} host, {_bytes(cost.peak_device_bytes)} device"],
        [
            "energy",
            UNKNOWN if cost.energy_joules is None else f"{cost.energy_joules / 3.6e6:.4g} kWh (graphics cards only)",
        ],
        ["parameters", f"{_count(cost.trainable_parameters)} trained of {_count(cost.total_parameters)}"],
        ["examples seen", _count(cost.examples_seen)],
    ]
    return table(["", ""], rows)


def _seconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f} s" if value >= 10 else f"{value:.1f} s"


def _bytes(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value / 1e9:,.2f} GB"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _origin(facts: Facts) -> str:
    provenance: Any = facts.run.provenance or {}
    packages, git = provenance.get("packages") or {}, provenance.get("git") or {}
    named = [f"{name} {packages[name]}" for name in ("torch", "transformers", "peft", "tokenizers") if name in packages]
    seeds = ", ".join(f"{name} {seed}" for name, seed in (provenance.get("seeds") or {}).items())
    commit = git.get("sha")
    ended = facts.run.ended_at or facts.run.created_at
    rows = [
        ["run", f"{inline(facts.run.name)} (`{facts.run.id}`)"],
        *(["made of", _stage(stage)] for stage in facts.stages),
        ["ended", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ended))],
        ["checkpoint", f"step {facts.checkpoint.step:,}, sha256 `{facts.checkpoint.sha256[:16]}`"],
        ["packages", inline(", ".join(named)) or "not stated"],
        ["seeds", inline(seeds) or "not stated"],
        ["commit", f"`{inline(commit)}`" if commit else "not stated"],
    ]
    return table(["", ""], rows)


def _stage(stage: Stage) -> str:
    data = f", on {inline(stage.dataset)}" if stage.dataset else ""
    return f"{inline(stage.name)} (`{inline(stage.id)}`), {inline(stage.task)}, step {stage.step:,}{data}"


def _version() -> str:
    try:
        return f"Assay {version('assay')}"
    except PackageNotFoundError:
        return "Assay"
