# Copyright (c) 2026, the outbox developers
#
# Promise: name servers that never answer don't stop the relay: it notices in time, does
# its other work and can be ended; an answer that comes is used, all addresses of a name
# are tried, and each connection looks it up anew.  Guards lookup.c, transport.c.
#
# It runs in namespaces of its own, in which we are the name server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IO::Select;
use IO::Socket::INET;
use Test::More;

my $dir;

# In place: it is mounted.
sub write_file
{
	my ($name, $text) = @_;
	open my $fh, '>', "$dir/$name" or die "$dir/$name: $!";
	print {$fh} $text;
	close $fh;
	return;
}

# Before the modules for PostgreSQL are loaded.
BEGIN
{
	my @namespaces = ('unshare', '-U', '--map-current-user', '-m', '-n', '--keep-caps');

	$dir = $ENV{OUTBOX_TEST_RESOLVER};
	if (!defined $dir)
	{
		require File::Temp;
		$dir = File::Temp::tempdir();
		write_file('resolv.conf', "nameserver 127.0.0.1\n");
		write_file('hosts', "127.0.0.1 localhost\n127.0.0.1 known.test\n");
		write_file('nsswitch.conf', "hosts: files dns\n");
		my $bind = join ' && ', 'ip link set lo up', map { "mount --bind $dir/$_ /etc/$_" } qw(resolv.conf hosts nsswitch.conf);
		plan(skip_all => 'no namespaces for this user here') if system(@namespaces, 'sh', '-c', "($bind) >/dev/null 2>&1");
		$ENV{OUTBOX_TEST_RESOLVER} = $dir;
		exec @namespaces, 'sh', '-c', "$bind && exec \"\$@\"", 'sh', $^X, (map { "-I$_" } @INC), $0 or die "exec: $!";
	}
}

use OutboxTest;

my $names = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => 53) or die "no port 53: $!";
my $redis = OutboxTest::Redis->start(port => 6379, bind => '127.0.0.1');
my $db = 'postgres';
my $node = new_node('main', url => 'redis://known.test/0');
install($node, $db, 'q');
put($node, $db, 'q', 'by name');
eventually { $redis->count('q') == 1 } 'delivered to a name';

# Nobody answers.
my $log = -s $node->logfile;
configure($node, 'outbox.redis_url' => 'redis://silent.test/0');
eventually { IO::Select->new($names)->can_read(0) } 'a name server is asked';
put($node, $db, 'q', 'waits');
$node->safe_psql($db, q{SELECT outbox_create_queue('meanwhile')});
eventually { $node->safe_psql($db, q{SELECT count(*) FROM outbox.queue_status WHERE queue = 'meanwhile' AND state IS NOT NULL}) == 1 } 'the relay does other things meanwhile';
eventually { status($node, $db, 'why') =~ /^no answer of the name servers within 5 s$/ } 'it is said';

# The resolver gives up later than the relay, which has tried again until then.
my $pid = relay_pid($node, $db);
my $most = 0;
eventually {
	opendir my $tasks, "/proc/$pid/task" or die "task: $!";
	my $n = grep { /^\d/ } readdir $tasks;
	$most = $n if $n > $most;
	status($node, $db, 'why') =~ /^host name "silent\.test" is not known: /;
} '... and what the resolver says in the end';
is($most, 2, 'there is one thread for a name, however often it is tried');
$node->safe_psql($db, "SELECT pg_terminate_backend($pid)");
eventually { !kill 0, $pid } 'a relay that looks a name up can be ended';

# It is known after all; one of its addresses is nobody's.
write_file('hosts', "127.0.0.1 localhost\n127.0.0.7 silent.test\n127.0.0.1 silent.test\n");
eventually { $redis->count('q') == 2 } 'all addresses are tried';

# It moves to another address.  Of the two, one is tried first; whichever that is, it was
# the wrong one before or is now.
$redis->cmd('CONFIG', 'SET', 'bind', '127.0.0.7');
$redis->drop_clients;
put($node, $db, 'q', 'moved');
eventually { $redis->count('q') == 3 } '... now, too';
$redis->cmd('CONFIG', 'SET', 'bind', '127.0.0.8');
$redis->drop_clients;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'nobody is there any more';
write_file('hosts', "127.0.0.1 localhost\n127.0.0.8 silent.test\n");
put($node, $db, 'q', 'anew');
eventually { $redis->count('q') == 4 } 'each connection looks it up';

# One that does not exist; the name server says so.
configure($node, 'outbox.redis_url' => 'redis://nowhere.test/0');
eventually {
	while (IO::Select->new($names)->can_read(0))
	{
		my $peer = recv $names, my $query, 512, 0;
		substr $query, 2, 2, pack 'n', 0x8183;
		send $names, $query, 0, $peer;
	}
	status($node, $db, 'why') =~ /^host name "nowhere\.test" is not known: /;
} 'an unknown name is said';
configure($node, 'outbox.redis_url' => 'redis://known.test/0');
is(join(' ', map { $_->[1] } $redis->arrived('q')), 'by name waits moved anew', 'each once');

done_testing();
