-- on_change(): changes of a table start runs, in the transaction that made them.
\set VERBOSITY terse
SET client_min_messages = error;
CREATE TABLE items (id integer PRIMARY KEY, status text, note text, doc json);
SELECT automation.create('watch items', script => 'echo hello') IS NOT NULL AS created;
SELECT automation.on_change('items', run => 'watch items');
SELECT trigger::jsonb ->> 'source' AS source, trigger::jsonb ->> 'on' AS "on" FROM automation.automation WHERE name = 'watch items';
CREATE VIEW inputs AS
SELECT r.trigger_source, r.status, i.input FROM automation.run r JOIN automation.run_input i ON i.run_id = r.id
  JOIN automation.automation a ON a.id = r.automation_id WHERE a.name = 'watch items';
-- One run per row, whatever the command.
INSERT INTO items SELECT n, 'new', 'row ' || n FROM generate_series(1, 3) n;
SELECT * FROM inputs ORDER BY (input ->> 'id')::int;
BEGIN;
DELETE FROM items WHERE id = 3;
SELECT count(*) FROM inputs;
ROLLBACK;
SELECT count(*) FROM inputs;
INSERT INTO items SELECT n, 'new' FROM generate_series(10, 1009) n;
SELECT count(*) FROM inputs;
UPDATE items SET status = status WHERE false;
SELECT count(*) FROM inputs;
DELETE FROM items WHERE id >= 10;
DELETE FROM automation.run;
-- Columns, conditions, inputs.  Called again it replaces what was there.
SELECT automation.on_change('items', run => 'watch items', ops => '{update}', columns => '{status,doc}',
    when_expr => 'new.status = ''paid''',
    input_expr => 'pg_catalog.jsonb_build_object(''id'', new.id, ''was'', old.status, ''op'', change.op, ''of'', change.relation)');
SELECT tgname ~ '^automation [0-9a-f-]{36} UPDATE$' AS named FROM pg_trigger WHERE tgrelid = 'items'::regclass ORDER BY tgname;
INSERT INTO items VALUES (4, 'paid');
UPDATE items SET note = 'changed';
UPDATE items SET status = 'open' WHERE id = 1;
UPDATE items SET status = 'paid' WHERE id < 4;
UPDATE items SET status = 'paid';
SELECT * FROM inputs ORDER BY (input ->> 'id')::int;
DELETE FROM automation.run;
-- Either side is null where there is no row.
SELECT automation.on_change('items', run => 'watch items', when_expr => 'old.status IS DISTINCT FROM new.status',
    input_expr => 'pg_catalog.jsonb_build_array(change.op, old.id, new.id)');
