# Copyright (c) 2026, the outbox developers
#
# Promise: of the held messages of one key the first is tried again, and no other
# (I4), and when it is through the next one may go (I2): also if the relay has lost
# the thread, as an answer was lost, or what Redis had acknowledged.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'no');
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => 'redis://127.0.0.1:' . $proxy->port . '/0');
my $db = 'postgres';
install($node, $db);

# Queues that refuse a message whose payload, or "all", is said to be bad.
$node->safe_psql($db, <<'EOC');
SELECT create_queue(name, target => 'function', redis_key => name,
	on_failure => 'retry', max_attempts => 1000, retry_delay => delay, retry_backoff => 1,
	options => jsonb_build_object('function', $$
		if redis.call('EXISTS', 'bad:' .. payload) + redis.call('EXISTS', 'bad:all') > 0 then
			return {err = 'ERR bad'}
		end
		redis.call('XADD', key, '*', 'id', id, 'payload', payload)
	$$))
FROM (VALUES ('pair', interval '20 ms'), ('many', interval '1 s')) AS q (name, delay);
EOC

sub sql { return $node->safe_psql($db, $_[0]); }
sub bad { my ($payload) = @_; return $redis->cmd('SET', "bad:$payload", 1); }
sub good { my ($payload) = @_; return $redis->cmd('DEL', "bad:$payload"); }
sub arrived { my ($queue) = @_; return join ' ', map { $_->[1] } $redis->arrived($queue); }

# A column of a message that is held.
sub held
{
	my ($payload, $column) = @_;
	return sql("SELECT $column FROM outbox.deferred WHERE payload = '$payload' AND reason IN ('retry', 'behind', 'applied')");
}

# The first goes through, the second is refused for itself; then Redis loses just that.
bad('first');
bad('second');
sql(q{SELECT outbox_enqueue('pair', 'first', key => 'k'); SELECT outbox_enqueue('pair', 'second', key => 'k')});
eventually { held('first', 'reason') eq 'retry' && held('second', 'reason') eq 'behind' } 'one waits behind the other';
my $before = $redis->written;
good('first');
eventually { held('second', 'reason') eq 'retry' && held('second', 'attempts') > 0 } 'the first is through, the second one is refused';
is(arrived('pair'), 'first', 'as Redis has it');
$redis->come_back_as_of($before);
eventually { held('first', 'reason') ne 'applied' } 'Redis has lost it: the first is tried again';
my $attempts = held('first', 'attempts');
good('second');
eventually { held('first', 'attempts') > $attempts + 5 } 'and is refused again';
is(arrived('pair'), '', 'the second, which would be taken now, is not tried');
good('first');
eventually { arrived('pair') =~ /second/ } 'both go';
is(arrived('pair'), 'first second', 'in order');

# More wait behind one than are tried along with it.  It goes through, but the answer
# is lost.  (On a very slow machine it may have come before the cut was planned.)
bad('all');
sql(q{SELECT outbox_enqueue('many', i::text, key => 'k') FROM generate_series(1, 200) AS i});
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'behind'}) == 199 } 'many wait behind one';
my $cuts = $proxy->stat->{cuts};
good('all');
$proxy->plan([ 's2c', 0 ]);
eventually { $proxy->stat->{cuts} > $cuts || $redis->count('many') == 200 } 'the answer is lost';
eventually { $redis->count('many') == 200 } 'all go, not only those that went along';
is(arrived('many'), join(' ', 1 .. 200), 'in order');

done_testing();
