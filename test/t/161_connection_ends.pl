# Copyright (c) 2026, the outbox developers
#
# Promise: who is to blame where connections end.  A message at which something in
# between closes every connection is given up, after three times, by the policy of
# its queue; but not where the server itself dies, however often, at just this
# message: an outage burns no attempts (I9).  Others flow (I8), nothing is lost (I2).
# Guards suspect.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'always');
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'good');
$node->safe_psql($db, "SELECT create_queue('$_', on_failure => 'dead_letter')") for qw(cut dies);
settle($node, $db, $redis, 'good', 'cut', 'dies');
my $marks = PostgreSQL::Test::Utils::tempdir();

sub through
{
	my ($impostor) = @_;
	configure($node, 'outbox.redis_url' => 'redis://127.0.0.1:' . $impostor->port . '/0');
	return;
}

sub marks { my ($file) = @_; return -s "$marks/$file" // 0; }

sub mark
{
	my ($file) = @_;
	open my $fh, '>>', "$marks/$file" or die "$file: $!";
	syswrite $fh, '.';
	return;
}

sub dead { return $node->safe_psql($db, q{SELECT string_agg(payload #>> '{}', ' ') FROM outbox.dead_letters}); }
sub arrived { my ($queue) = @_; return join ' ', map { $_->[1] } $redis->arrived($queue); }

# Something in between that closes the connection and says nothing.
my $impostor = OutboxTest::Impostor->start($redis->socket, qr/poison/, sub { mark('cut'); die "cut\n" });
through($impostor);
put($node, $db, 'cut', qw(one two poison three four));
put($node, $db, 'good', 'meanwhile');
eventually { dead() eq 'poison' } 'the message is set aside';
eventually { arrived('cut') =~ / one two three four$/ } 'those around it have arrived';
eventually { arrived('good') =~ /meanwhile$/ } 'and those of others';
is(marks('cut'), 5, 'it was sent twice among others and three times alone');
is($node->safe_psql($db, q{SELECT attempts FROM outbox.dead_letters}), 1, 'that is one attempt');
$impostor->stop;
$node->safe_psql($db, q{SELECT outbox_discard(id) FROM outbox.dead_letters});

# The server dies whenever it is sent this message, and is started again.
$impostor = OutboxTest::Impostor->start($redis->socket, qr/deadly/,
	sub {
		my $pid = $redis->client->cmd('INFO', 'server') =~ /process_id:(\d+)/ ? $1 : die "no pid\n";
		kill 'KILL', $pid;
		mark('dies');
		die "dead\n";
	});
through($impostor);
put($node, $db, 'dies', qw(five deadly six));
my $deaths = 0;
while ($deaths < 8)
{
	wait_for { marks('dies') > $deaths } or last;
	$redis->kill9;
	$deaths = marks('dies');
	eval { $redis->start_again };    # it may die before it has answered us
}
cmp_ok($deaths, '>=', 8, 'the server has died at it, again and again');
is(dead(), '', 'nobody is to blame');
$impostor->stop;
$redis->kill9;
$redis->start_again;
configure($node, 'outbox.redis_url' => $redis->url);
eventually { arrived('dies') =~ / five deadly six$/ } 'it arrives where the server lives on, in its order';
is(dead(), '', 'no attempt was burned');
settle($node, $db, $redis, 'good', 'cut', 'dies');

done_testing();
