# SPDX-License-Identifier: MIT
# Copies of a database: dump and restore, a standby and its promotion.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use File::Temp ();

my ($url, $key, $agent, $dir) = agent();
key_file("$dir/agent.key", $key);
cluster('max_worker_processes = 16', 'wal_level = replica',
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'");
psql('CREATE EXTENSION automation');
psql(q{SELECT automation.create('nightly', script => 'echo nightly', schedule => '0 3 * * *', timezone => 'Europe/Berlin')});
psql(q{SELECT automation.create('by hand', script => 'echo restored')});
my $run = psql(q{SELECT automation.trigger('by hand')});
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 10), 'a run in the original') or diag(server_log());

# ---- dump and restore -----------------------------------------------------------------------
my $bin = $ENV{PG_BINDIR};
my $dump = File::Temp->new(SUFFIX => '.dump');
is(system("$bin/pg_dump", '-U', 'postgres', '-Fc', '-f', $dump->filename, 'postgres'), 0, 'pg_dump');
psql('CREATE DATABASE restored');
is(system("$bin/pg_restore", '-U', 'postgres', '--single-transaction', '--exit-on-error', '-d', 'restored', $dump->filename), 0,
	'pg_restore in one transaction');
ok(wait_until('a worker', 5, sub { worker_pid('restored') }), 'the restored database has a worker');
my $what = q{SELECT string_agg(name || coalesce(schedule || timezone || next_fire_at, ''), ',' ORDER BY name) FROM automation.automations};
is(psql($what, db => 'restored'), psql($what), 'and the same automations, which fire at the same time');
my $history = q{SELECT id, status, exit_code, output_bytes FROM automation.runs ORDER BY id};
is(psql($history, db => 'restored'), psql($history), 'and the same history');
is(psql("SELECT automation.logs('$run')", db => 'restored'), psql("SELECT automation.logs('$run')"), 'with its output');
$run = psql(q{SELECT automation.trigger('by hand')}, db => 'restored');
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 10, db => 'restored'), 'which run');

# ---- standby --------------------------------------------------------------------------------
my %primary = (PGHOST => $ENV{PGHOST}, PGDATA => $ENV{PGDATA}, PG_LOG => $ENV{PG_LOG});
my %standby = standby();
$run = psql(q{SELECT automation.trigger('by hand', delay => '1 day')});
@ENV{keys %standby} = values %standby;
is(psql('SELECT pg_is_in_recovery()'), 't', 'a standby');
ok(wait_query("SELECT count(*) FROM automation.runs WHERE id = '$run'", '1', 10), 'follows its primary');
is(worker_pid('postgres'), '', 'and runs no worker');
like(psql_fails(q{SELECT automation.trigger('by hand')}), qr/25006/, 'nothing can be triggered there');
is(psql(q{SELECT ok, detail ~ 'standby' FROM automation.doctor() WHERE item = 'worker'}), 'f|t', 'doctor tells why');
is(psql(q{SELECT count(*) FROM automation.next_fires('nightly')}), '5', 'reading works');
is(worker_pid('postgres'), '', 'and starts nothing');
{
	# Two clusters must not work on the same runs.
	local @ENV{keys %primary} = values %primary;
	ctl('down');
}
ctl('promote');
ok(wait_query('SELECT pg_is_in_recovery()', 'f', 20), 'promoted');
$run = psql(q{SELECT automation.trigger('by hand')});
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'the first call after the promotion starts the worker');
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 10), 'and runs complete') or diag(server_log());

done_testing();
