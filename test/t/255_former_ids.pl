# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that gets one id after the other waits for all that it was: it begins
# when none of these has requests under way, and goes on from the last one's totals.
# Guards relay/refresh.c (last_former_queue).
#
# What a queue was is forgotten at once, unless some queue still waits for what that was.
# So queue x waits meanwhile: its server does not answer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %at = map { $_ => OutboxTest::Redis->start } qw(q x z);
my $node = new_node('main', redis => $at{q}, conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db, 'q');
sub sql { return $node->safe_psql($db, $_[0]); }
sub on_its_own { return "SELECT outbox_create_queue('$_[0]', settings => '{\"payload_type\": \"text\", \"server\": \"$_[1]\"}')"; }
sql("CREATE SERVER $_ FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $at{$_}->url ]}')") for qw(x z);
sql(on_its_own('x', 'x'));
my $purge = q{SELECT outbox_purge_queue('q', force => true)};

# A server does nothing that writes, and the relay's request waits there.
sub hold
{
	my ($queue, $body) = @_;
	$at{$queue}->cmd('CLIENT', 'PAUSE', 3_600_000, 'WRITE');
	put($node, $db, $queue, $body);
	wait_for { $at{$queue}->cmd('CLIENT', 'LIST') =~ /^.* name=outbox\S* .*flags=b/m } or die "no request waits\n";
	return;
}

sub connections { return join ' ', map { $at{$_}->cmd('INFO', 'stats') =~ /^total_connections_received:(\d+)/m } qw(q x); }

my ($n, $reached) = (0, 0);
put($node, $db, $_, 'first') for qw(q x);
settle($node, $db, $at{$_}, $_) for qw(q x);
$n += 2;

# The relay gives up waiting for an answer after a while: then it was no such round.
for my $round (1 .. 10)
{
	my $before = connections();
	hold('x', "x $round");
	sql(q{SELECT outbox_purge_queue('x', force => true)});
	sql($purge);
	put($node, $db, 'q', "second id, $round");
	wait_for { $at{q}->last_of('q') eq "second id, $round" } or die "nothing comes\n";
	hold('q', "under way, $round");
	sql($purge);
	sql(on_its_own("z$round", 'z'));
	put($node, $db, 'q', "third id, $round");
	put($node, $db, "z$round", 'the relay knows the last ids');
	wait_for { $at{z}->count("z$round") == 1 } or die "other queues wait\n";
	$reached = connections() eq $before;
	$at{$_}->cmd('CLIENT', 'UNPAUSE') for qw(x q);
	$n += 3;
	eventually { $at{q}->last_of('q') eq "third id, $round" } "round $round: the third id's message comes";
	last if $reached;
}
ok($reached, 'nobody gave up waiting');
eventually { sql(q{SELECT delivered FROM outbox.queue_status WHERE queue = 'q'}) == $n } "all that was delivered under each id is counted: $n";
my @bodies = map { $_->[1] } $at{q}->arrived('q');
is(scalar(@bodies), $n, 'each came once');
is("@bodies[-2, -1]" =~ s/,//gr, join(' ', map { "$_ " . ($n - 2) / 3 } 'under way', 'third id'), 'in order');

done_testing();
