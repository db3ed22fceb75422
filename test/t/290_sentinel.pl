# Copyright (c) 2026, the outbox developers
#
# Promise: where Sentinels watch Redis, messages go to the master that these name,
# whatever becomes of it: replaced by hand, killed, hung and back as a master that
# is none any more.  Nothing is lost (I2), what a master had acknowledged and lost
# comes again and nothing else does (I3), in order (I4), no attempt is counted (I9).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sentinel = OutboxTest::Sentinel->start;
my $node = new_node('main', url => $sentinel->url, conf => 'outbox.retention = 5min');
my $db = 'postgres';
my @queues = qw(q r);
install($node, $db, @queues);

my $master = $sentinel->master;
put($node, $db, 'q', 'first');
settle($node, $db, $master, @queues);
my $port = $master->{port};
like(status($node, $db, 'address'), qr{^127\.0\.0\.1:$port/0 \(master "mymaster" of Sentinel 127\.0\.0\.1:\d+\)$},
	'the status says where the master is, and who says so');

# Messages flow into whatever is master now.
sub flows
{
	my ($name) = @_;
	my %had;
	return eventually {
		my $redis = $sentinel->master_now or return 0;
		my $count = $redis->count('q');
		$had{ $redis->{port} } //= $count;
		return $count > $had{ $redis->{port} } + 20;
	} $name;
}

# The same, into another one than before.  How long they did not, for who reads the log.
sub fails_over
{
	my ($what, $fault) = @_;
	my $old = $sentinel->master;
	my $began = time;
	$fault->($old);
	$sentinel->master($old);
	my $failover = time - $began;
	flows("$what: messages flow into the new master");
	note(sprintf '%s: a new master after %.1f s, messages there after %.1f s', $what, $failover, time - $began);
	return $old;
}

my $load = load($node, $db, writers => 2, queues => \@queues, max_delay => 0.02);
flows('messages flow');
fails_over('by hand', sub { $sentinel->failover });
$sentinel->wait_complete;
fails_over('killed', sub { $_[0]->kill9 })->start_again;
$sentinel->wait_complete;
my $hung = fails_over('hung', sub { $_[0]->pause });
$hung->resume;
$port = $sentinel->master->{port};
eventually { status($node, $db, 'address') =~ /:$port\/0 / } 'the status says where it is now';
eventually { $hung->cmd('ROLE')->[0] eq 'slave' } 'who had hung is a replica';
flows('messages flow as before');

$load->stop;
audit($node, $db, $sentinel->master, \@queues, 500, 'nothing lost, nothing twice, all in order');
is(ask($node, $db, q{SELECT sum(failed) || ' ' || sum(dead_lettered) || ' ' || sum(retrying) FROM outbox.queue_status}),
	'0 0 0', 'no attempt is counted');
my @lost = log_of($node) =~ /WARNING:.*Redis has lost (\d+) acknowledged messages/g;
note("acknowledged, lost and delivered again: @lost");
unlike(log_of($node), qr/ [1-9]\d* are beyond the retention/, 'all of what was lost was retained');
done_testing();
