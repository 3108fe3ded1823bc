-- SPDX-License-Identifier: MIT
/*
 * extension/automation.sql - the living definition of the extension's SQL objects.
 *
 * The versioned install script is generated from it (see extension/Makefile) and never edited; the tables
 * come from schema.sql, the same text core/store has.
 *
 * Rights: everything is revoked from PUBLIC.  Tables are read and written by the extension's own
 * functions only; people have views, which show them what they may see, and functions, which let them
 * do what they may do.
 *
 *   automation_user    may create automations; sees, runs and changes its own (and those of roles it
 *                      is a member of)
 *   automation_reader  sees all automations, runs and their output; changes nothing
 *   automation_admin   may everything, also start and stop the worker
 *   automation_marker  owns automation.marker, by which the launcher finds databases; nobody's role
 */
\echo Use "CREATE EXTENSION automation" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;

DO $roles$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['automation_admin', 'automation_user', 'automation_reader', 'automation_marker']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = role_name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END
$roles$;

CREATE SCHEMA automation;
COMMENT ON SCHEMA automation IS 'Automations: programs that run by schedule, by hand or by a transaction, on an agent server.';
REVOKE ALL ON SCHEMA automation FROM PUBLIC;
GRANT USAGE ON SCHEMA automation TO automation_admin, automation_user, automation_reader;

-- ---- tables ---------------------------------------------------------------------------------

-- @schema@

COMMENT ON TABLE automation.automation IS 'Definitions of automations. Read through automation.automations.';
COMMENT ON TABLE automation.schedule IS 'Next and last fire of each automation with a schedule.';
COMMENT ON TABLE automation.gap IS 'Fires that were missed while no worker ran, one row per gap.';
COMMENT ON TABLE automation.run IS 'One row per run. Read through automation.runs.';
COMMENT ON TABLE automation.run_tally IS 'How many runs of an automation ended how.';
COMMENT ON TABLE automation.run_input IS 'What a run was triggered with.';
COMMENT ON TABLE automation.run_output IS 'What runs printed, newest part. Read through automation.logs(). The worker makes and drops its partitions.';
COMMENT ON TABLE automation.run_output_default IS 'What runs printed that belongs to no partition.';
COMMENT ON TABLE automation.dedupe IS 'Keys that triggers were given, and the runs they made.';
COMMENT ON TABLE automation.disable_event IS 'When and why automations were switched off.';
COMMENT ON TABLE automation.upload IS 'Tarballs kept in the database: names and owners.';
COMMENT ON TABLE automation.upload_data IS 'Tarballs kept in the database: content.';
COMMENT ON TABLE automation.worker IS 'Which worker holds runs, and until when it is believed alive.';
COMMENT ON TABLE automation.environment IS 'Variables that automations hand to their runs: names, and sealed values.';
COMMENT ON TABLE automation.custom_webhook IS 'Sources of events, and the sealed secrets that sign them. Read through automation.webhooks.';
COMMENT ON TABLE automation.event IS 'Deliveries from outside: what they said, what came of them and why.';
COMMENT ON TABLE automation.event_trigger IS 'The index by which an event finds the automations it may concern.';
COMMENT ON TABLE automation.event_generation IS 'A stamp per organization that changes with its event automations.';
COMMENT ON TABLE automation.sandbox IS 'Cloud sandboxes made for runs, and what must still happen to them.';

-- The launcher finds the databases that have the extension by the owner of this table.
CREATE TABLE automation.marker
(
    only_row boolean NOT NULL DEFAULT true CHECK (only_row),
    stopped boolean NOT NULL DEFAULT false,
    PRIMARY KEY (only_row)
);
COMMENT ON TABLE automation.marker IS 'Marks this database as one with the extension, and says whether its worker shall stay away.';
INSERT INTO automation.marker DEFAULT VALUES;
ALTER TABLE automation.marker OWNER TO automation_marker;
REVOKE ALL ON automation.marker FROM automation_marker;

CREATE TABLE automation.sql_action
(
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    sql text NOT NULL,
    PRIMARY KEY (automation_id)
);
COMMENT ON TABLE automation.sql_action IS 'Texts of automations that are SQL.';

