"""The tables of migration m003: what is found in a dataset version, what people decided about it, and what came of it.

Like the migration itself this text is never edited once it has landed.
"""

TRIAGE = """
CREATE TABLE triages (                    -- one computation of everything about one dataset version
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    dataset_key INTEGER NOT NULL REFERENCES datasets (key),
    status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed', 'killed')),
    cause TEXT,
    fingerprint TEXT NOT NULL,            -- of what it looks at and how: two of one fingerprint say the same
    versions TEXT NOT NULL CHECK (json_valid(versions)),   -- {score or kind of finding: version}
    sources TEXT NOT NULL CHECK (json_valid(sources)),     -- [{"kind": "run", "id": ...}]: runs may be removed
    summary TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(summary)),
    has_rows INTEGER NOT NULL DEFAULT 1,  -- 0: later ones of this dataset took its place, only the summary is kept
    created_at REAL NOT NULL,
    ended_at REAL,
    host TEXT, boot_id TEXT, pid INTEGER, process_started_at REAL, heartbeat_at REAL, oom_kills INTEGER,
    version INTEGER NOT NULL DEFAULT 0    -- +1 with every write about this triage
) STRICT;
CREATE INDEX triages_by_dataset ON triages (dataset_key);
CREATE TABLE triage_steps (               -- what is done of it, so that a killed one goes on there
    triage_key INTEGER NOT NULL REFERENCES triages (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    seconds REAL,
    at REAL NOT NULL,
    wrote TEXT NOT NULL CHECK (json_valid(wrote)),   -- what the step replaces when it is done again
    PRIMARY KEY (triage_key, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE triage_columns (             -- numbers of every example of a split, in position order
    triage_key INTEGER NOT NULL REFERENCES triages (key) ON DELETE CASCADE,
    split TEXT NOT NULL,
    name TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    dtype TEXT NOT NULL,                  -- as numpy writes it, little-endian: <f4, <i4, |u1
    width INTEGER NOT NULL,               -- numbers an example; 0: one, and the array has one axis
    n_examples INTEGER NOT NULL,
    block BLOB NOT NULL,
    PRIMARY KEY (triage_key, split, name, first_position)
) STRICT, WITHOUT ROWID;
CREATE TABLE triage_queue (               -- examples in the order in which to look at them
    triage_key INTEGER NOT NULL REFERENCES triages (key) ON DELETE CASCADE,
    place INTEGER NOT NULL,               -- from 0: by risk, then those whose risk is not known
    split TEXT NOT NULL,
    position INTEGER NOT NULL,
    example_key INTEGER NOT NULL REFERENCES examples (key),
    given INTEGER,                        -- label index
    suggested INTEGER,
    risk REAL,                            -- in [0, 1]: how likely the label is wrong
    suggested_probability REAL,
    n_doubting INTEGER,                   -- of n_voices
    n_voices INTEGER,
    PRIMARY KEY (triage_key, place),
    UNIQUE (triage_key, split, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX triage_queue_by_label ON triage_queue (triage_key, given, suggested);
CREATE INDEX triage_queue_by_suggested ON triage_queue (triage_key, suggested);
CREATE INDEX triage_queue_by_example ON triage_queue (example_key);
CREATE TABLE findings (                   -- one reason to look at one example
    triage_key INTEGER NOT NULL REFERENCES triages (key) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    place INTEGER NOT NULL,               -- from 0 within its kind, the highest risk first
    split TEXT NOT NULL,
    position INTEGER NOT NULL,
    risk REAL,
    suggested ANY,                        -- a label index, or a text
    evidence TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(evidence)),
    PRIMARY KEY (triage_key, kind, place),
    UNIQUE (triage_key, split, position, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE finding_groups (             -- examples that share one thing: a region, a slice, two classes
    key INTEGER PRIMARY KEY,
    triage_key INTEGER NOT NULL REFERENCES triages (key) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    risk REAL,
    n INTEGER NOT NULL,
    evidence TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(evidence)),
    splits TEXT NOT NULL CHECK (json_valid(splits)),   -- {split: how many of the positions, one after the other}
    positions BLOB NOT NULL               -- little-endian int32
) STRICT;
CREATE INDEX finding_groups_by_kind ON finding_groups (triage_key, kind);
CREATE TABLE facets (                     -- which examples have which value of their metadata; made from dataset_rows
    dataset_key INTEGER NOT NULL REFERENCES datasets (key) ON DELETE CASCADE,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    split TEXT NOT NULL,
    n_examples INTEGER NOT NULL,
    positions BLOB NOT NULL,              -- little-endian int32
    PRIMARY KEY (dataset_key, field, value, split)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (                  -- what people did: rows are only ever added
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    batch TEXT NOT NULL,                  -- what was decided at once, and is undone at once
    dataset_key INTEGER NOT NULL REFERENCES datasets (key),
    split TEXT,                           -- NULL for an undo, which is about a batch
    position INTEGER,
    example_key INTEGER REFERENCES examples (key),
    action TEXT NOT NULL CHECK (action IN ('relabel', 'keep', 'drop', 'edit', 'skip', 'note', 'undo')),
    label ANY,                            -- what the target is to be; NULL: as it is
    text TEXT,                            -- what the text is to be; NULL: as it is
    result_id BLOB,                       -- the id of the example that comes of it; NULL where none does
    note TEXT,
    author TEXT NOT NULL,
    at REAL NOT NULL,
    seconds REAL,                         -- that the person looked at it
    finding TEXT,                         -- the kind of the finding that led here
    triage_id TEXT,                       -- the triage that led here, which may be gone
    undoes TEXT,                          -- the batch that does not count any more
    CHECK ((action = 'undo') = (undoes IS NOT NULL)),
    CHECK (action = 'undo' OR (split IS NOT NULL AND position IS NOT NULL AND example_key IS NOT NULL))
) STRICT;
CREATE INDEX decisions_by_row ON decisions (dataset_key, split, position);
CREATE INDEX decisions_by_author ON decisions (dataset_key, author, key);
CREATE INDEX decisions_by_example ON decisions (example_key);
CREATE INDEX decisions_by_result ON decisions (result_id);
CREATE INDEX decisions_by_batch ON decisions (batch);
CREATE INDEX decisions_by_undoes ON decisions (undoes);
CREATE TABLE standing_decisions (         -- each author's last word on each row; made from decisions
    dataset_key INTEGER NOT NULL REFERENCES datasets (key) ON DELETE CASCADE,
    split TEXT NOT NULL,
    position INTEGER NOT NULL,
    author TEXT NOT NULL,
    decision_key INTEGER NOT NULL REFERENCES decisions (key) ON DELETE CASCADE,   -- of this version or an earlier one
    action TEXT NOT NULL,
    is_current INTEGER NOT NULL,          -- 1 for one author a row, the newest that decided
    is_disputed INTEGER NOT NULL,         -- authors want different things of the row
    n_authors INTEGER NOT NULL,           -- that decided
    PRIMARY KEY (dataset_key, split, position, author)
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_decisions_by_decision ON standing_decisions (decision_key);
CREATE TABLE version_decisions (          -- which decisions made a dataset version out of its parent
    dataset_key INTEGER NOT NULL REFERENCES datasets (key) ON DELETE CASCADE,
    decision_key INTEGER NOT NULL REFERENCES decisions (key) ON DELETE CASCADE,
    PRIMARY KEY (dataset_key, decision_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE opinions (                   -- what models that had not seen the labels think of the training examples
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    dataset_key INTEGER NOT NULL REFERENCES datasets (key),
    fingerprint TEXT NOT NULL,            -- of how it was made
    kind TEXT NOT NULL,                   -- such as crossval
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed', 'killed')),
    cause TEXT,
    n_classes INTEGER NOT NULL,
    recipe_hash TEXT,
    n_folds INTEGER,                      -- parts that make it complete; NULL: one
    seed INTEGER,
    sources TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(sources)),   -- runs by id: they may be removed
    created_at REAL NOT NULL,
    ended_at REAL,
    host TEXT, boot_id TEXT, pid INTEGER, process_started_at REAL, heartbeat_at REAL, oom_kills INTEGER,
    version INTEGER NOT NULL DEFAULT 0,   -- +1 with every write about this opinion
    UNIQUE (dataset_key, fingerprint)
) STRICT;
CREATE TABLE opinion_parts (              -- what is done of it: the folds
    opinion_key INTEGER NOT NULL REFERENCES opinions (key) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    n_examples INTEGER NOT NULL,
    cost TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(cost)),
    at REAL NOT NULL,
    PRIMARY KEY (opinion_key, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE opinion_blocks (
    opinion_key INTEGER NOT NULL REFERENCES opinions (key) ON DELETE CASCADE,
    first_position INTEGER NOT NULL,
    n_examples INTEGER NOT NULL,
    n_known INTEGER NOT NULL,             -- rows without nan
    block BLOB NOT NULL,                  -- (n_examples, n_classes) little-endian float16: natural log probabilities
    PRIMARY KEY (opinion_key, first_position)
) STRICT, WITHOUT ROWID;

-- views for people ------------------------------------------------------------------------------------------------
CREATE VIEW triage_examples AS
    SELECT t.id AS triage_id, d.name AS dataset, d.version, q.place, q.split, q.position,
           lower(hex(x.id)) AS example_id, x.text, json_extract(d.label_names, '$[' || q.given || ']') AS given,
           json_extract(d.label_names, '$[' || q.suggested || ']') AS suggested, q.suggested_probability, q.risk,
           q.n_doubting, q.n_voices
    FROM triage_queue q JOIN triages t ON t.key = q.triage_key JOIN datasets d ON d.key = t.dataset_key
    JOIN examples x ON x.key = q.example_key;
CREATE VIEW triage_findings AS
    SELECT t.id AS triage_id, d.name AS dataset, d.version, f.kind, f.place, f.split, f.position,
           lower(hex(x.id)) AS example_id, x.text,
           coalesce(json_extract(d.label_names, '$[' || w.target || ']'), w.target) AS given, f.risk,
           CASE typeof(f.suggested)
               WHEN 'integer' THEN coalesce(json_extract(d.label_names, '$[' || f.suggested || ']'), f.suggested)
               ELSE f.suggested END AS suggested, f.evidence
    FROM findings f JOIN triages t ON t.key = f.triage_key JOIN datasets d ON d.key = t.dataset_key
    JOIN dataset_rows w ON w.dataset_key = d.key AND w.split = f.split AND w.position = f.position
    JOIN examples x ON x.key = w.example_key;
CREATE VIEW counted_decisions AS              -- all that were not undone; an undo may itself be undone
    SELECT d.* FROM decisions d WHERE d.action <> 'undo' AND NOT EXISTS (
        SELECT 1 FROM decisions u WHERE u.undoes = d.batch
        AND NOT EXISTS (SELECT 1 FROM decisions r WHERE r.undoes = u.batch));
CREATE VIEW current_decisions AS              -- one row an example that somebody decided on
    SELECT d.name AS dataset, d.version, s.split, s.position, lower(hex(x.id)) AS example_id, x.text,
           coalesce(json_extract(d.label_names, '$[' || w.target || ']'), w.target) AS given, e.action,
           coalesce(json_extract(o.label_names, '$[' || e.label || ']'), e.label) AS label, e.text AS new_text, e.note,
           e.author, e.at, s.n_authors, s.is_disputed, o.name || '@' || o.version AS decided_in
    FROM standing_decisions s JOIN datasets d ON d.key = s.dataset_key JOIN decisions e ON e.key = s.decision_key
    JOIN datasets o ON o.key = e.dataset_key
    JOIN dataset_rows w ON w.dataset_key = s.dataset_key AND w.split = s.split AND w.position = s.position
    JOIN examples x ON x.key = w.example_key
    WHERE s.is_current;
CREATE VIEW decision_history AS
    SELECT d.name AS dataset, d.version, e.id, e.batch, e.undoes, e.at, e.author, e.action, e.split, e.position,
           lower(hex(x.id)) AS example_id, x.text,
           coalesce(json_extract(d.label_names, '$[' || e.label || ']'), e.label) AS label, e.text AS new_text, e.note,
           e.finding, e.triage_id, e.seconds, e.action <> 'undo' AND c.key IS NULL AS is_undone
    FROM decisions e JOIN datasets d ON d.key = e.dataset_key LEFT JOIN examples x ON x.key = e.example_key
    LEFT JOIN counted_decisions c ON c.key = e.key
"""
