# SPDX-License-Identifier: MIT
# Whatever dies or misbehaves around the worker: the postmaster, the server at once, an agent that stalls,
# answers rubbish, or vanishes, a standby that is promoted, slots that are used up.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use Time::HiRes qw(time);

my ($url, $key, $agent, $dir) = agent();
key_file("$dir/agent.key", $key);
cluster(q{shared_preload_libraries = 'automation'}, 'max_worker_processes = 16', 'wal_level = replica',
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'",
	'automation.workers = 2', 'automation.sandbox_ready_timeout = 1', 'automation.run_timeout_margin = 1', 'automation.run_timeout_hard_grace = 2');
psql('CREATE EXTENSION automation');
sub ours { return split /\n/, psql(q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'automation %'}) }
sub everybody { return wait_until('launcher, worker, dispatcher', 15, sub {
	psql(q{SELECT count(DISTINCT backend_type) FROM pg_stat_activity WHERE backend_type IN ('automation launcher', 'automation worker', 'automation dispatcher')}) eq '3' }) }
sub status { my ($run, %how) = @_; return psql("SELECT status FROM automation.runs WHERE id = '$run'", %how) }
sub ended { my ($run, $status, $seconds, %how) = @_; return wait_query("SELECT status FROM automation.runs WHERE id = '$run'", $status, $seconds, %how) }
ok(everybody(), 'all are at work') or diag(server_log());
psql(qq{SELECT automation.create('hello', script => 'echo \$AUTOMATION_RUN_ID >>$dir/work/ledger');
	SELECT automation.create('sleep', sql => 'SELECT pg_sleep(300)')});

# ---- the postmaster dies ------------------------------------------------------------------------
my $asleep = psql(q{SELECT automation.trigger('sleep')});
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation sql action'}, '1', 10), 'a SQL action runs');
my @pids = ours();
my ($postmaster) = slurp(pgdata() . '/postmaster.pid') =~ /^(\d+)/;
my $start = time();
kill 'KILL', $postmaster;
ok(wait_until('all to end', 10, sub { !grep { kill(0, $_) } @pids }), 'when the postmaster dies all of our processes end') or diag("@pids");
cmp_ok(time() - $start, '<', 2, 'at once');
ctl('up');
ok(everybody(), 'the next server has them again');
ok(ended($asleep, 'FAILED', 15), 'the action that was cut off has failed');

# ---- immediate shutdown, fast shutdown --------------------------------------------------------------
my @runs = split /\n/, psql(q{SELECT automation.trigger('hello') FROM generate_series(1, 20)});
my @as = $> == 0 ? ('runuser', '-u', 'postgres', '--') : ();
for my $mode ('immediate', 'fast')
{
	@pids = ours();
	$start = time();
	is(system("cd / && exec @as $ENV{PG_BINDIR}/pg_ctl -D $ENV{PGDATA} -m $mode -w -t 30 -s stop"), 0, "pg_ctl stop -m $mode");
	cmp_ok(time() - $start, '<', 5, 'takes no time');
	is(scalar(grep { kill(0, $_) } @pids), 0, 'and leaves none of ours');
	ctl('up');
	ok(everybody(), 'all are back');
}
ok(wait_query(qq{SELECT count(*) FROM automation.runs WHERE id IN ('@{[join "','", @runs]}') AND status = 'COMPLETED'}, '20', 60), 'every run of before completes')
  or diag(psql('SELECT id, status, phase, error FROM automation.runs'), server_log());
