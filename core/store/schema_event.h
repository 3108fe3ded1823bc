/* SPDX-License-Identifier: MIT */
/*
 * core/store/schema_event.h - the tables of events and of what is secret about them, in both dialects; a
 * part of schema.c.
 *
 * Secrets are kept sealed (include/automation/seal.h): `secret` of a webhook, `sealed` of an environment.
 */
#ifndef AUT_SCHEMA_EVENT_H
#define AUT_SCHEMA_EVENT_H

/* ---- custom_webhook ------------------------------------------------------------------------- */

#define POSTGRES_CUSTOM_WEBHOOK                                                                    \
	"CREATE TABLE automation.custom_webhook (\n"                                                   \
	"    id uuid NOT NULL,\n"                                                                      \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    owner text,\n"                                                                            \
	"    name text NOT NULL,\n"                                                                    \
	"    source text NOT NULL,\n"                                                                  \
	"    event_key_expr text NOT NULL,\n"                                                          \
	"    signature_header text NOT NULL,\n"                                                        \
	"    signature_scheme text,\n"                                                                 \
	"    event_id_header text,\n"                                                                  \
	"    enabled boolean NOT NULL,\n"                                                              \
	"    secret bytea NOT NULL,\n"                                                                 \
	"    created_at timestamptz NOT NULL,\n"                                                       \
	"    updated_at timestamptz NOT NULL,\n"                                                       \
	"    PRIMARY KEY (id)\n"                                                                       \
	");\n"                                                                                         \
	"CREATE UNIQUE INDEX custom_webhook_source_idx ON automation.custom_webhook (org_id, "         \
	"source);\n"                                                                                   \
	"CREATE INDEX custom_webhook_newest_idx ON automation.custom_webhook (org_id, created_at "     \
	"DESC, id DESC);\n"

#define SQLITE_CUSTOM_WEBHOOK                                                                      \
	"CREATE TABLE automation.custom_webhook (\n"                                                   \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    owner TEXT,\n"                                                                            \
	"    name TEXT NOT NULL,\n"                                                                    \
	"    source TEXT NOT NULL,\n"                                                                  \
	"    event_key_expr TEXT NOT NULL,\n"                                                          \
	"    signature_header TEXT NOT NULL,\n"                                                        \
	"    signature_scheme TEXT,\n"                                                                 \
	"    event_id_header TEXT,\n"                                                                  \
	"    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),\n"                                    \
	"    secret BLOB NOT NULL,\n"                                                                  \
	"    created_at INTEGER NOT NULL,\n"                                                           \
	"    updated_at INTEGER NOT NULL,\n"                                                           \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE UNIQUE INDEX automation.custom_webhook_source_idx ON custom_webhook (org_id, "         \
	"source);\n"                                                                                   \
	"CREATE INDEX automation.custom_webhook_newest_idx ON custom_webhook (org_id, created_at "     \
	"DESC, id DESC);\n"

/* ---- environment ---------------------------------------------------------------------------- */

#define POSTGRES_ENVIRONMENT                                                                       \
	"CREATE TABLE automation.environment (\n"                                                      \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    names json NOT NULL,\n"                                                                   \
	"    sealed bytea NOT NULL,\n"                                                                 \
	"    PRIMARY KEY (automation_id)\n"                                                            \
	");\n"

#define SQLITE_ENVIRONMENT                                                                         \
	"CREATE TABLE automation.environment (\n"                                                      \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    names TEXT NOT NULL,\n"                                                                   \
	"    sealed BLOB NOT NULL,\n"                                                                  \
	"    PRIMARY KEY (automation_id)\n"                                                            \
	") STRICT, WITHOUT ROWID;\n"

#define POSTGRES_EVENT_TABLES POSTGRES_CUSTOM_WEBHOOK POSTGRES_ENVIRONMENT
#define SQLITE_EVENT_TABLES   SQLITE_CUSTOM_WEBHOOK SQLITE_ENVIRONMENT

#endif
