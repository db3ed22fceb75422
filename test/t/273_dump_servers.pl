# Copyright (c) 2026, the outbox developers
#
# Promise: a dump has queues with their servers and partitions, their mappings and moves: in
# another database, on the same machine or another one, what waited is held, it is said to
# which servers it would go, and after outbox_release() it goes there once, each key in its
# partition (I2, I3).  A server that restored queues have is not dropped by mistake.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Partitions;
use PostgreSQL::Test::Utils;
use Test::More;

my %redis = map { $_ => OutboxTest::Redis->start } qw(default jobs events);
my $secret = 'SecretMarkerZQX';
my $locked = OutboxTest::Redis->start(requirepass => $secret);
my @nodes = map { new_node($_, redis => $redis{default}) } qw(first second);
my $db = 'original';
$_->safe_psql('postgres', 'CREATE ROLE app') for @nodes;
$nodes[0]->safe_psql('postgres', "CREATE DATABASE $db");
install($nodes[0], $db, 'q');

sub sql { return $nodes[0]->safe_psql($db, $_[0]); }
sub set { return qq['{"payload_type": "text", $_[0]}']; }

sql(<<"EOC");
CREATE SERVER jobs FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $redis{jobs}->url ]}');
CREATE SERVER events FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $redis{events}->url ]}');
CREATE SERVER locked FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $locked->url ]}');
CREATE USER MAPPING FOR PUBLIC SERVER locked OPTIONS (password '$secret');
SELECT outbox_create_queue('j', settings => @{[ set('"server": "jobs"') ]}),
	outbox_create_queue('p', settings => @{[ set('"server": "events", "partitions": 4') ]}),
	outbox_create_queue('l', settings => @{[ set('"server": "locked"') ]}),
	outbox_create_queue('m', settings => @{[ set('"server": "jobs"') ]});
SELECT outbox_grant('app', 'p');
EOC
put($nodes[0], $db, $_, 'before') for qw(q j l m);
eventually { sql(q{SELECT sum(delivered) FROM outbox.queue_status}) == 4 } 'some is delivered';

# One is on its way to another server, which does not answer.
$redis{events}->pause;
sql(q{SELECT outbox_alter_queue('m', settings => '{"server": "events"}')});
is(sql(q{SELECT moving_from FROM outbox.queue WHERE name = 'm'}), 'jobs', 'a queue moves');
sql("SELECT outbox_pause_queue('$_')") for qw(q j p l m);
put($nodes[0], $db, $_, 'waits') for qw(q j l m);
sql(q{SELECT put_key('p', 'key' || n, 'key' || n) FROM generate_series(1, 40) AS n});
sql(q{SELECT outbox_enqueue('p', 'later', key => 'key5', delay => '1 hour')});
my $file = $nodes[0]->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $file, $nodes[0]->connstr($db) ], 'pg_dump');

for my $node (@nodes)
{
	my $copy = 'copy';
	my $name = $node->name;
	my %at = map { $_ => OutboxTest::Redis->start } qw(default jobs events);
	$node->safe_psql('postgres', "CREATE DATABASE $copy");
	command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($copy), '-f', $file ], "$name: it is restored");
	wait_relay($node, $copy);
	my $in = sub { return $node->safe_psql($copy, $_[0]); };

	# Where to is said, before anything goes there.
	eventually { status($node, $copy, 'state') eq 'held' } "$name: it is held";
	eventually { status($node, $copy, 'why') =~ /^restored: .*outbox_release\('restored'\) delivers from here to \Q@{[ $redis{default}->url ]} (outbox.redis_url)\E.* and \d more, see outbox\.server_status$/ }
	"$name: the reason names servers";
	eventually { $in->(q{SELECT string_agg(server, ' ' ORDER BY server) FROM outbox.server_status}) eq 'events jobs locked' } "$name: the view has those of queues";
	my (undef, undef, $err) = $node->psql($copy, q{SELECT outbox_release('copy')});
	like($err, qr/HINT:  .*\Q@{[ $redis{$_}->url ]} (server "$_")\E/, "$name: the hint names $_") for qw(jobs events);
	like(log_of($node), qr/HINT:  .*outbox_release\('restored'\) delivers from here to .*more, see/, "$name: so does the log");

	# All is as it was.
	is($in->(q{SELECT string_agg(queue || ' ' || coalesce(server, '-') || ' ' || coalesce(partitions, 1), ', ' ORDER BY queue) FROM outbox.queue_settings}),
		sql(q{SELECT string_agg(queue || ' ' || coalesce(server, '-') || ' ' || coalesce(partitions, 1), ', ' ORDER BY queue) FROM outbox.queue_settings}), "$name: servers and partitions");
	($err) = ($node->psql($copy, 'DROP SERVER events'))[2];
	like($err, qr/cannot drop server events because other objects depend on it/, "$name: a server that queues have stays");
	is($in->(q{SET ROLE app; SELECT outbox_enqueue('p', 'by app', key => 'key1') IS NOT NULL}), 't', "$name: rights");

	# It is to go elsewhere.
	$in->("ALTER SERVER $_ OPTIONS (SET url '@{[ $at{$_}->url ]}')") for qw(jobs events);
	$in->("CREATE SERVER outbox_default FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $at{default}->url ]}')");
	eventually { status($node, $copy, 'why') =~ /delivers from here to \Q@{[ $at{default}->url ]} (server "outbox_default")\E/ } "$name: another server is said, too";
	$in->(join ';', map { "SELECT outbox_resume_queue('$_')" } qw(q j p l));
	$in->(q{SELECT outbox_release('restored')});
	# it would be delivered to its old server until the new one answers
	eventually { log_of($node) =~ /queue "m" is delivered to server "events" from now on/ } "$name: a paused queue goes on its way";
	$in->(q{SELECT outbox_resume_queue('m')});
	my %where = (q => 'default', j => 'jobs', m => 'events');
	for my $queue (sort keys %where)
	{
		eventually { $at{ $where{$queue} }->count($queue) == 2 } "$name: $queue is delivered";
		is(join(' ', map { $_->[1] } $at{ $where{$queue} }->arrived($queue)), 'before waits', "$name: ... what was retained and what waited, there");
	}
	my $so_far = $node == $nodes[0] ? 3 : 5;
	eventually { $locked->count('l') == $so_far } "$name: with a password";
	eventually { my $n = 0; $n += $at{events}->count("{p:$_}") for 0 .. 3; $n == 41 } "$name: partitions";
	for my $p (0 .. 3) { is(scalar(grep { $_->[1] =~ /^key/ && crc16($_->[1]) % 4 != $p } $at{events}->arrived("{p:$p}")), 0, "$name: ... $p has its keys"); }
	is($in->("SELECT outbox_cancel_key('p', 'key5')"), 1, "$name: what was delayed is there");
	$node->safe_psql('postgres', "DROP DATABASE $copy WITH (FORCE)");
}
$redis{events}->resume;
eventually { sql(q{SELECT state FROM outbox.server_status WHERE server = 'events'}) eq 'running' } 'the server answers again';
sql("SELECT outbox_resume_queue('$_')") for qw(q j p l m);
for my $queue (qw(q j)) { eventually { $redis{ $queue eq 'q' ? 'default' : 'jobs' }->last_of($queue) eq 'waits' } "the original delivers $queue"; }
eventually { $locked->count('l') == 6 } '... and the one with a password, which copies have as well';
eventually { $redis{events}->last_of('m') eq 'waits' } '... and the queue that moves';
is($redis{jobs}->count('m'), 1, '... at its new server');
unlike(join('', map { log_of($_) } @nodes), qr/$secret/, 'no secret in the log');

done_testing();
