# SPDX-License-Identifier: MIT
# automation.listen: the worker serves the HTTP API, with a key only, and follows its settings.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

my ($url, $key, $agent, $dir) = agent();
my $port = free_port();
key_file("$dir/agent.key", $key);
key_file("$dir/api.key", 'secret-of-the-test');
cluster(
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'");
psql("ALTER DATABASE postgres SET automation.listen = '127.0.0.1:$port'");
psql('CREATE EXTENSION automation');
ok(wait_until('the log', 5, sub { server_log() =~ /not listening .*local_api_key_file/ }), 'without a key it does not listen, and says why');
my ($status) = http('GET', $port, '/api/automation/health');
is($status, 0, 'nobody answers');

# (ALTER SYSTEM knows the names of a library that is loaded.)
psql("LOAD 'automation'; ALTER SYSTEM SET automation.local_api_key_file = '$dir/api.key'");
psql(q{LOAD 'automation'; ALTER SYSTEM SET automation.http_role = 'postgres'});
ctl('reload');
ok(wait_until('the listener', 10, sub { (http('GET', $port, '/api/automation/v1', 'secret-of-the-test'))[0] == 200 }), 'with a key it does');
($status) = http('GET', $port, '/api/automation/v1');
is($status, 401, 'to those who know it');
($status) = http('GET', $port, '/api/automation/v1', 'wrong');
is($status, 401, 'only');

# ---- both doors see the same --------------------------------------------------------------------
my $id = psql(q{SELECT automation.create('by sql', script => 'echo served')});
my $body;
($status, $body) = http('GET', $port, "/api/automation/v1/$id", 'secret-of-the-test');
is($status, 200, 'what SQL made is there over HTTP');
like($body, qr/"name": ?"by sql"/, 'by its name');
($status, $body) = http('POST', $port, "/api/automation/v1/$id/dispatch", 'secret-of-the-test');
like($status, qr/^20[012]$/, 'it can be dispatched over HTTP');
my ($run) = $body =~ /"id": ?"([0-9a-f-]{36})"/;
ok(defined $run && wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 10), 'and completes') or diag($body, server_log());
is(psql("SELECT trim(E'\\n' FROM automation.logs('$run'))"), 'served', 'with its output');
($status, $body) = http('POST', $port, '/api/automation/v1', 'secret-of-the-test',
	'{"name": "by http", "trigger": {"type": "cron", "schedule": "0 0 1 1 *"}, "tarball_path": "https://example.com/a.tar.gz", "entrypoint": "python main.py"}');
is($status, 201, 'what HTTP made') or diag($body);
is(psql(q{SELECT count(*) FROM automation.automations WHERE name = 'by http'}), '1', 'is there in SQL');

# ---- another port, a restart, a port in use -------------------------------------------------------
my $other = free_port();
psql("ALTER DATABASE postgres SET automation.listen = '127.0.0.1:$other'");
psql('SELECT automation.stop()');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation worker'}, '0', 5), 'stopped');
($status) = http('GET', $port, '/api/automation/v1', 'secret-of-the-test');
is($status, 0, 'the port is free');
my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $other, ReuseAddr => 1) or die "port $other: $!";
psql('SELECT automation.start()');
ok(wait_until('the log', 8, sub { server_log() =~ /not listening on 127\.0\.0\.1:$other, will try again/ }), 'a port in use is told, not fatal');
ok(worker_pid('postgres') ne '', 'the worker works without it');
close $taken;
ok(wait_until('the listener', 15, sub { (http('GET', $other, '/api/automation/v1', 'secret-of-the-test'))[0] == 200 }), 'and listens when the port is free');

done_testing();
