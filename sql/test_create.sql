-- Creating and changing automations: what is kept, and what is refused with which SQLSTATE.
\set VERBOSITY terse
SET client_min_messages = error;
SELECT automation.create('nightly', script => 'echo hello', schedule => '0 3 * * *', timezone => 'Europe/Berlin') IS NOT NULL AS created;
SELECT automation.create(name => 'by hand', script => E'#!/bin/sh\necho hello', description => 'only when asked', timeout => '90 s') IS NOT NULL AS created;
SELECT automation.create('from afar', tarball_url => 'https://example.com/a.tar.gz', entrypoint => 'python main.py', enabled => false) IS NOT NULL AS created;
SELECT name, owner = current_user AS mine, state, schedule, timezone, next_fire_at IS NOT NULL AS fires, description, entrypoint, timeout, disabled_reason
  FROM automation.automations
 ORDER BY name;
-- A script is kept as a tarball in the database.
SELECT u.status, u.size_bytes > 0 AS has_bytes FROM automation.upload u ORDER BY u.created_at;
-- A definition belongs to its transaction.
BEGIN;
SELECT automation.create('never', script => 'echo') IS NOT NULL AS created;
ROLLBACK;
SELECT count(*) FROM automation.automations WHERE name = 'never';
SELECT count(*) FROM automation.upload;
-- Changing.
SELECT automation.alter('nightly', schedule => '30 4 * * 1-5');
SELECT automation.alter('nightly', timezone => 'Asia/Kolkata', description => 'workdays');
SELECT automation.alter('by hand', new_name => 'by schedule', schedule => '*/10 * * * *');
SELECT name, schedule, timezone, description FROM automation.automations WHERE schedule IS NOT NULL ORDER BY name;
SELECT automation.pause('nightly');
SELECT state, next_fire_at IS NULL AS quiet, disabled_reason FROM automation.automations WHERE name = 'nightly';
SELECT automation.resume('nightly');
SELECT state, next_fire_at > now() AS fires, disabled_reason FROM automation.automations WHERE name = 'nightly';
-- By id as well as by name.
SELECT automation.pause(id::text) FROM automation.automations WHERE name = 'nightly';
SELECT state FROM automation.automations WHERE name = 'nightly';
SELECT automation.drop('nightly');
SELECT count(*) FROM automation.automations WHERE name = 'nightly';
-- At the limit of sandboxes: skipped unless it waits.
SELECT automation.create('patient', script => 'echo', wait_at_limit => true) IS NOT NULL AS created;
SELECT name, wait_at_limit FROM automation.automations WHERE name IN ('patient', 'from afar') ORDER BY name;
SELECT automation.alter('patient', description => 'waits');
SELECT wait_at_limit FROM automation.automations WHERE name = 'patient';
SELECT automation.alter('patient', wait_at_limit => false);
SELECT wait_at_limit FROM automation.automations WHERE name = 'patient';
SELECT automation.drop('patient');
-- Uploads.
SELECT automation.upload('tarball', '\x1f8b0800', description => 'broken') IS NOT NULL AS kept;

-- Bad input.
\set VERBOSITY sqlstate
SELECT automation.create(NULL, script => 'x');
SELECT automation.create('', script => 'x');
SELECT automation.create(repeat('n', 501), script => 'x');
SELECT automation.create('no code');
SELECT automation.create('too much code', script => 'x', tarball_url => 'https://example.com/a.tar.gz');
SELECT automation.create('bad cron', script => 'x', schedule => '61 * * * *');
SELECT automation.create('bad zone', script => 'x', schedule => '* * * * *', timezone => 'Mars/Olympus');
SELECT automation.create('zone alone', script => 'x', timezone => 'UTC');
SELECT automation.create('bad url', tarball_url => 'file:///etc/passwd', entrypoint => 'x');
SELECT automation.create('plain http', tarball_url => 'http://example.com/a.tar.gz', entrypoint => 'x');
SELECT automation.create('no such upload', tarball_url => 'oh-internal://uploads/00000000-0000-4000-8000-000000000000', entrypoint => 'x');
SELECT automation.create('bad entrypoint', script => 'x', entrypoint => 'sh; rm -rf /');
SELECT automation.create('absolute', script => 'x', entrypoint => '/bin/sh');
SELECT automation.create('negative', script => 'x', timeout => '-1 s');
SELECT automation.create('a month', script => 'x', timeout => '1 month');
SELECT automation.create('too long', script => 'x', timeout => '1 day');
SELECT automation.create('large', tarball => decode(repeat('00', 1048577), 'hex'), entrypoint => 'x');
SELECT automation.alter('no such automation', description => 'x');
SELECT automation.alter('by schedule', tarball_url => 'oh-internal://uploads/00000000-0000-4000-8000-000000000000');
SELECT automation.alter('from afar', timezone => 'UTC');
SELECT automation.pause('no such automation');
SELECT automation.drop('no such automation');
-- All problems of one definition at once.
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT automation.create('', script => 'x', schedule => '61 * * * *', timezone => 'UTC', timeout => '1 day');
\set VERBOSITY sqlstate
-- Two automations may share a name; then the id decides.
SELECT automation.create('twin', script => 'echo') IS NOT NULL AS created;
SELECT automation.create('twin', script => 'echo') IS NOT NULL AS created;
SELECT automation.pause('twin');
SELECT count(automation.drop(id::text)) FROM automation.automations WHERE name = 'twin';
