# Copyright (c) 2026, the outbox developers
#
# Promise: a backup that is restored with production's settings delivers nothing and
# disturbs nobody until somebody has decided (I3), in each of its databases, also if
# it was restarted before its relays came; production, restored itself, is released.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Copies;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('production', redis => $redis, streaming => 1);
my ($db, $other) = ('postgres', 'other');
$node->safe_psql($db, "CREATE DATABASE $other");
install($node, $db, 'q');
install($node, $other, 'o');
put($node, $db, 'q', map { "before $_" } 1 .. 5);
put($node, $other, 'o', map { "before $_" } 1 .. 5);
settle($node, $db, $redis, 'q');
settle($node, $other, $redis, 'o');
$redis->stop_saved;
put($node, $db, 'q', map { "waits $_" } 1 .. 5);
# The other database is not open when the backup is taken.
$node->safe_psql($db, "ALTER DATABASE $other ALLOW_CONNECTIONS false");
$node->backup('nightly');
$node->safe_psql($db, "ALTER DATABASE $other ALLOW_CONNECTIONS true");
$redis->start_again;
settle($node, $db, $redis, 'q');

sub drill
{
	my ($name) = @_;
	my $drill = clone($node, 'nightly', $name);
	$drill->append_conf('postgresql.conf', "restore_command = 'false'\n");
	$drill->append_conf('recovery.signal', '');
	return $drill;
}
my $count = $redis->count('q');
my $drill = drill('drill');
$drill->start;
eventually { held_why($drill, $db) eq 'restored' } 'a restored server is held';
ok(!-e $drill->data_dir . '/recovery.signal', 'the signal file is gone');
$drill->restart;
$drill->safe_psql($db, "ALTER DATABASE $other ALLOW_CONNECTIONS true");
put($drill, $other, 'o', 'of the drill');
eventually { held_why($drill, $other) eq 'restored' } 'so is a database to which no relay came in the first run';
like(status($drill, $db, 'why'), qr/backup.*outbox_release\('restored'\)/, 'and says why');
put($drill, $db, 'q', 'of the drill');
$drill->restart;
eventually { held_why($drill, $_) eq 'restored' } "$_: and stays so" for $db, $other;
put($node, $db, 'q', 'production goes on');
settle($node, $db, $redis, 'q');
is(status($node, $_, 'state'), 'running', "$_: production is not fenced") for $db, $other;

# The drill is over.
$drill->stop;
$node->restart;
put($node, $db, 'q', 'production still goes on');
settle($node, $db, $redis, 'q');
is(scalar(grep { $_->[1] eq 'of the drill' } $redis->arrived('q'), $redis->arrived('o')), 0, 'nothing came from the drill');

# Production is lost and restored.
$node->stop('immediate');
my $restored = drill('restored');
$restored->start;
$restored->safe_psql($db, "ALTER DATABASE $other ALLOW_CONNECTIONS true");
put($restored, $other, 'o', 'after the restore');
eventually { held_why($restored, $_) eq 'restored' } "$_: production's restore is held, too" for $db, $other;
my ($messages, $address) = split /\|/, $restored->safe_psql($db, q{SELECT * FROM outbox_release('restored')});
cmp_ok($messages, '>=', 5, 'released: so many messages');
is($address, $redis->url, 'to this Redis');
put($restored, $db, 'q', 'after the restore');
settle($restored, $db, $redis, 'q');
eventually { status($restored, $db, 'state') eq 'running' } 'it runs';
is(held_why($restored, $other), 'restored', 'the other database is held until it is released itself');
$restored->safe_psql($other, q{SELECT outbox_release('restored')});
settle($restored, $other, $redis, 'o');
$restored->restart;
for ([ $db, 'q' ], [ $other, 'o' ])
{
	put($restored, $_->[0], $_->[1], 'after a restart');
	settle($restored, $_->[0], $redis, $_->[1]);
	is(status($restored, $_->[0], 'state'), 'running', "$_->[0]: that lasts");
}

# A database that is made after the restore is not restored.
$restored->safe_psql($db, 'CREATE DATABASE later');
install($restored, 'later', 'l');
$restored->restart;
put($restored, 'later', 'l', 'x');
settle($restored, 'later', $redis, 'l');
is(status($restored, 'later', 'state'), 'running', 'a new database is not held');

done_testing();
