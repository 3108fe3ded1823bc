-- Events in SQL: emitted, kept, explained, matched again; who may make and see which.
\set VERBOSITY terse
SET client_min_messages = error;
CREATE ROLE automation_test_erin LOGIN;
CREATE ROLE automation_test_fay LOGIN;
CREATE ROLE automation_test_gil LOGIN;
GRANT automation_user TO automation_test_erin, automation_test_fay;
GRANT automation_reader TO automation_test_gil;
\c - automation_test_erin
SET client_min_messages = error;
-- Automations that events start.
SELECT automation.create('paid', sql => 'SELECT 1', event => 'shop', on_keys => '{order.paid,order.refunded}', filter => 'total > `10`') IS NOT NULL AS created;
SELECT automation.create('all of shop', sql => 'SELECT 1', event => 'shop') IS NOT NULL AS created;
SELECT name, event, on_keys::text, filter, schedule FROM automation.automations WHERE event = 'shop' ORDER BY name;
SELECT automation.alter('paid', filter => 'total > `100`');
SELECT automation.alter('all of shop', on_keys => ARRAY['order.*']);
SELECT automation.alter('paid', new_name => 'paid much');
SELECT name, on_keys::text, filter FROM automation.automations WHERE event = 'shop' ORDER BY name;
SELECT automation.alter('all of shop', schedule => '0 0 1 1 *');
SELECT event, schedule FROM automation.automations WHERE name = 'all of shop';
SELECT automation.alter('all of shop', on_keys => ARRAY['x']);
SELECT automation.alter('all of shop', event => 'shop', schedule => '0 0 * * *');
SELECT automation.alter('all of shop', event => 'shop', on_keys => ARRAY['order.*']);
SELECT automation.create('x', sql => 'SELECT 1', filter => 'a');
SELECT automation.create('x', sql => 'SELECT 1', event => 'shop', schedule => '0 0 * * *');
\set VERBOSITY sqlstate
SELECT automation.create('x', sql => 'SELECT 1', event => 'shop', filter => 'a[');
SELECT automation.create('x', sql => 'SELECT 1', event => 'sql');
SELECT automation.create('x', sql => 'SELECT 1', event => 'shop', on_keys => '{NULL}');
\set VERBOSITY terse
-- What is emitted is kept with the runs it started.
SELECT id IS NOT NULL AS kept, matched, cardinality(runs) AS runs FROM automation.emit('shop', '{"type": "order.paid", "total": 150}');
SELECT matched, cardinality(runs) AS runs FROM automation.emit('shop', '{"total": 50}', key => 'order.paid', dedupe => 'one');
SELECT id IS NULL AS known, matched, cardinality(runs) AS runs FROM automation.emit('shop', '{"total": 50}', key => 'order.paid', dedupe => 'one');
SELECT source, key, state, dedupe, cardinality(runs) AS runs FROM automation.events ORDER BY id;
SELECT a.name, r.trigger_source FROM automation.events e CROSS JOIN unnest(e.runs) u JOIN automation.runs r ON r.id = u
  JOIN automation.automations a ON a.id = r.automation_id ORDER BY e.id, a.name;
-- A transaction that fails has emitted nothing, and does not use up the key either.
BEGIN;
SELECT matched FROM automation.emit('shop', '{"type": "order.paid", "total": 150}', dedupe => 'two');
SELECT count(*) FROM automation.events;
ROLLBACK;
SELECT count(*) AS events, sum(cardinality(runs)) AS runs FROM automation.events;
BEGIN;
SAVEPOINT before;
SELECT matched FROM automation.emit('shop', '{"type": "order.paid", "total": 150}', dedupe => 'two');
ROLLBACK TO before;
SELECT matched FROM automation.emit('shop', '{"type": "order.paid", "total": 7}', dedupe => 'two');
COMMIT;
SELECT count(*) AS events, sum(cardinality(runs)) AS runs FROM automation.events;
-- Why did it match, or not?
SELECT x->>'state' AS state, x->'payload' AS payload, jsonb_array_length((x->'runs')::jsonb) AS runs
  FROM (SELECT automation.explain(id) AS x FROM automation.events ORDER BY id) s;
SELECT v->>'automation_name' AS automation, v->>'verdict' AS verdict
  FROM (SELECT e.id, automation.explain(e.id) AS x FROM automation.events e) s CROSS JOIN json_array_elements(x->'verdicts') v ORDER BY s.id, 1;
