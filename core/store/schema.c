/* SPDX-License-Identifier: MIT */
/*
 * core/store/schema.c - the tables, in both dialects side by side.
 *
 * The one place where tables are defined: for each table the PostgreSQL text and the SQLite text stand
 * next to each other with the same columns in the same order, and a test compares them.  The SQLite
 * driver runs its texts on an empty file; extension/schema.sql holds the PostgreSQL ones and is checked
 * to be equal by a test.  A change of a released table raises AUT_STORE_VERSION and comes with a step
 * that moves old files and old extensions.
 *
 *   meaning      PostgreSQL         SQLite (STRICT)
 *   id           uuid               BLOB, 16 bytes
 *   time         timestamptz        INTEGER, microseconds since 1970 UTC
 *   JSON         json (verbatim)    TEXT (SQLite distrusts json_valid in a schema)
 *   bytes        bytea              BLOB
 *   boolean      boolean            INTEGER 0/1
 *
 * What is hot is apart from what is not: `schedule` changes at every fire and `run` at every step, so
 * in PostgreSQL they leave room on their pages for in-place updates and are vacuumed early.  Columns
 * that change often while a run goes on (output_bytes, current_phase, status_detail, timeout_at) are in
 * no index, which is what makes those updates in-place ones.
 */
#include <stddef.h>

#include "core/store/internal.h"
#include "core/store/schema_cloud.h"
#include "core/store/schema_event.h"
#include "core/store/schema_match.h"
#include "core/store/schema_output.h"

/* ---- automation ---------------------------------------------------------------------------- */

#define POSTGRES_AUTOMATION                                                                        \
	"CREATE TABLE automation.automation (\n"                                                       \
	"    id uuid NOT NULL,\n"                                                                      \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    user_id uuid NOT NULL,\n"                                                                 \
	"    owner text,\n"                                                                            \
	"    name text NOT NULL,\n"                                                                    \
	"    description text,\n"                                                                      \
	"    prompt text,\n"                                                                           \
	"    preset_metadata json,\n"                                                                  \
	"    plugin_spec json,\n"                                                                      \
	"    model text,\n"                                                                            \
	"    agent_profile_id text,\n"                                                                 \
	"    trigger json NOT NULL,\n"                                                                 \
	"    trigger_type text NOT NULL CHECK (trigger_type IN ('cron', 'event')),\n"                  \
	"    observability_associations json,\n"                                                       \
	"    tarball_path text NOT NULL,\n"                                                            \
	"    setup_script_path text,\n"                                                                \
	"    entrypoint text NOT NULL,\n"                                                              \
	"    timeout_s integer,\n"                                                                     \
	"    keep_alive boolean,\n"                                                                    \
	"    state text NOT NULL CHECK (state IN ('ACTIVE', 'INACTIVE', 'DRAFT')),\n"                  \
	"    disabled_reason text,\n"                                                                  \
	"    disabled_detail json,\n"                                                                  \
	"    disabled_at timestamptz,\n"                                                               \
	"    deleted_at timestamptz,\n"                                                                \
	"    last_triggered_at timestamptz,\n"                                                         \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    updated_at timestamptz NOT NULL,\n"                                                       \
	"    wait_at_limit boolean NOT NULL DEFAULT false,\n"                                          \
	"    PRIMARY KEY (id)\n"                                                                       \
	");\n"                                                                                         \
	"CREATE INDEX automation_tarball_idx ON automation.automation (lower(tarball_path));\n"        \
	"CREATE INDEX automation_org_created_idx ON automation.automation (org_id, created_at DESC, "  \
	"id DESC)\n"                                                                                   \
	"    WHERE deleted_at IS NULL;\n"                                                              \
	"CREATE INDEX automation_org_name_idx ON automation.automation (org_id, name, created_at "     \
	"DESC, id DESC)\n"                                                                             \
	"    WHERE deleted_at IS NULL;\n"

