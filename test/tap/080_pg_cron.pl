# SPDX-License-Identifier: MIT
# tick(), and pg_cron beside us: as the clock, as the one who looks after the worker, as a source of jobs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use AutomationTest;
use Test::More;
use Time::HiRes qw(time);

sub with_cron { my $share = `$ENV{PG_BINDIR}/pg_config --sharedir`; chomp $share; return -e "$share/extension/pg_cron.control" }
cluster('max_worker_processes = 16');
my $cron = with_cron();
if ($cron)
{
	ctl('down');
	open(my $conf, '>>', "$ENV{PGDATA}/postgresql.conf") or die;
	print $conf "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\ncron.host = '$ENV{PGHOST}'\n";
	close $conf;
	ctl('up');
}
psql(q{CREATE EXTENSION automation; CREATE TABLE ticks (at timestamptz DEFAULT clock_timestamp())});

# ---- tick() -------------------------------------------------------------------------------------
ok(wait_until('the worker', 10, sub { worker_pid('postgres') ne '' }), 'a worker runs');
psql(q{SELECT automation.stop()});
ok(wait_until('no worker', 10, sub { worker_pid('postgres') eq '' }), 'and is stopped');
psql(q{SELECT automation.create('each second', sql => 'INSERT INTO ticks DEFAULT VALUES', schedule => '* * * * * *')});
my $start = time();
psql(q{CALL automation.tick('4 seconds')});
my $took = time() - $start;
ok($took >= 3.5 && $took < 8, "tick() takes its bound ($took s)");
cmp_ok(psql('SELECT count(*) FROM ticks'), '>=', 2, 'and schedules of seconds hold meanwhile');
ok(wait_until('no worker', 5, sub { worker_pid('postgres') eq '' }), 'afterwards nothing stays');
like(psql_fails(q{BEGIN; CALL automation.tick('1 second')}), qr/2D000/, 'not inside a transaction block');
like(psql_fails(q{CALL automation.tick('2 hours')}), qr/22023/, 'nor for hours');
psql(q{SELECT automation.pause('each second', note => 'for the next part')});
is(psql(q{SELECT note FROM automation.automations WHERE name = 'each second'}), 'for the next part', 'a note says why it is paused');
psql(q{SELECT automation.start()});
ok(wait_until('the worker', 10, sub { worker_pid('postgres') ne '' }), 'start() lets the worker come back');

# ---- pg_cron ------------------------------------------------------------------------------------
if (!$cron)
{
	like(psql_fails(q{SELECT automation.use_pg_cron()}), qr/42704/, 'without pg_cron it is said');
	done_testing();
	exit;
}
like(psql_fails(q{SELECT automation.use_pg_cron()}), qr/42704/, 'where pg_cron is not created it is said');
psql(q{CREATE EXTENSION pg_cron; SELECT automation.use_pg_cron()});
is(psql(q{SELECT jobname, schedule, command FROM cron.job}), 'automation worker|* * * * *|SELECT automation.ensure()', 'pg_cron looks after the worker');
psql(q{SELECT automation.use_pg_cron(clock => true)});
is(psql(q{SELECT jobname, command FROM cron.job}), q{automation clock|CALL automation.tick('55 seconds')}, 'or is the clock');

# The real thing: stopped, so that only pg_cron's job can work.
psql(q{SELECT automation.stop(); TRUNCATE ticks; SELECT automation.resume('each second');});
ok(wait_until('no worker', 10, sub { worker_pid('postgres') eq '' }), 'no worker of our own');
ok(wait_until('a tick by pg_cron', 75, sub { psql('SELECT count(*) FROM ticks') >= 2 }), 'pg_cron as the clock runs automations')
	or diag(psql('SELECT status, return_message FROM cron.job_run_details'), server_log());
psql(q{SELECT automation.use_pg_cron(enabled => false); SELECT automation.drop('each second')});
is(psql(q{SELECT count(*) FROM cron.job}), '0', 'and gives the clock back');

psql(q{SELECT cron.schedule('nightly', '0 3 * * *', 'VACUUM'); SELECT cron.schedule('*/5 * * * *', 'SELECT 1');
	SELECT cron.schedule('copying', '0 4 * * *', 'COPY ticks TO STDOUT'); UPDATE cron.job SET active = false WHERE jobname = 'nightly'});
my @rows = split /\n/, psql(q{SELECT jobid > 0, name, automation IS NOT NULL, differs FROM automation.import_pg_cron(deactivate => true) ORDER BY jobid});
like($rows[0], qr/^t\|nightly\|t\|has a time limit/, 'a job becomes an automation');
like($rows[1], qr/^t\|pg_cron job \d+\|t\|/, 'also one without a name');
like($rows[2], qr/^t\|copying\|f\|not imported: COPY FROM STDIN/, 'what cannot be one is told');
is(psql(q{SELECT string_agg(concat_ws('/', name, schedule, timezone, sql, state), ',' ORDER BY sql) FROM automation.automations WHERE description LIKE 'imported%'})
	=~ s/job \d+/job N/r, 'pg_cron job N/*/5 * * * */UTC/SELECT 1/ACTIVE,nightly/0 3 * * */UTC/VACUUM/INACTIVE', 'with schedule, text and state');
is(psql(q{SELECT string_agg(active::text, ',' ORDER BY jobid) FROM cron.job}), 'false,false,true', 'imported jobs are switched off');
is(psql(q{SELECT count(*) FROM automation.import_pg_cron() WHERE automation IS NOT NULL}), '0', 'nothing is imported twice');
done_testing();
