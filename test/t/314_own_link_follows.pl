# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that has a connection of its own leaves it when Sentinels name another
# master, though the old one lives and answers: what it would take is lost when it learns
# that it is none any more (I2).  Sentinels are played here.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($old, $new) = (OutboxTest::Redis->start_primary('proto-max-bulk-len' => '1mb'), OutboxTest::Redis->start_primary);

sub all_name
{
	my ($redis) = @_;
	my $port = $redis->{config}{port};
	append_to_file("$dir/new", sprintf "*2\r\n\$9\r\n127.0.0.1\r\n\$%d\r\n%s\r\n", length $port, $port);
	rename "$dir/new", "$dir/says" or die "$dir/says: $!";
	return;
}
all_name($old);
my @played = map { OutboxTest::Impostor->start($old->socket, 'SENTINEL', sub { return slurp_file("$dir/says"); }) } 1 .. 3;
my $node = new_node('main', url => 'redis+sentinel://' . join(',', map { '127.0.0.1:' . $_->port } @played) . '/m',
	conf => "outbox.retention = 5min\noutbox.max_message_size = '8MB'");
my $db = 'postgres';
install($node, $db, 'beside');
$node->safe_psql($db, q{SELECT create_queue('q', on_failure => 'retry')});
put($node, $db, $_, 'first') for 'q', 'beside';
eventually { $old->count('q') == 1 && $old->count('beside') == 1 } 'messages flow';

# A message that this Redis can't read brings the queue a connection of its own, on which
# nothing is done for a while.
my $paused = $old->client;
$paused->try('CLIENT', 'PAUSE', 600000, 'WRITE');
$node->safe_psql($db, q{BEGIN; SELECT put('q', 'small ' || i) FROM generate_series(1, 20) AS i;
	SELECT outbox_enqueue('q', repeat('x', 2000000)); COMMIT});
sub own_links { return scalar(() = $old->client->try('CLIENT', 'LIST') =~ / name=outbox /g); }
eventually { own_links() == 2 && $old->client->try('INFO', 'clients') =~ /^blocked_clients:[1-9]/m } 'a queue waits on a connection of its own';

all_name($new);
put($node, $db, 'beside', 'second');
eventually { $new->last_of('beside') eq 'second' } 'all Sentinels name another master: others go there';
$paused->try('CLIENT', 'UNPAUSE');
eventually { $new->count('q') >= 21 } 'so does the queue';
is($old->count('q'), 1, 'and the old master has got nothing more');
done_testing();
