# SPDX-License-Identifier: MIT
# What runs printed lies in spans of time, which the worker makes ahead and drops when the runs of one are gone.
# Those who read in a transaction that stays open hold that up and are not held up; copies of the database have the
# spans, too, and DROP EXTENSION takes them along.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;
use File::Temp ();

cluster('max_worker_processes = 16', 'automation.workers = 2');
psql('CREATE EXTENSION automation');
psql(q{SELECT automation.create('print', sql => 'SELECT 1')});

# The first or the last id of the day so many days ago.
sub id { my ($days, $n) = @_; return "(lpad(to_hex((extract(epoch FROM date_trunc('day', now(), 'UTC') - interval '$days days') * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex($n), 12, '0'))::uuid" }
sub spans { return psql('SELECT count(*) FROM automation._output_spans()', @_) }
sub exists_table { my ($name, %how) = @_; return psql("SELECT to_regclass('$name') IS NOT NULL", %how) }
# Make a span of a day; somebody may hold the lock for just that moment.
sub add { my ($days) = @_; return wait_until('a lock', 20, sub { psql("SELECT automation._output_span_add(@{[id($days, 0)]}, @{[id($days - 1, 0)]})") }) }
sub ran
{
	my (%how) = @_;
	my $run = psql(q{SELECT automation.trigger('print')}, %how);
	ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 20, %how), 'a run completes') or diag(server_log());
	return $run;
}
# The worker looks after spans when it starts.
sub start_again
{
	my $old;
	ok(wait_until('a worker', 15, sub { $old = worker_pid('postgres') }), 'a worker is there');
	kill 'TERM', $old;
	return ok(wait_until('another worker', 15, sub { my $now = worker_pid('postgres'); $now ne '' && $now ne $old }), 'another comes');
}