#define SQLITE_AUTOMATION                                                                          \
	"CREATE TABLE automation.automation (\n"                                                       \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    user_id BLOB NOT NULL CHECK (length(user_id) = 16),\n"                                    \
	"    owner TEXT,\n"                                                                            \
	"    name TEXT NOT NULL,\n"                                                                    \
	"    description TEXT,\n"                                                                      \
	"    prompt TEXT,\n"                                                                           \
	"    preset_metadata TEXT,\n"                                                                  \
	"    plugin_spec TEXT,\n"                                                                      \
	"    model TEXT,\n"                                                                            \
	"    agent_profile_id TEXT,\n"                                                                 \
	"    trigger TEXT NOT NULL,\n"                                                                 \
	"    trigger_type TEXT NOT NULL CHECK (trigger_type IN ('cron', 'event')),\n"                  \
	"    observability_associations TEXT,\n"                                                       \
	"    tarball_path TEXT NOT NULL,\n"                                                            \
	"    setup_script_path TEXT,\n"                                                                \
	"    entrypoint TEXT NOT NULL,\n"                                                              \
	"    timeout_s INTEGER,\n"                                                                     \
	"    keep_alive INTEGER CHECK (keep_alive IN (0, 1)),\n"                                       \
	"    state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'INACTIVE', 'DRAFT')),\n"                  \
	"    disabled_reason TEXT,\n"                                                                  \
	"    disabled_detail TEXT,\n"                                                                  \
	"    disabled_at INTEGER,\n"                                                                   \
	"    deleted_at INTEGER,\n"                                                                    \
	"    last_triggered_at INTEGER,\n"                                                             \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    updated_at INTEGER NOT NULL,\n"                                                           \
	"    wait_at_limit INTEGER NOT NULL DEFAULT 0 CHECK (wait_at_limit IN (0, 1)),\n"              \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE INDEX automation.automation_tarball_idx ON automation (lower(tarball_path));\n"        \
	"CREATE INDEX automation.automation_org_created_idx ON automation (org_id, created_at DESC, "  \
	"id DESC)\n"                                                                                   \
	"    WHERE deleted_at IS NULL;\n"                                                              \
	"CREATE INDEX automation.automation_org_name_idx ON automation (org_id, name, created_at "     \
	"DESC, id DESC)\n"                                                                             \
	"    WHERE deleted_at IS NULL;\n"

/* ---- schedule ------------------------------------------------------------------------------ */

#define POSTGRES_SCHEDULE                                                                          \
	"CREATE TABLE automation.schedule (\n"                                                         \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    next_fire_at timestamptz,\n"                                                              \
	"    last_slot timestamptz,\n"                                                                 \
	"    last_fire_at timestamptz,\n"                                                              \
	"    expr text NOT NULL,\n"                                                                    \
	"    timezone text NOT NULL,\n"                                                                \
	"    PRIMARY KEY (automation_id)\n"                                                            \
	") WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold " \
	"= 1000);\n"                                                                                   \
	"CREATE INDEX schedule_next_fire_idx ON automation.schedule (next_fire_at)\n"                  \
	"    WHERE next_fire_at IS NOT NULL;\n"

#define SQLITE_SCHEDULE                                                                            \
	"CREATE TABLE automation.schedule (\n"                                                         \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    next_fire_at INTEGER,\n"                                                                  \
	"    last_slot INTEGER,\n"                                                                     \
	"    last_fire_at INTEGER,\n"                                                                  \
	"    expr TEXT NOT NULL,\n"                                                                    \
	"    timezone TEXT NOT NULL,\n"                                                                \
	"    PRIMARY KEY (automation_id)\n"                                                            \
	") STRICT, WITHOUT ROWID;\n"                                                                   \
	"CREATE INDEX automation.schedule_next_fire_idx ON schedule (next_fire_at)\n"                  \
	"    WHERE next_fire_at IS NOT NULL;\n"

/* ---- gap ----------------------------------------------------------------------------------- */

