-- Runs: they exist exactly if the transaction that asked for them committed.
\set VERBOSITY terse
SET client_min_messages = error;
SELECT automation.create('job', script => 'echo hello') IS NOT NULL AS created;
BEGIN;
SELECT automation.trigger('job') IS NOT NULL AS triggered;
ROLLBACK;
SELECT count(*) FROM automation.runs WHERE automation = 'job';
BEGIN;
SAVEPOINT a;
SELECT automation.trigger('job') IS NOT NULL AS triggered;
ROLLBACK TO a;
SELECT automation.trigger('job', input => '{"order": 42, "text": "a''b"}') AS run \gset
COMMIT;
SELECT status, phase, trigger_source, attempt, exit_code, output_bytes, scheduled_for FROM automation.runs WHERE id = :'run';
SELECT input FROM automation.run_input WHERE run_id = :'run';
-- A delayed run waits.
SELECT automation.trigger('job', delay => '2 days') AS later \gset
SELECT ready_at - created_at AS waits FROM automation.run WHERE id = :'later';
-- From a trigger function, as applications do it.
CREATE TABLE orders (id integer PRIMARY KEY);
CREATE FUNCTION order_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM automation.trigger('job', to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER order_made AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_made();
INSERT INTO orders SELECT generate_series(1, 3);
SELECT count(*) FROM automation.run_input i JOIN automation.run r ON r.id = i.run_id WHERE i.input::jsonb ? 'id';
-- An error in a subtransaction is an ordinary error.
DO $$
BEGIN
    BEGIN
        PERFORM automation.trigger('no such job');
    EXCEPTION WHEN OTHERS THEN
        RAISE INFO 'caught %', SQLSTATE;
    END;
    RAISE INFO 'still %', current_user = session_user;
    PERFORM automation.trigger('job', '{"after": "error"}');
END $$;
SHOW search_path;
SELECT count(*) FROM automation.runs WHERE automation = 'job';
-- Cancelling.
SELECT automation.cancel(:'later');
SELECT status, completed_at IS NOT NULL AS ended FROM automation.runs WHERE id = :'later';
SELECT automation.logs(:'run');
-- A paused automation can be triggered by hand, and keeps what was.
SELECT automation.pause('job');
SELECT automation.trigger('job') IS NOT NULL AS triggered;
-- Waiting outside a transaction block.
CALL automation.wait(:'later');
CALL automation.wait(:'run', timeout => '0 s');

\set VERBOSITY sqlstate
SELECT automation.cancel(:'later');
BEGIN;
CALL automation.wait(:'later');
ROLLBACK;
CALL automation.wait('00000000-0000-4000-8000-000000000000');
CALL automation.wait(NULL);
SELECT automation.trigger(NULL);
SELECT automation.trigger('no such job');
SELECT automation.trigger('job', delay => '-1 s');
SELECT automation.trigger('job', delay => '1 month');
SELECT automation.cancel('00000000-0000-4000-8000-000000000000');
SELECT automation.logs('00000000-0000-4000-8000-000000000000');
SELECT automation.logs(:'run', -1);
DROP TABLE orders;
DROP FUNCTION order_made();
-- Repeating, statistics, slots.
\set VERBOSITY terse
SELECT automation.create('again', script => 'true') IS NOT NULL AS created;
SELECT automation.trigger('again', '{"a": 1}') AS first \gset
\set VERBOSITY sqlstate
SELECT automation.retry(:'first');
SELECT automation.retry('00000000-0000-4000-8000-000000000000');
\set VERBOSITY terse
SELECT automation.cancel(:'first');
SELECT automation.retry(:'first') AS second \gset
SELECT r.status, r.trigger_source, i.input, r.id <> :'first' AS another FROM automation.run r JOIN automation.run_input i ON i.run_id = r.id WHERE r.id = :'second';
SELECT runs, pending, cancelled, completed, mean_duration FROM automation.stats WHERE automation = 'again';
SELECT automation.alter('again', schedule => '0 0 1 1 *');
SELECT state, slot > now() AS to_come, run FROM automation.slots WHERE automation = 'again';
SELECT automation.pause('again', note => 'for the summer');
SELECT state, disabled_reason, note FROM automation.automations WHERE name = 'again';
SELECT count(*) FROM automation.slots WHERE automation = 'again';
SELECT automation.resume('again');
SELECT state, note FROM automation.automations WHERE name = 'again';
SELECT automation.drop('again');
