-- SPDX-License-Identifier: MIT
-- Generated from core/store/schema.c by `make schema-sql`; a test compares them.
CREATE TABLE automation.automation (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    user_id uuid NOT NULL,
    owner text,
    name text NOT NULL,
    description text,
    prompt text,
    preset_metadata json,
    plugin_spec json,
    model text,
    agent_profile_id text,
    trigger json NOT NULL,
    trigger_type text NOT NULL CHECK (trigger_type IN ('cron', 'event')),
    observability_associations json,
    tarball_path text NOT NULL,
    setup_script_path text,
    entrypoint text NOT NULL,
    timeout_s integer,
    keep_alive boolean,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'INACTIVE', 'DRAFT')),
    disabled_reason text,
    disabled_detail json,
    disabled_at timestamptz,
    deleted_at timestamptz,
    last_triggered_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    wait_at_limit boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id)
);
CREATE INDEX automation_tarball_idx ON automation.automation (lower(tarball_path));
CREATE INDEX automation_org_created_idx ON automation.automation (org_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX automation_org_name_idx ON automation.automation (org_id, name, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
CREATE TABLE automation.schedule (
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    next_fire_at timestamptz,
    last_slot timestamptz,
    last_fire_at timestamptz,
    expr text NOT NULL,
    timezone text NOT NULL,
    PRIMARY KEY (automation_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX schedule_next_fire_idx ON automation.schedule (next_fire_at)
    WHERE next_fire_at IS NOT NULL;
CREATE TABLE automation.gap (
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    first_missed timestamptz NOT NULL,
    last_missed timestamptz NOT NULL,
    missed bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (automation_id, first_missed)
);
CREATE INDEX gap_created_idx ON automation.gap (created_at);
CREATE TABLE automation.run (
    id uuid NOT NULL,
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    status text NOT NULL CHECK (status IN
        ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')),
    trigger_source text,
    scheduled_for timestamptz,
    ready_at timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    worker text,
    bash_command_id text,
    sandbox_id text,
    timeout_at timestamptz,
    cleanup_at timestamptz,
    error_detail text,
    status_detail json,
    current_phase text,
    conversation_id text,
    cost double precision,
    exit_code integer,
    output_bytes bigint NOT NULL DEFAULT 0,
    observability_associations json,
    run_metadata json,
    resolved_runtime json,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    trigger_event_id uuid,
    subject_key text,
    replayed boolean NOT NULL DEFAULT false,
    inline boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX run_slot_idx ON automation.run (automation_id, scheduled_for)
    WHERE scheduled_for IS NOT NULL;
CREATE INDEX run_ready_idx ON automation.run (ready_at, id) WHERE status = 'PENDING';
CREATE INDEX run_inline_idx ON automation.run (ready_at, id)
    WHERE status = 'PENDING' AND inline;
CREATE INDEX run_held_idx ON automation.run (worker, id) WHERE status = 'RUNNING';
CREATE INDEX run_cleanup_idx ON automation.run (cleanup_at) WHERE cleanup_at IS NOT NULL;
CREATE INDEX run_newest_idx ON automation.run (automation_id, id DESC);
CREATE INDEX run_status_idx ON automation.run (automation_id, status, id);
CREATE INDEX run_manual_idx ON automation.run (automation_id, created_at)
    WHERE trigger_source = 'manual';
CREATE INDEX run_event_idx ON automation.run (trigger_event_id, id)
    WHERE trigger_event_id IS NOT NULL;
CREATE TABLE automation.run_tally (
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    status text NOT NULL,
    slot integer NOT NULL,
    runs bigint NOT NULL,
    PRIMARY KEY (automation_id, status, slot)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX run_tally_slot_idx ON automation.run_tally (slot) WHERE slot <> 0;
CREATE TABLE automation.run_input (
    run_id uuid NOT NULL REFERENCES automation.run (id) ON DELETE CASCADE,
    input json NOT NULL,
    PRIMARY KEY (run_id)
);
CREATE TABLE automation.run_output (
    run_id uuid NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL
) PARTITION BY RANGE (run_id);
CREATE TABLE automation.run_output_default PARTITION OF automation.run_output (
    PRIMARY KEY (run_id, start)
) DEFAULT;
CREATE TABLE automation.dedupe (
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    dedupe_key text NOT NULL,
    run_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (automation_id, dedupe_key)
);
CREATE INDEX dedupe_expires_idx ON automation.dedupe (expires_at);
CREATE TABLE automation.disable_event (
    id uuid NOT NULL,
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    run_id uuid REFERENCES automation.run (id) ON DELETE SET NULL,
    reason text NOT NULL,
    detail json,
    source text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX disable_event_newest_idx ON automation.disable_event (automation_id, created_at DESC);
CREATE INDEX disable_event_run_idx ON automation.disable_event (run_id);
CREATE TABLE automation.upload (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    status text NOT NULL CHECK (status IN ('UPLOADING', 'COMPLETED', 'FAILED')),
    error_message text,
    size_bytes bigint,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    store text NOT NULL CHECK (store IN ('database', 'local', 's3', 'gcs')),
    object_due_at timestamptz,
    PRIMARY KEY (id)
);
CREATE INDEX upload_live_idx ON automation.upload (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX upload_object_idx ON automation.upload (object_due_at)
    WHERE object_due_at IS NOT NULL;
CREATE INDEX upload_newest_idx ON automation.upload (org_id, user_id, created_at DESC);
CREATE INDEX upload_deleted_idx ON automation.upload (deleted_at)
    WHERE deleted_at IS NOT NULL;
CREATE TABLE automation.upload_data (
    upload_id uuid NOT NULL REFERENCES automation.upload (id) ON DELETE CASCADE,
    data bytea NOT NULL,
    PRIMARY KEY (upload_id)
);
ALTER TABLE automation.upload_data ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE automation.worker (
    name text NOT NULL,
    pid bigint NOT NULL,
    started_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (name)
) WITH (fillfactor = 50);
CREATE TABLE automation.sandbox (
    id uuid NOT NULL,
    run_id uuid NOT NULL,
    org_id uuid NOT NULL,
    user_id uuid NOT NULL,
    sandbox_id text,
    state text NOT NULL CHECK (state IN
        ('CREATING', 'STARTING', 'READY', 'RELEASED', 'KEPT', 'LOST')),
    note text,
    tries integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    due_at timestamptz,
    delete_at timestamptz,
    PRIMARY KEY (id)
) WITH (fillfactor = 70);
CREATE INDEX sandbox_run_idx ON automation.sandbox (run_id);
CREATE INDEX sandbox_due_idx ON automation.sandbox (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE automation.custom_webhook (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    owner text,
    name text NOT NULL,
    source text NOT NULL,
    event_key_expr text NOT NULL,
    signature_header text NOT NULL,
    signature_scheme text,
    event_id_header text,
    enabled boolean NOT NULL,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX custom_webhook_source_idx ON automation.custom_webhook (org_id, source);
CREATE INDEX custom_webhook_newest_idx ON automation.custom_webhook (org_id, created_at DESC, id DESC);
CREATE TABLE automation.environment (
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    names json NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (automation_id)
);
CREATE TABLE automation.event (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    source text NOT NULL,
    provider_event_id text,
    event_key text,
    state text NOT NULL CHECK (state IN
        ('MATCHED', 'UNMATCHED', 'IGNORED', 'UNPARSEABLE')),
    why text,
    matched_count integer NOT NULL,
    considered integer NOT NULL,
    received_at timestamptz NOT NULL,
    headers json,
    verdicts json,
    body bytea NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX event_newest_idx ON automation.event (org_id, id DESC);
CREATE UNIQUE INDEX event_delivery_idx ON automation.event (org_id, source, provider_event_id)
    WHERE provider_event_id IS NOT NULL;
CREATE TABLE automation.event_trigger (
    org_id uuid NOT NULL,
    source text NOT NULL,
    scope text NOT NULL,
    path text NOT NULL,
    literal bigint NOT NULL,
    automation_id uuid NOT NULL REFERENCES automation.automation (id) ON DELETE CASCADE,
    version bigint NOT NULL,
    PRIMARY KEY (org_id, source, scope, path, literal, automation_id)
);
CREATE INDEX event_trigger_automation_idx ON automation.event_trigger (automation_id);
CREATE TABLE automation.event_generation (
    org_id uuid NOT NULL,
    stamp bigint NOT NULL,
    PRIMARY KEY (org_id)
) WITH (fillfactor = 50);
CREATE FUNCTION automation._output_forget() RETURNS trigger
LANGUAGE plpgsql
AS $body$
BEGIN
    DELETE FROM automation.run_output_default AS o WHERE o.run_id OPERATOR(pg_catalog.=) OLD.id;
    RETURN NULL;
END
$body$;
CREATE TRIGGER run_output_forget AFTER DELETE ON automation.run
    FOR EACH ROW EXECUTE FUNCTION automation._output_forget();
CREATE FUNCTION automation._output_spans(OUT part regclass, OUT first uuid, OUT until uuid)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT i.inhrelid::regclass, b[1]::uuid, b[2]::uuid
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
           'FROM [(]''([0-9a-f-]{36})''[)] TO [(]''([0-9a-f-]{36})''[)]') AS b
     WHERE i.inhparent = 'automation.run_output'::regclass
       AND b IS NOT NULL
$body$;
CREATE FUNCTION automation._output_span_add(first uuid, until uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $body$
DECLARE
    ms CONSTANT bigint := ('x' || left(replace(first::text, '-', ''), 12))::bit(48)::bigint;
    part CONSTANT text := to_char(to_timestamp(ms / 1000) AT TIME ZONE 'UTC', '"automation.run_output_"YYYYMMDD');
BEGIN
    IF pg_relation_size('automation.run_output_default') > 134217728 THEN
        RAISE LOG 'automation.run_output_default is too large to be looked through for a new partition'
            USING HINT = 'Retention deletes its rows one by one; then VACUUM FULL makes it small.';
        RETURN false;
    END IF;
    LOCK TABLE ONLY automation.run_output IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE automation.run_output_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM automation.run_output_default AS o WHERE o.run_id >= first AND o.run_id < until) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %s (LIKE automation.run_output_default INCLUDING ALL)'
        ' WITH (autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_insert_threshold = -1)', part);
    EXECUTE format('COMMENT ON TABLE %s IS %L', part, 'A span of automation.run_output.');
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE %s OWNER TO %s', part,
        (SELECT c.relowner::regrole FROM pg_class AS c WHERE c.oid = 'automation.run_output'::regclass));
    EXECUTE format('ALTER TABLE automation.run_output ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        part, first, until);
    RETURN true;
END
$body$;
CREATE FUNCTION automation._output_span_drop(before uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $body$
DECLARE
    span record;
    held boolean := false;
BEGIN
    FOR span IN SELECT * FROM automation._output_spans() AS s WHERE s.until <= before ORDER BY s.until
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM automation.run AS r
            WHERE r.id >= span.first AND r.id < span.until AND r.output_bytes > 0);
        IF NOT held THEN
            BEGIN
                LOCK TABLE ONLY automation.run_output IN ACCESS EXCLUSIVE MODE;
            EXCEPTION WHEN lock_not_available THEN
                held := true;
            END;
        END IF;
        CONTINUE WHEN held AND pg_relation_size(span.part) = 0;
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', span.part);
        CONTINUE WHEN EXISTS (SELECT FROM automation.run AS r
            WHERE r.id >= span.first AND r.id < span.until AND r.output_bytes > 0);
        EXECUTE format(CASE WHEN held THEN 'TRUNCATE %s' ELSE 'DROP TABLE %s' END, span.part);
        RETURN true;
    END LOOP;
    IF held THEN
        RAISE lock_not_available USING MESSAGE = 'somebody reads output in a transaction that stays open';
    END IF;
    RETURN false;
END
$body$;
