# Copyright (c) 2026, the outbox developers
#
# Promise: a message that shall go later goes then: never before, soon after,
# in the order of their times, once, whatever was killed or away meanwhile, and
# however many wait for a later time.  The transaction decides, as for any
# other (I1), and what is taken back in time never arrives.
#
# The ids of stream entries are Redis' clock in milliseconds.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'max_prepared_transactions = 5');
my $db = 'postgres';
install($node, $db, 'q', 'r');

run_sql($node, $db, '081_later.sql');

# What is due: [ body, ms ] by time and number.
sub due
{
	my ($queue, $like) = @_;
	return map { [ split /\|/ ] } split /\n/, $node->safe_psql($db,
		"SELECT body, extract(epoch FROM at) * 1000 FROM due"
		  . " WHERE queue = '$queue' AND body LIKE '$like' ORDER BY at, seq");
}

# What arrived: [ body, ms ], in order.
sub came
{
	my ($queue, $like) = @_;
	my @came;
	for my $entry ($redis->entries($queue))
	{
		my %f = @{ $entry->[1] };
		push @came, [ $f{payload}, $entry->[0] =~ /^(\d+)/ ] if $f{payload} =~ $like;
	}
	return @came;
}

sub bodies { return [ map { $_->[0] } @_ ]; }

# Nothing before its time; returns how late each was, in milliseconds.
sub lateness
{
	my ($due, $came, $name) = @_;
	my %due = map { @$_ } @$due;
	my @late = map { $_->[1] - int $due{ $_->[0] } } @$came;
	my @early = grep { $_ < 0 } @late;
	is("@early", '', "$name: none before its time");
	return sort { $a <=> $b } @late;
}

