# Copyright (c) 2026, the outbox developers
#
# Promise: a restored dump or a copied database does not fire its backlog into
# the original's Redis (I3): it is held, status says so and why, and
# outbox_release() releases it, in order, once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
$node->safe_psql('postgres', 'CREATE DATABASE original');
install($node, 'original', 'q', 'settings');
$node->safe_psql('original', "SELECT create_queue('l', 'list', redis_key => 'a list', format => 'raw')");

# Some delivered, some waiting, at the moment of the copy.
put($node, 'original', 'q', map { "delivered $_" } 1 .. 5);
settle($node, 'original', $redis, 'q');
my $delivered = $redis->count('q');
$redis->stop_saved;
put($node, 'original', 'q', map { "waiting $_" } 1 .. 20);

my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('original') ], 'pg_dump');

# A restored dump.
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), '--exit-on-error', $dump ], 'pg_restore');
is($node->safe_psql('restored', 'SELECT name, target, redis_key, format FROM outbox.queue ORDER BY name'),
	$node->safe_psql('original', 'SELECT name, target, redis_key, format FROM outbox.queue ORDER BY name'),
	'the queues are restored');
$redis->start_again;
my $held = eventually { status($node, 'restored', 'state') eq 'held' } 'the restored backlog is held';
like(status($node, 'restored', 'why'), qr/^restored: .*outbox_release\('restored'\)/, 'and status says what to do');
audit($node, 'original', $redis, ['q'], 26, 'the original delivers its own, once');
is(status($node, 'original', 'state'), 'running', 'the original is not concerned');
my $n = $redis->count('q');
is($n, $delivered + 21, 'nothing came from the restored one');
is(status($node, 'restored', 'state'), 'held', 'which is still held');

# The order of the backlog, by the message numbers of the original.
my %body = map { split /\|/ } split /\n/, $node->safe_psql('restored', 'SELECT id, body FROM journal');
is($node->safe_psql('restored', q{SELECT * FROM outbox_release('restored')}), '26|' . $redis->url,
	'outbox_release() says how many messages go where, delivered ones that were in the dump, too');
put($node, 'restored', 'q', 'new in the restored one');
eventually { $redis->last_of('q') eq 'new in the restored one' } 'released, and new messages follow';
my @late = map { $_->[1] } $redis->arrived('q');
splice @late, 0, $n;
my @waiting = grep { /^waiting/ } @late;
is_deeply(\@waiting, [ map { "waiting $_" } 1 .. 20 ], 'the backlog, in order, once');
eventually { status($node, 'restored', 'state') eq 'running' } 'the state is "running"';
is(scalar(grep { $_ eq 'new in the restored one' } @late), 1, 'and the new one once');

# New queues and messages do not collide with the restored numbers.
$node->safe_psql('restored', "SELECT create_queue('new queue'); SELECT outbox_enqueue('new queue', 'x')");
eventually { $redis->count('new queue') == 1 } 'a new queue in the restored database';

# A copy made by the server.  The relay must not be in the template then.
$redis->stop_saved;
put($node, 'original', 'q', map { "copied $_" } 1 .. 7);
$node->safe_psql('postgres', 'ALTER DATABASE original ALLOW_CONNECTIONS false');
my $relay = relay_pid($node, 'original');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($relay)") if $relay;
eventually {
	($node->psql('postgres', 'CREATE DATABASE copy TEMPLATE original'))[0] == 0
} 'CREATE DATABASE ... TEMPLATE';
$node->safe_psql('postgres', 'ALTER DATABASE original ALLOW_CONNECTIONS true');
$redis->start_again;
$n = $redis->count('q');
$node->safe_psql('copy', "SELECT outbox_enqueue('settings', 'from the copy')");
eventually { status($node, 'copy', 'state') eq 'held' } 'the copy is held';
put($node, 'original', 'q', 'original');
settle($node, 'original', $redis, 'q');
is($redis->count('q'), $n + 9, 'the original delivers its own, the copy nothing');
is($redis->count('settings'), 0, 'nor what is enqueued in it');
like(status($node, 'copy', 'why'), qr/^copy: .*outbox_release\('copy'\)/, 'status says why');
my ($rc, undef, $err) = $node->psql('copy', q{SELECT outbox_release('restored')});
like($err, qr/not held as "restored"/, 'not for a reason that it does not have');
$node->safe_psql('copy', q{SELECT outbox_release('copy')});
eventually { $redis->count('settings') == 1 } 'until it is told to';
eventually { status($node, 'copy', 'state') eq 'running' } 'the state is "running"';
put($node, 'copy', 'q', 'new in the copy');
eventually { $redis->last_of('q') eq 'new in the copy' } 'new messages follow';
my @again = grep { /^copied/ } map { $_->[1] } $redis->arrived('q');
is_deeply(\@again, [ (map { "copied $_" } 1 .. 7) x 2 ], 'then the backlog came from both');

# outbox_release() where nothing is held is refused.
(undef, undef, $err) = $node->psql('original', q{SELECT outbox_release('copy')});
like($err, qr/no messages of this database are held/, 'nothing is held');
$n = $redis->count('q');
settle($node, 'original', $redis, 'q');
is($redis->count('q'), $n + 1, 'and nothing is sent again');

# A restart keeps what was decided.
$node->restart;
eventually { status($node, 'copy', 'state') eq 'running' } 'after a restart the copy goes on';
eventually { status($node, 'original', 'state') eq 'running' } 'and so does the original';
is($redis->count('q'), $n + 1, 'with nothing sent again');

done_testing();
