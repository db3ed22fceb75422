# Copyright (c) 2026, the outbox developers
#
# Promise: with wait_replicas the rows of a queue that stands still, and those of messages
# that were refused first, are kept until replicas have what Redis has of them (I2).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start_primary;
my $replica = $redis->start_replica;
my $node = new_node('main', url => $redis->url . '&wait_replicas=1&wait_timeout=200ms', conf => 'outbox.retention = 1s');
my $db = 'postgres';
install_keyed($node, $db);
$node->safe_psql($db, q{SELECT create_queue('p')});
create_retrying($node, $db, 't', 'stream');

sub behind { return status($node, $db, 'replicas_behind'); }
sub kept
{
	return ask($node, $db, <<'EOC');
SELECT count(DISTINCT id) FROM (SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2
	UNION ALL SELECT id FROM outbox.deferred WHERE reason = 'evacuated') AS s
JOIN journal AS j USING (id) WHERE j.body LIKE 'second %'
EOC
}
sub applied { return ask($node, $db, q{SELECT count(*) FROM outbox.deferred WHERE reason = 'applied'}); }

# So often it is asked how many replicas have it; in vain.
sub asked
{
	my ($times, $name) = @_;
	my $before = $redis->calls('wait');
	return eventually { $redis->calls('wait') >= $before + $times } $name;
}

put_keyed($node, $db, $_, undef, 'first') for 'p', 't';
eventually { status($node, $db, 'delivered') == 2 } 'the replica has it';

# It is cut off.  Only a queue that stands still has rows in staging.
$replica->cmd('REPLICAOF', '127.0.0.1', PostgreSQL::Test::Cluster::get_free_port());
put_keyed($node, $db, 'p', undef, map { "second $_" } 1 .. 10);
eventually { $redis->count('p') == 11 } 'messages that no replica has';
$node->safe_psql($db, q{SELECT outbox_pause_queue('p')});
my $n = 0;
eventually
{
	put_keyed($node, $db, 'p', undef, 'paused ' . ++$n);
	ask($node, $db, 'SELECT (SELECT count(*) FROM outbox.staging_1) > 0 AND (SELECT count(*) FROM outbox.staging_2) > 0') eq 't';
}
'the tables are changed';
eventually
{
	ask($node, $db, q{SELECT count(*) FROM outbox.deferred AS d JOIN journal AS j USING (id) WHERE j.body LIKE 'second %'}) == 10;
}
'rows that no replica has are copied, though Redis has them';
asked(25, 'longer than the retention');
is(kept(), 10, 'they are kept');

# A message that was refused and has gone through.
refuse($redis, 't');
put_keyed($node, $db, 't', 'a', 'refused');
eventually { held($node, $db, 't') == 1 } 'a message is refused';
mend($redis, 't');
let_due($node, $db, $redis);
eventually { $redis->count('t') == 2 && applied() == 1 } 'and goes through';
asked(30, 'longer than the retention and two looks');
is(applied(), 1, 'its record is there');
like(behind(), qr/^1 replica is wanted, 0 have confirmed, and Redis has 0/, 'status says why');

# The replica is back.
$replica->follow($redis);
eventually { behind() eq '' } 'the replica has it';
$node->safe_psql($db, q{SELECT outbox_resume_queue('p')});
eventually { kept() == 0 && applied() == 0 } 'all is forgotten';
audit_keyed($node, $db, $redis, [ 'p', 't' ], 10, 'in the end');

done_testing();
