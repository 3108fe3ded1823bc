# SPDX-License-Identifier: MIT
# test/tap/lib/AutomationTest.pm - what the TAP tests share: a throw-away cluster with the extension, the
# agent of the standalone binary, psql, waiting for a condition.
#
# Nothing sleeps for a guessed time: wait_until looks until the condition holds or the deadline has
# passed, and then tells the last value it saw.  Everything started here is stopped at the end, by its
# own pid, also when the test dies.
package AutomationTest;
use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(cluster psql psql_fails wait_until wait_query ctl server_log server_log_from worker_pid
  agent stop_agent free_port slurp background finish root pgdata signal_backend http key_file standby adopt);

my $root = do { local $_ = __FILE__; s{/test/tap/lib/[^/]+$}{}; $_ eq __FILE__ ? '.' : $_ };
my @clusters;    # PGDATA folders
my @agents;      # pids
my $main_pid = $$;

sub root { return $root }
sub pgdata { return $ENV{PGDATA} }

sub slurp
{
	my ($path) = @_;
	open(my $in, '<', $path) or return '';
	local $/;
	my $text = <$in>;
	return defined $text ? $text : '';
}

# Start a cluster; arguments are lines for postgresql.conf.  The environment then points to it.
sub cluster
{
	my @options = map { ('-c', $_) } @_;
	my $env = `@{[join ' ', map { quote($_) } "$root/test/pg-cluster", 'start', @options]}`;
	die "no cluster: $env" if $? != 0;
	while ($env =~ /^export (\w+)='?([^'\n]*)'?$/mg) { $ENV{$1} = $2 }
	push @clusters, $ENV{PGDATA};
	return $ENV{PGDATA};
}

# Stop, start, restart, … the cluster of the environment.
sub ctl
{
	my ($command) = @_;
	system("$root/test/pg-cluster", $command, $ENV{PGDATA}) == 0 or die "pg-cluster $command failed";
	return;
}

# A cluster made elsewhere, to be stopped and removed at the end.
sub adopt { my ($data) = @_; push @clusters, $data; return }

# Make a standby of the cluster of the environment; returns the environment that points to it.
sub standby
{
	my $home = File::Temp::tempdir('/tmp/automation-pg.XXXXXX');
	system('chown', 'postgres', $home) if $> == 0;
	system('cp', "$ENV{PGHOST}/bindir", "$home/bindir") == 0 or die 'no bindir';
	my @command = ("$ENV{PG_BINDIR}/pg_basebackup", '-h', $ENV{PGHOST}, '-p', $ENV{PGPORT}, '-U', 'postgres', '-D', "$home/data", '-R', '-X', 'stream', '-c', 'fast');
	unshift @command, 'runuser', '-u', 'postgres', '--' if $> == 0;
	system("cd / && exec @command") == 0 or die 'pg_basebackup failed';
	open(my $out, '>>', "$home/data/postgresql.conf") or die;
	print $out "unix_socket_directories = '$home'\n";
	close $out;
	push @clusters, "$home/data";
	system("$root/test/pg-cluster", 'up', "$home/data") == 0 or die 'the standby did not start';
	return (PGHOST => $home, PGDATA => "$home/data", PG_LOG => "$home/log");
}

sub quote { my ($text) = @_; $text =~ s/'/'\\''/g; return "'$text'" }

sub run_psql
{
	my ($sql, %how) = @_;
	my $db = $how{db} // 'postgres';
	my $user = $how{user} // 'postgres';
	my $script = File::Temp->new();
	print $script "\\set VERBOSITY verbose\n$sql\n";
	close $script;
	my $out = `@{[join ' ', map { quote($_) } "$ENV{PG_BINDIR}/psql", qw(-X -A -t -q -v ON_ERROR_STOP=1),
		'-d', $db, '-U', $user, '-f', $script->filename]} 2>&1`;
	my $code = $? >> 8;
	chomp $out;
	return ($code, $out);
}

# Run SQL, return what it printed (unaligned, no headers).  Dies when it fails.
sub psql
{
	my ($sql, %how) = @_;
	my ($code, $out) = run_psql($sql, %how);
	die "psql failed ($code) on $sql: $out" if $code != 0;
	$out = join "\n", grep { !/(?:NOTICE|WARNING|HINT|LOCATION): / } split /\n/, $out;
	return $out;
}

# Run SQL that must fail; returns the error's text.
sub psql_fails
{
	my ($sql, %how) = @_;
	my ($code, $out) = run_psql($sql, %how);
	return $code == 0 ? '' : $out;
}

