# SPDX-License-Identifier: MIT
# The worker, its dispatcher, a SQL action's process and sessions under valgrind, over everything they do in their
# lives: no read or write where there should be none, nothing lost.  `make check-valgrind`; takes minutes.
#
# The server is not built for valgrind, which knows nothing of its memory contexts: what the server itself loses at a
# process's exit is suppressed (test/valgrind.supp), errors with a frame of ours are not.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use Cwd ();

plan skip_all => 'make check-valgrind runs this' if !$ENV{AUT_VALGRIND};
my ($url, $key, $agent, $dir) = agent();
my $port = free_port();
key_file("$dir/agent.key", $key);
key_file("$dir/api.key", 'secret-of-the-test');
cluster("automation.agent_server_url = '$url'", "automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.local_api_key_file = '$dir/api.key'", "automation.workspace_base = '$dir/work'", "automation.listen = '127.0.0.1:$port'",
	'automation.workers = 2', 'max_worker_processes = 16');
ctl('down');
mkdir "$dir/valgrind" or die;
system('chown', 'postgres', "$dir/valgrind") if $> == 0;
my $suppressions = "$dir/valgrind.supp";
system('cp', root() . '/test/valgrind.supp', $suppressions) == 0 or die;
my @as = $> == 0 ? ('runuser', '-u', 'postgres', '--') : ();
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', $ENV{PG_LOG});
	open(STDERR, '>&', \*STDOUT);
	chdir '/';
	exec @as, 'valgrind', '--trace-children=yes', '--quiet', '--leak-check=full', '--show-leak-kinds=definite', '--num-callers=30', '--error-limit=no',
	  "--suppressions=$suppressions", "--log-file=$dir/valgrind/%p", "$ENV{PG_BINDIR}/postgres", '-D', pgdata()
	  or POSIX::_exit(127);
}
ok(wait_until('the server', 120, sub { psql('SELECT 1') eq '1' }), 'the server runs under valgrind') or diag(server_log());
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
waitpid $pid, 0;

# What valgrind says about a frame of ours.
my ($ours, $seen) = ('', 0);
for my $file (glob("$dir/valgrind/*"))
{
	$seen++;
	for my $block (split /^==\d+== *\n/m, slurp($file)) { $ours .= "$file\n$block\n" if $block =~ /automation\.so|libuv|libmicrohttpd|libcurl|libjansson/ }
}
cmp_ok($seen, '>', 3, 'processes were watched');
is($ours, '', 'and nothing is said about any of ours') or diag(substr $ours, 0, 6000);
done_testing();
