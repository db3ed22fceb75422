# Copyright (c) 2026, the outbox developers
#
# Promise: what a blocked queue has delivered is forgotten only when its cursor has been
# read later than the retention (I2), although it is read only at each try.  Redis loses
# it right after a try, when the next one will be later than the retention.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
configure($node, 'outbox.retention' => '8s');
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql($db, q{SELECT outbox_create_queue('b', 'function',
	options => '{"function": "if payload == ''bad'' then return redis.error_reply(''ERR bad'') end redis.call(''RPUSH'', key, payload)"}')});

# Each try writes the cursor anew.
sub position
{
	my ($cursor) = @{ $redis->cmd('KEYS', '{b}:outbox:*') };
	return $cursor ? $redis->cmd('HGET', $cursor, 'pos') // '' : '';
}

# What another queue has keeps rows coming, so that the tables change their turns.
my $passed_at = 0;
sub pass_by
{
	return if time < $passed_at + 0.3;
	put($node, $db, 'q', 'passing by');
	$passed_at = time;
	return;
}

put($node, $db, 'b', 1 .. 20);
eventually { $redis->cmd('LLEN', 'b') == 20 } 'delivered';
put($node, $db, 'b', 'bad');
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'b'}) eq 'blocked' } 'it is blocked';

# Each wait for a try is twice the one before.  After one of four seconds comes one of eight,
# in which staging could be emptied.
my ($waited, $tried) = (0, time);
until ($waited > 3.5)
{
	my $pos = position();
	wait_for { pass_by(); position() ne $pos };
	($waited, $tried) = (time - $tried, time);
}
$redis->cmd('DEL', 'b', @{ $redis->cmd('KEYS', '{b}:outbox:*') });
eventually { pass_by(); $redis->cmd('LLEN', 'b') == 20 } 'Redis loses it between two tries, and it comes again';
is(join(' ', @{ $redis->cmd('LRANGE', 'b', 0, -1) }), join(' ', 1 .. 20), 'in order');

done_testing();
