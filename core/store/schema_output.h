/* SPDX-License-Identifier: MIT */
/*
 * core/store/schema_output.h - what runs printed, in both dialects; a part of schema.c.
 *
 * In PostgreSQL the table is cut into spans of ids, which are spans of time, since ids are of version 7: what
 * is old is not deleted but dropped with its span (spans.c).  The rows do not refer to their runs there.
 * What has no span lies in the default partition, and goes with its run by a trigger, as it would by a
 * foreign key; in a span it waits for the end of the span.
 *
 * Spans are made while the engine works, so they are no members of the extension: a dump takes them along
 * as tables of their own.  For that the table itself has no index (a restored span could not bring its own
 * primary key to one that gives it another), and its columns must not change without a thought to dumps
 * that hold spans as they were.
 *
 * _output_span_add: nobody writes while it looks whether the default partition has rows of the span; it is
 * attached rather than created as a partition, so that those who read other spans go on.  A large default
 * partition would be read to its end under the lock: then there are no spans until it is small.
 * _output_span_drop: a span whose runs are gone, or never printed, goes.  Who holds the table with a
 * transaction that stays open holds up its drop, but not that it is emptied.
 * Both wait for a lock for a moment only: everybody else queues behind them.
 */
#ifndef AUT_SCHEMA_OUTPUT_H
#define AUT_SCHEMA_OUTPUT_H

/* Output is text that compresses well: PostgreSQL's own compression is left on. */
#define POSTGRES_RUN_OUTPUT                                                                        \
	"CREATE TABLE automation.run_output (\n"                                                       \
	"    run_id uuid NOT NULL,\n"                                                                  \
	"    start bigint NOT NULL,\n"                                                                 \
	"    data bytea NOT NULL,\n"                                                                   \
	"    at timestamptz NOT NULL\n"                                                                \
	") PARTITION BY RANGE (run_id);\n"                                                             \
	"CREATE TABLE automation.run_output_default PARTITION OF automation.run_output (\n"            \
	"    PRIMARY KEY (run_id, start)\n"                                                            \
	") DEFAULT;\n"

