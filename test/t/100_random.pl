# Copyright (c) 2026, the outbox developers
#
# All promises together (I1 to I4, I8), in the open: queues of each policy, and
# a random schedule of what can happen to them and to all that carries them.
# Keys of the wrong type, pauses, altered policies, replays, messages taken
# back and discarded, while relay, server, Redis and connections die and Redis
# loses its last writes.  Staging is emptied all the time.  However it went, a
# message that was committed ends in one place, once, and in order.
#
# OUTBOX_TEST_SEED repeats a schedule, though not its timing; OUTBOX_TEST_STEPS
# is its length.  See test/README.md for long runs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::History;
use OutboxTest::Refusals;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{OUTBOX_TEST_SEED} // int(time * 1000) % 1_000_000;
my $steps = $ENV{OUTBOX_TEST_STEPS} // 90;
srand $seed;
note("OUTBOX_TEST_SEED=$seed");

# What is promised of the order in each queue, whatever happens here.
my %order = (
	stands => 'queue',    # block
	paused => 'queue',    # block, and paused most of the time
	late => 'queue',      # delayed messages, some taken back
	letters => 'queue',   # dead_letter: those that arrive
	keyed => 'key',       # retry
	loose => 'none');     # retry, without keys
my @queues = sort keys %order;

# With everything written down, Redis loses nothing but what it is made to.
my $redis = OutboxTest::Redis->start(
	appendonly => 'yes',
	appendfsync => 'no',
	'auto-aof-rewrite-percentage' => 0);
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main',
	url => 'redis://127.0.0.1:' . $proxy->port . '/0',
	conf => "outbox.retention = 3s\n");
my $db = 'postgres';
install($node, $db);
run_sql($node, $db, '100_random.sql');
$redis->cmd('XGROUP', 'CREATE', $_, 'g', '$', 'MKSTREAM') for @queues;

# A part of the schedule, not a wait for something.
sub meanwhile { my ($most) = @_; select undef, undef, undef, rand $most; return; }

sub one_of { my (@of) = @_; return $of[ rand @of ]; }

# The server may be away.
sub try_sql { my ($sql) = @_; return ask($node, $db, $sql); }

# A message must not be in two states at once.
my ($looks, @twice) = (0);

sub look
{
	my ($looked, @found) = split /\n/, try_sql(q{SELECT 'looked' UNION ALL SELECT what FROM in_two_states});
	$looks++ if $looked;
	push @twice, @found;
	return;
}

# Replay the dead letters of a queue, all that there are now.
sub replay_all
{
	my ($queue) = @_;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO replayed SELECT id FROM outbox.dead_letters WHERE queue = '$queue';"
	  . "SELECT outbox_replay_queue('$queue'); COMMIT";
}

# What Redis had written, and when.  It loses what is younger than the
# retention, and by far, as nothing else could be sent again: nothing, if it
# takes so long to kill it that this might be older.
my @written;

sub lose
{
	my ($latest) = grep { $_->[0] > time - 0.4 } @written;
	@written = ();
	return unless $latest;
	$redis->kill9;
	return $redis->start_again if time > $latest->[0] + 1;
	note(sprintf 'Redis loses %d bytes', $redis->written - $latest->[1]);
	$redis->come_back_as_of($latest->[1]);
	return;
}

