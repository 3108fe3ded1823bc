# SPDX-License-Identifier: MIT
# Several dispatchers and HTTP workers beside the worker: they share nothing but the database.  Runs are
# spread and executed once, limits hold for all together, wake-ups reach who holds a run, and whoever goes
# leaves its runs to the others.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use Time::HiRes qw(time);

my ($url, $key, $agent, $dir) = agent();
my $port = free_port();
key_file("$dir/agent.key", $key);
key_file("$dir/api.key", 'secret-of-the-test');
cluster('max_worker_processes = 12',
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.local_api_key_file = '$dir/api.key'",
	"automation.workspace_base = '$dir/work'",
	"automation.listen = '127.0.0.1:$port'",
	'automation.workers = 3', 'automation.http_workers = 2');
sub count { my ($type) = @_; return psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = '$type'") }

psql('CREATE EXTENSION automation');
ok(wait_until('all processes', 10, sub { count('automation dispatcher') == 2 && count('automation http worker') == 2 }),
	'the worker starts two dispatchers and two HTTP workers') or diag(server_log());
is(psql(q{SELECT ok, detail ~ '^3 of 3 dispatchers, 2 of 2 HTTP workers.*up to 7 of' FROM automation.doctor() WHERE item = 'processes'}), 't|t', 'doctor counts them')
	or diag(psql(q{SELECT detail FROM automation.doctor()}));
is(psql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'automation %' AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL)}), '0',
	'none of them holds a snapshot while idle');

# ---- runs are spread, and executed once ------------------------------------------------------------
psql(qq{SELECT automation.create('once', script => 'echo \$AUTOMATION_RUN_ID >>$dir/work/ledger; sleep 0.2')});
psql(q{SELECT count(automation.trigger('once')) FROM generate_series(1, 10)}) for 1 .. 12;
ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE automation = 'once' AND status = 'COMPLETED'}, '120', 60), '120 runs complete')
	or diag(psql('SELECT status, count(*) FROM automation.run GROUP BY 1'), server_log());
my %begun;
$begun{$_}++ for split /\n/, slurp("$dir/work/ledger");
is(scalar(keys %begun), 120, 'each was executed');
is(scalar(grep { $_ != 1 } values %begun), 0, 'and none twice');
cmp_ok(psql('SELECT count(DISTINCT worker) FROM automation.run'), '>', 1, 'by more than one dispatcher');

# ---- SQL actions: the bound is the database's --------------------------------------------------------
psql(q{SELECT automation.create('action', sql => 'SELECT pg_sleep(0.3)')});
psql(q{SELECT automation.trigger('action')}) for 1 .. 10;
my $most = 0;
ok(wait_until('ten ends', 30, sub {
	my $now = count('automation sql action'); $most = $now if $now > $most;
	psql(q{SELECT count(*) FROM automation.runs WHERE automation = 'action' AND status = 'COMPLETED'}) eq '10' }), 'ten SQL actions complete');
is($most, 2, 'two at a time, though three dispatchers start them');

# ---- wake-ups reach the holder ------------------------------------------------------------------------
# Runs that only a dispatcher beside the worker holds.
sub held_beside
{
	my ($name, $seconds) = @_;
	psql(qq{SELECT automation.create('$name', script => 'echo started >>$dir/work/$name.\$AUTOMATION_RUN_ID; exec sleep $seconds')});
	my $run = '';
	wait_until('a run held by a dispatcher', 30, sub {
		my $id = psql("SELECT automation.trigger('$name')");
		wait_until('its start', 10, sub { -s "$dir/work/$name.$id" }) or return 0;
		$run = psql("SELECT id FROM automation.run WHERE id = '$id' AND worker NOT LIKE 'worker 0 %'");
		psql("SELECT automation.cancel('$id')") if $run eq '';
		return $run ne '';
	});
	return $run;
}
my $run = held_beside('long', 307);
ok($run ne '', 'a dispatcher holds a run');
my $start = time();
psql("SELECT automation.cancel('$run')");
ok(wait_until('its process to end', 15, sub { `pgrep -u postgres -f 'sleep 307' 2>/dev/null` eq '' }), 'who cancels it reaches its holder');
cmp_ok(time() - $start, '<', 8, 'at once');

