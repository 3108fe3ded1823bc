-- DROP EXTENSION takes everything with it, and CREATE EXTENSION can begin again.
\set VERBOSITY terse
SET client_min_messages = error;
DROP EXTENSION automation;
SELECT count(*) FROM pg_namespace WHERE nspname = 'automation';
CREATE EXTENSION automation;
SELECT count(*) FROM automation.automations;
SELECT automation.create('again', script => 'echo') IS NOT NULL AS created;
SELECT name FROM automation.automations;
-- A schema that somebody prepared is refused.
DROP EXTENSION automation;
CREATE SCHEMA automation;
\set VERBOSITY sqlstate
CREATE EXTENSION automation;
DROP SCHEMA automation;
