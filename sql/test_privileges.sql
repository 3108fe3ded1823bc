-- Who sees and may do what.
\set VERBOSITY terse
SET client_min_messages = error;
CREATE ROLE automation_test_alice LOGIN;
CREATE ROLE automation_test_bob LOGIN;
CREATE ROLE automation_test_team NOLOGIN;
CREATE ROLE automation_test_nobody LOGIN;
CREATE ROLE automation_test_auditor LOGIN;
CREATE ROLE automation_test_boss LOGIN;
GRANT automation_user TO automation_test_alice, automation_test_bob, automation_test_team;
GRANT automation_reader TO automation_test_auditor;
GRANT automation_admin TO automation_test_boss;
GRANT automation_test_team TO automation_test_bob;

\c - automation_test_alice
SET client_min_messages = error;
SELECT automation.create('report', script => 'echo alice') IS NOT NULL AS created;
SELECT automation.trigger('report') IS NOT NULL AS triggered;
SELECT id AS alices_run FROM automation.runs \gset
SELECT id AS alices FROM automation.automations \gset

\c - automation_test_bob
SET client_min_messages = error;
-- Bob sees nothing of Alice's, and may use the same name.
SELECT name FROM automation.automations;
SELECT count(*) FROM automation.runs;
\set VERBOSITY sqlstate
SELECT automation.trigger('report');
SELECT automation.drop(:'alices');
SELECT automation.pause(:'alices');
SELECT automation.cancel(:'alices_run');
SELECT automation.logs(:'alices_run');
CALL automation.wait(:'alices_run');
SELECT * FROM automation.next_fires(:'alices');
-- The tables, the start of processes and the internals are not his.
SELECT count(*) FROM automation.automation;
SELECT count(*) FROM automation.run_output;
UPDATE automation.run SET status = 'COMPLETED';
INSERT INTO automation.worker VALUES ('w', 1, now(), now(), now());
UPDATE automation.automations SET name = 'x';
CREATE TRIGGER t AFTER INSERT ON automation.run FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT automation.start();
SELECT automation.stop();
SELECT automation._installed();
SET automation.agent_server_url = 'http://127.0.0.1:1';
SHOW automation.agent_server_api_key;
SHOW automation.local_api_key_file;
CREATE TABLE automation.mine (id integer);
-- Peeping through a leaky function gains nothing.
CREATE FUNCTION pg_temp.peep(name text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
    RAISE INFO 'saw %', name;
    RETURN true;
END $$;
\set VERBOSITY terse
SELECT count(*) FROM automation.automations WHERE pg_temp.peep(name);
SELECT automation.create('report', script => 'echo bob') IS NOT NULL AS created;
SELECT automation.trigger('report') IS NOT NULL AS triggered;
SELECT count(*) FROM automation.runs;
-- What a role he is a member of owns is his to use.
SET ROLE automation_test_team;
SELECT automation.create('team work', script => 'echo team') IS NOT NULL AS created;
RESET ROLE;
SELECT name, owner FROM automation.automations ORDER BY name;
SELECT automation.trigger('team work') IS NOT NULL AS triggered;
-- A SECURITY DEFINER function acts as its owner here, as everywhere.
\c - postgres
SET client_min_messages = error;
CREATE SCHEMA automation_test_schema;
GRANT CREATE, USAGE ON SCHEMA automation_test_schema TO automation_test_alice, automation_test_bob;
\c - automation_test_alice
CREATE FUNCTION automation_test_schema.run_report() RETURNS boolean LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT automation.trigger('report', '{"by": "definer"}') IS NOT NULL $$;
\c - automation_test_bob
SELECT automation_test_schema.run_report() AS ran_as_alice;

-- A hostile schema on the search_path cannot get between our statements and the server.
CREATE FUNCTION automation_test_schema.equals(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ran as %', current_user;
END $$;
CREATE OPERATOR automation_test_schema.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = automation_test_schema.equals);
CREATE FUNCTION automation_test_schema.now() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ran as %', current_user;
END $$;
CREATE TEMP TABLE run (id uuid);
SET search_path = automation_test_schema, pg_temp, pg_catalog;
SELECT automation.trigger('report') IS NOT NULL AS triggered;
SELECT count(*) > 0 AS seen FROM automation.runs;
SELECT automation.pause('report');
SELECT automation.resume('report');
SHOW search_path;
RESET search_path;

\c - automation_test_nobody
\set VERBOSITY sqlstate
SELECT automation.create('x', script => 'x');
SELECT * FROM automation.runs;
SELECT * FROM automation.doctor();

\c - automation_test_auditor
\set VERBOSITY terse
SELECT name, owner FROM automation.automations WHERE owner LIKE 'automation\_test\_%' ORDER BY 1, 2;
SELECT automation.logs(:'alices_run');
\set VERBOSITY sqlstate
SELECT automation.create('x', script => 'x');
SELECT automation.trigger('report');
SELECT automation.cancel(:'alices_run');

\c - automation_test_boss
\set VERBOSITY terse
SELECT count(*) FROM automation.automations WHERE owner LIKE 'automation\_test\_%';
SELECT automation.cancel(:'alices_run');
SELECT automation.trigger(:'alices') IS NOT NULL AS triggered;
\set VERBOSITY sqlstate
-- two are named so, none is the boss's own
SELECT automation.trigger('report');
\set VERBOSITY terse
-- Still Alice's.
SELECT owner FROM automation.automations WHERE id = :'alices';

\c - postgres
SET client_min_messages = error;
SELECT count(automation.drop(id::text)) FROM automation.automations WHERE owner LIKE 'automation\_test\_%';
DROP SCHEMA automation_test_schema CASCADE;
DROP ROLE automation_test_alice, automation_test_bob, automation_test_team, automation_test_nobody, automation_test_auditor, automation_test_boss;
