# Copyright (c) 2026, the outbox developers
#
# Promise: a server that has lost nothing delivers on (I5), also if it died when its last
# record had filled a page of WAL.  A cursor's LSN is then behind the next page's header,
# and recovery ends before it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
autovacuum = off
checkpoint_timeout = 1h
bgwriter_delay = 10s
EOC
my $db = 'postgres';
install($node, $db, 'q', 'paused');
my $page = $node->safe_psql($db, 'SHOW wal_block_size');

my $at = q{SELECT pg_current_wal_insert_lsn() - '0/0'};
$node->safe_psql($db, q{SELECT outbox_pause_queue('paused')});

# How long the record of a commit is, when nobody else writes.
my $session = session($node, $db);
$session->query_safe(q{BEGIN; SELECT outbox_enqueue('paused', '1'::jsonb)});
my $commit = -$session->query_safe($at);
$session->query_safe('COMMIT');
$commit += $session->query_safe($at);

# A message whose commit ends where a page does.
sub fill_page
{
	my $room = sub { return $page - $session->query_safe($at) % $page };
	my $fill = sub { return $session->query_safe("SELECT pg_logical_emit_message(true, '', repeat('x', $_[0]))") };
	$session->query_safe(q{BEGIN; SELECT outbox_enqueue('q', '1'::jsonb)});
	$fill->(3000) while $room->() < 3000;
	my $before = $room->();
	$fill->(1000);
	my $left = $room->();
	$fill->(1000 + $left - $commit - ($before - $left));
	$session->query_safe('COMMIT');
	return;
}

my ($filled, $sent) = (0, 0);
for my $try (1 .. 20)
{
	settle($node, $db, $redis, 'q');
	$sent = $redis->count('q');
	kill 'STOP', $node->safe_psql($db, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
	fill_page();
	eventually { $redis->count('q') > $sent } "try $try: a message arrives";
	kill_hard($node);
	my ($key) = grep { /:outbox:/ } @{ $redis->cmd('KEYS', '*q*:outbox:*') };
	my ($hi, $lo) = $redis->cmd('HGET', $key, 'pos') =~ m{^(\w+)/(\w+)} or die;
	$filled = hex($lo) % $page <= 40;
	$session->quit;
	$node->start;
	$session = session($node, $db);
	wait_relay($node, $db);
	eventually { status($node, $db, 'state') eq 'running' } "try $try: the server delivers on" or last;
	last if $filled;
}
ok($filled, 'a record had filled its page');
put($node, $db, 'q', 'goes on');
eventually { $redis->count('q') > $sent + 1 } 'messages flow';

done_testing();
