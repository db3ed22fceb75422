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
	conf => "outbox.retention = 1s\n");
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, <<'EOC');
SELECT outbox_create_queue('stands');
SELECT outbox_create_queue('paused');
SELECT outbox_create_queue('late');
SELECT outbox_create_queue('letters', on_failure => 'dead_letter');
SELECT outbox_create_queue('keyed', on_failure => 'retry', max_attempts => 4, retry_delay => '30 ms');
SELECT outbox_create_queue('loose', on_failure => 'retry', max_attempts => 3, retry_delay => '20 ms');

ALTER TABLE journal ADD key text, ADD due timestamptz, ADD w int;
CREATE TABLE cancelled (id uuid PRIMARY KEY);
CREATE TABLE discarded (id uuid PRIMARY KEY);
CREATE TABLE replayed (id uuid NOT NULL);

CREATE FUNCTION put(w int, queue text, body text, key text, type text, due timestamptz)
RETURNS void LANGUAGE sql AS $$
	INSERT INTO journal (id, queue, xid, snap, body, key, due, w)
	SELECT outbox_enqueue(put.queue, put.body, type => put.type, key => put.key,
			deliver_at => put.due, headers => CASE WHEN put.body LIKE '%7' THEN '{"h": "v"}'::jsonb END),
		put.queue, pg_current_xact_id(), pg_current_snapshot(), put.body, put.key, put.due, put.w;
$$;

