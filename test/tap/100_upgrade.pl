# SPDX-License-Identifier: MIT
# ALTER EXTENSION UPDATE: from each released definition (extension/upgrade/) to the current one, and from the
# current one to a next one made up here, with a worker and a run at work, with and without preload.
# Afterwards every object is as in a fresh installation and all data is there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Catalog;
use Test::More;

my ($url, $key, $agent, $dir) = agent();
key_file("$dir/agent.key", $key);
my @settings = (
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'",
	'max_worker_processes = 20', 'automation.workers = 2');
cluster(@settings);

chomp(my $scripts = `$ENV{PG_BINDIR}/pg_config --sharedir`);
$scripts .= '/extension';
my ($current) = slurp("$scripts/automation.control") =~ /default_version\s*=\s*'([^']+)'/;
my @made;
sub script
{
	my ($name, $text) = @_;
	open(my $out, '>', "$scripts/$name") or die "$scripts/$name: $!";
	print $out $text;
	close $out;
	push @made, "$scripts/$name";
	return;
}
END { unlink $_ for @made }

# ---- a next version -----------------------------------------------------------------------------
# What updates do: a table, a column, a function and a view get another definition.
my $next = "$current.next";
my $change = <<'SQL';
SET LOCAL search_path TO pg_catalog, pg_temp;
ALTER TABLE automation.run ADD COLUMN of_the_next text;
CREATE TABLE automation.of_the_next (id integer PRIMARY KEY);
COMMENT ON TABLE automation.of_the_next IS 'Made by the update.';
SELECT pg_catalog.pg_extension_config_dump('automation.of_the_next', '');
CREATE FUNCTION automation._of_the_next() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE RETURN 1;
REVOKE ALL ON FUNCTION automation._of_the_next() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION automation._of_the_next() TO automation_admin;
SELECT automation._installed();
SQL
my $now = slurp("$scripts/automation--$current.sql");
script("automation--$next.sql", $now . $change);
script("automation--$current--$next.sql", "\\echo Use \"ALTER EXTENSION automation UPDATE\" to load this file. \\quit\n$change");

# Data of every kind, and a run that is under way; returns its id.
sub fill
{
	my ($db) = @_;
	psql(q{SELECT automation.create('nightly', script => 'echo nightly', schedule => '0 3 * * *', timezone => 'Europe/Berlin');
		SELECT automation.create('action', sql => 'SELECT 1');
		SELECT automation.upload('kept', decode('1f8b080000000000000303000000000000000000', 'hex'));
		SELECT automation.trigger('action', '{"a": 1}', dedupe_key => 'once')}, db => $db);
	ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE status = 'COMPLETED'}, '1', 15, db => $db), "$db: there is data") or diag(server_log());
	psql(qq{SELECT automation.create('slow', script => 'echo first; echo started >>$dir/work/$db.txt; sleep 4; echo last')}, db => $db);
	my $run = psql(q{SELECT automation.trigger('slow')}, db => $db);
	ok(wait_until('its start', 15, sub { -s "$dir/work/$db.txt" }), "$db: a run is under way");
	return $run;
}

# From one version to another, with everything at work.
sub update
{
	my ($db, $from, $to) = @_;
	my $what = "$db, $from to $to";
	psql("CREATE DATABASE $db");
	psql("CREATE EXTENSION automation VERSION '$from'", db => $db);
	ok(wait_until('a worker', 10, sub { worker_pid($db) }), "$what: a worker runs");
	my $run = fill($db);
	my $rows = q{SELECT (SELECT json_agg(a ORDER BY a.id) FROM (SELECT id, name, owner, trigger::text FROM automation.automation) a)::text
		|| (SELECT json_agg(s ORDER BY s.automation_id) FROM automation.schedule s)::text || (SELECT json_agg(s) FROM automation.sql_action s)::text};
	my $before = psql($rows, db => $db);
	my $old = worker_pid($db);
	psql("BEGIN; ALTER EXTENSION automation UPDATE TO '$to'; ROLLBACK", db => $db);
	is(psql(q{SELECT extversion FROM pg_extension WHERE extname = 'automation'}, db => $db), $from, "$what: rolled back it is as it was");
	my $mark = length server_log();
	psql("ALTER EXTENSION automation UPDATE TO '$to'", db => $db);
	ok(wait_until('another worker', 10, sub { my $now = worker_pid($db); $now ne '' && $now ne $old }), "$what: another worker comes, with the new library")
	  or diag(server_log_from($mark));
	like(server_log_from($mark), qr/restarts: the extension was updated to \Q$to\E/, "$what: the log says why");
	is(psql($rows, db => $db), $before, "$what: the data is there");
	ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 20, db => $db), "$what: the run under way goes on");
	is(slurp("$dir/work/$db.txt"), "started\n", "$what: and was executed once");
	psql("CREATE DATABASE ${db}_fresh; ALTER DATABASE ${db}_fresh SET automation.enabled = off");
	psql("CREATE EXTENSION automation VERSION '$to'", db => "${db}_fresh");
	is_deeply(catalog($db), catalog("${db}_fresh"), "$what: every object is as in a fresh installation");
	my $again = psql(q{SELECT automation.trigger('action')}, db => $db);
	ok(wait_query("SELECT status FROM automation.runs WHERE id = '$again'", 'COMPLETED', 15, db => $db), "$what: and works");
	is(system("$ENV{PG_BINDIR}/pg_dump -U postgres -Fc $db >$dir/$db.dump"), 0, "$what: it can be dumped");
	return;
}

update('next_plain', $current, $next);

# ---- releases ------------------------------------------------------------------------------------
my @released = map { m{automation--(.+)\.sql$} ? $1 : () } glob(root() . '/extension/upgrade/automation--*.sql');
for my $version (grep { $_ ne $current } @released)
{
	script("automation--$version.sql", slurp(root() . "/extension/upgrade/automation--$version.sql"));
	isnt(psql("SELECT coalesce(path, '') FROM pg_extension_update_paths('automation') WHERE source = '$version' AND target = '$current'"), '',
		"there is a path from release $version to $current") or next;
	(my $db = "from_$version") =~ s/\W/_/g;
	update($db, $version, $current);
}
if (grep { $_ eq $current } @released)
{
	is(slurp(root() . "/extension/upgrade/automation--$current.sql"), $now, "version $current is released: its definition has not changed");
}

# ---- with the launcher -----------------------------------------------------------------------------
ctl('down');
open(my $conf, '>>', pgdata() . '/postgresql.conf') or die;
print $conf "shared_preload_libraries = 'automation'\n";
close $conf;
ctl('up');
update('next_preload', $current, $next);
unlike(server_log(), qr/PANIC|TRAP|terminated by signal 11/, 'the server is well');
done_testing();
