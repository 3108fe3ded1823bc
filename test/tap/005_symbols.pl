# SPDX-License-Identifier: MIT
# Symbols: nothing but entry points leaves a module, and nothing the engine calls in its libraries is
# taken over by a symbol of the server (whose own come first when names are bound).  The module of SQL
# actions' processes stays small: what it would load is what each start would wait for.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

my $root = root();
chomp(my $config = `$root/test/pg-private`);
chomp(my $server = `$config --bindir`);
$server .= '/postgres';

sub symbols
{
	my ($kind, $file) = @_;
	my %found;
	for (`nm -D $kind '$file'`)
	{
		$found{$1} = 1 if /\s([A-Za-z_]\w*)(?:@\S+)?$/;
	}
	return \%found;
}

my $of_server = symbols('--defined-only', $server);
my %main = ('automation' => 'automation_worker_main', 'automation_action' => 'automation_action_main');
for my $name (sort keys %main)
{
	my $module = "$root/build/$name.so";
	my $exported = symbols('--defined-only', $module);
	is_deeply([grep { !/^(?:Pg_magic_func|_PG_init|automation_\w+|pg_finfo_automation_\w+)$/ } sort keys %$exported], [],
		"$name: only entry points are exported");
	ok($exported->{$main{$name}}, "$name: $main{$name} among them");

	my $wanted = symbols('--undefined-only', $module);
	my @libraries;
	for my $line (`ldd '$module'`)
	{
		# the system's own libraries are the server's, too
		next unless $line =~ m{=> (\S*/(lib(jansson|uv|curl|microhttpd|archive|pcre2-8|unistring)\.so\S*))};
		my ($path, $file) = ($1, $2);
		push @libraries, $3;
		my $of_library = symbols('--defined-only', $path);
		my @clash = grep { $wanted->{$_} && $of_server->{$_} } sort keys %$of_library;
		is_deeply(\@clash, [], "$name, $file: none of the functions we call is the server's as well");
	}
	is_deeply(\@libraries, ['jansson'], 'the action\'s library needs no HTTP, no TLS and no archives') if $name eq 'automation_action';
}
done_testing();