INSERT INTO items VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET status = 'y';
INSERT INTO items VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET status = 'y';
DELETE FROM items WHERE id = 5;
SELECT input FROM inputs ORDER BY input ->> 0;
DELETE FROM automation.run;
-- A key starts one run only.
SELECT automation.on_change('items', run => 'watch items', ops => '{update}', dedupe_expr => 'new.id % 2');
UPDATE items SET note = 'again';
UPDATE items SET note = 'and again';
SELECT count(*) FROM inputs;
DELETE FROM automation.run;
-- A paused automation starts nothing.
SELECT automation.pause('watch items');
DELETE FROM items WHERE id = 4;
SELECT count(*) FROM inputs;
SELECT automation.resume('watch items');
-- Columns of every kind: dropped, quoted, generated; partitioned tables.
ALTER TABLE items DROP COLUMN doc, ADD COLUMN "Odd ""one""" numeric, ADD COLUMN twice integer GENERATED ALWAYS AS (id * 2) STORED;
SELECT automation.on_change('items', run => 'watch items', ops => '{insert}');
INSERT INTO items (id, "Odd ""one""") VALUES (6, 1.50);
SELECT input FROM inputs;
DELETE FROM automation.run;
CREATE TABLE parts (id integer, v text) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
SELECT automation.on_change('parts', run => 'watch items', ops => '{insert,update}');
SELECT count(*) AS left_behind FROM pg_trigger WHERE tgrelid = 'items'::regclass;
INSERT INTO parts VALUES (1, 'a'), (2, 'b');
UPDATE parts SET v = v || v WHERE id = 1;
SELECT input FROM inputs ORDER BY input ->> 'v';
DELETE FROM automation.run;
-- What cannot be.
\set VERBOSITY sqlstate
SELECT automation.on_change('items', run => 'no such automation');
SELECT automation.on_change('items', run => 'watch items', ops => '{truncate}');
SELECT automation.on_change('items', run => 'watch items', ops => '{}');
SELECT automation.on_change('items', run => 'watch items', ops => NULL);
SELECT automation.on_change('items', run => 'watch items', columns => '{nothing}');
SELECT automation.on_change('items', run => 'watch items', when_expr => 'new.nothing = 1');
SELECT automation.on_change('items', run => 'watch items', when_expr => 'new.id');
SELECT automation.on_change('items', run => 'watch items', when_expr => 'true); DROP TABLE items; SELECT (true');
SELECT automation.on_change('items', run => 'watch items', dedupe_expr => 'new.id + true');
SELECT automation.on_change('inputs', run => 'watch items');
SELECT automation.on_change('automation.run', run => 'watch items');
SELECT automation.on_change('pg_catalog.pg_class', run => 'watch items');
CREATE TEMPORARY TABLE mine (id integer);
SELECT automation.on_change('mine', run => 'watch items');
SELECT automation.create('by the clock', script => 'true', schedule => '0 0 1 1 *') IS NOT NULL AS created;
SELECT automation.on_change('items', run => 'by the clock');
CREATE TRIGGER forged AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION automation._row_changed();
INSERT INTO items (id) VALUES (7);
DROP TRIGGER forged ON items;
\set VERBOSITY terse
-- A failing expression fails the command.
SELECT automation.on_change('items', run => 'watch items', when_expr => '10 / new.id > 0');
INSERT INTO items (id) VALUES (0);
SELECT count(*) FROM items WHERE id = 0;
-- Only who owns both may; the expressions run with the owner's rights, not with the writer's.
CREATE ROLE change_owner; CREATE ROLE change_writer; CREATE ROLE change_other;
GRANT automation_user TO change_owner, change_other;
CREATE SCHEMA of_owner AUTHORIZATION change_owner;
SET ROLE change_owner;
CREATE TABLE of_owner.t (id integer);
GRANT USAGE ON SCHEMA of_owner TO change_writer, change_other;
GRANT INSERT, SELECT ON of_owner.t TO change_writer, change_other;
CREATE FUNCTION of_owner.who() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
REVOKE EXECUTE ON FUNCTION of_owner.who() FROM PUBLIC;
SELECT automation.create('of owner', script => 'true') IS NOT NULL AS created;
SELECT automation.on_change('of_owner.t', run => 'of owner', ops => '{insert}', when_expr => 'new.id = 1',
    input_expr => 'pg_catalog.jsonb_build_object(''id'', new.id, ''by'', of_owner.who())');
SET ROLE change_other;
SELECT automation.create('of other', script => 'true') IS NOT NULL AS created;
\set VERBOSITY sqlstate
SELECT automation.on_change('of_owner.t', run => 'of other');
SELECT automation.on_change('of_owner.t', run => 'of owner');
SET ROLE change_owner;
SELECT automation.on_change('of_owner.t', run => 'of other');
SELECT automation.on_change('items', run => 'of owner');
CREATE TRIGGER forged AFTER INSERT ON of_owner.t EXECUTE FUNCTION automation._row_changed();
RESET ROLE;
-- An operator of the writer's own must not be taken.
CREATE SCHEMA of_writer AUTHORIZATION change_writer;
SET ROLE change_writer;
CREATE FUNCTION of_writer.always(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
CREATE OPERATOR of_writer.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = of_writer.always);
SET search_path = of_writer, pg_catalog;
INSERT INTO of_owner.t VALUES (1), (2);
RESET search_path;
RESET ROLE;
SELECT i.input FROM automation.run r JOIN automation.run_input i ON i.run_id = r.id JOIN automation.automation a ON a.id = r.automation_id WHERE a.name = 'of owner';
-- Dropping the automation drops its triggers; so does giving it a schedule.
SET ROLE change_owner;
SELECT automation.drop('of owner');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'of_owner.t'::regclass;
RESET ROLE;
SELECT automation.alter('watch items', schedule => '0 0 1 1 *');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'items'::regclass;
DROP TABLE items, parts, of_owner.t CASCADE;
DROP OWNED BY change_owner, change_writer, change_other CASCADE;
DROP ROLE change_owner, change_writer, change_other;
DELETE FROM automation.automation WHERE name IN ('watch items', 'by the clock', 'of owner', 'of other');
DROP VIEW inputs;