my $killed = '';
my %events = (
	spoil => [ 12, sub { refuse($redis, one_of(qw(stands letters keyed keyed loose late))) } ],
	flicker => [ 12, sub { my $q = one_of(qw(letters keyed keyed loose)); refuse($redis, $q); meanwhile(0.05); mend($redis, $q); } ],
	mend => [ 16, sub { mend($redis, @queues) } ],
	pause => [ 6, sub { try_sql("SELECT outbox_pause_queue('" . one_of(qw(paused paused keyed stands loose)) . "')") } ],
	resume => [ 5, sub { try_sql("SELECT outbox_resume_queue('$_')") for qw(keyed stands loose), rand() < 0.3 ? 'paused' : (); } ],
	replay => [ 6, sub {
		try_sql('INSERT INTO replayed SELECT id FROM (SELECT id FROM outbox.dead_letters ORDER BY random() LIMIT 3) d WHERE outbox_replay(id)') } ],
	replay_all => [ 3, sub { try_sql(replay_all(one_of(qw(letters keyed loose)))) } ],
	discard => [ 3, sub {
		try_sql('INSERT INTO discarded SELECT id FROM (SELECT id FROM outbox.dead_letters ORDER BY random() LIMIT 2) d WHERE outbox_discard(id)') } ],
	alter => [ 5, sub {
		try_sql("SELECT outbox_alter_queue('keyed', on_failure => '" . one_of(qw(retry retry block dead_letter))
			  . "', max_attempts => " . (1 + int rand 5) . ", retry_delay => '" . (10 + int rand 50) . " ms')");
		try_sql("SELECT outbox_alter_queue('loose', on_failure => '" . one_of(qw(retry block dead_letter)) . "')"); } ],
	end_relay => [ 4, sub { try_sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay'}) } ],
	kill_relay => [ 2, sub { my $pid = relay_pid($node, $db); kill 'KILL', $killed = $pid if $pid; } ],
	crash => [ 2, sub { $node->stop('immediate'); meanwhile(0.2); $node->start; } ],
	kill_redis => [ 2, sub { $redis->kill9; meanwhile(0.5); $redis->start_again; @written = (); } ],
	lose => [ 6, sub { lose() } ],
	cut => [ 6, sub { $proxy->plan([ one_of('c2s', 's2c'), int rand one_of(50, 500, 5000) ]) } ],
	drop => [ 2, sub { $redis->drop_clients } ]);
my @hat = map { ($_) x $events{$_}[0] } sort keys %events;

my %happened;
my $load = load($node, $db, writers => 3, queues => \@queues, max_delay => 0.03, rounds => 50);
for my $step (1 .. $steps)
{
	my $event = one_of(@hat);
	note("step $step: $event") if $ENV{OUTBOX_TEST_SEED};
	$events{$event}[1]->();
	$happened{$event}++;
	meanwhile(one_of(0.05, 0.2, 0.6));
	push @written, [ time, $redis->written ];
	look() if rand() < 0.3;
}
wait_for { try_sql("SELECT count(*) > 8 * $steps FROM journal") eq 't' };
$load->stop;
$proxy->plan;
note(join ', ', map { "$happened{$_} $_" } sort keys %happened);

# Everything is mended, and the waiting for it cut short.
another_relay($node, $db, $killed, 'there is a relay');
mend($redis, @queues);
$node->safe_psql($db, "SELECT outbox_resume_queue('$_')") for @queues;
$redis->drop_clients;
if (rand() < 0.7)
{
	$node->safe_psql($db, replay_all($_)) for @queues;
}
eventually {
	look();
	$node->safe_psql($db, 'SELECT (SELECT count(*) FROM outbox.staging_1) + (SELECT count(*) FROM outbox.staging_2)') eq '0'
} 'staging is emptied';
eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.deferred') eq '0' } 'nothing stays deferred'
  or diag($node->safe_psql($db, 'SELECT queue, reason, count(*), min(due_at) FROM outbox.deferred GROUP BY 1, 2'));
cmp_ok($looks, '>', 3, "the tables were looked at ($looks times)");
ok(!@twice, 'no message was in two states at once') or diag(join "\n", @twice[ 0 .. ($#twice < 9 ? $#twice : 9) ]);

my $history = history($node, $db, $redis, \%order);
my @faults = OutboxTest::Outcome::faults($history);
my $messages = @{ $history->{journal} };
cmp_ok($messages, '>', 8 * $steps, "$messages messages");
ok(!@faults, 'each is in one place, once, and in order')
  or diag(scalar @faults, ' faults, OUTBOX_TEST_SEED=', $seed, "\n", join "\n", @faults[ 0 .. ($#faults < 19 ? $#faults : 19) ]);

# What was skipped is known no longer than it has to.  A relay that reads the
# cursors forgets what was lost on the way.
$redis->drop_clients;
my @skipped;
eventually {
	@skipped = map { my $key = $_; map { "$key $_" } grep { /^s\d/ } @{ $redis->cmd('HKEYS', $key) } }
	  @{ $redis->cmd('KEYS', '*:outbox:*') };
	!@skipped
} 'nothing is skipped any more' or diag(scalar @skipped, " are:\n", join("\n", @skipped[ 0 .. ($#skipped < 9 ? $#skipped : 9) ]),
	"\n", $node->safe_psql($db, 'SELECT queue, skipped, gone_at IS NULL AS here, count(*), max(seq), max(xid::text::int8) FROM outbox.dead_letter GROUP BY 1, 2, 3'));
my @surprises = grep { /PANIC|TRAP:|signal (?!9:)\d|ERROR:.*(vanished|wasn't sent)/ } split /\n/, log_of($node);
is(join("\n", @surprises), '', 'the log has no surprises');

done_testing();