#define POSTGRES_OUTPUT_SPANS                                                                      \
	"CREATE FUNCTION automation._output_forget() RETURNS trigger\n"                                \
	"LANGUAGE plpgsql\n"                                                                           \
	"AS $body$\n"                                                                                  \
	"BEGIN\n"                                                                                      \
	"    DELETE FROM automation.run_output_default AS o WHERE o.run_id OPERATOR(pg_catalog.=) "    \
	"OLD.id;\n"                                                                                    \
	"    RETURN NULL;\n"                                                                           \
	"END\n"                                                                                        \
	"$body$;\n"                                                                                    \
	"CREATE TRIGGER run_output_forget AFTER DELETE ON automation.run\n"                            \
	"    FOR EACH ROW EXECUTE FUNCTION automation._output_forget();\n"                             \
	"CREATE FUNCTION automation._output_spans(OUT part regclass, OUT first uuid, OUT until "       \
	"uuid)\n"                                                                                      \
	"RETURNS SETOF record\n"                                                                       \
	"LANGUAGE sql STABLE PARALLEL SAFE\n"                                                          \
	"SET search_path = pg_catalog, pg_temp\n"                                                      \
	"AS $body$\n"                                                                                  \
	"    SELECT i.inhrelid::regclass, b[1]::uuid, b[2]::uuid\n"                                    \
	"      FROM pg_inherits AS i\n"                                                                \
	"      JOIN pg_class AS c ON c.oid = i.inhrelid\n"                                             \
	"     CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),\n"                   \
	"           'FROM [(]''([0-9a-f-]{36})''[)] TO [(]''([0-9a-f-]{36})''[)]') AS b\n"             \
	"     WHERE i.inhparent = 'automation.run_output'::regclass\n"                                 \
	"       AND b IS NOT NULL\n"                                                                   \
	"$body$;\n"                                                                                    \
	"CREATE FUNCTION automation._output_span_add(first uuid, until uuid) RETURNS boolean\n"        \
	"LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE\n"                                           \
	"SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'\n"                           \
	"AS $body$\n"                                                                                  \
	"DECLARE\n"                                                                                    \
	"    ms CONSTANT bigint := ('x' || left(replace(first::text, '-', ''), "                       \
	"12))::bit(48)::bigint;\n"                                                                     \
	"    part CONSTANT text := to_char(to_timestamp(ms / 1000) AT TIME ZONE 'UTC', "               \
	"'\"automation.run_output_\"YYYYMMDD');\n"                                                     \
	"BEGIN\n"                                                                                      \
	"    IF pg_relation_size('automation.run_output_default') > 134217728 THEN\n"                  \
	"        RAISE LOG 'automation.run_output_default is too large to be looked through for a "    \
	"new partition'\n"                                                                             \
	"            USING HINT = 'Retention deletes its rows one by one; then VACUUM FULL makes it "  \
	"small.';\n"                                                                                   \
	"        RETURN false;\n"                                                                      \
	"    END IF;\n"                                                                                \
	"    LOCK TABLE ONLY automation.run_output IN SHARE ROW EXCLUSIVE MODE;\n"                     \
	"    LOCK TABLE automation.run_output_default IN ACCESS EXCLUSIVE MODE;\n"                     \
	"    IF EXISTS (SELECT FROM automation.run_output_default AS o WHERE o.run_id >= first AND "   \
	"o.run_id < until) THEN\n"                                                                     \
	"        RETURN false;\n"                                                                      \
	"    END IF;\n"                                                                                \
	"    EXECUTE format('CREATE TABLE %s (LIKE automation.run_output_default INCLUDING ALL)'\n"    \
	"        ' WITH (autovacuum_vacuum_insert_threshold = -1, "                                    \
	"toast.autovacuum_vacuum_insert_threshold = -1)', part);\n"                                    \
	"    EXECUTE format('COMMENT ON TABLE %s IS %L', part, 'A span of automation.run_output.');\n" \
	"    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);\n"                      \
	"    EXECUTE format('ALTER TABLE %s OWNER TO %s', part,\n"                                     \
	"        (SELECT c.relowner::regrole FROM pg_class AS c WHERE c.oid = "                        \
	"'automation.run_output'::regclass));\n"                                                       \
	"    EXECUTE format('ALTER TABLE automation.run_output ATTACH PARTITION %s FOR VALUES FROM "   \
	"(%L) TO (%L)',\n"                                                                             \
	"        part, first, until);\n"                                                               \
	"    RETURN true;\n"                                                                           \
	"END\n"                                                                                        \
	"$body$;\n"                                                                                    \
	"CREATE FUNCTION automation._output_span_drop(before uuid) RETURNS boolean\n"                  \
	"LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE\n"                                           \
	"SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'\n"                           \
	"AS $body$\n"                                                                                  \
	"DECLARE\n"                                                                                    \
	"    span record;\n"                                                                           \
	"    held boolean := false;\n"                                                                 \
	"BEGIN\n"                                                                                      \
	"    FOR span IN SELECT * FROM automation._output_spans() AS s WHERE s.until <= before ORDER " \
	"BY s.until\n"                                                                                 \
	"    LOOP\n"                                                                                   \
	"        CONTINUE WHEN EXISTS (SELECT FROM automation.run AS r\n"                              \
	"            WHERE r.id >= span.first AND r.id < span.until AND r.output_bytes > 0);\n"        \
	"        IF NOT held THEN\n"                                                                   \
	"            BEGIN\n"                                                                          \
	"                LOCK TABLE ONLY automation.run_output IN ACCESS EXCLUSIVE MODE;\n"            \
	"            EXCEPTION WHEN lock_not_available THEN\n"                                         \
	"                held := true;\n"                                                              \
	"            END;\n"                                                                           \
	"        END IF;\n"                                                                            \
	"        CONTINUE WHEN held AND pg_relation_size(span.part) = 0;\n"                            \
	"        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', span.part);\n"               \
	"        CONTINUE WHEN EXISTS (SELECT FROM automation.run AS r\n"                              \
	"            WHERE r.id >= span.first AND r.id < span.until AND r.output_bytes > 0);\n"        \
	"        EXECUTE format(CASE WHEN held THEN 'TRUNCATE %s' ELSE 'DROP TABLE %s' END, "          \
	"span.part);\n"                                                                                \
	"        RETURN true;\n"                                                                       \
	"    END LOOP;\n"                                                                              \
	"    IF held THEN\n"                                                                           \
	"        RAISE lock_not_available USING MESSAGE = 'somebody reads output in a transaction "    \
	"that stays open';\n"                                                                          \
	"    END IF;\n"                                                                                \
	"    RETURN false;\n"                                                                          \
	"END\n"                                                                                        \
	"$body$;\n"

#define SQLITE_RUN_OUTPUT                                                                          \
	"CREATE TABLE automation.run_output (\n"                                                       \
	"    run_id BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,\n"                            \
	"    start INTEGER NOT NULL,\n"                                                                \
	"    data BLOB NOT NULL,\n"                                                                    \
	"    at INTEGER NOT NULL,\n"                                                                   \
	"    PRIMARY KEY (run_id, start)\n"                                                            \
	") STRICT;\n"

#endif