sub median { return $_[ $#_ / 2 ]; }

# A relay that only looked once a second would be late by half of that or more.
# Here is how much half of them may be late: in one of some tries, each with
# other messages.
my $soon = 250;
my $try = 0;

sub here { my ($queue, $body) = @_; return scalar came($queue, qr/^\Q$body\E$/); }

# In the order of their times, not of their numbers, and soon.
at_best
{
	my $spread = 'spread ' . ++$try;
	$node->safe_psql($db, "SELECT count(later('q', '$spread ' || i, random() * interval '1.5 s' + interval '0.2 s', i % 2 = 0))"
		  . ' FROM generate_series(1, 60) AS i');
	my @due = due('q', "$spread %");
	is(scalar @due, 60, 'messages wait in outbox.deferred');
	eventually { came('q', qr/^$spread /) == 60 } 'all have come';
	my @came = came('q', qr/^$spread /);
	is_deeply(bodies(@came), bodies(@due), 'in the order of their times');
	median(lateness(\@due, \@came, 'spread'))
} $soon, 'half of them within a moment, in ms';

# One at a time: the commit tells the relay, which sleeps longer than that.
# Returns the median of how late they are.
sub one_by_one
{
	my ($name, $n, $delay) = @_;
	$name .= ' ' . ++$try;
	for my $i (1 .. $n)
	{
		$node->safe_psql($db, "SELECT later('q', '$name $i', '$delay')");
		eventually { here('q', "$name $i") } "$name $i";
	}
	my @due = due('q', "$name %");
	my @came = came('q', qr/^$name /);
	return median(lateness(\@due, \@came, $name));
}
at_best { one_by_one('alone', 7, '60 ms') } $soon, 'an idle relay is told, ms';

# Due before the commit: it goes with the commit.  Neither before it nor, half
# of them, more than a moment after.
my $session = session($node, $db);
at_best
{
	my @late;
	$try++;
	for my $i (1 .. 5)
	{
		my $body = "passed $try $i";
		$session->query_safe("BEGIN; SELECT later('q', '$body', '20 ms', true)");
		$session->query_safe("SELECT wait_for(at) FROM due WHERE body = '$body'");
		is(here('q', $body), 0, 'not before its commit');
		my $commit = $session->query_safe(
			'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)');
		$session->query_safe('COMMIT');
		eventually { here('q', $body) } 'a message whose time has passed goes with its commit';
		push @late, (came('q', qr/^$body$/))[0][1] - $commit;
	}
	median(sort { $a <=> $b } @late)
} $soon, 'at once, ms';

# No transaction, no message.
$node->safe_psql($db, "SELECT outbox_enqueue('q', 'due at once', deliver_at => now() - interval '1 h')");
eventually { here('q', 'due at once') } 'a time that has passed is no delay';
$node->safe_psql($db, "BEGIN; SELECT later('q', 'rolled back', '50 ms'); ROLLBACK");
$node->safe_psql($db, "BEGIN; SELECT later('q', 'savepoint kept', '50 ms'); SAVEPOINT s;"
	  . "SELECT later('q', 'savepoint undone', '50 ms'); ROLLBACK TO s; COMMIT");
for my $name ('kept', 'undone', 'kept later', 'undone later')
{
	$node->safe_psql($db, "BEGIN; SELECT later('q', 'prepared $name', '100 ms');"
		  . "PREPARE TRANSACTION '$name'");
}
eventually { here('q', 'savepoint kept') } 'what was kept arrives';
$node->safe_psql($db, "SELECT wait_for(clock_timestamp() + interval '100 ms')");
is(scalar came('q', qr/^prepared/), 0, 'nothing comes of what is only prepared');
$node->safe_psql($db, "COMMIT PREPARED 'kept'");
$node->safe_psql($db, "ROLLBACK PREPARED 'undone'");
eventually { here('q', 'prepared kept') } 'COMMIT PREPARED delivers, though nobody wakes the relay';

# Crashes and kills while they wait.
my $spread = sub {
	my ($name, $n) = @_;
	$node->safe_psql($db, "SELECT count(later('q', '$name ' || i,"
		  . " random() * interval '2 s' + interval '0.1 s')) FROM generate_series(1, $n) AS i");
};
$spread->('crash', 40);
for my $round (1 .. 2)
{
	eventually { came('q', qr/^crash/) >= 5 * $round } "round $round: some have come";
	$round == 1 ? $node->stop('immediate') : kill_hard($node);
	$node->start;
}
my $relay = wait_relay($node, $db);
kill 'KILL', $relay;
eventually { my $new = relay_pid($node, $db); $new && $new != $relay } 'another relay';
eventually { came('q', qr/^crash/) >= 40 } 'all have come after crashes and a kill';
my @came = came('q', qr/^crash/);
my @due = due('q', 'crash %');
is_deeply([ sort @{ bodies(@came) } ], [ sort @{ bodies(@due) } ], 'each once');
lateness(\@due, \@came, 'crash');
$session->quit;
$session = session($node, $db);

# Prepared before the crash, decided after it.
$node->safe_psql($db, "COMMIT PREPARED 'kept later'");
$node->safe_psql($db, "ROLLBACK PREPARED 'undone later'");
eventually { here('q', 'prepared kept later') } 'what was prepared before a crash arrives';

# Due while Redis is away.
$redis->stop_saved;
$node->safe_psql($db, "SELECT later('q', 'outage ' || i, i * interval '60 ms') FROM generate_series(1, 5) AS i");
$node->safe_psql($db, "SELECT wait_for(max(at)) FROM due");
eventually { status($node, $db, 'waiting') >= 4 } 'what is due waits like any other';
$redis->start_again;
eventually { came('q', qr/^outage/) >= 5 } 'with Redis back they come';

# Taken back.
my $id = $node->safe_psql($db, "SELECT later('q', 'cancelled', '1 hour')");
my @taken_back = ($id);
is($node->safe_psql($db, "SELECT outbox_cancel('$id')"), 't', 'one that waits can be taken back');
is($node->safe_psql($db, "SELECT outbox_cancel('$id')"), 'f', 'but once');
$id = $node->safe_psql($db, "SELECT id FROM due WHERE body = 'outage 1'");
is($node->safe_psql($db, "SELECT outbox_cancel('$id')"), 'f', 'one that has gone can not');
$id = $node->safe_psql($db, "SELECT later('q', 'cancel rolled back', '1 hour')");
is($node->safe_psql($db, "BEGIN; SELECT outbox_cancel('$id'); ROLLBACK"), 't', 'taken back, and this rolled back');
$node->safe_psql($db, "UPDATE outbox.deferred SET due_at = now() WHERE id = '$id'");

# One that is being taken back just now is in nobody's way.  On a busy machine it
# needs a longer delay, not to go before that.
for my $end ('ROLLBACK', 'COMMIT')
{
	my ($taken, $wait) = ('f', 100);
	until ($taken eq 't' || $wait > 100_000)
	{
		$wait *= 2;
		$id = $node->safe_psql($db, "SELECT later('r', 'open $end $wait', '$wait ms')");
		$taken = $session->query_safe("BEGIN; SELECT outbox_cancel('$id')");
		$session->query_safe('ROLLBACK') if $taken ne 't';
	}
	is($taken, 't', "$end: being taken back");
	push @taken_back, $id if $end eq 'COMMIT';
	$node->safe_psql($db, "SELECT later('r', 'after $end ' || i, i * interval '1 ms' + interval '$wait ms')"
		  . " FROM generate_series(1, 3) AS i");
	put($node, $db, 'r', "not delayed $end");
	eventually { here('r', "not delayed $end") } "$end: others flow";
	eventually { came('r', qr/^after $end/) == 3 } "$end: so do those due later";
	is(here('r', "open $end $wait"), 0, "$end: not before it is decided");
	$session->query_safe($end);
	eventually { here('r', "open $end $wait") } 'rolled back, it arrives' if $end eq 'ROLLBACK';
}
$session->quit;
eventually { here('q', 'cancel rolled back') } 'and so does the other one';

# So many for later that a scan would show.  They are made as enqueueing makes
# them; going by their index, the relay doesn't meet them.
my $scans = sub {
	my ($which) = @_;
	return $node->safe_psql($db,
		"SELECT $which FROM pg_stat_user_tables WHERE relid = 'outbox.deferred'::regclass");
};
$node->safe_psql($db, <<'EOC');
SELECT count(outbox_enqueue('r', 'far away', delay => '1 day' + i * interval '1 minute'))
FROM generate_series(1, 20000) AS i;
EOC
my $before = $scans->('idx_scan');
eventually { $scans->('idx_scan') > $before } 'the relay has looked at them';
my $seq_scans = $scans->('seq_scan');
$before = $scans->('idx_scan');
at_best { one_by_one('among many', 15, '30 ms') } $soon, "20,000 others don't slow one down, ms";
eventually { $scans->('idx_scan') > $before + 15 } 'they are found by an index';
is($scans->('seq_scan'), $seq_scans, 'and the table is not read as a whole');

# What never existed or was taken back has not come, and the rest came once.
settle($node, $db, $redis, 'q', 'r');
my @bodies = (@{ bodies(came('q', qr/./)) }, @{ bodies(came('r', qr/./)) });
my %arrived = map { $_->[0] => 1 } $redis->arrived('q'), $redis->arrived('r');
is_deeply([ (grep { /rolled back$|undone|cancelled/ && $_ ne 'cancel rolled back' } @bodies), grep { $arrived{$_} } @taken_back ],
	[], 'what was rolled back or taken back never came');
my %count;
$count{$_}++ for grep { !/^last message/ } @bodies;
is_deeply([ grep { $count{$_} > 1 } sort keys %count ], [], 'nothing came twice');
delete @arrived{@taken_back};
is($node->safe_psql($db, 'SELECT count(*) FROM due WHERE id <> ALL (ARRAY['
		  . join(',', map { "'$_'::uuid" } @taken_back, keys %arrived) . '])'),
	0, 'and all of the others came');

done_testing();
