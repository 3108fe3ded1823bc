# SPDX-License-Identifier: MIT
# The worker, its dispatcher, a SQL action's process and sessions through everything they do in their lives, on a server
# under valgrind; test/valgrind runs this (`make check-valgrind`) and reads what valgrind told.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

plan skip_all => 'make check-valgrind runs this' if !$ENV{AUT_PG_VALGRIND};
my ($url, $key, $agent, $dir) = agent();
my $port = free_port();
key_file("$dir/agent.key", $key);
key_file("$dir/api.key", 'secret-of-the-test');
cluster("automation.agent_server_url = '$url'", "automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.local_api_key_file = '$dir/api.key'", "automation.workspace_base = '$dir/work'", "automation.listen = '127.0.0.1:$port'",
	'automation.workers = 2', 'max_worker_processes = 16');
psql('CREATE EXTENSION automation');
ok(wait_until('a worker', 120, sub { worker_pid('postgres') ne '' }), 'a worker runs');
psql(q{SELECT automation.create('script', script => 'echo hello', schedule => '* * * * * *');
	SELECT automation.create('fails', script => 'exit 3'); SELECT automation.create('long', script => 'sleep 300');
	SELECT automation.create('action', sql => 'SELECT 1/0')});
my $long = psql(q{SELECT automation.trigger('long')});
psql(q{SELECT automation.trigger('action', '{"a": 1}'), automation.trigger('fails')});
ok(wait_query(q{SELECT count(*) >= 4 FROM automation.runs WHERE status IN ('COMPLETED', 'FAILED')}, 't', 240), 'runs end') or diag(server_log());
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$long'", 'RUNNING', 60), 'one goes on');
psql("SELECT automation.cancel('$long'); SELECT automation.pause('script'); SELECT automation.alter('fails', timeout => '1 minute'); SELECT automation.drop('action')");
my ($status) = http('GET', $port, '/api/automation/v1', 'secret-of-the-test');
is($status, 200, 'the API answers');
like(psql_fails(q{SELECT automation.create('', script => '')}), qr/22023/, 'bad input is refused');
psql(q{SELECT count(*) FROM automation.doctor(); SELECT automation.stop()});
ok(wait_until('no worker', 60, sub { worker_pid('postgres') eq '' }), 'the worker leaves');
psql('DROP EXTENSION automation');
ctl('down');
done_testing();
