# SPDX-License-Identifier: MIT
# Rows that cannot be worked on: each is set aside, with a line in the log, and the rest goes on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

cluster();
psql(q{CREATE EXTENSION automation;
	SELECT automation.create(name, sql => 'SELECT 1') FROM unnest('{good,cursed}'::text[]) name;
	SELECT automation.create(name, sql => 'SELECT 1', schedule => '* * * * * *', enabled => false) FROM unnest('{each second,unlucky,nowhere,nonsense}'::text[]) name});
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'the worker runs');
my $worker = worker_pid('postgres');

# What a damaged page, or a trigger that should not be there, does to one row: every write of it fails.
psql(q{CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.automation_id = TG_ARGV[0]::uuid THEN RAISE EXCEPTION 'this row is cursed' USING ERRCODE = 'data_corrupted'; END IF;
		RETURN NEW;
	END $$;
	DO $$ BEGIN
		EXECUTE format('CREATE TRIGGER curse BEFORE UPDATE ON automation.run FOR EACH ROW EXECUTE FUNCTION public.curse(%L)',
			(SELECT id FROM automation.automation WHERE name = 'cursed'));
		EXECUTE format('CREATE TRIGGER curse_too BEFORE INSERT ON automation.run FOR EACH ROW EXECUTE FUNCTION public.curse(%L)',
			(SELECT id FROM automation.automation WHERE name = 'unlucky'));
	END $$});

# ---- a run that cannot be claimed, at the head of the queue -----------------------------------------
psql(q{SELECT automation.trigger('cursed'); SELECT automation.trigger('good') FROM generate_series(1, 50)});
ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE automation = 'good' AND status = 'COMPLETED'}, '50', 30), 'runs behind one that cannot be claimed complete')
  or diag(psql('SELECT automation, status, count(*) FROM automation.runs GROUP BY 1, 2'), server_log());
like(server_log(), qr/run [0-9a-f-]{36} cannot be claimed and is passed over for 10 minutes: .*this row is cursed/, 'the log names it, with the reason');
is(psql(q{SELECT status FROM automation.runs WHERE automation = 'cursed'}), 'PENDING', 'it stays as it was');
my $mark = length server_log();
psql(q{SELECT automation.trigger('good')});
ok(wait_query(q{SELECT count(*) FROM automation.runs WHERE automation = 'good' AND status = 'COMPLETED'}, '51', 10), 'and is in nobody\'s way');
unlike(server_log_from($mark), qr/cursed/, 'nor tried again at once');

# ---- schedules that cannot fire -------------------------------------------------------------------
psql(q{SELECT automation.resume(name) FROM unnest('{nowhere,nonsense,unlucky,each second}'::text[]) name});
psql(q{UPDATE automation.schedule SET timezone = 'Nowhere/Land' WHERE automation_id = (SELECT id FROM automation.automation WHERE name = 'nowhere');
	UPDATE automation.schedule SET expr = 'no cron' WHERE automation_id = (SELECT id FROM automation.automation WHERE name = 'nonsense')});
ok(wait_until('fires', 30, sub { psql(q{SELECT count(*) FROM automation.runs WHERE automation = 'each second' AND status = 'COMPLETED'}) >= 3 }), 'a schedule beside those that cannot fire does')
  or diag(server_log());
ok(wait_until('the log', 10, sub { my $log = server_log(); $log =~ /does not fire any more: .*Nowhere/ && $log =~ /does not fire any more/ && $log =~ /cannot fire and is put off: .*this row is cursed/ }), 'the log names each')
  or diag(server_log());
is(psql(q{SELECT next_fire_at > now() + interval '5 minutes' FROM automation.automations WHERE name = 'unlucky'}), 't', 'one whose run cannot be written is put off');
is(psql(q{SELECT count(*) > 0 FROM automation.gaps WHERE automation = 'unlucky'}), 't', 'and what it missed is a gap');
is(psql(q{SELECT next_fire_at IS NULL FROM automation.automations WHERE name = 'nowhere'}), 't', 'one without a time zone is taken out');
is(worker_pid('postgres'), $worker, 'the worker is still the same');
psql('DROP TRIGGER curse ON automation.run; DROP TRIGGER curse_too ON automation.run');
unlike(server_log(), qr/PANIC|TRAP|terminated by signal 11/, 'and the server is well');
done_testing();
