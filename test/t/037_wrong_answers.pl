# Copyright (c) 2026, the outbox developers
#
# Promise: what isn't an answer of Redis to what it was asked counts for nothing
# (I2).  A server in between answers by itself and executes nothing; afterwards
# all messages arrive, each once.  Guards is_expected() in relay/answers.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');
put($node, $db, 'q', 'first');
settle($node, $db, $redis, 'q');

my %answers = (
	'EVALSHA' => [ "+OK\r\n", ":42\r\n", ":-1\r\n", "\$-1\r\n", "*0\r\n", "*1\r\n\$4\r\ndone\r\n", "\$1\r\n1\r\n" ],
	'SCRIPT' => [ "+OK\r\n", ":1\r\n" ],
	'HGETALL' => [ "+OK\r\n", "\$-1\r\n" ]);
my $n = $redis->count('q');
for my $command (sort keys %answers)
{
	for my $answer (@{ $answers{$command} })
	{
		my $name = "$command: " . $answer =~ s/\r\n/ /gr;
		my $impostor = OutboxTest::Impostor->start($redis->socket, $command, $answer);
		configure($node, 'outbox.redis_url' => 'redis://127.0.0.1:' . $impostor->port . '/0');
		put($node, $db, 'q', "put before $name");
		$n++;
		eventually {
			$node->safe_psql($db, 'SELECT why FROM outbox.status') =~ /unexpected reply to $command/
		} "$name: status says so";
		is($node->safe_psql($db, 'SELECT delivered FROM outbox.status'), $n - 1, "$name: nothing counts as delivered");
		configure($node, 'outbox.redis_url' => $redis->url);
		eventually { $redis->count('q') == $n && status($node, $db, 'delivered') == $n } "$name: it arrives when Redis answers";
		$impostor->stop;
	}
}
audit($node, $db, $redis, ['q'], $n, 'all, each once, in order');

done_testing();