#define POSTGRES_GAP                                                                               \
	"CREATE TABLE automation.gap (\n"                                                              \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    first_missed timestamptz NOT NULL,\n"                                                     \
	"    last_missed timestamptz NOT NULL,\n"                                                      \
	"    missed bigint NOT NULL,\n"                                                                \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    PRIMARY KEY (automation_id, first_missed)\n"                                              \
	");\n"                                                                                         \
	"CREATE INDEX gap_created_idx ON automation.gap (created_at);\n"

#define SQLITE_GAP                                                                                 \
	"CREATE TABLE automation.gap (\n"                                                              \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    first_missed INTEGER NOT NULL,\n"                                                         \
	"    last_missed INTEGER NOT NULL,\n"                                                          \
	"    missed INTEGER NOT NULL,\n"                                                               \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    PRIMARY KEY (automation_id, first_missed)\n"                                              \
	") STRICT, WITHOUT ROWID;\n"                                                                   \
	"CREATE INDEX automation.gap_created_idx ON gap (created_at);\n"

/* ---- run ----------------------------------------------------------------------------------- */

#define POSTGRES_RUN                                                                               \
	"CREATE TABLE automation.run (\n"                                                              \
	"    id uuid NOT NULL,\n"                                                                      \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    status text NOT NULL CHECK (status IN\n"                                                  \
	"        ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')),\n"            \
	"    trigger_source text,\n"                                                                   \
	"    scheduled_for timestamptz,\n"                                                             \
	"    ready_at timestamptz NOT NULL,\n"                                                         \
	"    attempt integer NOT NULL DEFAULT 0,\n"                                                    \
	"    worker text,\n"                                                                           \
	"    bash_command_id text,\n"                                                                  \
	"    sandbox_id text,\n"                                                                       \
	"    timeout_at timestamptz,\n"                                                                \
	"    cleanup_at timestamptz,\n"                                                                \
	"    error_detail text,\n"                                                                     \
	"    status_detail json,\n"                                                                    \
	"    current_phase text,\n"                                                                    \
	"    conversation_id text,\n"                                                                  \
	"    cost double precision,\n"                                                                 \
	"    exit_code integer,\n"                                                                     \
	"    output_bytes bigint NOT NULL DEFAULT 0,\n"                                                \
	"    observability_associations json,\n"                                                       \
	"    run_metadata json,\n"                                                                     \
	"    resolved_runtime json,\n"                                                                 \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    started_at timestamptz,\n"                                                                \
	"    completed_at timestamptz,\n"                                                              \
	"    trigger_event_id uuid,\n"                                                                 \
	"    subject_key text,\n"                                                                      \
	"    replayed boolean NOT NULL DEFAULT false,\n"                                               \
	"    inline boolean NOT NULL DEFAULT false,\n"                                                 \
	"    PRIMARY KEY (id)\n"                                                                       \
	") WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold " \
	"= 1000);\n"                                                                                   \
	"CREATE UNIQUE INDEX run_slot_idx ON automation.run (automation_id, scheduled_for)\n"          \
	"    WHERE scheduled_for IS NOT NULL;\n"                                                       \
	"CREATE INDEX run_ready_idx ON automation.run (ready_at, id) WHERE status = 'PENDING';\n"      \
	"CREATE INDEX run_inline_idx ON automation.run (ready_at, id)\n"                               \
	"    WHERE status = 'PENDING' AND inline;\n"                                                   \
	"CREATE INDEX run_held_idx ON automation.run (worker, id) WHERE status = 'RUNNING';\n"         \
	"CREATE INDEX run_cleanup_idx ON automation.run (cleanup_at) WHERE cleanup_at IS NOT NULL;\n"  \
	"CREATE INDEX run_newest_idx ON automation.run (automation_id, id DESC);\n"                    \
	"CREATE INDEX run_status_idx ON automation.run (automation_id, status, id);\n"                 \
	"CREATE INDEX run_manual_idx ON automation.run (automation_id, created_at)\n"                  \
	"    WHERE trigger_source = 'manual';\n"                                                       \
	"CREATE INDEX run_event_idx ON automation.run (trigger_event_id, id)\n"                        \
	"    WHERE trigger_event_id IS NOT NULL;\n"

#define SQLITE_RUN                                                                                 \
	"CREATE TABLE automation.run (\n"                                                              \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    status TEXT NOT NULL CHECK (status IN\n"                                                  \
	"        ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')),\n"            \
	"    trigger_source TEXT,\n"                                                                   \
	"    scheduled_for INTEGER,\n"                                                                 \
	"    ready_at INTEGER NOT NULL,\n"                                                             \
	"    attempt INTEGER NOT NULL DEFAULT 0,\n"                                                    \
	"    worker TEXT,\n"                                                                           \
	"    bash_command_id TEXT,\n"                                                                  \
	"    sandbox_id TEXT,\n"                                                                       \
	"    timeout_at INTEGER,\n"                                                                    \
	"    cleanup_at INTEGER,\n"                                                                    \
	"    error_detail TEXT,\n"                                                                     \
	"    status_detail TEXT,\n"                                                                    \
	"    current_phase TEXT,\n"                                                                    \
	"    conversation_id TEXT,\n"                                                                  \
	"    cost REAL,\n"                                                                             \
	"    exit_code INTEGER,\n"                                                                     \
	"    output_bytes INTEGER NOT NULL DEFAULT 0,\n"                                               \
	"    observability_associations TEXT,\n"                                                       \
	"    run_metadata TEXT,\n"                                                                     \
	"    resolved_runtime TEXT,\n"                                                                 \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    started_at INTEGER,\n"                                                                    \
	"    completed_at INTEGER,\n"                                                                  \
	"    trigger_event_id BLOB CHECK (length(trigger_event_id) = 16),\n"                           \
	"    subject_key TEXT,\n"                                                                      \
	"    replayed INTEGER NOT NULL DEFAULT 0 CHECK (replayed IN (0, 1)),\n"                        \
	"    inline INTEGER NOT NULL DEFAULT 0 CHECK (inline IN (0, 1)),\n"                            \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE UNIQUE INDEX automation.run_slot_idx ON run (automation_id, scheduled_for)\n"          \
	"    WHERE scheduled_for IS NOT NULL;\n"                                                       \
	"CREATE INDEX automation.run_ready_idx ON run (ready_at, id) WHERE status = 'PENDING';\n"      \
	"CREATE INDEX automation.run_inline_idx ON run (ready_at, id)\n"                               \
	"    WHERE status = 'PENDING' AND inline;\n"                                                   \
	"CREATE INDEX automation.run_held_idx ON run (worker, id) WHERE status = 'RUNNING';\n"         \
	"CREATE INDEX automation.run_cleanup_idx ON run (cleanup_at) WHERE cleanup_at IS NOT NULL;\n"  \
	"CREATE INDEX automation.run_newest_idx ON run (automation_id, id DESC);\n"                    \
	"CREATE INDEX automation.run_status_idx ON run (automation_id, status, id);\n"                 \
	"CREATE INDEX automation.run_manual_idx ON run (automation_id, created_at)\n"                  \
	"    WHERE trigger_source = 'manual';\n"                                                       \
	"CREATE INDEX automation.run_event_idx ON run (trigger_event_id, id)\n"                        \
	"    WHERE trigger_event_id IS NOT NULL;\n"

/*
 * How many runs of an automation ended how, so that a page of its runs need not count them all.  A backend
 * of PostgreSQL counts in a slot of its own (its process id), so that nobody waits for somebody else's
 * transaction; the janitor moves what processes that are gone have counted to slot 0.  SQLite has one writer
 * and one slot.
 */
#define POSTGRES_RUN_TALLY                                                                         \
	"CREATE TABLE automation.run_tally (\n"                                                        \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    status text NOT NULL,\n"                                                                  \
	"    slot integer NOT NULL,\n"                                                                 \
	"    runs bigint NOT NULL,\n"                                                                  \
	"    PRIMARY KEY (automation_id, status, slot)\n"                                              \
	") WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold " \
	"= 1000);\n"                                                                                   \
	"CREATE INDEX run_tally_slot_idx ON automation.run_tally (slot) WHERE slot <> 0;\n"

