# SPDX-License-Identifier: MIT
# What a database's owner may set, and what the server may lack, must not stop the worker.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

my ($url, $key, $agent, $dir) = agent();
key_file("$dir/agent.key", $key);
cluster('max_worker_processes = 3',
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.workspace_base = '$dir/work'");

# ---- hostile settings of the database -------------------------------------------------------
psql($_, db => 'template1') for (
	q{ALTER DATABASE postgres SET statement_timeout = '1ms'},
	q{ALTER DATABASE postgres SET default_transaction_read_only = on},
	q{ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'},
	q{ALTER DATABASE postgres SET search_path = 'trap, pg_catalog'},
	q{ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '1ms'},
	q{ALTER DATABASE postgres SET row_security = off});
my $sane = q{SET statement_timeout = 0; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; SET search_path = public; SET row_security = on; };
psql($sane . q{CREATE SCHEMA trap;
	CREATE FUNCTION trap.equals(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped %'', current_user; END';
	CREATE OPERATOR trap.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = trap.equals);
	CREATE FUNCTION trap.equals(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped %'', current_user; END';
	CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equals);});
psql($sane . 'CREATE EXTENSION automation');
psql($sane . q{SELECT automation.create('job', script => 'echo done')});
my $run = psql($sane . q{SELECT automation.trigger('job')});
is(psql($sane . "SELECT phase FROM automation.runs WHERE id = '$run'"), 'Waiting for a backend', 'without an agent server runs wait, and say so');

# ---- SIGHUP ----------------------------------------------------------------------------------
psql($sane . "LOAD 'automation'; ALTER SYSTEM SET automation.agent_server_url = '$url'");
ctl('reload');
ok(wait_query($sane . "SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 10),
	'an agent server set by SIGHUP is used at once, hostile settings of the database or not') or diag(server_log());
unlike(server_log(), qr/trapped/, 'nothing of the hostile schema was called');

# ---- bad key file ------------------------------------------------------------------------------
chmod 0644, "$dir/agent.key";
psql($sane . q{SELECT automation.stop()});
ok(wait_query($sane . q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation worker'}, '0', 5), 'stopped');
psql($sane . q{SELECT automation.start()});
ok(wait_until('the log', 5, sub { server_log() =~ /must not be accessible by group or others/ }), 'a key file everybody can read is refused');
unlike(server_log(), qr/\Q$key\E/, 'and its content is not in the log');
chmod 0600, "$dir/agent.key";

# ---- no slot free ------------------------------------------------------------------------------
# max_worker_processes is 3: the logical replication launcher, our worker, one more.
psql($_, db => 'template1') for ('CREATE DATABASE two TEMPLATE template0', 'CREATE DATABASE three TEMPLATE template0');
psql('CREATE EXTENSION automation', db => 'two');
ok(wait_until('a worker', 5, sub { worker_pid('two', db => 'two') }), 'the last slot is taken');
my ($code, $out) = finish(background('CREATE EXTENSION automation', db => 'three'));
is($code, 0, 'CREATE EXTENSION succeeds without a free slot');
like($out, qr/WARNING.*no slot/, 'with a warning');
is(psql(q{SELECT ok, detail ~ 'max_worker_processes' FROM automation.doctor() WHERE item = 'worker'}, db => 'three'), 'f|t', 'doctor tells what to do');
psql('SELECT automation.stop()', db => 'two');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'two' AND backend_type = 'automation worker'}, '0', 5, db => 'three'), 'a slot is free again');
psql(q{SELECT automation.create('job', script => 'echo')}, db => 'three');
ok(wait_until('a worker', 8, sub { worker_pid('three', db => 'three') }), 'the next call takes it');

done_testing();
