/* store_schema.h - the tables of the catalogue. PRAGMA user_version counts migrations: entry i of
 * the list brings a database from version i to i + 1, and entries are only ever appended. */
#ifndef STRIDED_STORE_SCHEMA_H
#define STRIDED_STORE_SCHEMA_H

static const char *const store_migrations[] = {
    /* Versions already given, so that none is given twice. */
    "CREATE TABLE counters (kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,"
    " PRIMARY KEY (kind, name)) WITHOUT ROWID;"

    "CREATE TABLE datasets (name TEXT NOT NULL, version INTEGER NOT NULL, info TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, created TEXT NOT NULL, PRIMARY KEY (name, version));"

    "CREATE TABLE models (name TEXT NOT NULL, version INTEGER NOT NULL, sha256 TEXT NOT NULL,"
    " job TEXT NOT NULL, created TEXT NOT NULL, active INTEGER NOT NULL,"
    " PRIMARY KEY (name, version));"

    /* state: enum job_state. labels: one NUL-terminated text a class, one after the other. */
    "CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL,"
    " request TEXT NOT NULL, model TEXT NOT NULL, dataset TEXT NOT NULL,"
    " dataset_version INTEGER NOT NULL, model_version INTEGER NOT NULL DEFAULT 0,"
    " epochs INTEGER NOT NULL, epoch INTEGER NOT NULL DEFAULT 0,"
    " parameters INTEGER NOT NULL DEFAULT 0, threads INTEGER NOT NULL DEFAULT 0,"
    " cpu TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',"
    " weights_sha256 TEXT NOT NULL DEFAULT '', created TEXT NOT NULL,"
    " started TEXT NOT NULL DEFAULT '', finished TEXT NOT NULL DEFAULT '',"
    " loss REAL, accuracy REAL, val_loss REAL, val_accuracy REAL, test_loss REAL,"
    " test_accuracy REAL, best_epoch INTEGER NOT NULL DEFAULT 0, labels BLOB,"
    " idempotency_key TEXT UNIQUE);"
    "CREATE INDEX jobs_by_state ON jobs (state, id);"

    /* confusion: [classes, classes] of little-endian u32, rows actual. */
    "CREATE TABLE epochs (job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    " epoch INTEGER NOT NULL, loss REAL, accuracy REAL, val_loss REAL, val_accuracy REAL,"
    " seconds REAL, split TEXT NOT NULL, classes INTEGER NOT NULL, confusion BLOB,"
    " PRIMARY KEY (job, epoch)) WITHOUT ROWID;"

    "CREATE TABLE batches (job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    " epoch INTEGER NOT NULL, batch INTEGER NOT NULL, loss REAL, lr REAL,"
    " PRIMARY KEY (job, epoch, batch)) WITHOUT ROWID;"

    /* Of the published weights. */
    "CREATE TABLE evaluations (job INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,"
    " epoch INTEGER NOT NULL, split TEXT NOT NULL, classes INTEGER NOT NULL,"
    " confusion BLOB NOT NULL);"

    /* place 0 is the most confident. scores: [classes] of little-endian f32. */
    "CREATE TABLE failures (job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    " place INTEGER NOT NULL, sample INTEGER NOT NULL, actual INTEGER NOT NULL,"
    " predicted INTEGER NOT NULL, score REAL, scores BLOB NOT NULL,"
    " PRIMARY KEY (job, place)) WITHOUT ROWID;",

    /* What happened to each job, numbered from 1 (proto/event.h): a state it took (epoch 0), or an
     * epoch it finished for the first time. Triggers write it, so that nothing is left out. */
    "CREATE TABLE job_events (job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    " number INTEGER NOT NULL, epoch INTEGER NOT NULL, state INTEGER NOT NULL, time TEXT NOT NULL,"
    " PRIMARY KEY (job, number)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX job_events_by_epoch ON job_events (job, epoch) WHERE epoch > 0;"
    "INSERT INTO job_events SELECT id, 1, 0, 0, created FROM jobs;"
    "INSERT INTO job_events SELECT job, 1 + row_number() OVER (PARTITION BY job ORDER BY epoch),"
    " epoch, 1, '' FROM epochs;"
    "INSERT INTO job_events SELECT id, 1 + (SELECT max(number) FROM job_events WHERE job = id), 0,"
    " state, finished FROM jobs WHERE state <> 0;"
    "CREATE TRIGGER job_is_added AFTER INSERT ON jobs BEGIN"
    " INSERT INTO job_events VALUES (new.id, 1, 0, new.state, new.created); END;"
    "CREATE TRIGGER job_changes_state AFTER UPDATE OF state ON jobs WHEN new.state <> old.state"
    " BEGIN INSERT INTO job_events SELECT new.id, max(number) + 1, 0, new.state,"
    " strftime('%Y-%m-%dT%H:%M:%SZ', 'now') FROM job_events WHERE job = new.id; END;"
    "CREATE TRIGGER job_finishes_epoch AFTER INSERT ON epochs WHEN NOT EXISTS (SELECT 1 FROM"
    " job_events WHERE job = new.job AND epoch = new.epoch AND epoch > 0)"
    " BEGIN INSERT INTO job_events SELECT new.job, max(number) + 1, new.epoch, 1,"
    " strftime('%Y-%m-%dT%H:%M:%SZ', 'now') FROM job_events WHERE job = new.job; END;",

    /* samples: [sum of confusion] of little-endian u32, see struct cnn_eval; null where there are
     * too many. */
    "ALTER TABLE epochs ADD COLUMN samples BLOB;"
    "ALTER TABLE evaluations ADD COLUMN samples BLOB;",
    /* crashes, interruptions: in a row, while resumed_epoch and resumed_batch, where the last
     * worker went on, stood still. An index holds what each of its queries reads. */
    "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN last_crash TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE jobs ADD COLUMN resumed_epoch INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN resumed_batch INTEGER NOT NULL DEFAULT 0;"
    "DROP INDEX jobs_by_state;"
    "CREATE INDEX jobs_by_turn ON jobs (state, priority DESC, id);"
    "CREATE INDEX jobs_by_model ON jobs (model, state);",
    "ALTER TABLE datasets ADD COLUMN sha256 TEXT NOT NULL DEFAULT '';",

    /* What a version's file holds, as JSON (model.h); filled in for older rows as they are loaded.
     */
    "ALTER TABLE models ADD COLUMN info TEXT NOT NULL DEFAULT '';",
};

#endif
