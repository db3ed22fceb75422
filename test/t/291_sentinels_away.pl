# Copyright (c) 2026, the outbox developers
#
# Promise: whatever becomes of the Sentinels, a link that is connected goes on, and
# one that is not finds the master as soon as any Sentinel can be asked; the status
# says what each Sentinel has said, the log says it once, and neither has a password.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;

my %secret = (servers => 'of-the-servers', sentinels => 'of-the-sentinels', relay => 'of-the-relay');
my $sentinel = OutboxTest::Sentinel->start(
	host => 'localhost',    # Sentinels that know names
	redis => { requirepass => $secret{servers} },
	sentinel => [ "requirepass $secret{sentinels}", "sentinel sentinel-pass $secret{sentinels}",
		"user relay on >$secret{relay} +sentinel|get-master-addr-by-name" ]);
my $master = $sentinel->master;
my @sentinels = $sentinel->sentinels;
my $n = 0;

sub url
{
	my ($query, %opt) = @_;
	return $sentinel->url(login => ":$secret{servers}", query => $query, %opt);
}

my $node = new_node('main', url => url("sentinel_user=relay&sentinel_password=$secret{relay}"));
my $db = 'postgres';
install($node, $db, 'q');

# A test: a message is delivered.
sub arrives
{
	my ($name) = @_;
	put($node, $db, 'q', 'message ' . ++$n);
	return eventually { $master->last_of('q') eq "message $n" } $name;
}

# A test: it waits, and says why.
sub waits
{
	my ($why, $name) = @_;
	return eventually { status($node, $db, q{state || ': ' || why}) =~ /^waiting for redis: $why/ } $name;
}

my $address = qr/localhost:\d+/;
arrives('a user of the Sentinels, who may ask where the master is and nothing else');
like(status($node, $db, 'address'), qr{^localhost:$master->{port}/0 \(master "mymaster" of Sentinel $address\)$},
	'the name that the Sentinels know');
is($sentinels[0]->cmd('CLIENT', 'LIST') =~ /user=relay/ ? 'yes' : 'no', 'no', 'no connection to a Sentinel is kept');

# What Sentinels say to a link that connects.
for my $case (
	[ "sentinel_user=relay&sentinel_password=wrong", qr/WRONGPASS .*\(Sentinel $address\); $address: WRONGPASS/, 'a wrong password' ],
	[ "sentinel_user=nobody&sentinel_password=wrong", qr/WRONGPASS .*\(Sentinel $address\); $address: WRONGPASS/, 'a user that they do not know' ],
	[ undef, qr/NOAUTH .*\(Sentinel $address\); $address: NOAUTH/, 'no password' ])
{
	my ($query, $why, $name) = @$case;
	my $log = length log_of($node);
	configure($node, 'outbox.redis_url' => url($query));
	waits($why, "$name: the status says it");
	like(substr(log_of($node), $log), qr/WARNING: .*outbox is waiting for Redis: $why/, "$name: the log as well, and somebody has to act");
}
configure($node, 'outbox.redis_url' => url("sentinel_password=$secret{sentinels}", name => 'othermaster'));
waits(qr/no Sentinel names a master "othermaster": $address: it knows no master of this name; $address: /, 'a master that they do not know');
configure($node, 'outbox.redis_url' => url("sentinel_password=$secret{sentinels}", login => ':wrong'));
waits(qr/WRONGPASS/, 'a wrong password of the servers');
configure($node, 'outbox.redis_url' => url("sentinel_password=$secret{sentinels}"));
arrives('the passwords of both: it delivers');

# Sentinels that are away.
$_->kill9 for @sentinels[ 0, 1 ];
$master->drop_clients;
arrives('two of three are dead');
$sentinels[2]->kill9;
arrives('all are dead while the link is connected');
$master->drop_clients;
waits(qr/no Sentinel names a master "mymaster": $address: Connection refused; $address: Connection refused; $address: Connection refused/,
	'all are dead when it connects');
my $log = length log_of($node);
put($node, $db, 'q', 'message ' . ++$n);
eventually { status($node, $db, 'waiting') >= 1 } 'a message waits';
$sentinels[1]->start_again;
eventually { $master->last_of('q') eq "message $n" } 'one is back: it delivers';
unlike(substr(log_of($node), $log), qr/Connection refused/, 'what was logged is not logged again');

# One that hangs is asked for a second, and then the next one.
$sentinels[2]->start_again;
$sentinels[1]->pause;
$master->drop_clients;
arrives('one is dead, one hangs');
$sentinels[2]->pause;
$master->drop_clients;
waits(qr/no Sentinel names a master "mymaster": $address: Connection refused; $address: no answer within 1 s; $address: no answer within 1 s/,
	'two hang');
$sentinels[2]->resume;
arrives('one goes on: it delivers');
$sentinels[1]->resume;

my $shown = log_of($node) . join '', map { ask($node, $db, "SELECT * FROM $_") } qw(outbox.status outbox.queue_status pg_stat_activity);
unlike($shown, qr/$secret{$_}/, "no log and no view has the password $_") for sort keys %secret;
audit($node, $db, $master, ['q'], $n, 'nothing lost, nothing twice, all in order');
done_testing();
