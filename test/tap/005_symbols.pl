# SPDX-License-Identifier: MIT
# Symbols: nothing but entry points leaves the module, and nothing the engine calls in its libraries is
# taken over by a symbol of the server (whose own come first when names are bound).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use AutomationTest;
use Test::More;

my $root = root();
my $module = "$root/build/automation.so";
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

my $exported = symbols('--defined-only', $module);
is_deeply([grep { !/^(?:Pg_magic_func|_PG_init|automation_\w+|pg_finfo_automation_\w+)$/ } sort keys %$exported], [],
	'only entry points are exported');
ok($exported->{automation_worker_main}, 'the worker among them');

my $of_server = symbols('--defined-only', $server);
my $wanted = symbols('--undefined-only', $module);
for my $line (`ldd '$module'`)
{
	# the system's own libraries are the server's, too
	next unless $line =~ m{=> (\S*/(lib(?:jansson|uv|curl|microhttpd|archive|pcre2-8|unistring)\.so\S*))};
	my ($path, $name) = ($1, $2);
	my $of_library = symbols('--defined-only', $path);
	my @clash = grep { $wanted->{$_} && $of_server->{$_} } sort keys %$of_library;
	is_deeply(\@clash, [], "$name: none of the functions we call is the server's as well");
}
done_testing();
