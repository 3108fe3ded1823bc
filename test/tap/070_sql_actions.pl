# SPDX-License-Identifier: MIT
# SQL actions: what runs in the server's own processes, as whom, how it ends, what it leaves behind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use AutomationTest;
use Test::More;
use Time::HiRes qw(time);

cluster('max_worker_processes = 16', 'log_min_messages = warning');
psql(q{CREATE EXTENSION automation; CREATE ROLE alice LOGIN; CREATE ROLE nobody NOLOGIN;
	GRANT automation_user TO alice, nobody; CREATE TABLE done (what text, who text DEFAULT current_user || '/' || session_user);
	GRANT ALL ON done TO alice; GRANT CREATE ON SCHEMA public TO alice;});

my $n = 0;
# Create and trigger; returns the run's id.
sub action
{
	my ($sql, %how) = @_;
	my $name = $how{name} // 'action ' . ++$n;
	my $more = $how{more} // '';
	return psql(qq{SELECT automation.create('$name', sql => \$text\$$sql\$text\$$more) AS id \\gset
		SELECT automation.trigger('$name')}, user => 'alice');
}
sub ended
{
	my ($run, $status, $seconds) = @_;
	return wait_query("SELECT status FROM automation.runs WHERE id = '$run'", $status, $seconds // 10);
}
sub error_of { return psql("SELECT error FROM automation.runs WHERE id = '$_[0]'") }
# psql() leaves out lines that look like the server's own notices
sub logs_of { return psql("SELECT replace(replace(automation.logs('$_[0]'), 'NOTICE:', 'notice:'), 'WARNING:', 'warning:')") }
sub detail_of { return psql("SELECT status_detail::jsonb ->> '$_[1]' FROM automation.run WHERE id = '$_[0]'") }

# ---- what it does -------------------------------------------------------------------------------
my $run = action(q{INSERT INTO done VALUES ('one'), ('two')});
ok(ended($run, 'COMPLETED'), 'an action completes, without any agent') or diag(error_of($run), server_log());
is(psql(q{SELECT string_agg(what || ' ' || who, ',' ORDER BY what) FROM done}), 'one alice/alice,two alice/alice', 'as its owner, and nobody else');
is(logs_of($run), 'INSERT 0 2', 'and its command is kept as output');
is(psql("SELECT phase IS NOT NULL, trigger_source, attempt, output_bytes, started_at <= completed_at FROM automation.runs WHERE id = '$run'"),
	't|manual|1|11|t', 'its row tells the rest');

$run = action(q{DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$; SELECT 1 FROM generate_series(1, 3); UPDATE done SET what = what});
ok(ended($run, 'COMPLETED'), 'several statements complete');
is(logs_of($run), "notice:  one\nwarning:  two\nDO\nSELECT 3\nUPDATE 2", 'notices and counts are kept');
unlike(server_log(), qr/WARNING:  two/, 'and not in the log');

psql(q{CREATE PROCEDURE in_steps() LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO done VALUES ('first step'); COMMIT; RAISE NOTICE 'committed'; INSERT INTO done VALUES ('second step'); END $$;
	CREATE TABLE indexed (a integer);}, user => 'alice');
for ([q{CALL in_steps()}, "notice:  committed\nCALL"], [q{VACUUM indexed}, 'VACUUM'], [q{CREATE INDEX CONCURRENTLY ON indexed (a)}, 'CREATE INDEX'])
{
	my ($sql, $output) = @$_;
	my $id = action($sql);
	ok(ended($id, 'COMPLETED'), "$sql completes") or diag(error_of($id));
	is(logs_of($id), $output, 'with its output');
}
is(psql(q{SELECT count(*) FROM done WHERE what LIKE '%step'}), '2', 'both steps are there');

# ---- how it fails --------------------------------------------------------------------------------
$run = action(q{INSERT INTO done VALUES ('lost'); SELECT 1 / 0});
ok(ended($run, 'FAILED'), 'an error fails the run');
like(error_of($run), qr/^22012: division by zero/, 'with SQLSTATE and message');
is(detail_of($run, 'code'), '22012', 'also in status_detail');
is(psql(q{SELECT count(*) FROM done WHERE what = 'lost'}), '0', 'and its work is rolled back');
like(logs_of($run), qr/^INSERT 0 1\nERROR:  22012: division by zero/, 'what it did stays told');

psql(q{CREATE TABLE referred (id integer PRIMARY KEY); CREATE TABLE referring (id integer REFERENCES referred DEFERRABLE INITIALLY DEFERRED)}, user => 'alice');
$run = action(q{INSERT INTO referring VALUES (1)});
ok(ended($run, 'FAILED'), 'a constraint that fails at commit fails the run');
like(error_of($run), qr/^23503: /, 'with its SQLSTATE');

$run = action(q{SET ROLE postgres});
ok(ended($run, 'FAILED') && error_of($run) =~ /^42501/, 'it cannot become somebody else');
$run = action(q{RESET ROLE; RESET SESSION AUTHORIZATION; UPDATE automation.run SET status = 'COMPLETED'});
ok(ended($run, 'FAILED') && error_of($run) =~ /^42501/, 'nor write our tables');
$run = action(q{SET default_transaction_read_only = on; SET search_path = nowhere; SET client_min_messages = error; SET TRANSACTION READ ONLY});
ok(ended($run, 'COMPLETED'), 'its settings do not keep the end from being written') or diag(error_of($run));
$run = action(q{CREATE TEMPORARY TABLE run (id uuid, status text); CREATE SCHEMA IF NOT EXISTS pg_temp_x});
ok(wait_query("SELECT status IN ('COMPLETED', 'FAILED') FROM automation.runs WHERE id = '$run'", 't', 10), 'temporary tables of our names change nothing');

# ---- what is refused -------------------------------------------------------------------------------
for (['SELEC 1', '42601'], ['', '22023'], ['  -- nothing', '22023'], ['INSERT INTO done VALUES (1); ROLLBACK; SELECT 1', '0A000'], ['COMMIT', '0A000'],
	['COPY done TO STDOUT', '0A000'], ['COPY done FROM STDIN', '0A000'])
{
	my ($sql, $state) = @$_;
	like(psql_fails(qq{SELECT automation.create('refused', sql => '$sql')}, user => 'alice'), qr/ERROR:  $state/, "\"$sql\" is refused at creation");
}
like(psql_fails(q{SELECT automation.create('both', sql => 'SELECT 1', script => 'true')}), qr/22023/, 'SQL or script, not both');
like(psql_fails(q{SELECT automation.create('address', tarball_url => 'sql://inline', entrypoint => 'sql')}), qr/22023/, 'the internal address is internal');
like(psql_fails(q{SET ROLE nobody; SELECT automation.create('x', sql => 'SELECT 1')}), qr/0A000: .*may not log in/, 'an owner without LOGIN is refused')
	if psql('SHOW server_version_num') < 170000;

# ---- cancel, time limit -----------------------------------------------------------------------------
sub running { my ($id) = @_; return wait_query("SELECT phase FROM automation.runs WHERE id = '$id' AND status = 'RUNNING'", 'Executing SQL', 10) }
sub processes { return psql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation sql action'}) }
$run = action(q{INSERT INTO done VALUES ('cancelled'); SELECT pg_sleep(300)});
ok(running($run), 'a long action runs');
is(psql(q{SELECT count(*) FROM automation.workers WHERE type = 'automation sql action'}), '1', 'workers shows its process');
my $start = time();
psql("SELECT automation.cancel('$run')");
ok(wait_until('no process', 5, sub { processes() eq '0' }), 'cancel ends its process');
cmp_ok(time() - $start, '<', 2, 'soon');
is(psql("SELECT status FROM automation.runs WHERE id = '$run'") . psql(q{SELECT count(*) FROM done WHERE what = 'cancelled'}), 'CANCELLED0', 'and its work is rolled back');

$run = action(q{DO $$ BEGIN PERFORM pg_sleep(300); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(300); END $$});
ok(running($run), 'one that takes no cancel runs');
psql("SELECT automation.cancel('$run')");
ok(wait_until('no process', 15, sub { processes() eq '0' }), 'and is terminated');

$run = action(q{SELECT pg_sleep(300)}, more => q{, timeout => '1 second'});
ok(ended($run, 'FAILED', 10), 'the time limit ends an action');
like(error_of($run), qr/^Timed out: the run reached its time limit of 1 s/, 'and says so');
is(detail_of($run, 'kind'), 'timeout', 'also in status_detail');

# ---- bounded ------------------------------------------------------------------------------------------
psql(q{SELECT automation.create('many', sql => 'SELECT pg_sleep(0.3)') IS NULL}, user => 'alice');
psql(q{SELECT automation.trigger('many') FROM generate_series(1, 6)}, user => 'alice');
my $most = 0;
ok(wait_until('six ends', 20, sub { my $now = processes(); $most = $now if $now > $most;
	psql(q{SELECT count(*) FROM automation.runs WHERE automation = 'many' AND status = 'COMPLETED'}) eq '6' }), 'six actions complete');
is($most, 2, 'two at a time (automation.sql_workers)');

# ---- a schedule ----------------------------------------------------------------------------------------
psql(q{SELECT automation.create('tick', sql => $$INSERT INTO done VALUES ('tick')$$, schedule => '* * * * * *')}, user => 'alice');
ok(wait_until('two ticks', 10, sub { psql(q{SELECT count(*) FROM done WHERE what = 'tick'}) >= 2 }), 'an action runs on a schedule');
psql(q{SELECT automation.alter('tick', sql => $$INSERT INTO done VALUES ('tock')$$)}, user => 'alice');
ok(wait_until('a tock', 10, sub { psql(q{SELECT count(*) FROM done WHERE what = 'tock'}) >= 1 }), 'and can be changed');
psql(q{SELECT automation.drop('tick')}, user => 'alice');

# ---- code of another sort --------------------------------------------------------------------------------
psql(q{SELECT automation.create('turns', script => 'true') IS NULL}, user => 'alice');
$run = psql(q{SELECT automation.trigger('turns')}, user => 'alice');
ok(wait_query("SELECT current_phase FROM automation.run WHERE id = '$run'", 'Waiting for a backend', 10), 'a program waits for an agent');
psql(q{SELECT automation.alter('turns', sql => $$INSERT INTO done VALUES ('turned')$$)}, user => 'alice');
ok(ended($run, 'COMPLETED'), 'and runs once its automation is SQL');
is(psql(q{SELECT count(*) FROM done WHERE what = 'turned'}), '1', 'as that');
psql(q{SELECT automation.drop('turns')}, user => 'alice');

# ---- crashes --------------------------------------------------------------------------------------------
$run = action(q{INSERT INTO done VALUES ('survivor'); SELECT pg_sleep(3)});
ok(running($run), 'an action runs while the worker is terminated');
my $old = worker_pid('postgres');
psql("SELECT pg_terminate_backend($old)");
ok(wait_until('another worker', 8, sub { my $now = worker_pid('postgres'); $now ne '' && $now ne $old }), 'the worker is back');
ok(ended($run, 'COMPLETED', 15), 'and finds the action again') or diag(error_of($run));
is(psql(q{SELECT count(*) FROM done WHERE what = 'survivor'}), '1', 'which was executed once');

$run = action(q{INSERT INTO done VALUES ('unknown'); SELECT pg_sleep(300)});
ok(running($run), 'an action runs while the server crashes');
ctl('crash');
ctl('up');
psql('SELECT automation.start()');
ok(ended($run, 'FAILED', 15), 'it fails, for nobody knows how it ended');
like(error_of($run), qr/ended without telling how/, 'and says so');
is(psql(q{SELECT count(*) FROM done WHERE what = 'unknown'}), '0', 'it is not repeated');

psql(q{ALTER ROLE alice NOLOGIN}) if psql('SHOW server_version_num') < 170000;
$run = psql(q{SET ROLE alice; SELECT automation.trigger('many')});
ok(ended($run, psql('SHOW server_version_num') < 170000 ? 'FAILED' : 'COMPLETED', 10), 'an owner who lost LOGIN fails the run on 15 and 16');
like(error_of($run), qr/may not log in/, 'with the reason') if psql('SHOW server_version_num') < 170000;

# ---- dump and restore ------------------------------------------------------------------------------------
psql(q{CREATE TABLE watched (id integer); SELECT automation.create('watch', sql => 'SELECT 42', enabled => true) IS NULL;
	SELECT automation.on_change('watched', run => 'watch'); CREATE DATABASE restored; ALTER DATABASE restored SET automation.enabled = off});
is(system("$ENV{PG_BINDIR}/pg_dump -U postgres postgres | $ENV{PG_BINDIR}/psql -X -q -U postgres -v ON_ERROR_STOP=1 -d restored >/dev/null"), 0,
	'a dump with actions and row triggers is restored');
psql('INSERT INTO watched VALUES (1)', db => 'restored');
is(psql(q{SELECT a.sql, r.trigger_source, r.status FROM automation.automations a JOIN automation.runs r ON r.automation_id = a.id WHERE a.name = 'watch'}, db => 'restored'),
	'SELECT 42|event|PENDING', 'and the triggers there start runs');

is(psql(q{SELECT count(*) FROM automation.run WHERE status IN ('PENDING', 'RUNNING')}), '0', 'nothing is left behind');
unlike(server_log(), qr/PANIC|TRAP|terminated by signal 11/, 'and the server is well');
done_testing();
