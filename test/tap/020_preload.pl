# SPDX-License-Identifier: MIT
# With shared_preload_libraries: the launcher keeps a worker in every database that has the extension,
# after a restart, a crash, a copy; databases without it are left alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

cluster(q{shared_preload_libraries = 'automation'}, 'max_worker_processes = 16', 'log_connections = on');

ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation launcher'}, '1', 5), 'the launcher runs');
psql('CREATE DATABASE one');
psql('CREATE DATABASE bare');
psql('CREATE EXTENSION automation', db => 'one');
ok(wait_until('a worker', 5, sub { worker_pid('one') }), 'CREATE EXTENSION starts the worker here, too');
# a scout that the launcher sends out is one of ours, too, for a moment
ok(wait_query(q{SELECT count(*) FROM automation._processes()}, '2', 5, db => 'one'), 'worker and launcher are shown');

ctl('restart');
ok(wait_until('a worker', 5, sub { worker_pid('one') }), 'after a restart the launcher starts it');
is(worker_pid('bare'), '', 'a database without the extension has none');

ctl('crash');
ctl('up');
ok(wait_until('a worker', 10, sub { worker_pid('one') }), 'after a crash of the server, too');

psql('CREATE DATABASE two TEMPLATE one');
ok(wait_until('a worker', 8, sub { worker_pid('two') }), 'a copy gets its own worker');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation worker'}, '2', 5), 'no more than one for each');

psql('CREATE DATABASE three TEMPLATE bare');
psql('DROP DATABASE bare');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation scout'}, '0', 10), 'scouts end');
is(worker_pid('three'), '', 'database commands elsewhere start nothing');

psql(q{ALTER SYSTEM SET automation.enabled = off});
ctl('reload');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation worker'}, '0', 8), 'SIGHUP with enabled = off lets them leave');
psql(q{ALTER SYSTEM RESET automation.enabled});
ctl('reload');
ok(wait_query(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'automation worker'}, '2', 8), 'and with on come back');

done_testing();
