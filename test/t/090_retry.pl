# Promise: what a queue with policy retry is refused is tried again, later and
# later, its attempts counted, until it goes through or is given up; messages of
# its key wait behind it in order (I4), other keys and messages without a key
# pass (I8).  What goes this way arrives as it would have otherwise, byte by
# byte, in every target.  A queue that is altered or paused meanwhile goes by
# its new settings.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my ($url) = relay_url($redis);
my $node = new_node('main', url => $url);
my $db = 'postgres';
install_keyed($node, $db);

# retry_delay and so on, in milliseconds.
sub create
{
	my ($queue, $target, %opt) = @_;
	my %ms = (retry_delay => 200, retry_max_delay => 60000);
	%ms = (%ms, map { $_ => $opt{$_} } grep { exists $opt{$_} } keys %ms);
	my $more = join '', map { ", $_ => $opt{$_}" } grep { !exists $ms{$_} } sort keys %opt;
	$more .= ", $_ => '$ms{$_} milliseconds'" for sort keys %ms;
	$node->safe_psql($db, "SELECT outbox_create_queue('$queue', '$target', on_failure => 'retry'$more)");
	return;
}

sub bodies { return join ' ', map { $_->[2] } arrivals($redis, $_[0]); }

# Growing delays.  The relay sets due_at when it writes an attempt down, so the
# two are apart by just the delay; a trigger keeps all of them.
create('slow', 'stream', max_attempts => 6, retry_backoff => 2, retry_max_delay => 500);
$node->safe_psql($db, <<'EOC');
CREATE TABLE tries (id uuid, attempts int, reason text, at timestamptz, due_at timestamptz);
CREATE FUNCTION keep_try() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.tries VALUES (NEW.id, NEW.attempts, NEW.reason,
		(NEW.history -> -1 ->> 'at')::timestamptz, NEW.due_at);
	RETURN NULL;
END $$;
CREATE TRIGGER keep_try AFTER INSERT OR UPDATE ON outbox.deferred
	FOR EACH ROW WHEN (NEW.reason = 'retry' AND NEW.attempts > 0) EXECUTE FUNCTION keep_try();
EOC
refuse($redis, 'slow');
put_keyed($node, $db, 'slow', 'a', 'first of a');
put_keyed($node, $db, 'slow', 'a', 'second of a');
put_keyed($node, $db, 'slow', 'b', 'first of b');
put_keyed($node, $db, 'slow', undef, map { "alone $_" } 1 .. 12);
eventually { held($node, $db, 'slow') == 15 } 'all are held';
is(deferred($node, $db, 'slow', "count(*) FILTER (WHERE d.reason = 'behind')"), 1,
	'of them one waits behind another');
is(deferred($node, $db, 'slow', q{string_agg(d.attempts::text, '') FILTER (WHERE d.reason = 'behind')}), 0,
	'which costs it no attempt');
eventually { queue_status($node, $db, 'slow', 'held') == 15 } 'the view counts them';
is(queue_status($node, $db, 'slow', 'state'), 'flowing', 'the queue does not stand still');
like(queue_status($node, $db, 'slow', 'last_error'), qr/^WRONGTYPE/, 'and the view has the error');
eventually
{
	ask($node, $db, q{SELECT count(*) FROM outbox.dead_letters WHERE payload_text <> 'second of a'}) == 14;
}
'after the last attempt they are dead letters';
my $first = q{FROM tries WHERE id IN (SELECT id FROM journal WHERE body <> 'second of a')};
is( $node->safe_psql($db, <<"EOC"),
SELECT attempts, count(*), count(DISTINCT delay) > 1,
	bool_and(delay BETWEEN 0.9 * nominal AND 1.1 * nominal)
FROM (SELECT attempts, extract(epoch FROM due_at - at) AS delay,
		least(0.2 * 2 ^ (attempts - 1), 0.5) AS nominal $first) AS t
GROUP BY 1 ORDER BY 1
EOC
	join("\n", map { "$_|14|t|t" } 1 .. 5),
	'delays grow up to the maximum, each a tenth longer or shorter');
is($node->safe_psql($db, "SELECT count(*) $first AND at < (SELECT due_at FROM tries AS o"
		  . ' WHERE o.id = tries.id AND o.attempts = tries.attempts - 1)'),
	0, 'and nothing is tried before its time');
is( $node->safe_psql($db, <<'EOC'),
SELECT DISTINCT why, attempts, (SELECT string_agg(concat_ws(' ', e ->> 'attempt', e ->> 'reason',
		e ->> 'queue', substr(e ->> 'error', 1, 9)), ', ' ORDER BY n)
	FROM jsonb_array_elements(history) WITH ORDINALITY AS h (e, n))
FROM outbox.dead_letters WHERE payload_text <> 'second of a'
EOC
	'refused|6|' . join(', ', map { "$_ refused slow WRONGTYPE" } 1 .. 6),
	'all attempts are in the history');
