# SPDX-License-Identifier: MIT
# Events in SQL with a worker at work: what is emitted runs at commit and not before, what rolls back never
# does, and a definition changed through one process holds for all of them at once.
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
	"automation.http_role = 'postgres'",
	"automation.workspace_base = '$dir/work'",
	"automation.listen = '127.0.0.1:$port'",
	'automation.http_workers = 2');
psql('CREATE EXTENSION automation');
ok(wait_until('the listeners', 15, sub { (http('GET', $port, '/api/automation/v1', 'secret-of-the-test'))[0] == 200 }), 'the HTTP workers listen');

# ---- at commit ---------------------------------------------------------------------------------------------
my $id = psql(q{SELECT automation.create('hears', script => 'echo heard', event => 'shop', on_keys => '{paid}')});
psql(q{BEGIN; SELECT automation.emit('shop', '{"type": "paid"}'); ROLLBACK});
is(psql(q{SELECT (SELECT count(*) FROM automation.events), (SELECT count(*) FROM automation.runs)}), '0|0', 'what rolls back was never emitted');
my $start = time();
my $run = psql(q{SELECT runs[1] FROM automation.emit('shop', '{"type": "paid"}')});
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 15), 'what commits is executed') or diag(server_log());
cmp_ok(time() - $start, '<', 5, 'at once: the worker is woken');
like(psql("SELECT automation.logs('$run')"), qr/heard/, 'by its script');

# ---- one definition for all processes --------------------------------------------------------------------------
my $event = psql(q{SELECT id FROM automation.events ORDER BY id DESC LIMIT 1});
sub replayed
{
	my ($status, $body) = http('POST', $port, "/api/automation/v1/events/$event/replay", 'secret-of-the-test');
	return $status == 200 && $body =~ /"matched": ?(\d+)/ ? $1 : "$status $body";
}
my %seen;
$seen{replayed()}++ for 1 .. 12;
is(join(' ', %seen), '1 12', 'every HTTP worker matches it');
sub all_match { my ($what, $expected) = @_; %seen = (); $seen{replayed()}++ for 1 .. 8; return is(join(' ', %seen), "$expected 8", $what) }
for my $round (1 .. 5)
{
	psql(q{SELECT automation.alter('hears', on_keys => '{other}')});
	all_match("round $round: what SQL changed holds for every HTTP worker at once", 0);
	psql(q{SELECT automation.alter('hears', on_keys => '{paid}')});
	all_match('and what it changed back', 1);
	my ($status, $body) = http('PATCH', $port, "/api/automation/v1/$id", 'secret-of-the-test', '{"enabled": false}');
	is($status, 200, 'switched off over HTTP') or diag($body);
	all_match('holds for the other, too', 0);
	is(psql(q{SELECT matched FROM automation.emit('shop', '{"type": "paid"}')}), '0', 'and for SQL');
	psql(q{SELECT automation.resume('hears')});
	all_match('until SQL switches it on', 1);
}
stop_agent($agent);
done_testing();
