# SPDX-License-Identifier: MIT
# Runs end to end on a real agent, which is a process of its own: output kept, ends noticed, nothing
# executed twice, whoever dies in between.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use Time::HiRes qw(time);

my ($url, $key, $agent, $dir) = agent();
key_file("$dir/agent.key", $key);
cluster(
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'");
psql('CREATE EXTENSION automation');
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'the worker runs');

sub status { my ($run) = @_; return psql("SELECT status FROM automation.runs WHERE id = '$run'") }

sub wait_status
{
	my ($run, $status, $seconds) = @_;
	my $ok = wait_query("SELECT status FROM automation.runs WHERE id = '$run'", $status, $seconds);
	diag(psql("SELECT status, phase, error, exit_code, output_bytes FROM automation.runs WHERE id = '$run'") . "\n" . server_log())
	  if !$ok;
	return $ok;
}

# ---- the plain way ------------------------------------------------------------------------------
psql(q{SELECT automation.create('hello', script => 'echo hello from $AUTOMATION_RUN_ID; echo and to stderr >&2')});
my $start = time();
my $run = psql(q{SELECT automation.trigger('hello', '{"order": 7}')});
ok(wait_status($run, 'COMPLETED', 10), 'a triggered run completes');
note sprintf('from trigger to COMPLETED: %.0f ms', 1000 * (time() - $start));
my $logs = psql("SELECT automation.logs('$run')");
like($logs, qr/^hello from /m, 'its output is kept');
like($logs, qr/^and to stderr$/m, 'of both streams');
is(psql("SELECT exit_code, attempt, trigger_source FROM automation.runs WHERE id = '$run'"), '0|1|manual', 'with exit code and attempt');

psql(q{SELECT automation.create('payload', script => 'printf "%s\n" "$AUTOMATION_EVENT_PAYLOAD"')});
$run = psql(q{SELECT automation.trigger('payload', '{"order": 42}')});
ok(wait_status($run, 'COMPLETED', 10), 'a run with input completes');
like(psql("SELECT automation.logs('$run')"), qr/"order": ?42/, 'and was given it');

psql(q{SELECT automation.create('fails', script => 'echo no >&2; exit 3')});
$run = psql(q{SELECT automation.trigger('fails')});
ok(wait_status($run, 'FAILED', 10), 'a program that fails makes its run FAILED');
is(psql("SELECT exit_code FROM automation.runs WHERE id = '$run'"), '3', 'with its exit code');

# ---- wake-ups -----------------------------------------------------------------------------------
# The worker must be idle first; its last change of state then tells whether anything woke it.
sub idle_since { return psql(q{SELECT state_change FROM pg_stat_activity WHERE backend_type = 'automation worker' AND state = 'idle'}) }
sub settled
{
	my $last = '';
	return wait_until('the worker to settle', 20, sub {
			my $now = idle_since();
			select(undef, undef, undef, 2.5);    # longer than any look it has planned
			$last = idle_since();
			return $now ne '' && $now eq $last;
	}) && $last;
}
ok(settled(), 'with nothing to do the worker runs no query');
my $before = idle_since();
psql(q{BEGIN; SELECT automation.trigger('hello'); ROLLBACK;});
is(idle_since(), $before, 'ROLLBACK wakes nobody');
is(psql(q{SELECT backend_xmin IS NULL AND xact_start IS NULL FROM pg_stat_activity WHERE backend_type = 'automation worker'}),
	't', 'and holds no snapshot');
$start = time();
my @runs = split /\n/, psql(q{SELECT automation.trigger('hello') FROM generate_series(1, 20)});
ok(wait_query(qq{SELECT count(*) FROM automation.runs WHERE id IN ('@{[join "','", @runs]}') AND status = 'COMPLETED'}, '20', 20),
	'twenty runs of one transaction complete');
note sprintf('20 runs in %.0f ms', 1000 * (time() - $start));

# ---- schedules ----------------------------------------------------------------------------------
psql(q{SELECT automation.create('each minute', script => 'echo tick', schedule => '* * * * *')});
# Bring the next fire near, so that the test need not wait for a minute.
psql(q{UPDATE automation.schedule SET next_fire_at = date_trunc('minute', now()); SELECT automation.start();});
ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE automation = 'each minute' AND trigger_source = 'cron' AND status = 'COMPLETED'}, '1', 15),
	'a schedule fires');
is(psql(q{SELECT next_fire_at > now() FROM automation.automations WHERE name = 'each minute'}), 't', 'and is set for the next time');
psql(q{SELECT automation.pause('each minute')});

# ---- crashes ------------------------------------------------------------------------------------
# Each attempt writes a line, so a second execution would be seen.
sub slow_run
{
	my ($name, $seconds) = @_;
	psql(qq{SELECT automation.create('$name', script => 'echo started >>$dir/work/$name.txt; echo first; sleep $seconds; echo last')});
	my $id = psql(qq{SELECT automation.trigger('$name')});
	wait_until("$name to start", 10, sub { -s "$dir/work/$name.txt" }) or diag(server_log());
	return $id;
}
sub executed_once { my ($name) = @_; return slurp("$dir/work/$name.txt") eq "started\n" }

for my $way (['kill', sub { signal_backend('KILL', worker_pid('postgres')) }],
	['terminate', sub { psql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'automation worker'}) }],
	['immediate', sub { ctl('crash'); ctl('up'); psql('SELECT automation.doctor()'); psql('SELECT automation.start()') }])
{
	my ($name, $break) = @$way;
	my $slow = slow_run($name, 4);
	my $old = worker_pid('postgres');
	$break->();
	$start = time();
	ok(wait_until('the worker back', 8, sub { my $now = worker_pid('postgres'); $now ne '' && $now ne $old }), "$name: the worker is back");
	cmp_ok(time() - $start, '<', 5, "$name: within 5 s");
	ok(wait_status($slow, 'COMPLETED', 20), "$name: the run under way is adopted and completes");
	ok(executed_once($name), "$name: it was executed once");
	like(psql("SELECT automation.logs('$slow')"), qr/^first\nlast$/m, "$name: its output is whole");
}

# ---- cancelling, waiting --------------------------------------------------------------------------
my $long = slow_run('long', 300);
is(psql("SELECT automation.cancel('$long')"), 'CANCELLED', 'cancel ends the run');
ok(wait_until('its process to end', 15, sub { `pgrep -u postgres -f 'sleep 300' 2>/dev/null` eq '' }), 'and its program on the agent');

my $awaited = slow_run('awaited', 2);
my $waiter = background("CALL automation.wait('$awaited')");
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL automation.wait%' AND wait_event_type = 'Extension' AND backend_xmin IS NULL AND backend_xid IS NULL}, '1', 5),
	'who waits holds no snapshot');
my ($code, $out) = finish($waiter);
is("$code $out", '0 COMPLETED', 'wait() returns the status');
cmp_ok(psql("SELECT extract(epoch FROM clock_timestamp() - completed_at) FROM automation.runs WHERE id = '$awaited'"), '<', 0.9, 'at once');

# ---- the agent goes away ----------------------------------------------------------------------------
stop_agent($agent);
$run = psql(q{SELECT automation.trigger('hello')});
psql('SELECT automation.doctor()');
ok(wait_until('an attempt', 10, sub { psql("SELECT status <> 'COMPLETED' FROM automation.runs WHERE id = '$run'") eq 't' }), 'without an agent nothing completes');
is(psql("SELECT automation.cancel('$run')"), 'CANCELLED', 'and the run can be cancelled');

done_testing();