-- Take back one of one's own, if it isn't too late.
CREATE FUNCTION take_back(me int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO cancelled
	SELECT id FROM (SELECT id FROM journal WHERE w = me AND due > clock_timestamp() - interval '50 ms'
		AND id NOT IN (SELECT id FROM cancelled) ORDER BY random() LIMIT 1) AS j
	WHERE outbox_cancel(id);
$$;

CREATE PROCEDURE put_some(w int, r int, n int, queues text[])
LANGUAGE plpgsql AS $$
DECLARE
	queue text;
BEGIN
	FOR m IN 1 .. n LOOP
		BEGIN
			queue := queues[1 + floor(random() * array_length(queues, 1))];
			PERFORM put(w, queue, format('writer %s round %s message %s of backend %s', w, r, m, pg_backend_pid()),
				CASE WHEN queue <> 'loose' AND random() < 0.9 THEN 'k' || floor(random() * 5) END,
				CASE WHEN random() < 0.3 THEN 'type' END,
				CASE WHEN queue = 'late' AND random() < 0.5 THEN clock_timestamp() + random() * interval '800 ms' END);
			IF random() < 0.05 THEN
				RAISE EXCEPTION 'undo the savepoint';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;

-- In place of the usual writer.
CREATE OR REPLACE PROCEDURE writer(w int, rounds int, queues text[], max_delay float)
LANGUAGE plpgsql AS $$
BEGIN
	FOR r IN 1 .. rounds LOOP
		CALL put_some(w, r, CASE WHEN random() < 0.01 THEN 400 ELSE (1 + floor(random() * 4))::int END, queues);
		IF random() < 0.2 THEN
			PERFORM take_back(w);
		END IF;
		PERFORM pg_sleep(random() * max_delay);
		IF random() < 0.1 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;
EOC
$redis->cmd('XGROUP', 'CREATE', $_, 'g', '$', 'MKSTREAM') for @queues;

# Ways of failing, and back.  In one transaction of Redis: there must be no
# moment in which the relay finds nothing and makes a new stream.

sub spoil
{
	my ($queue) = @_;
	return if $redis->cmd('EXISTS', "$queue:aside");
	$redis->cmd('MULTI');
	$redis->cmd('RENAME', $queue, "$queue:aside");
	$redis->cmd('SET', $queue, 'of another type');
	$redis->cmd('EXEC');
	return;
}

sub mend
{
	my ($queue) = @_;
	return unless $redis->cmd('EXISTS', "$queue:aside");
	$redis->cmd('MULTI');
	$redis->cmd('DEL', $queue);
	$redis->cmd('RENAME', "$queue:aside", $queue);
	$redis->cmd('EXEC');
	return;
}

# A part of the schedule, not a wait for something.
sub meanwhile { my ($most) = @_; select undef, undef, undef, rand $most; return; }

sub one_of { my (@of) = @_; return $of[ rand @of ]; }

# The server may be away.
sub try_sql { my ($sql) = @_; return ask($node, $db, $sql); }

# A message must not be in two states at once.
my ($looks, @twice) = (0);
my $anywhere = q{('retry', 'behind', 'evacuated', 'applied')};

sub look
{
	my $found = try_sql(<<"EOC");
SELECT 'looked' UNION ALL
SELECT format('%s %s is %s and a dead letter', d.queue, d.seq, d.reason)
	FROM outbox.deferred d JOIN outbox.dead_letter x USING (queue, seq)
	WHERE d.reason IN $anywhere AND x.timeline > 0 UNION ALL
SELECT format('%s is a dead letter %s times', id, count(*))
	FROM outbox.dead_letter WHERE gone_at IS NULL GROUP BY id HAVING count(*) > 1 UNION ALL
SELECT format('%s is delayed and staged', id)
	FROM outbox.deferred d JOIN (SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2) s USING (id)
	WHERE d.reason = 'delayed' UNION ALL
SELECT format('%s was taken back and is there', id)
	FROM cancelled JOIN (SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2
		UNION ALL SELECT id FROM outbox.deferred) s USING (id)
EOC
	my ($looked, @found) = split /\n/, $found;
	$looks++ if $looked;
	push @twice, @found;
	return;
}

# What Redis had written, and when: it loses what is younger than the
# retention, and by far, as nothing else could be sent again.
my @written;

sub lose
{
	my ($latest) = grep { $_->[0] > time - 0.4 } @written;
	@written = ();
	return unless $latest;
	note(sprintf 'Redis loses %d bytes', $redis->written - $latest->[1]);
	$redis->come_back_as_of($latest->[1]);
	return;
}

my %events = (
	spoil => [ 12, sub { spoil(one_of(qw(stands letters keyed keyed loose late))) } ],
	flicker => [ 12, sub { my $q = one_of(qw(letters keyed keyed loose)); spoil($q); meanwhile(0.05); mend($q); } ],
	mend => [ 16, sub { mend($_) for @queues; } ],
	pause => [ 6, sub { try_sql("SELECT outbox_pause_queue('" . one_of(qw(paused paused keyed stands loose)) . "')") } ],
	resume => [ 5, sub { try_sql("SELECT outbox_resume_queue('$_')") for qw(keyed stands loose), rand() < 0.3 ? 'paused' : (); } ],
	replay => [ 6, sub {
		try_sql('INSERT INTO replayed SELECT id FROM (SELECT id FROM outbox.dead_letters ORDER BY random() LIMIT 3) d WHERE outbox_replay(id)') } ],
	replay_all => [ 3, sub {
		my $queue = one_of(qw(letters keyed loose));
		try_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO replayed SELECT id FROM outbox.dead_letters WHERE queue = '$queue';"
			  . "SELECT outbox_replay_queue('$queue'); COMMIT") } ],
	discard => [ 3, sub {
		try_sql('INSERT INTO discarded SELECT id FROM (SELECT id FROM outbox.dead_letters ORDER BY random() LIMIT 2) d WHERE outbox_discard(id)') } ],
	alter => [ 5, sub {
		try_sql("SELECT outbox_alter_queue('keyed', on_failure => '" . one_of(qw(retry retry block dead_letter))
			  . "', max_attempts => " . (1 + int rand 5) . ", retry_delay => '" . (10 + int rand 50) . " ms')");
		try_sql("SELECT outbox_alter_queue('loose', on_failure => '" . one_of(qw(retry block dead_letter)) . "')"); } ],
	end_relay => [ 4, sub { try_sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay'}) } ],
	kill_relay => [ 2, sub { my $pid = relay_pid($node, $db); kill 'KILL', $pid if $pid; } ],
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
$load->stop;
$proxy->plan;
note(join ', ', map { "$happened{$_} $_" } sort keys %happened);

# Everything is mended, and the waiting for it cut short.
wait_relay($node, $db);
mend($_) for @queues;
$node->safe_psql($db, "SELECT outbox_resume_queue('$_')") for @queues;
$redis->drop_clients;
if (rand() < 0.7)
{
	$node->safe_psql($db, <<"EOC") for @queues;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO replayed SELECT id FROM outbox.dead_letters WHERE queue = '$_';
SELECT outbox_replay_queue('$_');
COMMIT;
EOC
}
eventually {
	look();
	$node->safe_psql($db, 'SELECT (SELECT count(*) FROM outbox.staging_1) + (SELECT count(*) FROM outbox.staging_2)') eq '0'
} 'staging is emptied';
eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.deferred') eq '0' } 'nothing stays deferred'
  or diag($node->safe_psql($db, 'SELECT queue, reason, count(*), min(due_at) FROM outbox.deferred GROUP BY 1, 2'));
cmp_ok($looks, '>', 3, "the tables were looked at ($looks times)");
ok(!@twice, 'no message was in two states at once') or diag(join "\n", @twice[ 0 .. ($#twice < 9 ? $#twice : 9) ]);

sub column { my ($sql) = @_; return [ split /\n/, $node->safe_psql($db, $sql) ]; }

sub arrived
{
	my ($queue) = @_;
	return [
		map { my %f = @{ $_->[1] }; [ @f{qw(id payload)}, (split /-/, $_->[0])[0] / 1000 ] }
		  $redis->entries($queue) ];
}

my @journal;
for my $line (@{ column(q{SELECT n, id, queue, xid, snap, body, coalesce(key, ''), coalesce(extract(epoch FROM due)::text, '') FROM journal ORDER BY n}) })
{
	my %row;
	@row{qw(n id queue xid snap body key due)} = map { $_ eq '' ? undef : $_ } split /\|/, $line, -1;
	$row{snap} .= '';
	# Redis tells the time in whole milliseconds.
	$row{due} -= 0.001 if defined $row{due};
	push @journal, \%row;
}
my @faults = OutboxTest::Outcome::faults({
	journal => \@journal,
	got => { map { $_ => arrived($_) } @queues },
	dead => column('SELECT id FROM outbox.dead_letters'),
	map({ $_ => column("SELECT DISTINCT id FROM $_") } qw(cancelled discarded replayed)),
	order => \%order });
cmp_ok(scalar @journal, '>', 8 * $steps, scalar(@journal) . ' messages');
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
