"""The schema, as an append-only list of migrations.

A migration that has landed is never edited: a change of schema is a new function below the last one,
a file of the schema before it in `tests/store/assets/`, and a test that goes on working with that file.

Conventions. Surrogate integer `key`s join tables and stay inside the file; the `id`s people see (ULIDs of runs,
content hashes of examples) are the same in every file, so stores merge. Times (`_at`) are unix seconds, UTC.
NULL is "not measured". Tables that are read by a range of their key are WITHOUT ROWID in that key's order.
"""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from store.foundation_schema import FOUNDATION
from store.triage_schema import TRIAGE
from store.work_schema import WORK

migrations = Migrations("assay")


@migrations()  # type: ignore[untyped-decorator]  # sqlite-utils ships no types
def m001_foundation(db: Database) -> None:
    _execute(db, FOUNDATION)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m002_work(db: Database) -> None:
    _execute(db, WORK)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m003_triage(db: Database) -> None:
    _execute(db, TRIAGE)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m004_accounts(db: Database) -> None:
    _execute(db, _ACCOUNTS)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m005_responses(db: Database) -> None:
    db.execute(_RESPONSES)
    # The views took every target for the index of a label; a number, or JSON, is no place in a list.
    views = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND sql LIKE '%|| w.target ||%'")
    for name, statement in views.fetchall():
        db.execute(f"DROP VIEW {name}")
        db.execute(statement.replace("|| w.target ||", "|| iif(typeof(w.target) = 'integer', w.target, '#') ||"))


@migrations()  # type: ignore[untyped-decorator]  # as above
def m006_trial_jobs(db: Database) -> None:
    _execute(db, _TRIAL_JOBS)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m007_target_tokens(db: Database) -> None:
    db.execute(_TARGET_TOKENS)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m008_decided_targets(db: Database) -> None:
    # What is decided may be spans, a set of labels or a number, and is no place in a list of names then.
    views = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND sql LIKE '%|| e.label ||%'")
    for name, statement in views.fetchall():
        db.execute(f"DROP VIEW {name}")
        db.execute(statement.replace("|| e.label ||", "|| iif(typeof(e.label) = 'integer', e.label, '#') ||"))


@migrations()  # type: ignore[untyped-decorator]  # as above
def m009_settled(db: Database) -> None:
    db.execute(_SETTLED)


def _execute(db: Database, statements: str) -> None:
    """One after the other, inside the migration's transaction (which `executescript` would end)."""
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)


# Rows of which more than half of those who decided want what was decided last are no longer disputed.
_SETTLED = """
WITH wanted AS (
    SELECT s.dataset_key, s.split, s.position, s.is_current, s.n_authors,
           CASE WHEN e.dataset_key <> s.dataset_key THEN json_array(w.target, NULL)
                WHEN s.action = 'drop' THEN 'drop'
                ELSE json_array(coalesce(e.label, w.target), e.text) END AS outcome
    FROM standing_decisions s
    JOIN decisions e ON e.key = s.decision_key
    JOIN dataset_rows w ON w.dataset_key = s.dataset_key AND w.split = s.split AND w.position = s.position
    WHERE s.is_disputed AND s.n_authors > 2 AND s.action IN ('relabel', 'keep', 'drop', 'edit'))
UPDATE standing_decisions SET is_disputed = 0 WHERE (dataset_key, split, position) IN (
    SELECT n.dataset_key, n.split, n.position FROM wanted n
    JOIN wanted o ON o.dataset_key = n.dataset_key AND o.split = n.split AND o.position = n.position
        AND o.outcome = n.outcome
    WHERE n.is_current
    GROUP BY n.dataset_key, n.split, n.position, n.n_authors
    HAVING 2 * count(*) > n.n_authors)
"""

_TARGET_TOKENS = """
CREATE TABLE target_tokens (              -- what the best weights say of each token that examples teach, end to end
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    split TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    n_examples INTEGER NOT NULL,
    lengths BLOB NOT NULL,                -- (n_examples,) tokens of each, little-endian int32
    log_probs BLOB NOT NULL,              -- (tokens,) of what is to be said, little-endian float16, natural logarithm
    best_other BLOB NOT NULL,             -- as that, of the likeliest other token
    alone BLOB,                           -- as log_probs, without what stands before the answer; NULL = not measured
    PRIMARY KEY (run_key, split, first_position)
) STRICT
"""

_RESPONSES = """
CREATE TABLE responses (                  -- what a model said where no class says it, as JSON by the run's task
    evaluation_key INTEGER NOT NULL REFERENCES evaluations (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- of the run's dataset and the evaluation's split
    response TEXT NOT NULL CHECK (json_valid(response)),
    PRIMARY KEY (evaluation_key, position)
) STRICT, WITHOUT ROWID
"""

_ACCOUNTS = """
-- seconds of a device that the trial held, written down by the sweep's driver
ALTER TABLE trials ADD COLUMN held_seconds REAL;
-- ms: the interval of a measured latency
ALTER TABLE trials ADD COLUMN latency_low REAL;
ALTER TABLE trials ADD COLUMN latency_high REAL;
-- having ready what later runs find ready; in no other figure
ALTER TABLE run_costs ADD COLUMN preparing_seconds REAL;
-- no driver wrote down what came before: the wall time of its run is the nearest that is known
UPDATE trials SET held_seconds = (SELECT c.wall_seconds FROM run_costs c WHERE c.run_key = trials.run_key)
    WHERE NOT is_reused
"""

_TRIAL_JOBS = """
-- the trial that a job carries out for the driver of its sweep
ALTER TABLE jobs ADD COLUMN trial_key INTEGER REFERENCES trials (key) ON DELETE SET NULL;
-- it ends with its job, and takes no other
ALTER TABLE workers ADD COLUMN is_leaving INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_trial ON jobs (trial_key) WHERE trial_key IS NOT NULL;
CREATE TABLE trial_messages (             -- between the driver of a sweep and a trial that a worker carries out
    key INTEGER PRIMARY KEY,
    job_key INTEGER NOT NULL REFERENCES jobs (key) ON DELETE CASCADE,
    is_from_driver INTEGER NOT NULL,
    message TEXT NOT NULL,                -- JSON
    at REAL NOT NULL
) STRICT;
CREATE INDEX trial_messages_by_job ON trial_messages (job_key);
CREATE TABLE profiles (                   -- what a dataset version looks like to a tokenizer, before any training
    key INTEGER PRIMARY KEY,
    dataset_key INTEGER NOT NULL REFERENCES datasets (key) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,            -- of all that decides it beside the data
    profile TEXT NOT NULL CHECK (json_valid(profile)),
    created_at REAL NOT NULL,
    UNIQUE (dataset_key, fingerprint)
) STRICT
"""