COMMENT ON FUNCTION automation._output_forget() IS 'What a run printed that belongs to no partition goes with it.';
COMMENT ON FUNCTION automation._output_spans() IS 'The partitions of what runs printed, and their ids.';
COMMENT ON FUNCTION automation._output_span_add(uuid, uuid) IS 'Make a partition for the output of runs with these ids.';
COMMENT ON FUNCTION automation._output_span_drop(uuid) IS 'Drop the oldest partition of which all ids lie before this one and the runs are gone.';
REVOKE ALL ON FUNCTION automation._output_forget() FROM PUBLIC;
REVOKE ALL ON FUNCTION automation._output_spans() FROM PUBLIC;
REVOKE ALL ON FUNCTION automation._output_span_add(uuid, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION automation._output_span_drop(uuid) FROM PUBLIC;

-- What users own goes into dumps; what is about this server's processes does not.
SELECT pg_catalog.pg_extension_config_dump('automation.automation', '');
SELECT pg_catalog.pg_extension_config_dump('automation.sql_action', '');
SELECT pg_catalog.pg_extension_config_dump('automation.schedule', '');
SELECT pg_catalog.pg_extension_config_dump('automation.gap', '');
SELECT pg_catalog.pg_extension_config_dump('automation.run', '');
SELECT pg_catalog.pg_extension_config_dump('automation.run_tally', '');
SELECT pg_catalog.pg_extension_config_dump('automation.run_input', '');
-- The table itself has no rows; the partitions the worker makes are dumped as tables of their own.
SELECT pg_catalog.pg_extension_config_dump('automation.run_output_default', '');
SELECT pg_catalog.pg_extension_config_dump('automation.dedupe', '');
SELECT pg_catalog.pg_extension_config_dump('automation.disable_event', '');
SELECT pg_catalog.pg_extension_config_dump('automation.upload', '');
SELECT pg_catalog.pg_extension_config_dump('automation.upload_data', '');
SELECT pg_catalog.pg_extension_config_dump('automation.environment', '');
SELECT pg_catalog.pg_extension_config_dump('automation.custom_webhook', '');
SELECT pg_catalog.pg_extension_config_dump('automation.event', '');
SELECT pg_catalog.pg_extension_config_dump('automation.event_trigger', '');
SELECT pg_catalog.pg_extension_config_dump('automation.event_generation', '');

-- ---- who sees what --------------------------------------------------------------------------

CREATE FUNCTION automation._may_see(owner text)
RETURNS boolean
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'automation_may_see';
COMMENT ON FUNCTION automation._may_see(text) IS 'Whether the current role may look at what this role owns.';
REVOKE ALL ON FUNCTION automation._may_see(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION automation._may_see(text) TO automation_admin, automation_user, automation_reader;

-- Nobody has rights on the tables themselves.  Should somebody be granted SELECT, rows stay with their
-- owners all the same.
ALTER TABLE automation.automation ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.automation FOR SELECT USING (automation._may_see(owner));
ALTER TABLE automation.schedule ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.schedule FOR SELECT
    USING (EXISTS (SELECT FROM automation.automation a WHERE a.id OPERATOR(pg_catalog.=) automation_id));
ALTER TABLE automation.dedupe ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.disable_event ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.disable_event FOR SELECT
    USING (EXISTS (SELECT FROM automation.automation a WHERE a.id OPERATOR(pg_catalog.=) automation_id));
ALTER TABLE automation.gap ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.gap FOR SELECT
    USING (EXISTS (SELECT FROM automation.automation a WHERE a.id OPERATOR(pg_catalog.=) automation_id));
ALTER TABLE automation.run ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.run FOR SELECT
    USING (EXISTS (SELECT FROM automation.automation a WHERE a.id OPERATOR(pg_catalog.=) automation_id));
ALTER TABLE automation.run_tally ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.run_tally FOR SELECT
    USING (EXISTS (SELECT FROM automation.automation a WHERE a.id OPERATOR(pg_catalog.=) automation_id));
ALTER TABLE automation.run_input ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.run_input FOR SELECT
    USING (EXISTS (SELECT FROM automation.run r WHERE r.id OPERATOR(pg_catalog.=) run_id));
ALTER TABLE automation.run_output ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.run_output FOR SELECT
    USING (EXISTS (SELECT FROM automation.run r WHERE r.id OPERATOR(pg_catalog.=) run_id));
ALTER TABLE automation.run_output_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.sql_action ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON automation.sql_action FOR SELECT
    USING (EXISTS (SELECT FROM automation.automation a WHERE a.id OPERATOR(pg_catalog.=) automation_id));
ALTER TABLE automation.upload ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.upload_data ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.worker ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.sandbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.environment ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.custom_webhook ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.event_trigger ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.event_generation ENABLE ROW LEVEL SECURITY;
ALTER TABLE automation.marker ENABLE ROW LEVEL SECURITY;

CREATE VIEW automation.automations WITH (security_barrier) AS
SELECT a.id,
       a.name,
       a.owner,
       a.state,
       CASE WHEN a.trigger_type OPERATOR(pg_catalog.=) 'cron' THEN a.trigger OPERATOR(pg_catalog.->>) 'schedule' END AS schedule,
       CASE WHEN a.trigger_type OPERATOR(pg_catalog.=) 'cron' THEN a.trigger OPERATOR(pg_catalog.->>) 'timezone' END AS timezone,
       s.next_fire_at,
       GREATEST(a.last_triggered_at, s.last_fire_at,
                (SELECT pg_catalog.max(m.created_at)
                   FROM automation.run m
                  WHERE m.automation_id OPERATOR(pg_catalog.=) a.id
                    AND m.trigger_source OPERATOR(pg_catalog.=) 'manual')) AS last_triggered_at,
       a.description,
       a.entrypoint,
       pg_catalog.make_interval(secs => a.timeout_s) AS timeout,
       a.model,
       a.disabled_reason,
       a.disabled_detail OPERATOR(pg_catalog.->>) 'note' AS note,
       a.created_at,
       a.updated_at,
       x.sql,
       (SELECT v.names FROM automation.environment v WHERE v.automation_id OPERATOR(pg_catalog.=) a.id) AS environment,
       CASE WHEN a.trigger_type OPERATOR(pg_catalog.=) 'event' THEN a.trigger OPERATOR(pg_catalog.->>) 'source' END AS event,
       CASE WHEN a.trigger_type OPERATOR(pg_catalog.=) 'event' THEN a.trigger OPERATOR(pg_catalog.->) 'on' END AS on_keys,
       CASE WHEN a.trigger_type OPERATOR(pg_catalog.=) 'event' THEN a.trigger OPERATOR(pg_catalog.->>) 'filter' END AS filter,
       a.wait_at_limit
  FROM automation.automation a
  LEFT JOIN automation.schedule s ON s.automation_id OPERATOR(pg_catalog.=) a.id
  LEFT JOIN automation.sql_action x ON x.automation_id OPERATOR(pg_catalog.=) a.id
 WHERE a.deleted_at IS NULL
   AND automation._may_see(a.owner);
COMMENT ON VIEW automation.automations IS 'The automations you may see: your own, or all for automation_admin and automation_reader.';
COMMENT ON COLUMN automation.automations.state IS 'ACTIVE, or INACTIVE after pause().';
COMMENT ON COLUMN automation.automations.next_fire_at IS 'When the schedule fires next; null when it does not.';
COMMENT ON COLUMN automation.automations.sql IS 'The text of a SQL action; null for what runs on an agent.';
COMMENT ON COLUMN automation.automations.environment IS 'Names of the variables its runs get; null when there are none.';
COMMENT ON COLUMN automation.automations.event IS 'The source of the events that start it; manual: trigger() only, sql: changes of tables.';
COMMENT ON COLUMN automation.automations.wait_at_limit IS 'In the cloud: whether its runs wait where its owner may have no more sandboxes; else they are skipped.';
COMMENT ON COLUMN automation.automations.timeout IS 'Longest time a run may take.';

CREATE FUNCTION automation._waits_for_backend()
RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'automation_waits_for_backend';
COMMENT ON FUNCTION automation._waits_for_backend() IS 'Whether no agent server is set, so that runs have to wait.';
REVOKE ALL ON FUNCTION automation._waits_for_backend() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION automation._waits_for_backend() TO automation_admin, automation_user, automation_reader;

CREATE VIEW automation.runs WITH (security_barrier) AS
SELECT r.id,
       a.name AS automation,
       r.automation_id,
       a.owner,
       r.status,
       r.trigger_source,
       r.scheduled_for,
       r.attempt,
       CASE
           WHEN r.status OPERATOR(pg_catalog.=) 'PENDING' AND r.current_phase IS NULL
                AND a.tarball_path OPERATOR(pg_catalog.<>) 'sql://inline' AND automation._waits_for_backend()
           THEN 'Waiting for a backend'
           ELSE r.current_phase
       END AS phase,
       r.exit_code,
       r.error_detail AS error,
       r.output_bytes,
       r.created_at,
       r.started_at,
       r.completed_at,
       r.completed_at OPERATOR(pg_catalog.-) r.started_at AS duration,
       r.timeout_at,
       r.worker
  FROM automation.run r
  JOIN automation.automation a ON a.id OPERATOR(pg_catalog.=) r.automation_id
 WHERE a.deleted_at IS NULL
   AND automation._may_see(a.owner);
COMMENT ON VIEW automation.runs IS 'The runs of the automations you may see. A new run has the greater id.';
COMMENT ON COLUMN automation.runs.status IS 'PENDING, RUNNING, COMPLETED, FAILED, CANCELLED or SKIPPED.';
COMMENT ON COLUMN automation.runs.scheduled_for IS 'The instant of the schedule this run is for; null when triggered.';
COMMENT ON COLUMN automation.runs.phase IS 'What is being done, or waited for.';
COMMENT ON COLUMN automation.runs.output_bytes IS 'Bytes printed so far; automation.logs() shows those that are kept.';

CREATE VIEW automation.gaps WITH (security_barrier) AS
SELECT a.name AS automation,
       g.automation_id,
       g.first_missed,
       g.last_missed,
       g.missed,
       g.created_at
  FROM automation.gap g
  JOIN automation.automation a ON a.id OPERATOR(pg_catalog.=) g.automation_id
 WHERE a.deleted_at IS NULL
   AND automation._may_see(a.owner);
COMMENT ON VIEW automation.gaps IS 'Fires that were missed while no worker ran.';

CREATE VIEW automation.slots WITH (security_barrier) AS
SELECT a.name AS automation, a.id AS automation_id, x.slot, x.state, x.missed, x.run
  FROM automation.automation a
 CROSS JOIN LATERAL (SELECT r.scheduled_for AS slot, r.status AS state, NULL::bigint AS missed, r.id AS run
                       FROM automation.run r
                      WHERE r.automation_id OPERATOR(pg_catalog.=) a.id
                        AND r.scheduled_for IS NOT NULL
                      UNION ALL
                     SELECT g.last_missed, 'MISSED', g.missed::bigint, NULL::uuid
                       FROM automation.gap g
                      WHERE g.automation_id OPERATOR(pg_catalog.=) a.id
                      UNION ALL
                     SELECT s.next_fire_at, 'NEXT', NULL::bigint, NULL::uuid
                       FROM automation.schedule s
                      WHERE s.automation_id OPERATOR(pg_catalog.=) a.id
                        AND s.next_fire_at IS NOT NULL) x
 WHERE a.deleted_at IS NULL
   AND automation._may_see(a.owner);
COMMENT ON VIEW automation.slots IS 'The instants of schedules: those that fired with their run''s status, those that were missed (state MISSED, as many as missed, up to slot), and the one to come (NEXT).';

CREATE VIEW automation.stats WITH (security_barrier) AS
SELECT a.name AS automation,
       a.id AS automation_id,
       a.owner,
       pg_catalog.count(r.id) AS runs,
       pg_catalog.count(r.id) FILTER (WHERE r.status OPERATOR(pg_catalog.=) 'PENDING') AS pending,
       pg_catalog.count(r.id) FILTER (WHERE r.status OPERATOR(pg_catalog.=) 'RUNNING') AS running,
       pg_catalog.count(r.id) FILTER (WHERE r.status OPERATOR(pg_catalog.=) 'COMPLETED') AS completed,
       pg_catalog.count(r.id) FILTER (WHERE r.status OPERATOR(pg_catalog.=) 'FAILED') AS failed,
       pg_catalog.count(r.id) FILTER (WHERE r.status OPERATOR(pg_catalog.=) 'CANCELLED') AS cancelled,
       pg_catalog.count(r.id) FILTER (WHERE r.status OPERATOR(pg_catalog.=) 'SKIPPED') AS skipped,
       pg_catalog.avg(r.completed_at OPERATOR(pg_catalog.-) r.started_at) AS mean_duration,
       pg_catalog.max(r.completed_at OPERATOR(pg_catalog.-) r.started_at) AS longest,
       pg_catalog.max(r.completed_at) AS last_ended_at
  FROM automation.automation a
  LEFT JOIN automation.run r ON r.automation_id OPERATOR(pg_catalog.=) a.id
 WHERE a.deleted_at IS NULL
   AND automation._may_see(a.owner)
 GROUP BY a.id;
COMMENT ON VIEW automation.stats IS 'Per automation: how many of the runs that are kept ended how, and how long they took.';

CREATE VIEW automation.webhooks WITH (security_barrier) AS
SELECT w.id,
       w.source,
       w.name,
       w.owner,
       w.enabled,
       w.event_key_expr,
       w.signature_header,
       COALESCE(w.signature_scheme, 'hmac_sha256_hex') AS signature_scheme,
       w.event_id_header,
       '/v1/events/' OPERATOR(pg_catalog.||) w.org_id::text OPERATOR(pg_catalog.||) '/' OPERATOR(pg_catalog.||) w.source AS path,
       w.created_at,
       w.updated_at
  FROM automation.custom_webhook w
 WHERE automation._may_see(w.owner);
COMMENT ON VIEW automation.webhooks IS 'The sources of events you may see. Their secrets are nowhere to be seen.';
COMMENT ON COLUMN automation.webhooks.path IS 'Where deliveries go, below the base of the HTTP API.';

CREATE VIEW automation.events WITH (security_barrier) AS
SELECT e.id,
       e.source,
       e.event_key AS key,
       e.state,
       e.why,
       e.provider_event_id AS dedupe,
       e.received_at,
       pg_catalog.octet_length(e.body) AS bytes,
       ARRAY(SELECT r.id
               FROM automation.run r
               JOIN automation.automation a ON a.id OPERATOR(pg_catalog.=) r.automation_id
              WHERE r.trigger_event_id OPERATOR(pg_catalog.=) e.id
                AND a.deleted_at IS NULL
                AND automation._may_see(a.owner)
              ORDER BY r.id) AS runs
  FROM automation.event e
 WHERE automation._may_see('automation_admin')
    OR EXISTS (SELECT
                 FROM automation.custom_webhook w
                WHERE w.org_id OPERATOR(pg_catalog.=) e.org_id
                  AND w.source OPERATOR(pg_catalog.=) e.source
                  AND automation._may_see(w.owner))
    OR EXISTS (SELECT
                 FROM automation.run r
                 JOIN automation.automation a ON a.id OPERATOR(pg_catalog.=) r.automation_id
                WHERE r.trigger_event_id OPERATOR(pg_catalog.=) e.id
                  AND a.deleted_at IS NULL
                  AND automation._may_see(a.owner));
COMMENT ON VIEW automation.events IS 'What came from outside or was emitted: events of the webhooks you may see and those that started runs you may see, or all for automation_admin and automation_reader. A newer event has the greater id; explain() tells all about one.';
COMMENT ON COLUMN automation.events.state IS 'MATCHED, UNMATCHED, IGNORED (it has no key) or UNPARSEABLE.';
COMMENT ON COLUMN automation.events.dedupe IS 'The delivery''s id, by which it is taken once.';
COMMENT ON COLUMN automation.events.runs IS 'Those of the runs it started (replays, too) that you may see.';

GRANT SELECT ON automation.webhooks, automation.events, automation.automations, automation.runs, automation.gaps, automation.slots, automation.stats
   TO automation_admin, automation_user, automation_reader;

-- ---- automations ----------------------------------------------------------------------------

CREATE FUNCTION automation.create(
    name text,
    script text DEFAULT NULL,
    entrypoint text DEFAULT NULL,
    schedule text DEFAULT NULL,
    timezone text DEFAULT NULL,
    tarball bytea DEFAULT NULL,
    tarball_url text DEFAULT NULL,
    description text DEFAULT NULL,
    timeout interval DEFAULT NULL,
    enabled boolean DEFAULT NULL,
    model text DEFAULT NULL,
    setup_script text DEFAULT NULL,
    sql text DEFAULT NULL,
    environment jsonb DEFAULT NULL,
    event text DEFAULT NULL,
    on_keys text[] DEFAULT NULL,
    filter text DEFAULT NULL,
    wait_at_limit boolean DEFAULT NULL)
RETURNS uuid
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_create';
COMMENT ON FUNCTION automation.create(text, text, text, text, text, bytea, text, text, interval, boolean, text, text, text, jsonb, text, text[], text, boolean) IS
'Create an automation and return its id. Give its code as script (text), tarball (gzip), tarball_url, or sql (executed in this database as its owner). With schedule (cron) it fires by itself in timezone (UTC unless given); with event (a source: github, or that of a webhook) for each event whose key is like one of on_keys (all unless given) and that filter (JMESPath over the payload) lets through; else by trigger() only. environment is an object of variables for its runs: kept sealed (automation.secret_key_file), never shown. With wait_at_limit its runs wait, in the cloud, where no more sandboxes are allowed, in place of being skipped.';
REVOKE ALL ON FUNCTION automation.create(text, text, text, text, text, bytea, text, text, interval, boolean, text, text, text, jsonb, text, text[], text, boolean) FROM PUBLIC;

CREATE FUNCTION automation.alter(
    name text,
    new_name text DEFAULT NULL,
    script text DEFAULT NULL,
    entrypoint text DEFAULT NULL,
    schedule text DEFAULT NULL,
    timezone text DEFAULT NULL,
    tarball bytea DEFAULT NULL,
    tarball_url text DEFAULT NULL,
    description text DEFAULT NULL,
    timeout interval DEFAULT NULL,
    enabled boolean DEFAULT NULL,
    model text DEFAULT NULL,
    setup_script text DEFAULT NULL,
    sql text DEFAULT NULL,
    environment jsonb DEFAULT NULL,
    event text DEFAULT NULL,
    on_keys text[] DEFAULT NULL,
    filter text DEFAULT NULL,
    wait_at_limit boolean DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_alter';
COMMENT ON FUNCTION automation.alter(text, text, text, text, text, text, bytea, text, text, interval, boolean, text, text, text, jsonb, text, text[], text, boolean) IS
'Change an automation, found by name or id. What is not given stays as it is; an empty filter takes it away. environment names the variables that change; null takes one away, ''null'' all.';
REVOKE ALL ON FUNCTION automation.alter(text, text, text, text, text, text, bytea, text, text, interval, boolean, text, text, text, jsonb, text, text[], text, boolean) FROM PUBLIC;

CREATE FUNCTION automation.create_prompt(
    name text,
    prompt text,
    repos jsonb DEFAULT NULL,
    plugins jsonb DEFAULT NULL,
    schedule text DEFAULT NULL,
    timezone text DEFAULT NULL,
    description text DEFAULT NULL,
    timeout interval DEFAULT NULL,
    enabled boolean DEFAULT NULL,
    model text DEFAULT NULL)
RETURNS uuid
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_create_prompt';
COMMENT ON FUNCTION automation.create_prompt(text, text, jsonb, jsonb, text, text, text, interval, boolean, text) IS
'Create an automation that holds a conversation with an agent, and return its id. repos is a list of repositories that the agent finds cloned (URLs, or objects with url, ref, provider), plugins a list of objects with source, ref, repo_path. The rest is as for create().';
REVOKE ALL ON FUNCTION automation.create_prompt(text, text, jsonb, jsonb, text, text, text, interval, boolean, text) FROM PUBLIC;

CREATE FUNCTION automation.alter_prompt(name text, prompt text DEFAULT NULL, repos jsonb DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_alter_prompt';
COMMENT ON FUNCTION automation.alter_prompt(text, text, jsonb) IS
'Give an automation that was made with create_prompt() another prompt or other repositories ([] takes them away). What is not given stays as it is.';
REVOKE ALL ON FUNCTION automation.alter_prompt(text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION automation.pause(name text, note text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_pause';
COMMENT ON FUNCTION automation.pause(text, text) IS 'Keep an automation from firing; note says why, for others to read. Scheduled runs that wait are skipped; it can still be triggered by hand.';
REVOKE ALL ON FUNCTION automation.pause(text, text) FROM PUBLIC;

CREATE FUNCTION automation.resume(name text)
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_resume';
COMMENT ON FUNCTION automation.resume(text) IS 'Let a paused automation fire again, from now on.';
REVOKE ALL ON FUNCTION automation.resume(text) FROM PUBLIC;

CREATE FUNCTION automation.drop(name text)
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_drop';
COMMENT ON FUNCTION automation.drop(text) IS 'Remove an automation. Its waiting runs are skipped.';
REVOKE ALL ON FUNCTION automation.drop(text) FROM PUBLIC;

CREATE FUNCTION automation.upload(name text, tarball bytea, description text DEFAULT NULL)
RETURNS uuid
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_upload';
COMMENT ON FUNCTION automation.upload(text, bytea, text) IS
'Keep a gzip tarball in the database. Its address for create(tarball_url => …) is oh-internal://uploads/<id>.';
REVOKE ALL ON FUNCTION automation.upload(text, bytea, text) FROM PUBLIC;

-- ---- webhooks -------------------------------------------------------------------------------

CREATE FUNCTION automation.create_webhook(
    name text,
    source text,
    event_key_expr text DEFAULT NULL,
    signature_header text DEFAULT NULL,
    signature_scheme text DEFAULT NULL,
    event_id_header text DEFAULT NULL,
    own_secret text DEFAULT NULL,
    OUT id uuid,
    OUT secret text)
RETURNS record
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_create_webhook';
COMMENT ON FUNCTION automation.create_webhook(text, text, text, text, text, text, text) IS
'A new source of events. The secret that signs them is made and told once, here; with own_secret it is yours and null is answered. Needs automation.secret_key_file.';
REVOKE ALL ON FUNCTION automation.create_webhook(text, text, text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION automation.alter_webhook(
    source text,
    new_name text DEFAULT NULL,
    event_key_expr text DEFAULT NULL,
    signature_header text DEFAULT NULL,
    signature_scheme text DEFAULT NULL,
    event_id_header text DEFAULT NULL,
    enabled boolean DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_alter_webhook';
COMMENT ON FUNCTION automation.alter_webhook(text, text, text, text, text, text, boolean) IS
'Change a webhook, found by its source or id. What is not given stays as it is; an empty signature_scheme or event_id_header takes it away.';
REVOKE ALL ON FUNCTION automation.alter_webhook(text, text, text, text, text, text, boolean) FROM PUBLIC;

CREATE FUNCTION automation.rotate_webhook_secret(source text)
RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_rotate_webhook_secret';
COMMENT ON FUNCTION automation.rotate_webhook_secret(text) IS 'Make a new secret for a webhook and tell it; the old one is worth nothing from the commit on.';
REVOKE ALL ON FUNCTION automation.rotate_webhook_secret(text) FROM PUBLIC;

CREATE FUNCTION automation.drop_webhook(source text)
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_drop_webhook';
COMMENT ON FUNCTION automation.drop_webhook(text) IS 'Forget a webhook and its secret.';
REVOKE ALL ON FUNCTION automation.drop_webhook(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    automation.create_webhook(text, text, text, text, text, text, text),
    automation.alter_webhook(text, text, text, text, text, text, boolean),
    automation.rotate_webhook_secret(text),
    automation.drop_webhook(text)
 TO automation_admin, automation_user;

-- ---- events ---------------------------------------------------------------------------------

CREATE FUNCTION automation.emit(
    source text,
    payload jsonb,
    key text DEFAULT NULL,
    dedupe text DEFAULT NULL,
    OUT id uuid,
    OUT matched integer,
    OUT runs uuid[])
RETURNS record
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_emit';
COMMENT ON FUNCTION automation.emit(text, jsonb, text, text) IS
'An event, as if source had delivered payload: it is kept and starts a run of each automation that takes it, exactly if this transaction commits. key is for sources that do not name it in the payload. The same dedupe of the same source is taken once; then id is null.';
REVOKE ALL ON FUNCTION automation.emit(text, jsonb, text, text) FROM PUBLIC;

CREATE FUNCTION automation.replay(event uuid, OUT id uuid, OUT matched integer, OUT runs uuid[])
RETURNS record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_replay';
COMMENT ON FUNCTION automation.replay(uuid) IS
'Hold a kept event against the automations as they are now; what takes it gets another run.';
REVOKE ALL ON FUNCTION automation.replay(uuid) FROM PUBLIC;

CREATE FUNCTION automation.explain(event uuid)
RETURNS json
LANGUAGE c STABLE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_explain';
COMMENT ON FUNCTION automation.explain(uuid) IS
'All that is known about an event: payload, headers, its runs, and for each automation that was asked the clause that let it through or stopped it.';
REVOKE ALL ON FUNCTION automation.explain(uuid) FROM PUBLIC;

CREATE FUNCTION automation.test_filter(
    filter text,
    source text DEFAULT NULL,
    on_keys text[] DEFAULT NULL,
    last integer DEFAULT 20,
    OUT event uuid,
    OUT event_source text,
    OUT key text,
    OUT received_at timestamptz,
    OUT passes boolean,
    OUT why text)
RETURNS SETOF record
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_test_filter';
COMMENT ON FUNCTION automation.test_filter(text, text, text[], integer) IS
'Which of the newest events (of a source) this filter, and these patterns of keys, would let through, and why not.';
REVOKE ALL ON FUNCTION automation.test_filter(text, text, text[], integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION automation.emit(text, jsonb, text, text), automation.replay(uuid)
   TO automation_admin, automation_user;
GRANT EXECUTE ON FUNCTION automation.explain(uuid), automation.test_filter(text, text, text[], integer)
   TO automation_admin, automation_user, automation_reader;

-- ---- runs -----------------------------------------------------------------------------------

CREATE FUNCTION automation.trigger(
    name text,
    input jsonb DEFAULT NULL,
    dedupe_key text DEFAULT NULL,
    delay interval DEFAULT NULL)
RETURNS uuid
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_trigger';
COMMENT ON FUNCTION automation.trigger(text, jsonb, text, interval) IS
'Run an automation once and return the run''s id. The run exists exactly if this transaction commits. input is handed to it as the event; delay lets it wait.';
REVOKE ALL ON FUNCTION automation.trigger(text, jsonb, text, interval) FROM PUBLIC;

CREATE FUNCTION automation.retry(run uuid)
RETURNS uuid
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_retry';
COMMENT ON FUNCTION automation.retry(uuid) IS 'Run an automation again with the input of a run that has ended, and return the new run''s id.';
REVOKE ALL ON FUNCTION automation.retry(uuid) FROM PUBLIC;

CREATE FUNCTION automation.cancel(run uuid)
RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_cancel';
COMMENT ON FUNCTION automation.cancel(uuid) IS 'Cancel a run that has not ended; what it started on the agent is ended, too.';
REVOKE ALL ON FUNCTION automation.cancel(uuid) FROM PUBLIC;

CREATE FUNCTION automation.logs(run uuid, after bigint DEFAULT 0)
RETURNS text
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_logs';
COMMENT ON FUNCTION automation.logs(uuid, bigint) IS
'What a run printed, from byte `after` of its output on, as far as it is kept (automation.output_keep_bytes).';
REVOKE ALL ON FUNCTION automation.logs(uuid, bigint) FROM PUBLIC;

CREATE PROCEDURE automation.wait(run uuid, timeout interval DEFAULT NULL, INOUT status text DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'automation_wait';
COMMENT ON PROCEDURE automation.wait(uuid, interval, text) IS
'Wait until a run has ended, or until timeout, and return its status. Holds no snapshot while waiting, so it cannot run inside a transaction block.';
REVOKE ALL ON PROCEDURE automation.wait(uuid, interval, text) FROM PUBLIC;

CREATE FUNCTION automation.next_fires(
    schedule text,
    timezone text DEFAULT 'UTC',
    n integer DEFAULT 5,
    after timestamptz DEFAULT pg_catalog.now())
RETURNS SETOF timestamptz
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_next_fires';
COMMENT ON FUNCTION automation.next_fires(text, text, integer, timestamptz) IS
'The next instants at which a schedule fires. schedule is a cron expression, or the name of an automation (then its own time zone counts).';
REVOKE ALL ON FUNCTION automation.next_fires(text, text, integer, timestamptz) FROM PUBLIC;

-- ---- changes of tables -----------------------------------------------------------------------

CREATE FUNCTION automation._row_changed()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_row_changed';
COMMENT ON FUNCTION automation._row_changed() IS 'Trigger function of on_change(), which alone makes such triggers.';
REVOKE ALL ON FUNCTION automation._row_changed() FROM PUBLIC;

CREATE FUNCTION automation.on_change(
    relation regclass,
    run text,
    ops text[] DEFAULT '{INSERT,UPDATE,DELETE}',
    columns text[] DEFAULT NULL,
    when_expr text DEFAULT NULL,
    input_expr text DEFAULT NULL,
    dedupe_expr text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_on_change';
COMMENT ON FUNCTION automation.on_change(regclass, text, text[], text[], text, text, text) IS
'Run an automation for each row of a table that is inserted, updated (in one of columns) or deleted, in the transaction that does so. when_expr and input_expr see the rows new and old; the input is the row as JSON unless input_expr says otherwise.';
REVOKE ALL ON FUNCTION automation.on_change(regclass, text, text[], text[], text, text, text) FROM PUBLIC;

-- ---- operation ------------------------------------------------------------------------------

CREATE FUNCTION automation._processes(OUT pid integer, OUT type text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'automation_processes';
COMMENT ON FUNCTION automation._processes() IS 'The extension''s processes for this database.';
REVOKE ALL ON FUNCTION automation._processes() FROM PUBLIC;

CREATE VIEW automation.workers AS
SELECT p.pid,
       p.type,
       w.name,
       w.started_at,
       w.lease_until,
       (SELECT pg_catalog.count(*)
          FROM automation.run r
         WHERE r.status OPERATOR(pg_catalog.=) 'RUNNING'
           AND r.worker OPERATOR(pg_catalog.=) w.name) AS running
  FROM automation._processes() p
  LEFT JOIN automation.worker w ON w.pid OPERATOR(pg_catalog.=) p.pid
                               AND p.type OPERATOR(pg_catalog.=) ANY (ARRAY['automation worker', 'automation dispatcher']);
COMMENT ON VIEW automation.workers IS 'The processes that work for this database, and how many runs each holds.';

CREATE FUNCTION automation.doctor(OUT item text, OUT ok boolean, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_doctor';
COMMENT ON FUNCTION automation.doctor() IS 'Whether everything needed is there, and what to do where it is not.';
REVOKE ALL ON FUNCTION automation.doctor() FROM PUBLIC;

CREATE FUNCTION automation.start()
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_start';
COMMENT ON FUNCTION automation.start() IS 'Start this database''s worker (at commit), also after stop().';
REVOKE ALL ON FUNCTION automation.start() FROM PUBLIC;

CREATE FUNCTION automation.stop()
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_stop';
COMMENT ON FUNCTION automation.stop() IS 'Let this database''s worker leave (at commit) and stay away until start(). Runs that execute go on and are found again.';
REVOKE ALL ON FUNCTION automation.stop() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION automation._processes(), automation.doctor()
   TO automation_admin, automation_user, automation_reader;
GRANT SELECT ON automation.workers TO automation_admin, automation_user, automation_reader;
GRANT EXECUTE ON FUNCTION
    automation.create(text, text, text, text, text, bytea, text, text, interval, boolean, text, text, text, jsonb, text, text[], text, boolean),
    automation.alter(text, text, text, text, text, text, bytea, text, text, interval, boolean, text, text, text, jsonb, text, text[], text, boolean),
    automation.create_prompt(text, text, jsonb, jsonb, text, text, text, interval, boolean, text),
    automation.alter_prompt(text, text, jsonb),
    automation.pause(text, text),
    automation.resume(text),
    automation.drop(text),
    automation.upload(text, bytea, text),
    automation.trigger(text, jsonb, text, interval),
    automation.cancel(uuid),
    automation.retry(uuid),
    automation.on_change(regclass, text, text[], text[], text, text, text)
   TO automation_admin, automation_user;
GRANT EXECUTE ON FUNCTION
    automation.logs(uuid, bigint),
    automation.next_fires(text, text, integer, timestamptz)
   TO automation_admin, automation_user, automation_reader;
GRANT EXECUTE ON PROCEDURE automation.wait(uuid, interval, text)
   TO automation_admin, automation_user, automation_reader;
GRANT EXECUTE ON FUNCTION automation.start(), automation.stop() TO automation_admin;

CREATE FUNCTION automation.ensure()
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_ensure';
COMMENT ON FUNCTION automation.ensure() IS 'Start this database''s worker (at commit) if it is not there and was not told to stay away.';
REVOKE ALL ON FUNCTION automation.ensure() FROM PUBLIC;

CREATE PROCEDURE automation.tick(bound interval DEFAULT '50 seconds')
LANGUAGE c
AS 'MODULE_PATHNAME', 'automation_tick';
COMMENT ON PROCEDURE automation.tick(interval) IS
'Let a worker work until bound has passed, also after stop(), and wait for its end. For places where no worker may stay: something else calls this again and again.';
REVOKE ALL ON PROCEDURE automation.tick(interval) FROM PUBLIC;

-- ---- pg_cron --------------------------------------------------------------------------------

CREATE FUNCTION automation.use_pg_cron(clock boolean DEFAULT false, enabled boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    kept text;
BEGIN
    IF pg_catalog.to_regclass('cron.job') IS NULL THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database'
              USING ERRCODE = 'undefined_object', HINT = 'CREATE EXTENSION pg_cron, in the database cron.database_name names.';
    END IF;
    -- One of the two jobs, or none: what is not wanted (any more) goes.
    FOR kept IN EXECUTE 'SELECT j.jobname::text FROM cron.job j WHERE j.username = current_user'
                        ' AND j.jobname IN (''automation worker'', ''automation clock'')'
    LOOP
        EXECUTE 'SELECT cron.unschedule($1)' USING kept;
    END LOOP;
    IF enabled AND clock THEN
        EXECUTE 'SELECT cron.schedule($1, $2, $3)'
          USING 'automation clock', '* * * * *', 'CALL automation.tick(''55 seconds'')';
    ELSIF enabled THEN
        EXECUTE 'SELECT cron.schedule($1, $2, $3)'
          USING 'automation worker', '* * * * *', 'SELECT automation.ensure()';
    END IF;
END
$body$;
COMMENT ON FUNCTION automation.use_pg_cron(boolean, boolean) IS
'Let pg_cron look each minute whether the worker is there, or, with clock, be the clock: it then calls tick() each minute. enabled => false takes the job back.';
REVOKE ALL ON FUNCTION automation.use_pg_cron(boolean, boolean) FROM PUBLIC;

CREATE FUNCTION automation.import_pg_cron(deactivate boolean DEFAULT false)
RETURNS TABLE (jobid bigint, name text, automation uuid, differs text)
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    job record;
BEGIN
    IF pg_catalog.to_regclass('cron.job') IS NULL THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database'
              USING ERRCODE = 'undefined_object';
    END IF;
    FOR job IN EXECUTE
        'SELECT j.jobid, coalesce(nullif(j.jobname::text, ''''), ''pg_cron job '' || j.jobid) AS name, j.schedule, j.command, j.active'
        '  FROM cron.job j'
        ' WHERE j.username = current_user AND j.database = pg_catalog.current_database()'
        '   AND j.jobname IS DISTINCT FROM ''automation worker'' AND j.jobname IS DISTINCT FROM ''automation clock'''
        ' ORDER BY j.jobid'
    LOOP
        jobid := job.jobid;
        name := job.name;
        automation := NULL;
        IF EXISTS (SELECT FROM automation.automations a WHERE a.name = job.name AND a.owner = current_user) THEN
            differs := 'not imported: you have an automation of this name';
        ELSE
            BEGIN
                automation := automation.create(job.name, sql => job.command, schedule => job.schedule,
                                                timezone => 'UTC', enabled => job.active,
                                                description => 'imported from pg_cron job ' || job.jobid);
                differs := 'has a time limit (timeout); a run may begin while the one before goes on; statements are one transaction'
                           || CASE WHEN deactivate THEN ''
                                   WHEN job.active THEN '; the pg_cron job goes on, too'
                                   ELSE '' END;
                IF deactivate AND job.active THEN
                    EXECUTE 'SELECT cron.alter_job($1, active => false)' USING job.jobid;
                END IF;
            EXCEPTION WHEN OTHERS THEN
                automation := NULL;
                differs := 'not imported: ' || SQLERRM;
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$body$;
COMMENT ON FUNCTION automation.import_pg_cron(boolean) IS
'Make SQL actions of your pg_cron jobs of this database, and tell what differs. deactivate: switch off the jobs that were imported.';
REVOKE ALL ON FUNCTION automation.import_pg_cron(boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION automation.ensure() TO automation_admin, automation_user;
GRANT EXECUTE ON FUNCTION automation.import_pg_cron(boolean) TO automation_admin, automation_user;
GRANT EXECUTE ON FUNCTION automation.use_pg_cron(boolean, boolean) TO automation_admin;
GRANT EXECUTE ON PROCEDURE automation.tick(interval) TO automation_admin;

CREATE FUNCTION automation._installed()
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'automation_installed';
COMMENT ON FUNCTION automation._installed() IS 'Called by the install and update scripts: starts the worker when they commit.';
REVOKE ALL ON FUNCTION automation._installed() FROM PUBLIC;

SELECT automation._installed();