eventually { deferred($node, $db, 'slow', 'max(d.attempts)') > 0 } 'then the next of its key goes';
mend($redis, 'slow');
eventually { bodies('slow') eq 'second of a' } 'and arrives when it can';
eventually { queue_status($node, $db, 'slow', 'held, dead_letters, dead_lettered') eq '0|14|14' }
'the view counts dead letters';
my @said = log_of($node) =~ /outbox has given up message/g;
is(scalar @said, 14, 'the log has each once');
$node->safe_psql($db, 'DROP TRIGGER keep_try ON outbox.deferred; DELETE FROM journal');

# Others pass, the same key waits.  A second delay of that length would be
# noticed, but nothing depends on how long it takes.
create('q', 'stream', retry_delay => 1500);
put_keyed($node, $db, 'q', undef, 'before');
eventually { count_of($redis, 'q') == 1 } 'the queue flows';
refuse($redis, 'q');
put_keyed($node, $db, 'q', 'a', 'A1');
eventually { held($node, $db, 'q') == 1 } 'a message is held';
mend($redis, 'q');
put_keyed($node, $db, 'q', 'b', 'B');
put_keyed($node, $db, 'q', 'a', 'A2');
put_keyed($node, $db, 'q', undef, 'alone');
put_keyed($node, $db, 'q', 'a', 'A3');
put_keyed($node, $db, 'q', '', 'empty');
eventually { bodies('q') eq 'before B alone empty' } 'other keys pass it, no key, an empty key';
is(held($node, $db, 'q'), 3, 'those of its key are held behind it');
eventually { bodies('q') eq 'before B alone empty A1 A2 A3' } 'then they go in their order';
put_keyed($node, $db, 'q', 'a', 'A4');
eventually { bodies('q') =~ / A3 A4$/ } 'and the key is free';
eventually { queue_status($node, $db, 'q', 'failed, dead_lettered, held') eq '1|0|0' }
'one attempt was refused';
audit_keyed($node, $db, $redis, ['q'], 8, 'keys');

# A transaction that enqueued before the refused message, and commits after it:
# its messages have lower numbers, wait behind it, and keep their order.  There
# are more of them than go along with one that is tried again.
my $early = session($node, $db);
$early->query_safe('BEGIN');
$early->query_safe("SELECT put_keyed('q', 'a', 'early ' || i) FROM generate_series(1, 150) AS i");
refuse($redis, 'q');
put_keyed($node, $db, 'q', 'a', 'refused');
eventually { held($node, $db, 'q') == 1 } 'a message is held';
$early->query_safe('COMMIT');
put_keyed($node, $db, 'q', 'a', 'late');
eventually { held($node, $db, 'q') == 152 } 'an older transaction waits behind it';
mend($redis, 'q');
audit_keyed($node, $db, $redis, ['q'], 160, 'older transactions');
$node->safe_psql($db, "SELECT outbox_alter_queue('q', retry_delay => '100 milliseconds')");
refuse($redis, 'q');
$early->query_safe('BEGIN');
$early->query_safe("SELECT put_keyed('q', 'a', 'early again ' || i) FROM generate_series(1, 150) AS i");
put_keyed($node, $db, 'q', 'a', 'refused again');
eventually { held($node, $db, 'q') == 1 } 'once more';
$early->query_safe('COMMIT');
$early->quit;
put_keyed($node, $db, 'q', 'a', 'late again');
eventually { held($node, $db, 'q') == 152 } 'an older transaction waits';
$redis->drop_clients;
eventually { deferred($node, $db, 'q', "max(d.seq) FILTER (WHERE d.reason = 'retry') = min(d.seq)") eq 't' }
'at every connect the first of each key is the one that may go';
mend($redis, 'q');
audit_keyed($node, $db, $redis, ['q'], 312, 'older transactions and a new connection');

# A thousand keys at once, refused by targets of every kind.  Channels keep
# nothing, so somebody listens.
my @kinds = (stream => 'many', list => 'listed', publish => 'news');
create($kinds[ $_ + 1 ], $kinds[$_], retry_delay => 300, max_attempts => 100) for 0, 2, 4;
my $listener = $redis->client;
$listener->cmd('SUBSCRIBE', 'news');
refuse($redis, 'many', 'listed');
relay_may($redis, 'resetchannels');
my %keys = (many => 1000, listed => 20, news => 20);
for my $queue (sort keys %keys)
{
	$node->safe_psql($db, <<"EOC");
SELECT put_keyed('$queue', 'key ' || k, format('%s of %s', n, k))
FROM generate_series(1, 5) AS n, generate_series(1, $keys{$queue}) AS k
EOC
	put_keyed($node, $db, $queue, undef, 'alone');
}
eventually { held($node, $db, $_) == $keys{$_} * 5 + 1 } "$keys{$_} keys of $_ are held"
  for sort keys %keys;
