# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that is purged, or gets another key in Redis, beside a relay that
# delivers and writers that go on: what was enqueued afterwards arrives, each once, in
# order (I2, I3, I4), under the key that the queue had when it was enqueued; of what was
# enqueued before nothing comes twice; other queues notice nothing (I8).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Checker;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1s\n");
my $db = 'postgres';
install($node, $db, 'q', 'o');

sub sql { return $node->safe_psql($db, $_[0]); }

# Whoever enqueues holds the queue's lock, so the id that the journal has is that of
# the message.
sql(<<'EOC');
CREATE TABLE ids (id int PRIMARY KEY, key text, purged bigint);
INSERT INTO ids SELECT id, redis_key FROM outbox.queue WHERE name = 'q';
ALTER TABLE journal ADD queue_id int;
CREATE FUNCTION note_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.queue_id := (SELECT id FROM outbox.queue WHERE name = NEW.queue);
	RETURN NEW;
END;
$$;
CREATE TRIGGER note_id BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION note_id();
EOC

# The same in one transaction, as long as somebody has enqueued and is open.
sub renew
{
	my ($key, @commands) = @_;
	my $moved = $key eq '' ? '' : qq[SELECT outbox_alter_queue('q', settings => '{"redis_key": "$key"}');];
	return eventually {
		$node->psql($db, <<"EOC") == 0;
BEGIN;
SELECT outbox_purge_queue('q', force => true) AS n \\gset
$moved
INSERT INTO ids SELECT id, redis_key, :n FROM outbox.queue WHERE name = 'q';
@commands
COMMIT;
EOC
	} 'the queue is purged' . ($key eq '' ? '' : " and moved to $key");
}

my $load = load($node, $db, queues => [ 'q', 'o' ], writers => 3, max_delay => 0.002);
for my $round (1 .. 12)
{
	my $n = $redis->count('o');
	eventually { $redis->count('o') > $n + 20 } "round $round: writers go on" or last;
	$redis->pause if $round % 4 == 1;
	renew(('', 'q2', 'q')[ $round % 3 ]) or last;
	sql("SELECT pg_terminate_backend(pid) FROM outbox.status") if $round % 4 == 2;
	$redis->resume if $round % 4 == 1;
	$redis->drop_clients if $round % 4 == 3;
}
renew('q');
eventually { $redis->count('q') > 0 } 'it flows';
$load->stop;
settle($node, $db, $redis, 'q', 'o');
is(sql('SELECT count(*) FROM ids'), 14, 'the queue has had as many ids');

my %key = map { split /\|/ } split /\n/, sql('SELECT id, key FROM ids');
my $last = sql(q{SELECT id FROM outbox.queue WHERE name = 'q'});
my %id = map { split /\|/ } split /\n/, sql(q{SELECT id, queue_id FROM journal WHERE queue = 'q'});
my (@arrived, %seen);
for my $key ('q', 'q2')
{
	for my $arrival ($redis->arrived($key))
	{
		my ($id) = @$arrival;
		fail("message $id under $key, " . ($id{$id} ? "not $key{ $id{$id} }" : 'of nobody')) if !$id{$id} || $key{ $id{$id} } ne $key;
		fail("message $id came twice") if $seen{$id}++;
	}
}
my @journal = @{ journal($node, $db) };
for my $key ('q', 'q2')
{
	my @rows = grep { $_->{queue} eq 'o' || $key{ $id{ $_->{id} } } eq $key } @journal;
	my @faults = grep { !/^lost: (\S+) of q / || $id{$1} == $last }
	  OutboxTest::Checker::faults([ map { { %$_, queue => $_->{queue} eq 'q' ? $key : 'o' } } @rows ],
		{ o => [ $redis->arrived('o') ], $key => [ $redis->arrived($key) ] });
	@faults = grep { !/^lost: (\S+) of \Q$key\E / || $id{$1} == $last } @faults;
	is("@faults[0 .. ($#faults < 4 ? $#faults : 4)]", '', "$key: what came is in order, nothing of the last id is lost; nor of the other queue");
}
my $given_up = grep { $_->{queue} eq 'q' && !$seen{ $_->{id} } } @journal;
cmp_ok($given_up, '<=', sql('SELECT sum(purged) FROM ids'), 'no more is given up than was said');
cmp_ok($given_up, '>', 0, "something was given up: $given_up");
cmp_ok(scalar(keys %seen), '>', 200, 'and much was delivered: ' . keys %seen);
is(sql("SELECT count(*) FROM outbox.deferred"), 0, 'nothing is left of what was');
my $total = sql("SELECT delivered FROM outbox.queue_status WHERE queue = 'q'");
cmp_ok($total, '<=', scalar(keys %seen), 'totals go on');
cmp_ok(scalar @{ $redis->cmd('KEYS', '{q}:outbox:*') }, '>', 1, 'former cursors stay: they are what a server goes on from that has lost this');

done_testing();