#define SQLITE_RUN_TALLY                                                                           \
	"CREATE TABLE automation.run_tally (\n"                                                        \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    status TEXT NOT NULL,\n"                                                                  \
	"    slot INTEGER NOT NULL,\n"                                                                 \
	"    runs INTEGER NOT NULL,\n"                                                                 \
	"    PRIMARY KEY (automation_id, status, slot)\n"                                              \
	") STRICT, WITHOUT ROWID;\n"                                                                   \
	"CREATE INDEX automation.run_tally_slot_idx ON run_tally (slot) WHERE slot <> 0;\n"

#define POSTGRES_RUN_INPUT                                                                         \
	"CREATE TABLE automation.run_input (\n"                                                        \
	"    run_id uuid NOT NULL REFERENCES automation.run (id) ON DELETE CASCADE,\n"                 \
	"    input json NOT NULL,\n"                                                                   \
	"    PRIMARY KEY (run_id)\n"                                                                   \
	");\n"

#define SQLITE_RUN_INPUT                                                                           \
	"CREATE TABLE automation.run_input (\n"                                                        \
	"    run_id BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,\n"                            \
	"    input TEXT NOT NULL,\n"                                                                   \
	"    PRIMARY KEY (run_id)\n"                                                                   \
	") STRICT;\n"