is(deferred($node, $db, 'many', "count(*) FILTER (WHERE d.reason = 'retry')"), 1001,
	'the first of each key is tried again, the others wait');
eventually { deferred($node, $db, $_, 'max(d.attempts)') > 1 } "$_ is tried again"
  for sort keys %keys;
like(queue_status($node, $db, 'news', 'last_error'), qr/NOPERM|ACL failure|can't publish/,
	'a channel is refused');
mend($redis, 'many', 'listed');
relay_may($redis, 'allchannels');
my @news = map { OutboxTest::Refusals::from_json($listener->reply->[2]) } 1 .. 101;
audit_keyed($node, $db, $redis, [ 'many', 'listed', 'news' ], 5200, 'many keys', news => \@news);
ok(!IO::Select->new($listener->{socket})->can_read(0), 'nothing more is on the channel');

# Byte by byte: once as usual and once, with the same id, after a refusal.
# maxlen trims whole nodes of a hundred entries, on both ways.
$node->safe_psql($db, 'DELETE FROM journal');
my @shapes = (
	q('text'),
	q('{"b": [1, 2.50, null], "a": "\u00e9"}'::jsonb, type => 't'),
	q('\x000d0aff'::bytea, key => 'k'),
	q('', type => '', key => ''),
	q(E'na\u00efve \U0001F600 "\\\\"\n', type => E'\u00e9', key => E'\u4e2d', headers => E'{"\u00fc":"\u00df","a":""}'),
	q('x', headers => '{"one":"1"}', key => E'k\n{tag}'),
	q(decode(repeat('0d0a00ff', 20000), 'hex'), type => 'long'),
	q(''::bytea, headers => '{}'));
create('exact', 'stream', retry_delay => 50, max_attempts => 100);
create('short', 'stream', retry_delay => 50, max_attempts => 100, maxlen => 100);
create('json', 'list', retry_delay => 50, max_attempts => 100);
create('raw', 'list', retry_delay => 50, max_attempts => 100, format => q('raw'));
my @exact = qw(exact short json raw);

