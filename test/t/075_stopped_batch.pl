# Copyright (c) 2026, the outbox developers
#
# Promise: what comes before a refused message is done and what comes behind it is
# not, wherever in a batch or tick it is: nothing is lost (I2) or comes twice (I3),
# and the queue goes on in order (I4) when the message is taken.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);

# A queue that stands still at a message whose payload is said to be bad.
$node->safe_psql($db, <<'EOC');
SELECT create_queue('q', target => 'function', redis_key => 'q',
	options => jsonb_build_object('function', $$
		if redis.call('EXISTS', 'bad:' .. payload) > 0 then return {err = 'ERR bad'} end
		redis.call('XADD', key, '*', 'id', id, 'payload', payload)
	$$));
EOC

sub bad { my ($payload) = @_; return $redis->cmd('SET', "bad:$payload", 1); }
sub good { my ($payload) = @_; return $redis->cmd('DEL', "bad:$payload"); }
sub stands_still
{
	my ($name, $payload) = @_;
	my $id = $node->safe_psql($db, "SELECT id FROM journal WHERE body = '$payload'");
	my $said = q{SELECT state, why FROM outbox.queue_status WHERE queue = 'q'};
	eventually { ask($node, $db, $said) =~ /^blocked\|message $id: / } "$name: the queue stands still";

	# When it is tried again there may be room for more batches, and another plan.
	for (1 .. 2)
	{
		my $at = status($node, $db, 'last_error_at');
		eventually { status($node, $db, 'last_error_at') ne $at } "$name: it is tried again";
	}
	return eventually { ask($node, $db, $said) =~ /^blocked\|message $id: / } "$name: ... and the message is named";
}

# The first of its tick, with a number below those that Redis has got: it was drawn
# before them by a transaction that committed after them.
my $late = session($node, $db);
bad('late');
$late->query_safe("BEGIN; SELECT put('q', 'late')");
put($node, $db, 'q', 'quick 1', 'quick 2');
settle($node, $db, $redis, 'q');
$late->query_safe('COMMIT');
$late->quit;
stands_still('the first of a tick', 'late');
is($redis->count('q'), 3, 'the first of a tick: nothing has come of it');
good('late');
audit($node, $db, $redis, ['q'], 4, 'the first of a tick: taken, it comes');

# In the middle of a batch, in the middle of a tick.
bad('large 400');
$node->safe_psql($db, q{SELECT put('q', 'large ' || i) FROM generate_series(1, 1000) AS i});
stands_still('in a batch', 'large 400');
is($redis->last_of('q'), 'large 399', 'in a batch: what comes before it is there');
good('large 400');
audit($node, $db, $redis, ['q'], 1004, 'in a batch: taken, the rest comes');

done_testing();
