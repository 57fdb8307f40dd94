"""The model card: README.md with YAML front matter, all of it from the store and the recipe. Loads no torch.

What people wrote is shown as text, whatever is in it; what was not measured or not stated is said to be so.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from evals.metrics import METRICS
from runner.publish.card_data import data_section, limits_section
from runner.publish.example import Format, loading_example
from runner.publish.facts import Facts
from runner.publish.markdown import inline, paragraphs, table
from runner.publish.metadata import front_matter, is_merge
from runner.publish.plan import base_name
from runner.recipe import resolved_form

if TYPE_CHECKING:
    from runner.backbone import Pooling

UNKNOWN = "not measured"
FOLDER = "path/to/this/folder"

# Tables of the recipe that are no hyper-parameters, or have a section of their own.
_LEFT_OUT = ("name", "notes", "tags", "task", "data", "card", "sweep", "triage", "recording", "checkpoints")


@dataclass(frozen=True)
class Exported:
    """How a model was written, and how it was checked."""

    form: Format
    reason: str | None
    """Why it is no class of transformers; None where it is, or nobody asked."""
    note: str | None
    max_length: int
    pooling: "Pooling"
    base: str | None
    """The public name of the base; None where it has none."""
    revision: str | None
    n_compared: int
    difference: float
    """Largest difference of a probability from the run's own model."""
    task: str = "text-classification"
    prefix_space: bool = False
    """As in `loading_example`."""

    def example(self, folder: str) -> str:
        """The lines that load it from a folder."""
        return loading_example(
            self.form,
            folder,
            task=self.task,
            prefix_space=self.prefix_space,
            max_length=self.max_length,
            pooling=self.pooling,
            base=self.base,
            revision=self.revision,
        )


def card_text(facts: Facts, exported: Exported) -> str:
    """The whole file."""
    sections = {
        "How to use it": _use(exported),
        "Intended use": _intended(facts),
        "Limits": limits_section(facts),
        "Results": _results(facts),
        "Data": data_section(facts),
        "Method": _method(facts),
        "Cost": _cost(facts),
        "Where it comes from": _origin(facts),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{front_matter(facts, exported.form)}\n# {inline(facts.run.name)}\n\n{_what(facts)}\n\n{body}\n"


def _what(facts: Facts) -> str:
    labels = ", ".join(inline(label) for label in facts.labels[:20])
    more = f" and {len(facts.labels) - 20:,} more" if len(facts.labels) > 20 else ""
    made = "merged" if is_merge(facts) else "fine-tuned"
    is_tagger = facts.run.task == "token-classification"
    what, known = ("tagger of words", "types of spans") if is_tagger else ("text classifier", "labels")
    said = f"A {what}, {made} from {inline(base_name(facts.recipe.model))} by {_version()}."
    return f"{said} It knows {len(facts.labels):,} {known}: {labels}{more}." if facts.labels else said


def _use(exported: Exported) -> str:
    code = exported.example(FOLDER)
    auto = "Token" if exported.task == "token-classification" else "Sequence"
    needs = ["torch", "transformers", *(["peft"] if exported.form == "adapter" else [])]
    lines = [f"Needs {', '.join(needs)}; not Assay."]
    if exported.form != "transformers":
        lines.append('A name on the hub becomes a folder with `huggingface_hub.snapshot_download("NAME")`.')
    if exported.reason:
        lines.append(f"It is no `AutoModelFor{auto}Classification`: {inline(exported.reason)}.")
    checked = (
        f"These lines were run on {exported.n_compared:,} texts when the folder was written: no probability differs by "
        f"more than {at_most(exported.difference)} from the run's own model."
    )
    further = f"\n\nWhere you train it further: {exported.note}." if exported.note else ""
    return f"{' '.join(lines)}\n\n```python\n{code}```\n\n{checked}{further}"


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


# results -------------------------------------------------------------------------------------------------------------


def _results(facts: Facts) -> str:
    if not len(facts.scores):
        return "Not measured: no evaluation of this checkpoint is in the store."
    before = {(r["split"], r["metric"]): r["value"] for r in facts.untrained.to_dict("records")}
    rows = [
        [
            inline(row["split"]),
            _title(row["metric"]),
            _number(row["value"]),
            f"{_number(row['low'])} to {_number(row['high'])}" if _known(row["low"]) else UNKNOWN,
            f"{row['n']:,}",
            _number(before.get((row["split"], row["metric"]))),
        ]
        for row in facts.scores.to_dict("records")
    ]
    headers = ["split", "metric", "value", "95 % interval", "n", "before training"]
    step = f"Of step {facts.checkpoint.step:,}, chosen by {inline(facts.run.select_metric or 'not stated')}."
    blocks = [table(headers, rows, right=(2, 4, 5)), step, _classes(facts)]
    return "\n\n".join(blocks)


def _classes(facts: Facts) -> str:
    if facts.classes is None:
        return f"Each class: {UNKNOWN} (no predictions of this checkpoint are in the store)."
    rows = [
        [
            inline(row["label"]),
            f"{row['n']:,}",
            _number(row["precision"]),
            _number(row["recall"]),
            _number(row["f1"]),
            f"{_number(row['f1_low'])} to {_number(row['f1_high'])}" if _known(row["f1_low"]) else UNKNOWN,
        ]
        for row in facts.classes.table.to_dict("records")
    ]
    headers = ["label", "n", "precision", "recall", "F1", "95 % interval of F1"]
    return f"Each class on {inline(facts.classes.split)}:\n\n{table(headers, rows, right=(1, 2, 3, 4))}"


def _title(metric: str) -> str:
    known = METRICS.get(metric)
    unit = f" ({known.unit})" if known and known.unit != "fraction" else ""
    return inline(known.title if known else metric) + unit


def _known(value: Any) -> bool:
    return value is not None and value == value


def _number(value: Any) -> str:
    return f"{value:.4f}" if _known(value) else UNKNOWN


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
            f"{p['step']:,}",
            _number(p["weight"]),
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
    return f"Not trained, but made of other runs' models: {', '.join(facts)}.\n\n" + table(
        ["parent", "run", "step", "weight", "data"], parents, right=(2, 3)
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
        ["ended", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ended))],
        ["checkpoint", f"step {facts.checkpoint.step:,}, sha256 `{facts.checkpoint.sha256[:16]}`"],
        ["packages", inline(", ".join(named)) or "not stated"],
        ["seeds", inline(seeds) or "not stated"],
        ["commit", f"`{inline(commit)}`" if commit else "not stated"],
    ]
    return table(["", ""], rows)


def _version() -> str:
    try:
        return f"Assay {version('assay')}"
    except PackageNotFoundError:
        return "Assay"