my %begun;
$begun{$_}++ for split /\n/, slurp("$dir/work/ledger");
is(scalar(grep { ($begun{$_} // 0) != 1 } @runs), 0, 'each was executed once');

# ---- agents that misbehave: a database each ------------------------------------------------------------
sub with_agent
{
	my ($db, @faults) = @_;
	my ($its_url, $its_key, $its_pid, $its_dir) = agent(map { ('--fault', $_) } @faults);
	key_file("$its_dir/agent.key", $its_key);
	psql("CREATE DATABASE $db; ALTER DATABASE $db SET automation.agent_server_url = '$its_url';
		ALTER DATABASE $db SET automation.agent_server_api_key_file = '$its_dir/agent.key';
		ALTER DATABASE $db SET automation.workspace_base = '$its_dir/work'; ALTER DATABASE $db SET automation.workers = 1");
	psql('CREATE EXTENSION automation', db => $db);
	psql(qq{SELECT automation.create('hello', script => 'echo \$AUTOMATION_RUN_ID >>$its_dir/work/ledger; echo hello');
		SELECT automation.create('action', sql => 'SELECT 1')}, db => $db);
	return ($its_pid, $its_dir);
}
sub executions { my ($folder, $run) = @_; return scalar grep { $_ eq $run } split /\n/, slurp("$folder/work/ledger") }

my (undef, $slow_dir) = with_agent('stalls', 'upload:delay=2500:*', 'start:delay=2500:*');
my $run = psql(q{SELECT automation.trigger('hello')}, db => 'stalls');
my $action = psql(q{SELECT automation.trigger('action')}, db => 'stalls');
$start = time();
ok(ended($action, 'COMPLETED', 10, db => 'stalls'), 'while an agent stalls others are served');
cmp_ok(time() - $start, '<', 2.5, 'at once');
psql('CREATE DATABASE other; DROP DATABASE other');
cmp_ok(time() - $start, '<', 4, 'and database commands are not held up');
ok(ended($run, 'COMPLETED', 30, db => 'stalls'), 'the run completes in the end') or diag(server_log());
is(executions($slow_dir, $run), 1, 'executed once');

my (undef, $liar_dir) = with_agent('lies', 'upload:garbage:1', 'start:garbage:1', 'download:garbage:2');
$run = psql(q{SELECT automation.trigger('hello')}, db => 'lies');
ok(wait_query("SELECT status IN ('COMPLETED', 'FAILED') FROM automation.runs WHERE id = '$run'", 't', 40, db => 'lies'), 'a run on an agent that answers rubbish ends')
  or diag(psql("SELECT status, phase FROM automation.runs", db => 'lies'), server_log());
note(psql("SELECT status, error FROM automation.runs WHERE id = '$run'", db => 'lies'));
cmp_ok(executions($liar_dir, $run), '<=', 1, 'and is not executed twice');
is(psql("SELECT status = 'FAILED' AND error IS NOT NULL OR status = 'COMPLETED' FROM automation.runs WHERE id = '$run'", db => 'lies'), 't', 'with the truth about it');
is(executions($liar_dir, $run), 1, 'COMPLETED only if it ran') if status($run, db => 'lies') eq 'COMPLETED';
$run = psql(q{SELECT automation.trigger('hello')}, db => 'lies');
ok(ended($run, 'COMPLETED', 20, db => 'lies'), 'afterwards all is well');

my ($gone, $gone_dir) = with_agent('vanishes');
psql(qq{SELECT automation.create('long', script => 'echo begun >$gone_dir/work/long; exec sleep 311', timeout => '3 seconds')}, db => 'vanishes');
$run = psql(q{SELECT automation.trigger('long')}, db => 'vanishes');
ok(wait_until('its start', 10, sub { -s "$gone_dir/work/long" }), 'a run is under way') or diag(server_log());
kill 'KILL', $gone;
ok(wait_query("SELECT status IN ('FAILED') FROM automation.runs WHERE id = '$run'", 't', 60, db => 'vanishes'), 'its agent vanishes: it ends when its time is over');
like(psql("SELECT error FROM automation.runs WHERE id = '$run'", db => 'vanishes'), qr/\S/, 'and says so: ' . psql("SELECT error FROM automation.runs WHERE id = '$run'", db => 'vanishes'));
for (split /\n/, `pgrep -u postgres -f 'sleep 311' 2>/dev/null`) { kill 'KILL', $_ if slurp("/proc/$_/cmdline") =~ /^sleep\0311\0/ }
psql("ALTER DATABASE $_ SET automation.enabled = off; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$_' AND backend_type LIKE 'automation %'") for ('stalls', 'lies', 'vanishes');

# ---- a standby with the launcher ---------------------------------------------------------------------
my %primary = (PGHOST => $ENV{PGHOST}, PGDATA => $ENV{PGDATA}, PG_LOG => $ENV{PG_LOG});
my %standby = standby();
@ENV{keys %standby} = values %standby;
is(scalar(ours()), 0, 'on a standby nothing of ours runs');
{
	local @ENV{keys %primary} = values %primary;
	ctl('down');
}
ctl('promote');
$start = time();
ok(everybody(), 'on promotion the launcher and all workers come by themselves') or diag(server_log());
cmp_ok(time() - $start, '<', 10, 'within seconds');
$run = psql(q{SELECT automation.trigger('hello')});
ok(ended($run, 'COMPLETED', 15), 'and work');

# ---- no slot is free -------------------------------------------------------------------------------------
psql($_) for ('DROP DATABASE stalls', 'DROP DATABASE lies', 'DROP DATABASE vanishes');
psql('ALTER SYSTEM SET max_worker_processes = 4');
psql(q{CREATE DATABASE two; ALTER DATABASE two SET automation.workers = 1; ALTER DATABASE postgres SET automation.workers = 2});
psql('CREATE EXTENSION automation', db => 'two');
# four slots: two launchers, a worker, and one for the scout, the other worker and the dispatcher
ctl('restart');
ok(wait_until('the log', 40, sub { server_log() =~ /no slot is free for/ }), 'too few slots are told in the log') or diag(server_log());
is(psql(q{SELECT count(*) >= 1 FROM pg_stat_activity WHERE backend_type = 'automation worker'}), 't', 'what there is works');
psql('ALTER SYSTEM SET max_worker_processes = 16');
ctl('restart');
ok(wait_until('both', 30, sub { worker_pid('postgres') && worker_pid('two') }), 'with more of them all databases have their workers');
unlike(server_log() . slurp($primary{PG_LOG}), qr/PANIC|TRAP|terminated by signal 11/, 'and the servers are well');
done_testing();