# ---- one is terminated ----------------------------------------------------------------------------------
$run = held_beside('slow', 4);
my $pid = psql("SELECT w.pid FROM automation.run r JOIN automation.worker w ON w.name = r.worker WHERE r.id = '$run'");
psql("SELECT pg_terminate_backend($pid)");
ok(wait_until('three again', 5, sub { count('automation dispatcher') == 2 && psql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") eq '0' }),
	'a terminated dispatcher is back within 5 s');
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 20), 'and finds its run') or diag(server_log());
is(slurp("$dir/work/slow.$run"), "started\n", 'which was executed once');

# ---- HTTP -----------------------------------------------------------------------------------------------
my @servers = split /\n/, psql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'automation http worker'});
my $id = psql(q{SELECT id FROM automation.automations WHERE name = 'once'});
is(scalar(grep { (http('GET', $port, "/api/automation/v1/$id", 'secret-of-the-test'))[0] != 200 } 1 .. 40), 0, 'forty requests are answered');
my ($status, $body) = http('POST', $port, "/api/automation/v1/$id/dispatch", 'secret-of-the-test');
my ($made) = $body =~ /"id": ?"([0-9a-f-]{36})"/;
$start = time();
ok(defined $made && wait_query("SELECT status FROM automation.runs WHERE id = '$made'", 'COMPLETED', 10), 'what an HTTP worker dispatches is executed by others')
	or diag($status, $body);
cmp_ok(time() - $start, '<', 5, 'at once');
signal_backend('TERM', $servers[0]);
is(scalar(grep { (http('GET', $port, "/api/automation/v1/$id", 'secret-of-the-test'))[0] == 200 } 1 .. 20) >= 18, 1, 'while one is away the other answers');
ok(wait_until('it back', 5, sub { count('automation http worker') == 2 && psql("SELECT count(*) FROM pg_stat_activity WHERE pid = $servers[0]") eq '0' }), 'and it is back within 5 s');

# ---- fewer -------------------------------------------------------------------------------------------------
$run = held_beside('handed_over', 8);
psql(q{LOAD 'automation'; ALTER SYSTEM SET automation.workers = 1});
psql(q{LOAD 'automation'; ALTER SYSTEM SET automation.http_workers = 0});
ctl('reload');
ok(wait_until('one process', 10, sub { count('automation dispatcher') == 0 && count('automation http worker') == 0 }), 'SIGHUP: those too many leave');
ok(wait_until('the listener', 15, sub { (http('GET', $port, '/api/automation/v1', 'secret-of-the-test'))[0] == 200 }), 'and the worker itself listens');
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 40), 'and adopts what they left') or diag(psql("SELECT * FROM automation.run WHERE id = '$run'"), server_log());
is(slurp("$dir/work/handed_over.$run"), "started\n", 'which was executed once');

# ---- more than there is room for ------------------------------------------------------------------------------
psql(q{LOAD 'automation'; ALTER SYSTEM SET automation.http_workers = 16});
ctl('reload');
ok(wait_until('the log', 15, sub { server_log() =~ /no slot is free for all processes of automation/ }), 'more than max_worker_processes allows is told in the log');
is(psql(q{SELECT ok, detail ~ 'raise it' FROM automation.doctor() WHERE item = 'processes'}), 'f|t', 'and by doctor');
ok((http('GET', $port, '/api/automation/v1', 'secret-of-the-test'))[0] == 200, 'what there is works');

# ---- all leave with the extension --------------------------------------------------------------------------
psql('DROP EXTENSION automation CASCADE');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'automation %'}, '0', 10), 'DROP EXTENSION lets all leave');
unlike(server_log(), qr/PANIC|TRAP|terminated by signal/, 'and the server is well');
done_testing();