sub enqueue_shapes
{
	my ($tag) = @_;
	for my $queue (@exact)
	{
		$node->safe_psql($db, join '', map {
			sprintf "SELECT outbox_enqueue('%s', %s, id => '%08d-89ab-7cde-8f01-23456789abcd');\n",
			  $queue, $shapes[$_], $_
		} 0 .. $#shapes);
	}
	return;
}

# What arrived, sorted: messages without a key may pass each other.
sub contents
{
	my ($queue) = @_;
	my @raw =
	  $redis->cmd('TYPE', $queue) eq 'list'
	  ? @{ $redis->cmd('LRANGE', $queue, 0, -1) }
	  : map { join "\1", @{ $_->[1] } } $redis->entries($queue);
	return [ sort @raw ];
}

enqueue_shapes();
eventually { count_of($redis, $_) == @shapes } "$_: as usual" for @exact;
my %usual = map { $_ => contents($_) } @exact;
$redis->cmd('DEL', @exact);
refuse($redis, @exact);
enqueue_shapes();
eventually { held($node, $db, $_) == @shapes } "$_: held" for @exact;
mend($redis, @exact);
eventually { count_of($redis, $_) == @shapes } "$_: again" for @exact;
is_deeply(contents($_), $usual{$_}, "$_: what was refused arrives as it would have") for @exact;

# While one is held, all of the queue goes the careful way.
$node->safe_psql($db, "SELECT outbox_alter_queue('$_', retry_delay => '1 hour')") for @exact;
refuse($redis, @exact);
$node->safe_psql($db, "SELECT outbox_enqueue('$_', 'in the way', key => 'other')") for @exact;
eventually { held($node, $db, $_) == 1 } "$_: something is held" for @exact;
mend($redis, @exact);
$redis->cmd('DEL', @exact);
enqueue_shapes();
eventually { count_of($redis, $_) == @shapes } "$_: with care" for @exact;
is_deeply(contents($_), $usual{$_}, "$_: what goes with care arrives as it would have") for @exact;
$node->safe_psql($db, "SELECT outbox_enqueue('short', i::text) FROM generate_series(1, 1000) AS i");
eventually { (arrivals($redis, 'short'))[-1][2] eq '1000' } 'a thousand go with care';
cmp_ok($redis->count('short'), '<', 400, 'and the stream is trimmed');

# Altered while messages are held.
sub altered
{
	my ($queue, $policy) = @_;
	$node->safe_psql($db, "SELECT outbox_alter_queue('$queue', on_failure => '$policy')");
	return;
}

create('altered', 'stream', retry_delay => 100, retry_max_delay => 100, max_attempts => 3);
refuse($redis, 'altered');
put_keyed($node, $db, 'altered', 'a', 'A1');
eventually { held($node, $db, 'altered') == 1 } 'one is held';
altered('altered', 'block');
put_keyed($node, $db, 'altered', 'b', 'B1');
put_keyed($node, $db, 'altered', 'a', 'A2');
eventually { queue_status($node, $db, 'altered', 'state') eq 'blocked' } 'now the queue stands still';
is(held($node, $db, 'altered'), 1, 'nothing else is held');
is($node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'"), 0,
	'and nothing is given up');
altered('altered', 'retry');
eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'") == 3 }
'with policy retry all are given up in the end';
$node->safe_psql($db, "SELECT outbox_alter_queue('altered', max_attempts => 1000)");
put_keyed($node, $db, 'altered', 'c', 'C1');
put_keyed($node, $db, 'altered', 'c', 'C2');
eventually { deferred($node, $db, 'altered', 'max(d.attempts)') > 3 } 'max_attempts is what it is now';
altered('altered', 'dead_letter');
eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'") == 5 }
'with policy dead_letter they are given up at once';
is(held($node, $db, 'altered'), 0, 'and none is held any more');
put_keyed($node, $db, 'altered', 'c', 'C3');
eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'") == 6 }
'nor is what comes then';
mend($redis, 'altered');
put_keyed($node, $db, 'altered', 'c', 'C4');
eventually { bodies('altered') eq 'C4' } 'mended, the queue flows';
my $died = $node->safe_psql($db, "SELECT string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY dead_at, seq)"
	  . " FROM outbox.dead_letter AS d JOIN outbox.queue AS q ON q.id = d.queue WHERE q.name = 'altered' AND gone_at IS NULL");
is($node->safe_psql($db, "SELECT outbox_replay_queue('altered')"), 6, 'all dead letters are replayed');
eventually { bodies('altered') eq "C4 $died" } 'and arrive in the order in which they died';

# From block to retry, with held messages and a mended queue: what stood still
# goes on.
create('other way', 'stream', retry_delay => 100, max_attempts => 1000);
altered('other way', 'block');
refuse($redis, 'other way');
put_keyed($node, $db, 'other way', 'a', 'A1');
put_keyed($node, $db, 'other way', 'b', 'B1');
put_keyed($node, $db, 'other way', 'a', 'A2');
eventually { queue_status($node, $db, 'other way', 'state') eq 'blocked' } 'a queue that blocks';
altered('other way', 'retry');
eventually { held($node, $db, 'other way') == 3 } 'goes on with policy retry';
altered('other way', 'block');
mend($redis, 'other way');
put_keyed($node, $db, 'other way', 'a', 'A3');
eventually { held($node, $db, 'other way') == 0 && count_of($redis, 'other way') == 4 }
'blocking again, what is held goes when it can';
like(bodies('other way'), qr/A1.*A2.*A3/, 'in its order');

# Paused while messages are held.
create('paused', 'stream', retry_delay => 100, retry_max_delay => 100, max_attempts => 1000);
create('clock', 'stream', retry_delay => 100, retry_max_delay => 100, max_attempts => 1000);
refuse($redis, 'paused', 'clock');
put_keyed($node, $db, $_, 'a', 'A1', 'A2') for 'paused', 'clock';
eventually { held($node, $db, $_) == 2 } "$_: two are held" for 'paused', 'clock';
$node->safe_psql($db, "SELECT outbox_pause_queue('paused')");
put_keyed($node, $db, 'paused', 'a', 'A3');
put_keyed($node, $db, 'paused', 'b', 'B1');
my $now = deferred($node, $db, 'clock', 'max(d.attempts)');
eventually { deferred($node, $db, 'clock', 'max(d.attempts)') > $now + 1 } 'another queue tries on';
my $tries = deferred($node, $db, 'paused', 'max(d.attempts)');
$now = deferred($node, $db, 'clock', 'max(d.attempts)');
mend($redis, 'paused');
eventually { deferred($node, $db, 'clock', 'max(d.attempts)') > $now + 3 } 'and on';
is(deferred($node, $db, 'paused', 'count(*), max(d.attempts)'), "2|$tries", 'a paused queue tries nothing');
is(count_of($redis, 'paused'), 0, 'and sends nothing');
is(queue_status($node, $db, 'paused', 'state'), 'paused', 'which the view says');
$node->safe_psql($db, "SELECT outbox_resume_queue('paused')");
eventually { count_of($redis, 'paused') == 4 } 'resumed, all arrive';
like(bodies('paused'), qr/A1.*A2.*A3/, 'in their order');
is(deferred($node, $db, 'paused', 'count(*)'), 0, 'and nothing is held');

done_testing();
