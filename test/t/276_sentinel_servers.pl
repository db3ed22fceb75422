# Copyright (c) 2026, the outbox developers
#
# Promise: one of several servers is watched by Sentinels.  When its master is replaced, is
# killed or hangs, its queues follow (I2, I3, I4), and queues on other servers notice nothing
# (I8): their connection stays, and their messages come meanwhile.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;

my $sentinel = OutboxTest::Sentinel->start;
my $default = OutboxTest::Redis->start;
my $node = new_node('main', redis => $default, conf => 'outbox.retention = 5min');
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql($db, "CREATE SERVER jobs FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $sentinel->url ]}')");
$node->safe_psql($db, q{SELECT outbox_create_queue('j', settings => '{"payload_type": "text", "server": "jobs"}')});
my $master = $sentinel->master;
put($node, $db, $_, 'first') for qw(q j);
settle($node, $db, $default, 'q');
settle($node, $db, $master, 'j');
eventually { ask($node, $db, q{SELECT address FROM outbox.server_status WHERE server = 'jobs'}) =~ /:$master->{port}\/0 \(master "mymaster" of Sentinel / } 'the view says who is master';

# The relay's connection to the default server: its number.
sub connection { return $default->cmd('CLIENT', 'LIST') =~ /^id=(\d+) .* name=outbox /m ? $1 : '-'; }
my $connection = connection();
isnt($connection, '-', 'there is a connection to the other server');

my $load = load($node, $db, writers => 2, queues => [qw(q j)], max_delay => 0.02);
for my $fault (qw(failover kill9 pause))
{
	my $old = $sentinel->master;
	if ($fault eq 'failover') { $sentinel->failover; }
	else { $old->$fault; }
	my $had = $default->count('q');
	eventually { $default->count('q') > $had + 50 } "$fault: messages of the other server come";
	my $new = $sentinel->master($old);
	my $first = $new->count('j');
	eventually { $new->count('j') > $first + 20 } "$fault: its own go to the new master";
	$old->start_again if $fault eq 'kill9';
	$old->resume if $fault eq 'pause';
	$sentinel->wait_complete if $fault ne 'pause';
}
$load->stop;
is(connection(), $connection, 'the connection to the other server is the same');
$master = $sentinel->master;
settle($node, $db, $default, 'q');
settle($node, $db, $master, 'j');
my @journal = @{ journal($node, $db) };
my @faults = OutboxTest::Checker::faults(\@journal, { q => [ $default->arrived('q') ], j => [ $master->arrived('j') ] });
push @faults, 'only ' . @journal . ' messages' if @journal < 200;
ok(!@faults, 'nothing is lost, nothing comes twice, all in order') or diag(join "\n", @faults[ 0 .. ($#faults < 9 ? $#faults : 9) ]);
unlike(log_of($node), qr/Redis has lost .* of queue "q"/, 'of the other server nothing was lost');
unlike(log_of($node), qr/ [1-9]\d* are beyond the retention/, 'what was lost was retained');

done_testing();
