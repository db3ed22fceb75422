# Copyright (c) 2026, the outbox developers
#
# Promise: a message that a queue gives up on is set aside at once, told once,
# and kept with all that belongs to it; replayed, it comes once, in order; and
# neither it nor one that was discarded comes back by itself, whatever is
# killed or set back (I2, I3, I4).  Others flow meanwhile (I8).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }

sub letters
{
	my ($columns, $where) = @_;
	return ask($node, $db, "SELECT $columns FROM outbox.dead_letters WHERE " . ($where // 'true'));
}

# Whatever can be said of a queue's messages: once, in order.
sub payloads { return join ' ', map { $_->[1] } $redis->arrived($_[0]); }

sub break_it { $redis->cmd('RENAME', $_[0], "$_[0] aside"); return $redis->cmd('SET', $_[0], 'of another type'); }
sub mend_it { return $redis->cmd('RENAME', "$_[0] aside", $_[0]); }

sub warnings { my @w = log_of($node) =~ /WARNING:.*given up message (\S+)/g; return @w; }

sql("SELECT create_queue('d', on_failure => 'dead_letter')");
sql("SELECT outbox_enqueue('d', 'first')");
eventually { payloads('d') eq 'first' } 'a message arrives';
break_it('d');

# Given up at the first refusal, with its neighbours, and told.
my $listener = session($node, $db);
$listener->query_safe('LISTEN outbox_dead_letter');
sql("BEGIN; SELECT outbox_enqueue('d', 'rolled back'); ROLLBACK");
my @id = map { sprintf 'aaaaaaaa-0000-7000-8000-%012d', $_ } 0 .. 9;
sql(qq{SELECT outbox_enqueue('d', '{"n": 0}'::jsonb, type => 'kind', key => 'k',
	headers => '{"h": "1"}', id => '$id[0]')});
sql(q{SELECT outbox_alter_queue('d', settings => '{"payload_type": "bytea"}')});
sql("SELECT outbox_enqueue('d', '\\x00ff'::bytea, key => 'k', id => '$id[1]')");
sql(q{SELECT outbox_alter_queue('d', settings => '{"payload_type": "text"}')});
sql(join '', map { "SELECT outbox_enqueue('d', 'n$_', key => 'k', id => '$id[$_]');" } 2 .. 9);
put($node, $db, 'q', 'flows');
eventually { letters('count(*)') eq '10' } 'refused messages are dead letters';
eventually { $redis->count('q') == 1 } 'other queues flow';
is(letters(q{payload, payload_type, type, key, headers, reason, last_error ~ $$^WRONGTYPE$$, attempts,}
		  . ' queue, first_failed_at = last_failed_at, last_failed_at = dead_at,'
		  . ' enqueued_at < dead_at', "id = '$id[0]'"),
	'"{\\"n\\": 0}"|text|kind|k|{"h": "1"}|refused|t|1|d|t|t|t', 'a dead letter has all that it had, and why');
is(letters("payload, payload_type, type IS NULL, headers IS NULL", "id = '$id[1]'"),
	'"\\\\x00ff"|bytea|t|t', 'bytes too');
is(letters(q{jsonb_array_length(history), history->0->>'reason', history->0->>'queue',}
		  . q{history->0->>'attempt', history->0->>'error' ~ '^WRONGTYPE',}
		  . q{(history->0->>'at')::timestamptz = dead_at}, "id = '$id[0]'"),
	'1|refused|d|1|t|t', 'and its history');
is_deeply([ sort(warnings()) ], \@id, 'each was told once in the log');

my $heard = '';
eventually {
	$heard .= $listener->query_safe('SELECT 1');
	10 == (() = $heard =~ /outbox_dead_letter/g);
} 'each was told to who listens';
my %heard = $heard =~ /payload "\{"queue": "d", "id": "([0-9a-f-]+)"\}" received from server process with PID (\d+)/g;
is_deeply([ sort keys %heard ], \@id, 'queue and id');
my $relay = relay_pid($node, $db);
is_deeply([ grep { $_ ne $relay } values %heard ], [], 'by the relay alone');
unlike(log_of($node), qr/"n": 0/, 'no payload is in the log');

# Replay and discard are their transactions'.
is(sql("BEGIN; SELECT outbox_replay('$id[0]'); ROLLBACK"), 't', 'a replay');
is(sql("BEGIN; SELECT outbox_discard('$id[2]'); ROLLBACK"), 't', 'a discard');
is(sql("BEGIN; SELECT outbox_replay_queue('d'); ROLLBACK"), '10', 'a replay of them all');
is(letters('count(*)'), 10, 'all rolled back');

# Replayed into the same refusal: dead again, with more history.
is(sql("SELECT outbox_replay('$id[0]')"), 't', 'replayed too early');
eventually { letters('jsonb_array_length(history)', "id = '$id[0]'") eq '3' } 'it dies again';
is(letters(q{jsonb_path_query_array(history, '$[*].reason')}, "id = '$id[0]'"),
	'["refused", "replayed", "refused"]', 'and the history tells it all');
is(letters('count(*)'), 10, 'it is there once');

mend_it('d');
is(sql("SELECT outbox_replay('$id[0]')"), 't', 'mended, and replayed');
is(sql("SELECT outbox_replay('$id[0]')"), 'f', 'but once');
is(sql("SELECT outbox_discard('$id[9]')"), 't', 'discarded');
is(sql("SELECT outbox_discard('$id[9]')"), 'f', 'but once');
is(sql("SELECT outbox_replay('$id[9]')"), 'f', 'and not to be replayed');
eventually { payloads('d') eq 'first {"n": 0}' } 'the replayed one arrives';
is(($redis->arrived('d'))[-1][0], $id[0], 'with its id');
is(sql('SELECT outbox_replay_queue($$d$$, 3)'), '3', 'the three oldest');
my $so_far = "first {\"n\": 0} \x00\xff n2 n3";
eventually { payloads('d') eq $so_far } 'they arrive, in order';
is(letters(q{string_agg(payload #>> '{}', $$ $$ ORDER BY dead_at, payload #>> '{}')}), 'n4 n5 n6 n7 n8', 'the others stay');

# None of them comes back.
my ($cursor) = @{ $redis->cmd('KEYS', '{d}:outbox:*') };
my $skips = sub { return scalar grep { /^s\d+$/ } @{ $redis->cmd('HKEYS', $cursor) }; };
cmp_ok($skips->(), '>=', 10, 'all that was skipped is in the skip list');
kill 'KILL', $relay;
eventually { my $new = relay_pid($node, $db); $new && $new ne $relay } 'another relay';
settle($node, $db, $redis, 'q');
is(payloads('d'), $so_far, 'nothing comes back with another relay');
kill_hard($node);
$node->start;
settle($node, $db, $redis, 'q');
is(payloads('d'), $so_far, 'nor after a crash of the server');

# Redis forgets: the skip list, the replay, all that came since.  Then what came
# since comes again, and no more.
$redis->remember;
break_it('d');
sql("SELECT outbox_enqueue('d', 'lost $_', id => 'bbbbbbbb-0000-7000-8000-00000000000$_')") for 1 .. 4;
eventually { letters('count(*)', q{payload #>> '{}' LIKE 'lost%'}) eq '4' } 'more dead letters';
mend_it('d');
is(sql("SELECT outbox_replay('$id[4]')"), 't', 'one is replayed');
is(sql("SELECT outbox_discard('bbbbbbbb-0000-7000-8000-000000000001')"), 't', 'one is discarded');
is(sql("SELECT outbox_replay('bbbbbbbb-0000-7000-8000-000000000002')"), 't', 'another one is replayed');
sql("SELECT outbox_enqueue('d', 'last')");
eventually { payloads('d') eq "$so_far n4 lost 2 last" } 'they have come';
$redis->come_back_as_remembered;
eventually { payloads('d') =~ /last$/ } 'Redis has come back without them: what has to comes again';
is(payloads('d'), "$so_far n4 lost 2 last", 'and nothing else does');
is(letters(q{string_agg(payload #>> '{}', $$ $$ ORDER BY dead_at, payload #>> '{}')}),
	'n5 n6 n7 n8 lost 3 lost 4', 'what is dead stays so');
cmp_ok(scalar(warnings()), '==', 15, 'and is not told again');

# Once staging has forgotten the messages, so do skip list and table.
configure($node, 'outbox.retention' => '1s');
my $n = 0;
eventually {
	put($node, $db, 'q', 'keeps staging moving ' . ++$n);
	$skips->() == 0;
} 'the skip list gets empty';
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.dead_letter WHERE gone_at IS NOT NULL') eq '0' }
'replayed and discarded ones are deleted';
is(ask($node, $db, 'SELECT count(*) FROM outbox.dead_letter WHERE skipped'), '0', 'the others are out of the skip list');
$relay = relay_pid($node, $db);
kill 'KILL', $relay;
eventually { my $new = relay_pid($node, $db); $new && $new ne $relay } 'another relay';
settle($node, $db, $redis, 'q');
is(payloads('d'), "$so_far n4 lost 2 last", 'nothing comes back then');
is(sql('SELECT outbox_replay_queue($$d$$)'), '6', 'what is left is replayed');
eventually { payloads('d') eq "$so_far n4 lost 2 last n5 n6 n7 n8 lost 3 lost 4" } 'and arrives in order';
configure($node, 'outbox.retention' => '60s');

# Many.
break_it('d');
my $many = 10_000;
my $enqueue = seconds { sql("SELECT count(outbox_enqueue('d', 'm' || i)) FROM generate_series(1, $many) AS i") };
put($node, $db, 'q', 'beside many');
my $took = seconds { eventually { $redis->last_of('q') eq 'beside many' } 'another queue flows' };
eventually { letters('count(*)') eq $many } "$many dead letters";
my ($beside) = ($redis->entries('q'))[-1][0] =~ /^(\d+)/;
ok($took < 5 || letters("extract(epoch FROM max(dead_at)) * 1000 > $beside") eq 't',
	"$many dead letters don't hold it up ($took s)");
mend_it('d');
my $before = $redis->count('d');
$took = seconds { is(sql("SELECT outbox_replay_queue('d')"), $many, 'all are replayed') };
cmp_ok($took, '<', 10 + 20 * $enqueue, "in reasonable time ($took s, enqueueing took $enqueue s)");
eventually { $redis->count('d') >= $before + $many } 'and arrive';
my @got = map { $_->[1] } $redis->arrived('d');
splice @got, 0, $before;
is(scalar @got, $many, 'each once');
my ($wrong) = grep { $got[$_] ne 'm' . ($_ + 1) } 0 .. $#got;
ok(!defined $wrong, 'in order') or diag("place $wrong: $got[$wrong]");
eventually {
	ask($node, $db, q{SELECT dead_letters, waiting, retrying FROM outbox.queue_status WHERE queue = 'd'}) eq '0|0|0'
} 'and nothing is left';
$listener->quit;

done_testing();