-- Matched again, by the automations as they are now.
SELECT automation.alter('paid much', filter => '');
SELECT id AS event FROM automation.events ORDER BY id DESC LIMIT 1 \gset
SELECT id = :'event' AS same, matched, cardinality(runs) AS runs FROM automation.replay(:'event');
SELECT cardinality(runs) AS runs FROM automation.events WHERE id = :'event';
-- Bad questions.
\set VERBOSITY sqlstate
SELECT automation.emit(NULL, '{}');
SELECT automation.emit('shop', NULL);
SELECT automation.emit('shop', '{"no": "type"}');
SELECT automation.emit('', '{}', key => 'x');
SELECT automation.emit('manual', '{}', key => 'x');
SELECT automation.emit('sql', '{}', key => 'x');
SELECT automation.emit('shop', '[1]', key => repeat('k', 5000));
SELECT automation.emit('shop', jsonb_build_object('type', repeat('t', 1048576)));
SELECT automation.replay('00000000-0000-7000-8000-000000000000');
SELECT automation.explain('00000000-0000-7000-8000-000000000000');
-- Built-in sources speak for others, and events of all are for those who may see all.
SELECT automation.emit('github', '{}');
SELECT automation.test_filter('a');
SELECT automation.test_filter('a', source => 'shop');
\set VERBOSITY terse
-- Others see neither events nor runs, and hear what they ask for.
\c - automation_test_fay
SET client_min_messages = error;
SELECT count(*) FROM automation.events;
\set VERBOSITY sqlstate
SELECT automation.explain(:'event');
SELECT automation.replay(:'event');
\set VERBOSITY terse
SELECT automation.create('fay hears', sql => 'SELECT 1', event => 'shop', on_keys => '{order.paid}') IS NOT NULL AS created;
SELECT matched FROM automation.emit('shop', '{"type": "order.paid", "total": 1}');
SELECT key, cardinality(runs) AS runs FROM automation.events;
SELECT x->'payload' AS payload, json_array_length(x->'verdicts') AS verdicts, json_array_length(x->'runs') AS runs, x->>'considered' IS NULL AS counts_hidden
  FROM (SELECT automation.explain(id) AS x FROM automation.events) s;
-- Readers see all and make nothing.
\c - automation_test_gil
SET client_min_messages = error;
SELECT count(*), sum(cardinality(runs)) FROM automation.events;
SELECT json_array_length(automation.explain(id)->'verdicts') FROM automation.events ORDER BY id DESC LIMIT 1;
SELECT event_source, key, passes, why FROM automation.test_filter('total > `100`', source => 'shop', on_keys => '{order.*}') ORDER BY event DESC;
SELECT passes, why FROM automation.test_filter('length(total)', last => 1);
SELECT count(*) FROM automation.test_filter(NULL, last => 2);
\set VERBOSITY sqlstate
SELECT automation.test_filter('a[');
SELECT automation.test_filter('a', last => 0);
SELECT automation.test_filter('a', last => 101);
SELECT automation.emit('shop', '{"type": "x"}');
SELECT automation.replay(:'event');
SELECT count(*) FROM automation.event;
\set VERBOSITY terse
-- Administrators speak for built-in sources, too.
\c - postgres
SET client_min_messages = error;
SELECT matched FROM automation.emit('jira_dc', '{"webhookEvent": "jira:issue_created"}');
SELECT key, state FROM automation.events WHERE source = 'jira_dc';
\set VERBOSITY sqlstate
SELECT automation.emit('jira_dc', '{"webhookEvent": "jira:issue_created"}', key => 'x');
SELECT automation.emit('jira_dc', '{}');
\set VERBOSITY terse
-- A webhook's events are its owner's, to see and to make.
SELECT current_setting('data_directory') || '.secret.key' AS keyfile \gset
\set make 'umask 077; cat >' :keyfile
COPY (SELECT repeat('5a', 32)) TO PROGRAM :'make';
ALTER SYSTEM SET automation.secret_key_file = :'keyfile';
SELECT pg_reload_conf();
\c - automation_test_erin
SET client_min_messages = error;
SELECT id IS NOT NULL AS made FROM automation.create_webhook('bell', 'bell', event_key_expr => 'ring.kind');
SELECT matched FROM automation.emit('bell', '{"ring": {"kind": "door"}}');
SELECT key, state FROM automation.events WHERE source = 'bell';
SELECT key, passes FROM automation.test_filter('ring', source => 'bell');
\c - automation_test_fay
SET client_min_messages = error;
SELECT count(*) FROM automation.events WHERE source = 'bell';
SELECT automation.emit('bell', '{"ring": {"kind": "door"}}');
SELECT automation.test_filter('ring', source => 'bell');
\c - postgres
SET client_min_messages = error;
SELECT automation.drop_webhook('bell');
SELECT count(automation.drop(id::text)) FROM automation.automations WHERE event = 'shop';
DELETE FROM automation.automation WHERE owner ~ '^automation_test_(erin|fay)$';
DELETE FROM automation.event;
ALTER SYSTEM RESET automation.secret_key_file;
SELECT pg_reload_conf();
DROP ROLE automation_test_erin, automation_test_fay, automation_test_gil;
