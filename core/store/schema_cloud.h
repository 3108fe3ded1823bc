/* SPDX-License-Identifier: MIT */
/*
 * core/store/schema_cloud.h - the table of the sandbox ledger (include/automation/sandboxes.h), in both
 * dialects; a part of schema.c.
 *
 * Neither run nor automation is referenced: what was made in the cloud must be deleted even when they
 * are gone.
 */
#ifndef AUT_SCHEMA_CLOUD_H
#define AUT_SCHEMA_CLOUD_H

#define POSTGRES_SANDBOX                                                                           \
	"CREATE TABLE automation.sandbox (\n"                                                          \
	"    id uuid NOT NULL,\n"                                                                      \
	"    run_id uuid NOT NULL,\n"                                                                  \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    user_id uuid NOT NULL,\n"                                                                 \
	"    sandbox_id text,\n"                                                                       \
	"    state text NOT NULL CHECK (state IN\n"                                                    \
	"        ('CREATING', 'STARTING', 'READY', 'RELEASED', 'KEPT', 'LOST')),\n"                    \
	"    note text,\n"                                                                             \
	"    tries integer NOT NULL DEFAULT 0,\n"                                                      \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    due_at timestamptz,\n"                                                                    \
	"    delete_at timestamptz,\n"                                                                 \
	"    PRIMARY KEY (id)\n"                                                                       \
	") WITH (fillfactor = 70);\n"                                                                  \
	"CREATE INDEX sandbox_run_idx ON automation.sandbox (run_id);\n"                               \
	"CREATE INDEX sandbox_due_idx ON automation.sandbox (due_at) WHERE due_at IS NOT NULL;\n"

#define SQLITE_SANDBOX                                                                             \
	"CREATE TABLE automation.sandbox (\n"                                                          \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    run_id BLOB NOT NULL CHECK (length(run_id) = 16),\n"                                      \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    user_id BLOB NOT NULL CHECK (length(user_id) = 16),\n"                                    \
	"    sandbox_id TEXT,\n"                                                                       \
	"    state TEXT NOT NULL CHECK (state IN\n"                                                    \
	"        ('CREATING', 'STARTING', 'READY', 'RELEASED', 'KEPT', 'LOST')),\n"                    \
	"    note TEXT,\n"                                                                             \
	"    tries INTEGER NOT NULL DEFAULT 0,\n"                                                      \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    due_at INTEGER,\n"                                                                        \
	"    delete_at INTEGER,\n"                                                                     \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE INDEX automation.sandbox_run_idx ON sandbox (run_id);\n"                               \
	"CREATE INDEX automation.sandbox_due_idx ON sandbox (due_at) WHERE due_at IS NOT NULL;\n"

#endif
