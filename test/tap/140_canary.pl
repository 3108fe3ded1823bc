# SPDX-License-Identifier: MIT
# Secrets that are planted are found nowhere again in clear: not in the data folder (tables, WAL), the
# server's log, a dump, pg_stat_activity, or the command lines of our processes.
use strict;
use warnings;
use File::Find;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use MIME::Base64;
use Test::More;

my %canary = map { $_ => "canary-$_-5f1c0d9a7b" } qw(local-key own-secret env env-changed token http-secret http-env);
my ($url, $key, $agent, $dir) = agent();
$canary{'agent-key'} = $key;
key_file("$dir/agent.key", $key);
key_file("$dir/api.key", $canary{'local-key'});
key_file("$dir/secret.key", 'c0de' x 16);
my $port = free_port();
cluster(
	"automation.agent_server_url = '$url'",
	"automation.agent_server_api_key_file = '$dir/agent.key'",
	"automation.local_api_key_file = '$dir/api.key'",
	"automation.secret_key_file = '$dir/secret.key'",
	"automation.http_role = 'postgres'",
	"automation.workspace_base = '$dir/work'");
psql("ALTER DATABASE postgres SET automation.listen = '127.0.0.1:$port'");
psql('CREATE EXTENSION automation');
ok(wait_until('a worker', 5, sub { worker_pid('postgres') }), 'the worker runs');

# ---- planting ---------------------------------------------------------------------------------
is(psql("SELECT secret IS NULL FROM automation.create_webhook('a', 'a', own_secret => '$canary{'own-secret'}')"), 't', 'a webhook with a secret of its own');
$canary{generated} = psql("SELECT secret FROM automation.create_webhook('plain name', 'b')");
$canary{rotated} = psql("SELECT automation.rotate_webhook_secret('b')");
like($canary{rotated}, qr/^whsec_/, 'a secret is told when it is made');
psql(qq{SELECT automation.create('gets', script => 'test -n "\$TOKEN" && echo it is there', environment => '{"TOKEN": "$canary{env}"}')});
my $run = psql(q{SELECT automation.trigger('gets')});
ok(wait_query("SELECT status FROM automation.runs WHERE id = '$run'", 'COMPLETED', 20), 'a run with a variable completes')
  or diag(psql("SELECT status, phase, error FROM automation.runs WHERE id = '$run'"), server_log());
like(psql("SELECT automation.logs('$run')"), qr/it is there/, 'and was given it');
psql(qq{SELECT automation.alter('gets', environment => '{"TOKEN": "$canary{'env-changed'}"}')});
is(psql(q{SELECT environment::jsonb FROM automation.automations}), '["TOKEN"]', 'only its name is shown');

my $base = "http://127.0.0.1:$port/api/automation";
my $answers = '';
for my $call (
	[$canary{'local-key'}, '/v1/webhooks', qq({"name": "c", "source": "c", "webhook_secret": "$canary{'http-secret'}"})],
	[$canary{'local-key'}, '/v1/webhooks', qq({"name": "c", "source": "c", "webhook_secret": "$canary{'http-secret'}"})],
	[$canary{'local-key'}, '/v1', qq({"name": "", "environment": {"A": "$canary{'http-env'}"}, "enabled": true, "state": "INACTIVE"})],
	[$canary{token}, '/v1', '{}'])
{
	my ($token, $path, $body) = @$call;
	my $text = qx(curl -s -X POST -H 'Content-Type: application/json' -H 'Authorization: Bearer $token' --data-binary '$body' '$base$path');
	like($text, qr/^\{/, "POST $path answers");
	$answers .= $text;
}

# ---- searching --------------------------------------------------------------------------------
sub found_in
{
	my ($data) = @_;
	my @found;
	for my $name (sort keys %canary)
	{
		my $secret = $canary{$name};
		my $base64 = encode_base64($secret, '') =~ s/=+$//r;
		push @found, $name if index($data, $secret) >= 0 || index($data, $base64) >= 0 || index($data, unpack('H*', $secret)) >= 0;
	}
	return join(' ', @found);
}

sub found_in_folder
{
	my ($folder) = @_;
	my (@found, $control);
	find(sub {
		return if !-f $_ || -p $_;
		my $data = slurp($File::Find::name);
		$control = 1 if index($data, 'plain name') >= 0;
		my $names = found_in($data);
		push @found, "$File::Find::name: $names" if $names ne '';
	}, $folder);
	ok($control, 'the search itself finds what is in clear');
	return join("\n", @found);
}

is(found_in($answers), '', 'nothing in answers of the API');
is(found_in(psql(q{SELECT coalesce(string_agg(query, E'\n'), '') FROM pg_stat_activity WHERE pid <> pg_backend_pid()})), '', 'nothing in pg_stat_activity');
my $pids = psql(q{SELECT string_agg(pid::text, ' ') FROM pg_stat_activity});
my $lines = join("\n", map { -r "/proc/$_/cmdline" ? slurp("/proc/$_/cmdline") : '' } split(/ /, $pids), $agent);
is(found_in($lines), '', 'nothing in the command lines of our processes');
psql('CHECKPOINT');
is(found_in_folder(pgdata()), '', 'nothing in tables and WAL');
is(found_in(server_log()), '', "nothing in the server's log");
my $dump = qx($ENV{PG_BINDIR}/pg_dump postgres);
like($dump, qr/plain name/, 'a dump has the webhooks');
is(found_in($dump), '', 'nothing in a dump');
is(psql(q{LOAD 'automation'; SHOW automation.secret_key_file}), "$dir/secret.key", 'the key is a file, and only its name a setting');

# ---- without the key --------------------------------------------------------------------------
my $error = psql_fails(qq{LOAD 'automation'; SET automation.secret_key_file = ''; SELECT automation.create_webhook('d', 'd', own_secret => '$canary{'own-secret'}')});
like($error, qr/automation\.secret_key_file/, 'without a key the error names the setting');

done_testing();
