# Copyright (c) 2026, the outbox developers
#
# Promise: what a consumer gives back is taken once (I3) and never lost (I2),
# whatever dies: the relay, the server, Redis, the connection within an answer;
# if it is forgotten how far it was read; and however often the consumer says it.
# The consumer here gives back each message a number of times that its payload
# says, adding each entry once or several times.  In the end each message has been
# delivered once for every time and once more, with each attempt once; or is a
# dead letter with all its history.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use PostgreSQL::Test::Utils;
use Test::More;

# What Redis has answered it keeps, so what comes twice is our fault.
my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'always');
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => 'redis://127.0.0.1:' . $proxy->port . '/0',
	conf => "outbox.retention = '2s'\n");
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 4,
	retry_delay => '50 milliseconds', retry_backoff => 1, consumer_retry => true)});

my %want;      # payload => how often it is given back; 4: it dies
my $seen = '0-0';
my $n = 0;

sub enqueue
{
	for (1 .. $_[0])
	{
		my $back = ++$n % 5;
		$want{"n$n back $back"} = $back;
	}
	my $from = $n - $_[0] + 1;
	$node->safe_psql($db,
		"SELECT outbox_enqueue('q', 'n' || i || ' back ' || i % 5) FROM generate_series($from, $n) AS i");
	return;
}

# Read what is new and give back what is to be.
sub consume
{
	my $got = eval { $redis->cmd('XREAD', 'COUNT', 100, 'STREAMS', 'q', $seen) } or return 0;
	for my $e (map { @{ $_->[1] } } @$got)
	{
		my %f = @{ $e->[1] };
		my ($back) = $f{payload} =~ /back (\d)/;
		if ($f{attempt} <= $back)
		{
			for (1 .. 1 + int rand 3)
			{
				eval { give_back($redis, 'q:retry', { fields => $e->[1] }, "error $f{attempt}"); 1 } or return 0;
			}
		}
		$seen = $e->[0];
	}
	return 1;
}

# Consume for so many entries, as a sign that all works.
sub flows
{
	my ($name) = @_;
	my $have = $redis->count('q');
	return eventually { consume(); $redis->count('q') > $have + 20 } "$name: messages flow and come back";
}

for my $round (1 .. 4)
{
	enqueue(25);
	flows("round $round");
	my $pid = relay_pid($node, $db);
	enqueue(10);
	consume();
	# what a failover may lose
	$node->safe_psql($db, q{UPDATE outbox.consumer_position SET retry_id = '0-0'}) if $round % 2;
	kill 'KILL', $pid if $pid;
	eventually { consume(); my $new = relay_pid($node, $db); $new ne '' && $new ne $pid } "round $round: relay killed";

	enqueue(25);
	flows("round $round");
	consume();
	kill_hard($node);
	$node->start;
	eventually { consume(); relay_pid($node, $db) ne '' } "round $round: server killed";

	enqueue(25);
	flows("round $round");
	consume();
	$redis->kill9;
	$redis->start_again;

	# an answer that ends somewhere, such as after what was given back
	enqueue(10);
	my $cuts = $proxy->stat->{cuts};
	$proxy->plan([ 's2c', 300 + int rand 3000 ]);
	eventually { consume(); $proxy->stat->{cuts} > $cuts } "round $round: the connection was cut";
}

my $due = 0;
$due += $_ + ($_ < 4) for values %want;
eventually { consume(); $redis->count('q') >= $due } 'all has been delivered as often as it should';
my $dead = grep { $_ == 4 } values %want;
eventually { consume(); ask($node, $db, 'SELECT count(*) FROM outbox.dead_letters') eq $dead } 'or given up';
eventually { consume(); ask($node, $db, 'SELECT count(*) FROM outbox.deferred') eq '0' } 'nothing waits';
my %got;
push @{ $got{ $_->{payload} } }, $_->{attempt} for deliveries($redis, 'q');
my @wrong = grep {
	join(' ', @{ $got{$_} // [] }) ne join(' ', 1 .. ($want{$_} == 4 ? 4 : $want{$_} + 1))
} sort keys %want;
is_deeply([ map { "$_: @{ $got{$_} // [] }" } @wrong ], [], 'each attempt once and in its order');
is_deeply([ grep { !exists $want{$_} } keys %got ], [], 'and nothing else');
is($node->safe_psql($db, <<'EOC'), $dead, 'each dead letter has its history');
SELECT count(*) FROM outbox.dead_letters
WHERE reason = 'consumer' AND attempts = 4 AND last_error = 'error 4' AND payload #>> '{}' ~ 'back 4$'
	AND jsonb_path_query_array(history, '$[*].error') = '["error 1", "error 2", "error 3", "error 4"]'
EOC
eventually { $redis->count('q:retry') == 0 } 'and what was read has gone';
note(scalar(keys %want), ' messages');

# What has gone from Redis is on disk: the server may die at once.
configure($node, 'outbox.retention' => '0', 'max_wal_size' => '1GB');
$node->safe_psql($db, q{SELECT outbox_alter_queue('q', retry_delay => '1 hour', retry_max_delay => '1 hour')});
for my $round (1 .. 4)
{
	$node->safe_psql($db, "SELECT outbox_enqueue('q', 'last $round')");
	eventually { deliveries($redis, 'q', "last $round") } 'a last message';
	# nobody but the relay writes WAL down
	kill 'STOP', $node->safe_psql($db, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	give_back($redis, 'q:retry', (deliveries($redis, 'q', "last $round"))[0], 'e');
	eventually { $redis->cmd('EXISTS', 'q:retry') && $redis->count('q:retry') == 0 } 'given back and gone';
	kill_hard($node);
	$node->start;
	is($node->safe_psql($db, 'SELECT count(*) FROM outbox.deferred'), $round, 'survives');
}

done_testing();
