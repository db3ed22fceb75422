# Copyright (c) 2026, the outbox developers
#
# Promise: commands and functions are done once and in order (I2, I3, I4) under
# load, while the relay's connection is cut all the time, Redis forgets scripts,
# and some messages fail at first.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);

sub sql { return $node->safe_psql($db, join ';', @_); }
sub state_of { return queue_status($node, $db, $_[0], 'state'); }

my $xadd = '["XADD", "{redis_key}", "*", "id", "{id}", "payload", "{payload}"]';
sql(qq[SELECT outbox_create_queue('lc', 'commands', options => '{"commands": [$xadd]}')],
	q[SELECT create_queue('lf', 'function', options => jsonb_build_object('function',
		'redis.call("XADD", key, "*", "id", id, "payload", payload)'))],
	q[SELECT create_queue('lr', 'function', on_failure => 'retry', retry_delay => '20 ms', options => jsonb_build_object('function',
		'if attempt == "1" and string.byte(id, -1) % 5 == 0 then error("try again") end redis.call("XADD", key, "*", "id", id, "payload", payload)'))]);
my $load = load($node, $db, writers => 4, queues => [ 'lc', 'lf', 'lr' ], max_delay => 0.002);
for my $round (1 .. 8)
{
	my $enough = $redis->count('lf') + 50 + int rand 100;
	eventually { $redis->count('lf') > $enough } "round $round: messages flow";
	$redis->drop_clients;
	$redis->cmd('SCRIPT', 'FLUSH') if $round % 3 == 0;
}
$load->stop;
settle($node, $db, $redis, 'lc', 'lf');
my @journal = @{ journal($node, $db) };
my @whole = grep { $_->{queue} =~ /^l[cf]$/ } @journal;
is_deeply([ OutboxTest::Checker::faults(\@whole, { map { $_ => [ $redis->arrived($_) ] } 'lc', 'lf' }) ],
	[], 'nothing lost, nothing twice, all in order');
cmp_ok(scalar @whole, '>', 500, 'of enough messages');
@journal = grep { $_->{queue} eq 'lr' } @journal;
eventually { $redis->count('lr') == @journal } 'what failed at first has come';
my %seen;
is(scalar(grep { $seen{ $_->[0] }++ } $redis->arrived('lr')), 0, 'once');
eventually { queue_status($node, $db, 'lr', 'failed') > 0 } 'and some had failed';

done_testing();