/* ---- dedupe -------------------------------------------------------------------------------- */

/* The run is not referenced: one that retention takes away leaves a key that is free again. */
#define POSTGRES_DEDUPE                                                                            \
	"CREATE TABLE automation.dedupe (\n"                                                           \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    dedupe_key text NOT NULL,\n"                                                              \
	"    run_id uuid NOT NULL,\n"                                                                  \
	"    expires_at timestamptz NOT NULL,\n"                                                       \
	"    PRIMARY KEY (automation_id, dedupe_key)\n"                                                \
	");\n"                                                                                         \
	"CREATE INDEX dedupe_expires_idx ON automation.dedupe (expires_at);\n"

#define SQLITE_DEDUPE                                                                              \
	"CREATE TABLE automation.dedupe (\n"                                                           \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    dedupe_key TEXT NOT NULL,\n"                                                              \
	"    run_id BLOB NOT NULL CHECK (length(run_id) = 16),\n"                                      \
	"    expires_at INTEGER NOT NULL,\n"                                                           \
	"    PRIMARY KEY (automation_id, dedupe_key)\n"                                                \
	") STRICT, WITHOUT ROWID;\n"                                                                   \
	"CREATE INDEX automation.dedupe_expires_idx ON dedupe (expires_at);\n"

/* ---- disable_event ------------------------------------------------------------------------- */

/* Every time an automation was switched off, by whom and why; the newest one is where the health check
 * begins to look.  Indexed by the run for the sake of its deletion. */
#define POSTGRES_DISABLE_EVENT                                                                     \
	"CREATE TABLE automation.disable_event (\n"                                                    \
	"    id uuid NOT NULL,\n"                                                                      \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    run_id uuid REFERENCES automation.run (id) ON DELETE SET NULL,\n"                         \
	"    reason text NOT NULL,\n"                                                                  \
	"    detail json,\n"                                                                           \
	"    source text NOT NULL,\n"                                                                  \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    PRIMARY KEY (id)\n"                                                                       \
	");\n"                                                                                         \
	"CREATE INDEX disable_event_newest_idx ON automation.disable_event (automation_id, "           \
	"created_at DESC);\n"                                                                          \
	"CREATE INDEX disable_event_run_idx ON automation.disable_event (run_id);\n"

#define SQLITE_DISABLE_EVENT                                                                       \
	"CREATE TABLE automation.disable_event (\n"                                                    \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    run_id BLOB REFERENCES run (id) ON DELETE SET NULL,\n"                                    \
	"    reason TEXT NOT NULL,\n"                                                                  \
	"    detail TEXT,\n"                                                                           \
	"    source TEXT NOT NULL,\n"                                                                  \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE INDEX automation.disable_event_newest_idx ON disable_event (automation_id, "           \
	"created_at DESC);\n"                                                                          \
	"CREATE INDEX automation.disable_event_run_idx ON disable_event (run_id);\n"

