# Copyright (c) 2026, the outbox developers
#
# Promise: a queue with partitions moves to another server as a queue does: each partition's
# cursor goes along, nothing is lost or comes twice (I2, I3), and the move ends when all of
# them have arrived.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Partitions;
use Test::More;

my @redis = map { OutboxTest::Redis->start } 0, 1;
my $node = new_node('main', redis => $redis[0], conf => 'outbox.retention = 1s');
my $db = 'postgres';
install($node, $db);
sub sql { my ($query) = @_; return $node->safe_psql($db, $query); }
sql("CREATE SERVER jobs FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $redis[1]->url ]}')");
sql(q{SELECT outbox_create_queue('q', settings => '{"partitions": 4, "payload_type": "text"}')});
sql(q{SELECT put_key('q', 'key' || n, 'before') FROM generate_series(1, 200) AS n});
eventually { sql(q{SELECT delivered FROM outbox.queue_status}) == 200 } 'the first server has them';
sql(q{SELECT outbox_alter_queue('q', settings => '{"server": "jobs"}')});
sql(q{SELECT put_key('q', 'key' || n, 'after') FROM generate_series(1, 200) AS n});
my %got;

sub arrived
{
	my ($redis) = @_;
	return map { $redis->arrived("{q:$_}") } 0 .. 3;
}
eventually { scalar(my @all = map { arrived($_) } @redis) == 400 } 'the next arrive, at one of them';
eventually { sql(q{SELECT moving_from IS NULL FROM outbox.queue}) eq 't' } 'the move ends';
sql(q{SELECT put_key('q', 'key' || n, 'then') FROM generate_series(1, 200) AS n});
eventually { scalar(my @all = map { arrived($_) } @redis) >= 600 } 'and it goes on';
is(scalar(grep { $_->[1] eq 'then' } arrived($redis[1])), 200, '... at the second one');
$got{ $_->[0] }++ for arrived($redis[0]), arrived($redis[1]);
is(join(' ', scalar(keys %got), grep { $_ > 1 } values %got), '600', 'each of them once');

done_testing();
