# SPDX-License-Identifier: MIT
# pg_upgrade, and the list of what a dump takes along: every table of the schema is either dumped or
# named here as one that is about this server's processes only.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Catalog;
use Test::More;
use File::Temp ();

my ($url, $key, $agent, $dir) = agent();
key_file("$dir/agent.key", $key);
my @settings = ("shared_preload_libraries = 'automation'", 'max_worker_processes = 16',
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'");
cluster(@settings);
psql('CREATE DATABASE shop');
psql('CREATE EXTENSION automation', db => 'shop');
psql('CREATE EXTENSION automation');
ok(wait_until('workers', 10, sub { worker_pid('shop') && worker_pid('postgres') }), 'two databases have workers') or diag(server_log());

# ---- every table is accounted for ------------------------------------------------------------
# What a dump leaves out, and why.
my %not_dumped = (
	marker => 'says whether the worker shall stay away here',
	worker => 'leases of processes of this server',
	sandbox => 'what this server must still do to sandboxes of the cloud; a copy must not delete them',
);
my @left_out = split /\n/, psql(q{SELECT c.relname FROM pg_class c JOIN pg_extension e ON e.extname = 'automation' WHERE c.relnamespace = 'automation'::regnamespace
	AND c.relkind IN ('r', 'S') AND NOT c.oid = ANY (e.extconfig)
	AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refobjid = e.oid AND d.deptype = 'e') ORDER BY 1}, db => 'shop');
# (a table that is no member, as spans of what runs printed, is dumped like any other; a partitioned one has no rows)
is_deeply(\@left_out, [sort keys %not_dumped], 'every table is dumped, or left out on purpose')
  or diag("a new table needs pg_extension_config_dump in automation.sql, or a line here");
is(psql(q{SELECT string_agg(c.relname, ',') FROM pg_class c WHERE c.relnamespace = 'automation'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity}, db => 'shop'), '',
	'and row-level security stands on every table');
is(psql(q{SELECT string_agg(c.relname || ' ' || a.grantee::regrole, ',') FROM pg_class c, aclexplode(c.relacl) a
	WHERE c.relnamespace = 'automation'::regnamespace AND c.relkind IN ('r', 'p', 'S') AND a.grantee <> c.relowner}, db => 'shop'), '', 'and nobody has rights on one');

# ---- data, and runs in every state --------------------------------------------------------------
# What they print lies in a span of this year.
ok(wait_until('a lock', 20, sub { psql(q{SELECT automation._output_span_add(rpad(lpad(to_hex((extract(epoch FROM now() - interval '1 day') * 1000)::bigint), 12, '0') || '70008000', 32, '0')::uuid, 'ffffffff-ffff-7000-8000-000000000000')}, db => 'shop') eq 't' }), 'a span of output is made');
psql(q{CREATE TABLE orders (id integer);
	SELECT automation.create('nightly', script => 'echo nightly', schedule => '0 3 * * *', timezone => 'Europe/Berlin');
	SELECT automation.create('hello', script => 'echo hello');
	SELECT automation.create('action', sql => 'SELECT 1');
	SELECT automation.on_change('orders', run => 'action');
	SELECT automation.trigger('hello');
	INSERT INTO orders VALUES (1)}, db => 'shop');
ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE status = 'COMPLETED'}, '2', 15, db => 'shop'), 'runs have ended') or diag(server_log());
psql(qq{SELECT automation.create('slow', script => 'echo first; echo started >>$dir/work/slow.txt; sleep 6; echo last')}, db => 'shop');
my $later = psql(q{SELECT automation.trigger('hello', delay => '1 day')}, db => 'shop');
my $run = psql(q{SELECT automation.trigger('slow')}, db => 'shop');
ok(wait_until('its start', 15, sub { -s "$dir/work/slow.txt" }), 'one is under way, one waits');
my $state = q{SELECT string_agg(r.id || r.status || r.attempt, ',' ORDER BY r.id) FROM automation.run r WHERE r.status NOT IN ('RUNNING')};
my ($before, $objects) = (psql($state, db => 'shop'), catalog('shop'));
my $bin = $ENV{PG_BINDIR};
sub as_postgres { my @command = @_; unshift @command, 'runuser', '-u', 'postgres', '--' if $> == 0; return @command }

# ---- pg_upgrade ------------------------------------------------------------------------------------
ctl('down');
my $home = File::Temp::tempdir('/tmp/automation-pg.XXXXXX');
system('cp', "$ENV{PGHOST}/bindir", "$home/bindir") == 0 or die 'no bindir';
mkdir "$home/upgrade" or die;
system('chown', '-R', 'postgres', $home) if $> == 0;
my $out = `cd / && @{[as_postgres("$bin/initdb", '-D', "$home/data", qw(-A trust -U postgres -E UTF8 --no-locale -N))]} 2>&1`;
is($?, 0, 'a new cluster') or diag($out);
adopt("$home/data");
open(my $conf, '>>', "$home/data/postgresql.conf") or die;
print $conf "listen_addresses = ''\nunix_socket_directories = '$home'\nport = 5432\nfsync = off\nmax_connections = 40\n$_\n" for join "\n", @settings;
close $conf;
my $old = pgdata();
my $command = join ' ', as_postgres("$bin/pg_upgrade", '-b', $bin, '-B', $bin, '-d', $old, '-D', "$home/data", '-U', 'postgres', '-p', '5433', '-P', '5434', '-s', "$home/upgrade");
$out = `cd $home/upgrade && $command 2>&1 </dev/null`;
is($?, 0, 'pg_upgrade with the library preloaded') or diag($out);
my $logs = join '', map { slurp($_) } (glob("$home/upgrade/*.log"), glob("$home/data/pg_upgrade_output.d/*/log/*.log"), glob("$home/data/pg_upgrade_output.d/*/*.log"));
unlike($logs, qr/automation worker started|automation launcher/, 'nothing of ours ran meanwhile');
@ENV{qw(PGHOST PGDATA PG_LOG)} = ($home, "$home/data", "$home/log");
ctl('up');
ok(wait_until('workers', 15, sub { worker_pid('shop') && worker_pid('postgres') }), 'the new cluster has workers in both databases') or diag(server_log());
is(psql($state . " AND r.id <> '$run'", db => 'shop'), $before, 'runs are as they were');
# (views are parsed again from their text, which then names a column more)
is_deeply([sort map { s/'::text AS text,/'::text,/gr } @{catalog('shop')}], [sort map { s/'::text AS text,/'::text,/gr } @$objects], 'and so is every object');
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 20, db => 'shop'), 'the run under way is adopted') or diag(server_log());
is(slurp("$dir/work/slow.txt"), "started\n", 'and was executed once');
is(psql("SELECT automation.logs('$run')", db => 'shop'), "first\nlast", 'its output is whole');
is(psql("SELECT DISTINCT tableoid::regclass FROM automation.run_output WHERE run_id = '$run'", db => 'shop'), psql(q{SELECT part FROM automation._output_spans()}, db => 'shop'), 'in the span it began in');
is(psql(q{SELECT timezone, next_fire_at > now() FROM automation.automations WHERE name = 'nightly'}, db => 'shop'), 'Europe/Berlin|t', 'schedules hold');
psql('INSERT INTO orders VALUES (2)', db => 'shop');
ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE automation = 'action' AND status = 'COMPLETED'}, '2', 15, db => 'shop'), 'row triggers, too');
done_testing();
