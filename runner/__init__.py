"""The runner: recipes, data, training and the command line. The only package that knows torch.

For scripts of your own: `start_run` for any loop, `AssayCallback` for any `transformers.Trainer`.

A run         train       one fine-tune from top to bottom        experiment   what it needs, checked before
              trainer     the transformers.Trainer that records   resumable    the one that goes on where it left off
              progress    what a person sees                      progress_bar the live bar
              reproduce   once more, and whether the same came    control      steering from outside, at rungs
              together    in several processes                distributed  who of them does what
              sharding    each with a part of the weights     launcher     what started them
              split_trainer  the transformers.Trainer of those
              beating     saying that this process lives          methods      one recipe by several methods
              demo        the demonstration                       shared       what runs of one process have in common
Data quality  crossval    a model's opinion, fold by fold         triage       what hurts in a data set
Models        backbone    finding and loading                     classifier   pooling, head, methods; loading it again
              builtin     those that are Python packages          location     where models and data come from
              base_runs   a base that is another run's model  loading    any run's model
              hub         whether it is there                     footprint    the memory that a recipe will take
              parameters  which are trained together              adapters     LoRA and what else peft has
              quantization  a base in few bits                    compiling    torch.compile
Data          encoding    texts → token ids                       batches      of them, padded, or of features
              order       in which examples are seen
              profile     what data look like to a model, before training
              word_encoding  sentences → token ids, word by word
              word_windows   those that are longer than a model reads
              docstrings  the built-in data set                   inputs       texts to predict
              micro_batches  smaller, when memory runs out
Passes        inference   a split through a model                 predict      what a run's model says of texts
              answers     outputs as answers, by task             answer_files files and datasets of them
              ranks       answers put in order, query by query
              dynamics    logits caught in training               devices      where, in which number format
              language    models that say tokens, and texts for them
Metrics       metrics      modules for `evaluate`, ours and the hub's     named_metrics  those that a recipe names
Checkpoints   checkpoints written whole, kept as asked            files        hashes, and room for them
              training_state  what training goes on from          trees        nested states without pickle
              resume      from the newest intact one              unsaved      what a full disk did not take
              copying     between stores                          checkpoint_health  whether they are what was written
Recording     callback    any transformers.Trainer                script       any loop
              console     what was printed                        cost         time, memory, energy
              system      what the machine does                   provenance   code, packages, device
              git         the repository around a folder          arguments    a recipe as TrainingArguments
Watching      monitor     all of these, for one training          flight       the last 200 steps
              alerts      when it goes wrong                      watchdog     when it hangs
Ending        interrupts  Ctrl-C and SIGTERM                      pauses       asked by another thread
              causes      why it ended                            reasons      why it is interrupted
Care          doctor      what is broken or slow                  repair       a damaged store
              leftovers   what nothing will use again
Command line  cli         its commands                            paths        where things are when nobody says
              quiet       libraries that talk too much            errors       what the user can mend
              opening     a browser window on the dashboard
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.callback import AssayCallback
    from runner.script import ScriptRun, start_run

__all__ = ["AssayCallback", "ScriptRun", "start_run"]


def __getattr__(name: str) -> Any:
    """Loaded on first use: importing `runner` must not load torch."""
    if name == "AssayCallback":
        from runner.callback import AssayCallback

        return AssayCallback
    if name in ("start_run", "ScriptRun"):
        from runner import script

        return getattr(script, name)
    raise AttributeError(f"module 'runner' has no attribute {name!r}")
