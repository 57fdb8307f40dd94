"""Kill -9 at random moments: does the store open, is anything acknowledged lost, is anything there twice?

    python -m benchmarks.kill_drill --kills 100

A run is killed, resumed, killed again, until it has come through; then every curve, prediction and training dynamics
must be, bit for bit, those of a run that nobody disturbed. The same for a sweep whose driver or workers are killed, and
for a queue whose workers or jobs are. The models are tiny, the processes real.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.drills.queues import drill_queue
from benchmarks.drills.sweeps import drill_sweep
from benchmarks.drills.trainings import drill_training
from benchmarks.drills.workshop import Outcome, Workshop
from store import open_store


def drill(folder: Path, *, n_train: int, n_sweep: int, n_queue: int, seed: int = 0) -> Outcome:
    """The whole drill in a new folder: so many kills of trainings, of sweeps and of queues at least."""
    outcome, rng = Outcome(), random.Random(seed)
    workshop = Workshop(folder)
    os.environ.update({key: workshop.environment[key] for key in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")})
    if n_train:
        with contextlib.closing(open_store(folder / "assay.db")) as store:
            drill_training(workshop, store, n_train, rng, outcome)
    if n_sweep:
        drill_sweep(workshop, n_sweep, rng, outcome)
    if n_queue:
        drill_queue(workshop, n_queue, rng, outcome)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many kills, at least")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        n_train = max(1, options.kills * 6 // 10)
        n_sweep = max(1, (options.kills - n_train) // 2)
        n_queue = max(1, options.kills - n_train - n_sweep)
        outcome = drill(Path(folder), n_train=n_train, n_sweep=n_sweep, n_queue=n_queue, seed=options.seed)
    kills = ", ".join(f"{n} of a {what}" for what, n in outcome.n_kills.items())
    print(f"{outcome.total} kills ({kills}), {outcome.n_restarts} starts, {time.monotonic() - began:,.0f} s")
    print(f"{outcome.n_acknowledged:,} acknowledged steps looked for")
    print(
        "\n".join(outcome.problems)
        or "no problem: nothing lost, nothing twice, every status true, every result the same"
    )
    sys.exit(bool(outcome.problems))


if __name__ == "__main__":
    main()
