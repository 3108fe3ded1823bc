# SPDX-License-Identifier: MIT
# The worker's life without shared_preload_libraries: it starts with CREATE EXTENSION's commit, comes
# back when killed, starts at the first call after a restart, leaves for whoever wants the database.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use Time::HiRes qw(time);

cluster();

# ---- commit and rollback --------------------------------------------------------------------
psql('BEGIN; CREATE EXTENSION automation; ROLLBACK;');
is(worker_pid('postgres'), '', 'CREATE EXTENSION that rolled back starts no worker');
psql('BEGIN; SAVEPOINT a; CREATE EXTENSION automation; ROLLBACK TO a; COMMIT;');
is(psql(q{SELECT count(*) FROM pg_extension WHERE extname = 'automation'}), '0', 'ROLLBACK TO undoes it');
unlike(server_log(), qr/automation worker started/, 'and nothing was started meanwhile');

psql('BEGIN; SAVEPOINT a; CREATE EXTENSION automation; RELEASE a; COMMIT;');
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'CREATE EXTENSION in a released savepoint starts the worker');
is(psql(q{SELECT count(*) FROM automation.workers WHERE type = 'automation worker'}), '1', 'the view workers shows it');
is(psql(q{SELECT ok FROM automation.doctor() WHERE item = 'worker'}), 't', 'doctor finds it');

# ---- idle -----------------------------------------------------------------------------------
is(psql(q{SELECT backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL FROM pg_stat_activity
	WHERE backend_type = 'automation worker'}), 't', 'the idle worker holds no snapshot and no transaction');
is(psql(q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE a.backend_type = 'automation worker' AND l.locktype <> 'userlock'}), '0', 'and no lock but its guard');

# ---- crashes --------------------------------------------------------------------------------
my $pid = worker_pid('postgres');
psql("SELECT pg_terminate_backend($pid)");
ok(wait_until('another worker', 5, sub { my $now = worker_pid('postgres'); $now ne '' && $now ne $pid }),
	'a terminated worker is back within 5 s');
$pid = worker_pid('postgres');
signal_backend('KILL', $pid);
my $start = time();
ok(wait_until('another worker', 10, sub { my $now = worker_pid('postgres'); $now ne '' && $now ne $pid }), 'a killed worker is back');
cmp_ok(time() - $start, '<', 5, 'within 5 s, the recovery of the server included');

# ---- stop and start -------------------------------------------------------------------------
psql('BEGIN; SELECT automation.stop(); ROLLBACK;');
ok(worker_pid('postgres') ne '', 'stop() that rolled back stops nothing');
psql('SELECT automation.stop()');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation worker'}, '0', 5), 'stop() lets the worker leave');
psql('SELECT automation.start()');
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'start() brings it back');

# ---- server restart, first call ---------------------------------------------------------------
ctl('restart');
is(worker_pid('postgres'), '', 'after a restart without preload no worker runs');
psql(q{SELECT automation.create(name => 'first call', script => 'echo hello')});
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'the first call that gives it work starts it');

# ---- database commands ------------------------------------------------------------------------
psql('CREATE DATABASE one');
psql('CREATE EXTENSION automation', db => 'one');
ok(wait_until('a worker', 5, sub { worker_pid('one') }), 'a second database has a worker of its own');
$start = time();
psql('CREATE DATABASE two TEMPLATE one');
cmp_ok(time() - $start, '<', 4.5, 'CREATE DATABASE TEMPLATE works with a live worker');
ok(wait_until('the worker back', 5, sub { worker_pid('one') }), 'which is back afterwards');
is(psql(q{SELECT count(*) FROM automation.marker}, db => 'two'), '1', 'the copy has the extension');
psql('SELECT automation.start()', db => 'two');
ok(wait_until('a worker', 5, sub { worker_pid('two') }), 'and can have a worker');
$start = time();
psql('ALTER DATABASE two RENAME TO three');
cmp_ok(time() - $start, '<', 4.5, 'RENAME works with a live worker');
ok(wait_until('a worker', 5, sub { worker_pid('three') }), 'which follows the new name');
my $mark = length server_log();
$start = time();
psql('DROP DATABASE three');
cmp_ok(time() - $start, '<', 4.5, 'DROP DATABASE works with a live worker');
ok(wait_until('the worker to have tried', 6, sub { server_log_from($mark) =~ /database \d+ does not exist/ }),
	'the restarted worker finds its database gone');
psql('CREATE DATABASE four');
my @tries = server_log_from($mark) =~ /(database \d+ does not exist)/g;
is(scalar @tries, 1, 'once, and leaves for good');

# ---- DROP EXTENSION ---------------------------------------------------------------------------
psql('DROP EXTENSION automation', db => 'one');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'one' AND backend_type = 'automation worker'}, '0', 5),
	'DROP EXTENSION lets the worker leave');
psql('BEGIN; CREATE EXTENSION automation; COMMIT; BEGIN; DROP EXTENSION automation; CREATE EXTENSION automation; COMMIT;', db => 'one');
ok(wait_until('a worker', 6, sub { worker_pid('one') }), 'DROP and CREATE in one transaction leave one worker');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'one' AND backend_type = 'automation worker'}, '1', 5), 'exactly one');

# ---- the off switch -----------------------------------------------------------------------------
psql('ALTER DATABASE one SET automation.enabled = off');
my $one = worker_pid('one');
psql("SELECT pg_terminate_backend($one)");
ok(wait_until('it to leave', 5, sub { server_log() =~ /automation.enabled is off/ }), 'automation.enabled = off keeps the worker away');
is(worker_pid('one'), '', 'for good');

# ---- twice -------------------------------------------------------------------------------------
like(psql_fails('CREATE EXTENSION automation', db => 'postgres'), qr/already exists/, 'the extension is created once');

done_testing();