# ---- spans appear ---------------------------------------------------------------------------------
is(spans(), '0', 'before the first run there are no spans');
psql(q{SELECT automation.trigger('print', delay => '10 days')});
start_again();
ok(wait_until('spans', 90, sub { spans() eq '2' }), 'the worker makes one for now and one for later') or diag(server_log());
my $run = ran();
my ($today) = psql('SELECT part FROM automation._output_spans() ORDER BY until LIMIT 1');
is(psql("SELECT DISTINCT o.tableoid::regclass FROM automation.run_output o WHERE o.run_id = '$run'"), $today, 'what it printed lies in the span of its id');
is(psql("SELECT automation.logs('$run')"), 'SELECT 1', 'and is read from there');
is(psql("SELECT c.relowner = p.relowner, c.relrowsecurity, array_to_string(c.reloptions, ',') FROM pg_class c, pg_class p
	WHERE c.oid = '$today'::regclass AND p.oid = 'automation.run_output'::regclass"), 't|t|autovacuum_vacuum_insert_threshold=-1', 'a span has the owner of the table, row-level security, and its settings');
is(psql("SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = '$today'::regclass AND deptype = 'e'"), '0', 'and is no member of the extension');
like(psql_fails("SET ROLE automation_admin; SELECT automation._output_span_drop('$run')"), qr/42501/, 'nobody else makes or drops one');

# ---- one span is read, also by plans for any run -----------------------------------------------------
my %statements = (
	'reading' => 'SELECT o.start FROM automation.run_output o WHERE o.run_id = $1 AND o.start >= coalesce((SELECT max(p.start) FROM automation.run_output p WHERE p.run_id = $1 AND p.start <= 0), 0) ORDER BY o.start',
	'trimming' => 'DELETE FROM automation.run_output WHERE run_id = $1 AND start < 0',
);
for my $what (sort keys %statements)
{
	for my $mode ('force_custom_plan', 'force_generic_plan')
	{
		my $plan = psql("SET plan_cache_mode = $mode; PREPARE p (uuid) AS $statements{$what}; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE p ('$run')");
		my %read = map { $_ => 1 } $plan =~ /Scan.* on (run_output\w+)/g;
		is(join(',', sort keys %read), $today =~ s/^automation\.//r, "$what looks into one span, $mode") or diag($plan);
	}
}

# ---- old ones go ----------------------------------------------------------------------------------
# So many runs of that day, each with some output.
sub old_runs
{
	my ($days, $count, $status) = @_;
	add($days);
	psql("INSERT INTO automation.run (id, automation_id, status, ready_at, created_at, completed_at, output_bytes, worker)
			SELECT @{[id($days, 'n')]}, a.id, '$status', now() - interval '$days days', now() - interval '$days days',
				CASE WHEN '$status' = 'COMPLETED' THEN now() - interval '$days days' END, 4096, CASE WHEN '$status' = 'RUNNING' THEN 'elsewhere' END
			FROM generate_series(1, $count) n, automation.automation a;
		INSERT INTO automation.run_output (run_id, start, data, at) SELECT r.id, 0, convert_to((SELECT string_agg(md5(r.id::text || g), '') FROM generate_series(1, 128) g), 'UTF8'), r.created_at
			FROM automation.run r WHERE r.id >= @{[id($days, 0)]} AND r.id < @{[id($days - 1, 0)]}");
	return psql("SELECT part FROM automation._output_spans() WHERE first = @{[id($days, 0)]}");
}
psql(q{INSERT INTO automation.worker VALUES ('elsewhere', 1, now(), now(), now() + interval '1 day')});
my $gone = old_runs(120, 700, 'COMPLETED');
my $kept = old_runs(119, 1, 'RUNNING');
my $young = old_runs(20, 10, 'COMPLETED');
my $size = q{SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'automation.run_output'::regclass};
my $before = psql($size);
my $loose = psql('SELECT count(*) FROM automation.run_output_default');
my $reader = background(q{BEGIN; SELECT count(*) FROM automation.run_output; SELECT pg_sleep(600) /* reader */});
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* reader */%' AND wait_event = 'PgSleep'}, '1', 10), 'somebody reads in a transaction that stays open');
start_again();
ok(wait_query("SELECT count(*) FROM automation.run WHERE id < @{[id(119, 0)]}", '0', 90), 'retention takes the old runs away') or diag(server_log());
like(psql_fails("SELECT automation._output_span_drop(@{[id(90, 0)]})"), qr/55P03/, 'their span cannot go yet, and nobody waits for long');
is(exists_table($gone), 't', 'so it is there');
is(psql("SELECT count(*) FROM $gone"), '700', 'with all that was printed: nothing is deleted one by one');
like(psql_fails(qq{SELECT automation.logs(run_id) FROM $gone LIMIT 1}), qr/02000/, 'but a run that is gone is not found');
ran();
finish_reader();
start_again();
ok(wait_until('the drop', 90, sub { exists_table($gone) eq 'f' }), 'when nobody reads any more it goes') or diag(server_log());
cmp_ok(psql($size), '<', $before - 2_000_000, 'and its pages with it');
is(exists_table($kept) . exists_table($young) . exists_table($today), 'ttt', 'the span of a run that runs on stays, and those that are young');
is(psql(q{SELECT count(*) FROM automation.run_output_default}), $loose, 'nothing fell out of a span');
sub finish_reader
{
	psql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%/* reader */%' AND wait_event = 'PgSleep'});
	return finish($reader);
}

# Who reads elsewhere holds the table, so that no span of it can be dropped, but not its pages.
$reader = background(qq{BEGIN; SELECT count(*) FROM automation.run_output WHERE run_id = '$run'; SELECT pg_sleep(600) /* reader */});
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* reader */%' AND wait_event = 'PgSleep'}, '1', 10), 'somebody reads a young span');
psql("UPDATE automation.run SET status = 'COMPLETED', completed_at = now() - interval '100 days', worker = NULL WHERE id = @{[id(119, 1)]}");
psql("DELETE FROM automation.run WHERE id = @{[id(119, 1)]}");
psql_fails("SELECT automation._output_span_drop(@{[id(90, 0)]})");    # unless the worker was first
is(psql("SELECT pg_relation_size('$kept')"), '0', 'an old one is emptied: its pages are free');
like(psql_fails("SELECT automation._output_span_drop(@{[id(90, 0)]})"), qr/55P03/, 'and dropped later');
finish_reader();
start_again();
ok(wait_until('the drop', 90, sub { exists_table($kept) eq 'f' }), 'as it is') or diag(server_log());
is(psql("SELECT automation._output_span_drop(@{[id(0, 0)]})"), 'f', 'nothing goes while its runs are there');

# A database whose output was never partitioned.
is(add(60), 't', 'a span where nothing was printed can be made');
psql("INSERT INTO automation.run_output VALUES (@{[id(50, 1)]}, 0, 'x', now())");
is(add(50), 'f', 'none where something was');
psql("DELETE FROM automation.run_output_default");

# ---- copies -----------------------------------------------------------------------------------------
my $bin = $ENV{PG_BINDIR};
my $dump = File::Temp->new(SUFFIX => '.dump');
my $content = q{SELECT string_agg(tableoid::regclass::text || md5(o::text), ',' ORDER BY run_id, start) FROM automation.run_output o};
my $bounds = q{SELECT string_agg(s::text, ',' ORDER BY first) FROM automation._output_spans() s};
is(system("$bin/pg_dump", '-U', 'postgres', '-Fc', '-f', $dump->filename, 'postgres'), 0, 'pg_dump');
for my $how (['--single-transaction'], ['--no-comments'])
{
	(my $db = "restored@$how") =~ s/\W//g;
	psql("CREATE DATABASE $db");
	is(system("$bin/pg_restore", '-U', 'postgres', '--exit-on-error', @$how, '-d', $db, $dump->filename), 0, "pg_restore @$how");
	is(psql($content, db => $db), psql($content), 'what was printed is there, span by span');
	is(psql($bounds, db => $db), psql($bounds), 'and the spans are');
	is(psql(q{SELECT count(*) FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary JOIN pg_inherits h ON h.inhrelid = c.oid
		WHERE h.inhparent = 'automation.run_output'::regclass AND c.relrowsecurity}, db => $db), spans(db => $db) + 1, 'each with its primary key and row-level security');
	ran(db => $db);
}
psql('CREATE DATABASE copied TEMPLATE restorednocomments');
is(psql($bounds, db => 'copied'), psql($bounds), 'a copy of a database has them');
ran(db => 'copied');

# ---- the end ------------------------------------------------------------------------------------------
for my $db ('copied', 'postgres')
{
	psql('DROP EXTENSION automation', db => $db);
	is(psql(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'run_output%'}, db => $db), '0', "DROP EXTENSION leaves nothing in $db");
}
unlike(server_log(), qr/PANIC|TRAP|terminated by signal 11/, 'the server is well');
done_testing();