# Look until the code returns true; returns it, or 0 after the deadline (and tells the last value).
# AUT_SLOW says how many times longer than usual to wait.
sub wait_until
{
	my ($what, $seconds, $code) = @_;
	$seconds *= $ENV{AUT_SLOW} // 1;
	my $deadline = time() + $seconds;
	my $value;
	while (1)
	{
		$value = eval { $code->() };
		return $value if $value;
		last if time() > $deadline;
		select(undef, undef, undef, 0.05);    # between two looks, not for a guess
	}
	diag("waited $seconds s for: $what; last: " . ($value // $@ // 'undef'));
	return 0;
}

sub wait_query
{
	my ($sql, $expected, $seconds, %how) = @_;
	my $last = '';
	my $ok = wait_until("$sql = $expected", $seconds, sub {
			$last = psql($sql, %how);
			return $last eq $expected;
	});
	diag("last value: $last") if !$ok;
	return $ok;
}

sub server_log { return slurp($ENV{PG_LOG}) }
sub server_log_from { my ($offset) = @_; return substr(slurp($ENV{PG_LOG}), $offset) }

# Pid of the worker of a database, '' when there is none.  The one that holds the guard: another may be
# there for a moment, until it has seen that it is one too many.
sub worker_pid
{
	my ($db, %how) = @_;
	return psql("SELECT pid FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE datname = '$db' AND backend_type = 'automation worker' AND locktype = 'userlock' AND objsubid = 16757 AND granted", %how);
}

sub signal_backend { my ($signal, $pid) = @_; return kill($signal, $pid) }

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
	return $socket->sockport;
}

# Start `automation agent` (as the user postgres when we are root) with arguments; returns (url, key, pid, folder).
sub agent
{
	my @arguments = @_;
	my $dir = File::Temp::tempdir('/tmp/automation-agent.XXXXXX', CLEANUP => 1);
	chmod 0755, $dir;
	system('cp', $ENV{AUTOMATION_BINARY} // "$root/build/automation", "$dir/automation") == 0 or die 'no build/automation';
	mkdir "$dir/data" or die;
	mkdir "$dir/work" or die;
	system('chown', '-R', 'postgres', $dir) if $> == 0;
	my @command = ("$dir/automation", 'agent', '--port', '0', '--data', "$dir/data", @arguments);
	unshift @command, 'runuser', '-u', 'postgres', '--' if $> == 0;
	my $pid = fork();
	die "fork: $!" if !defined $pid;
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$dir/agent.log");
		open(STDERR, '>&', \*STDOUT);
		chdir '/';
		exec @command or POSIX::_exit(127);
	}
	push @agents, $pid;
	wait_until('agent.json', 20, sub { -s "$dir/data/agent.json" }) or die 'the agent did not start: ' . slurp("$dir/agent.log");
	my $json = slurp("$dir/data/agent.json");
	my ($url) = $json =~ /"url"\s*:\s*"([^"]+)"/;
	my ($key) = $json =~ /"key"\s*:\s*"([^"]+)"/;
	my ($agent) = $json =~ /"pid"\s*:\s*(\d+)/;
	push @agents, $agent if defined $agent;
	return ($url, $key, $agent, $dir);
}

# A file with a key that the server's user alone may read.
sub key_file
{
	my ($path, $text) = @_;
	open(my $out, '>', $path) or die "$path: $!";
	print $out "$text\n";
	close $out;
	chmod 0600, $path;
	system('chown', 'postgres', $path) if $> == 0;
	return;
}

sub stop_agent
{
	my ($pid) = @_;
	kill 'TERM', $pid;
	return wait_until("agent $pid to end", 10, sub { !kill(0, $pid) });
}

# psql in the background; returns a handle for finish().
sub background
{
	my ($sql, %how) = @_;
	my $out = File::Temp->new();
	my $pid = fork();
	die "fork: $!" if !defined $pid;
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', $out->filename);
		open(STDERR, '>&', \*STDOUT);
		exec "$ENV{PG_BINDIR}/psql", qw(-X -A -t -q -v ON_ERROR_STOP=1), '-d', $how{db} // 'postgres', '-U',
		  $how{user} // 'postgres', '-c', $sql
		  or POSIX::_exit(127);
	}
	return {pid => $pid, out => $out};
}

# Wait for it; returns (exit code, output).
sub finish
{
	my ($handle) = @_;
	waitpid $handle->{pid}, 0;
	my $code = $? >> 8;
	my $text = slurp($handle->{out}->filename);
	chomp $text;
	return ($code, $text);
}

# One HTTP request; returns (status, body).
sub http
{
	my ($method, $port, $path, $key, $body) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5 * ($ENV{AUT_SLOW} // 1)) or return (0, "$!");
	$body //= '';
	print $socket "$method $path HTTP/1.1\r\nHost: 127.0.0.1:$port\r\nConnection: close\r\n"
	  . (defined $key ? "Authorization: Bearer $key\r\n" : '')
	  . (length $body ? "Content-Type: application/json\r\n" : '')
	  . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
	local $/;
	my $answer = <$socket> // '';
	my ($status) = $answer =~ m{^HTTP/1\.1 (\d+)};
	my (undef, $content) = split /\r\n\r\n/, $answer, 2;
	return ($status // 0, $content // '');
}

END
{
	if ($$ == $main_pid)
	{
		my $code = $?;
		kill 'TERM', $_ for @agents;
		system("$root/test/pg-cluster", 'stop', $_) for @clusters;
		$? = $code;
	}
}

1;