/* ---- upload -------------------------------------------------------------------------------- */

/* Tarballs are compressed already: EXTERNAL keeps PostgreSQL from trying again. */
#define POSTGRES_UPLOAD                                                                            \
	"CREATE TABLE automation.upload (\n"                                                           \
	"    id uuid NOT NULL,\n"                                                                      \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    user_id uuid NOT NULL,\n"                                                                 \
	"    name text NOT NULL,\n"                                                                    \
	"    description text,\n"                                                                      \
	"    status text NOT NULL CHECK (status IN ('UPLOADING', 'COMPLETED', 'FAILED')),\n"           \
	"    error_message text,\n"                                                                    \
	"    size_bytes bigint,\n"                                                                     \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    updated_at timestamptz NOT NULL,\n"                                                       \
	"    deleted_at timestamptz,\n"                                                                \
	"    store text NOT NULL CHECK (store IN ('database', 'local', 's3', 'gcs')),\n"               \
	"    object_due_at timestamptz,\n"                                                             \
	"    PRIMARY KEY (id)\n"                                                                       \
	");\n"                                                                                         \
	"CREATE INDEX upload_live_idx ON automation.upload (created_at, id) WHERE deleted_at IS "      \
	"NULL;\n"                                                                                      \
	"CREATE INDEX upload_object_idx ON automation.upload (object_due_at)\n"                        \
	"    WHERE object_due_at IS NOT NULL;\n"                                                       \
	"CREATE INDEX upload_newest_idx ON automation.upload (org_id, user_id, created_at DESC);\n"    \
	"CREATE INDEX upload_deleted_idx ON automation.upload (deleted_at)\n"                          \
	"    WHERE deleted_at IS NOT NULL;\n"                                                          \
	"CREATE TABLE automation.upload_data (\n"                                                      \
	"    upload_id uuid NOT NULL REFERENCES automation.upload (id) ON DELETE CASCADE,\n"           \
	"    data bytea NOT NULL,\n"                                                                   \
	"    PRIMARY KEY (upload_id)\n"                                                                \
	");\n"                                                                                         \
	"ALTER TABLE automation.upload_data ALTER COLUMN data SET STORAGE EXTERNAL;\n"

#define SQLITE_UPLOAD                                                                              \
	"CREATE TABLE automation.upload (\n"                                                           \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    user_id BLOB NOT NULL CHECK (length(user_id) = 16),\n"                                    \
	"    name TEXT NOT NULL,\n"                                                                    \
	"    description TEXT,\n"                                                                      \
	"    status TEXT NOT NULL CHECK (status IN ('UPLOADING', 'COMPLETED', 'FAILED')),\n"           \
	"    error_message TEXT,\n"                                                                    \
	"    size_bytes INTEGER,\n"                                                                    \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    updated_at INTEGER NOT NULL,\n"                                                           \
	"    deleted_at INTEGER,\n"                                                                    \
	"    store TEXT NOT NULL CHECK (store IN ('database', 'local', 's3', 'gcs')),\n"               \
	"    object_due_at INTEGER,\n"                                                                 \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE INDEX automation.upload_live_idx ON upload (created_at, id) WHERE deleted_at IS "      \
	"NULL;\n"                                                                                      \
	"CREATE INDEX automation.upload_object_idx ON upload (object_due_at)\n"                        \
	"    WHERE object_due_at IS NOT NULL;\n"                                                       \
	"CREATE INDEX automation.upload_newest_idx ON upload (org_id, user_id, created_at DESC);\n"    \
	"CREATE INDEX automation.upload_deleted_idx ON upload (deleted_at)\n"                          \
	"    WHERE deleted_at IS NOT NULL;\n"                                                          \
	"CREATE TABLE automation.upload_data (\n"                                                      \
	"    upload_id BLOB NOT NULL REFERENCES upload (id) ON DELETE CASCADE,\n"                      \
	"    data BLOB NOT NULL,\n"                                                                    \
	"    PRIMARY KEY (upload_id)\n"                                                                \
	") STRICT;\n"

