-- When schedules fire.
\set VERBOSITY terse
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT * FROM automation.next_fires('0 3 * * *', n => 3, after => '2026-01-01');
-- Berlin goes to summer time on 2026-03-29: 02:30 does not exist, and fires at 03:30 local.
SELECT f AT TIME ZONE 'Europe/Berlin' AS local FROM automation.next_fires('30 2 * * *', 'Europe/Berlin', 3, '2026-03-27 12:00') f;
-- A schedule that never comes.
SELECT count(*) FROM automation.next_fires('0 0 30 2 *', after => '2026-01-01');
SELECT automation.create('weekly', script => 'echo', schedule => '0 6 * * 1', timezone => 'America/New_York') IS NOT NULL AS created;
SELECT * FROM automation.next_fires('weekly', n => 2, after => '2026-06-01');
SELECT automation.create('by hand only', script => 'echo') IS NOT NULL AS created;
SELECT count(*) FROM automation.next_fires('* * * * *', n => 0);
\set VERBOSITY sqlstate
SELECT * FROM automation.next_fires('61 * * * *');
SELECT * FROM automation.next_fires('x 3 * * *');
SELECT * FROM automation.next_fires('no such automation');
SELECT * FROM automation.next_fires('by hand only');
SELECT * FROM automation.next_fires('* * * * *', 'Mars/Olympus');
SELECT * FROM automation.next_fires('* * * * *', '../../etc/passwd');
SELECT * FROM automation.next_fires('* * * * *', n => -1);
SELECT * FROM automation.next_fires('* * * * *', n => 1000000);
SELECT * FROM automation.next_fires('* * * * *', after => 'infinity');
SELECT * FROM automation.next_fires(NULL);
