/* SPDX-License-Identifier: MIT */
/*
 * core/store/schema_match.h - the tables of events: what came in, and by what automations are found.
 *
 * Part of schema.c, apart for its length.
 *
 *   event              one row per delivery that was genuine: what it said, what came of it and why
 *   event_trigger      the index: under which keys an automation may be a candidate; rows of live
 *                      automations, whether active or not, so that an explanation can say "it is off"
 *   event_generation   a stamp per org that changes with its event automations; caches go by it
 *
 * The body of an event is its last column, so that lists never read it.  Delivery ids are unique per org and
 * source for as long as their events are kept.  There is no reference from run to event: an event is
 * forgotten long before its runs are, and the run goes on naming it.
 *
 * An event_trigger row is read by its primary key alone, from the left: the events' way to it.
 */
#ifndef AUT_STORE_SCHEMA_MATCH_H
#define AUT_STORE_SCHEMA_MATCH_H

#define POSTGRES_EVENT                                                                             \
	"CREATE TABLE automation.event (\n"                                                            \
	"    id uuid NOT NULL,\n"                                                                      \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    source text NOT NULL,\n"                                                                  \
	"    provider_event_id text,\n"                                                                \
	"    event_key text,\n"                                                                        \
	"    state text NOT NULL CHECK (state IN\n"                                                    \
	"        ('MATCHED', 'UNMATCHED', 'IGNORED', 'UNPARSEABLE')),\n"                               \
	"    why text,\n"                                                                              \
	"    matched_count integer NOT NULL,\n"                                                        \
	"    considered integer NOT NULL,\n"                                                           \
	"    received_at timestamptz NOT NULL,\n"                                                      \
	"    headers json,\n"                                                                          \
	"    verdicts json,\n"                                                                         \
	"    body bytea NOT NULL,\n"                                                                   \
	"    PRIMARY KEY (id)\n"                                                                       \
	");\n"                                                                                         \
	"CREATE INDEX event_newest_idx ON automation.event (org_id, id DESC);\n"                       \
	"CREATE UNIQUE INDEX event_delivery_idx ON automation.event (org_id, source, "                 \
	"provider_event_id)\n"                                                                         \
	"    WHERE provider_event_id IS NOT NULL;\n"

#define SQLITE_EVENT                                                                               \
	"CREATE TABLE automation.event (\n"                                                            \
	"    id BLOB NOT NULL CHECK (length(id) = 16),\n"                                              \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    source TEXT NOT NULL,\n"                                                                  \
	"    provider_event_id TEXT,\n"                                                                \
	"    event_key TEXT,\n"                                                                        \
	"    state TEXT NOT NULL CHECK (state IN\n"                                                    \
	"        ('MATCHED', 'UNMATCHED', 'IGNORED', 'UNPARSEABLE')),\n"                               \
	"    why TEXT,\n"                                                                              \
	"    matched_count INTEGER NOT NULL,\n"                                                        \
	"    considered INTEGER NOT NULL,\n"                                                           \
	"    received_at INTEGER NOT NULL,\n"                                                          \
	"    headers TEXT,\n"                                                                          \
	"    verdicts TEXT,\n"                                                                         \
	"    body BLOB NOT NULL,\n"                                                                    \
	"    PRIMARY KEY (id)\n"                                                                       \
	") STRICT;\n"                                                                                  \
	"CREATE INDEX automation.event_newest_idx ON event (org_id, id DESC);\n"                       \
	"CREATE UNIQUE INDEX automation.event_delivery_idx ON event (org_id, source, "                 \
	"provider_event_id)\n"                                                                         \
	"    WHERE provider_event_id IS NOT NULL;\n"

#define POSTGRES_EVENT_TRIGGER                                                                     \
	"CREATE TABLE automation.event_trigger (\n"                                                    \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    source text NOT NULL,\n"                                                                  \
	"    scope text NOT NULL,\n"                                                                   \
	"    path text NOT NULL,\n"                                                                    \
	"    literal bigint NOT NULL,\n"                                                               \
	"    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,\n"   \
	"    version bigint NOT NULL,\n"                                                               \
	"    PRIMARY KEY (org_id, source, scope, path, literal, automation_id)\n"                      \
	");\n"                                                                                         \
	"CREATE INDEX event_trigger_automation_idx ON automation.event_trigger (automation_id);\n"

#define SQLITE_EVENT_TRIGGER                                                                       \
	"CREATE TABLE automation.event_trigger (\n"                                                    \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    source TEXT NOT NULL,\n"                                                                  \
	"    scope TEXT NOT NULL,\n"                                                                   \
	"    path TEXT NOT NULL,\n"                                                                    \
	"    literal INTEGER NOT NULL,\n"                                                              \
	"    automation_id BLOB NOT NULL REFERENCES automation (id) ON DELETE CASCADE,\n"              \
	"    version INTEGER NOT NULL,\n"                                                              \
	"    PRIMARY KEY (org_id, source, scope, path, literal, automation_id)\n"                      \
	") STRICT, WITHOUT ROWID;\n"                                                                   \
	"CREATE INDEX automation.event_trigger_automation_idx ON event_trigger (automation_id);\n"

#define POSTGRES_EVENT_GENERATION                                                                  \
	"CREATE TABLE automation.event_generation (\n"                                                 \
	"    org_id uuid NOT NULL,\n"                                                                  \
	"    stamp bigint NOT NULL,\n"                                                                 \
	"    PRIMARY KEY (org_id)\n"                                                                   \
	") WITH (fillfactor = 50);\n"

#define SQLITE_EVENT_GENERATION                                                                    \
	"CREATE TABLE automation.event_generation (\n"                                                 \
	"    org_id BLOB NOT NULL CHECK (length(org_id) = 16),\n"                                      \
	"    stamp INTEGER NOT NULL,\n"                                                                \
	"    PRIMARY KEY (org_id)\n"                                                                   \
	") STRICT, WITHOUT ROWID;\n"

#define POSTGRES_MATCH POSTGRES_EVENT POSTGRES_EVENT_TRIGGER POSTGRES_EVENT_GENERATION
#define SQLITE_MATCH   SQLITE_EVENT SQLITE_EVENT_TRIGGER SQLITE_EVENT_GENERATION

#endif