/* ---- worker, meta -------------------------------------------------------------------------- */

#define POSTGRES_WORKER                                                                            \
	"CREATE TABLE automation.worker (\n"                                                           \
	"    name text NOT NULL,\n"                                                                    \
	"    pid bigint NOT NULL,\n"                                                                   \
	"    started_at timestamptz NOT NULL,\n"                                                       \
	"    renewed_at timestamptz NOT NULL,\n"                                                       \
	"    lease_until timestamptz NOT NULL,\n"                                                      \
	"    PRIMARY KEY (name)\n"                                                                     \
	") WITH (fillfactor = 50);\n"

#define SQLITE_WORKER                                                                              \
	"CREATE TABLE automation.worker (\n"                                                           \
	"    name TEXT NOT NULL,\n"                                                                    \
	"    pid INTEGER NOT NULL,\n"                                                                  \
	"    started_at INTEGER NOT NULL,\n"                                                           \
	"    renewed_at INTEGER NOT NULL,\n"                                                           \
	"    lease_until INTEGER NOT NULL,\n"                                                          \
	"    PRIMARY KEY (name)\n"                                                                     \
	") STRICT, WITHOUT ROWID;\n"

/* For people who look into the file; the program goes by PRAGMA user_version. */
#define SQLITE_META                                                                                \
	"CREATE TABLE automation.meta (\n"                                                             \
	"    key TEXT NOT NULL,\n"                                                                     \
	"    value TEXT NOT NULL,\n"                                                                   \
	"    PRIMARY KEY (key)\n"                                                                      \
	") STRICT, WITHOUT ROWID;\n"                                                                   \
	"INSERT INTO automation.meta (key, value) VALUES ('made_by', 'automation " AUT_VERSION "');\n"

const char *
aut_store_schema(aut_dialect dialect)
{
	static const char postgres[] = POSTGRES_AUTOMATION POSTGRES_SCHEDULE POSTGRES_GAP POSTGRES_RUN
		POSTGRES_RUN_TALLY POSTGRES_RUN_INPUT POSTGRES_RUN_OUTPUT POSTGRES_DEDUPE
			POSTGRES_DISABLE_EVENT POSTGRES_UPLOAD POSTGRES_WORKER POSTGRES_SANDBOX
				POSTGRES_EVENT_TABLES POSTGRES_MATCH POSTGRES_OUTPUT_SPANS;
	static const char sqlite[] = SQLITE_AUTOMATION SQLITE_SCHEDULE SQLITE_GAP SQLITE_RUN
		SQLITE_RUN_TALLY SQLITE_RUN_INPUT SQLITE_RUN_OUTPUT SQLITE_DEDUPE SQLITE_DISABLE_EVENT
			SQLITE_UPLOAD SQLITE_WORKER SQLITE_SANDBOX SQLITE_EVENT_TABLES SQLITE_MATCH SQLITE_META;

	return dialect == AUT_DIALECT_POSTGRES ? postgres : sqlite;
}

const aut_stmt *
aut_store_statement(size_t index)
{
	static const aut_stmt *const *const all[] = {
		aut__automation_statements, aut__schedule_statements,    aut__run_statements,
		aut__claim_statements,      aut__output_statements,      aut__upload_statements,
		aut__object_statements,     aut__worker_statements,      aut__policy_statements,
		aut__retention_statements,  aut__sandbox_statements,     aut__tally_statements,
		aut__webhook_statements,    aut__environment_statements, aut__event_statements,
		aut__trigger_statements,    aut__span_statements,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
	{
		for (const aut_stmt *const *at = all[i]; *at != NULL; at++)
		{
			if (index-- == 0)
				return *at;
		}
	}
	return NULL;
}
