# Copyright (c) 2026, the outbox developers
#
# Promise: each queue may have a server of its own, and more of them than the view of
# servers has room for are served all the same, also by a relay that begins with them; those
# that are shown come and go with their queues.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($servers, $shown) = (70, 64);
my $redis = OutboxTest::Redis->start(databases => $servers + 1);
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);
sub sql { return $node->safe_psql($db, $_[0]); }
sql(join '', map { "CREATE SERVER s$_ FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $redis->url($_) ]}');"
	  . qq[SELECT outbox_create_queue('q$_', settings => '{"payload_type": "text", "server": "s$_"}');] } 1 .. $servers);

# Which servers do not have the last message of their queue.
my $client = $redis->client;
sub lacking
{
	my ($body) = @_;
	my @lacking;
	for my $n (1 .. $servers)
	{
		$client->cmd('SELECT', $n);
		my ($last) = @{ $client->cmd('XREVRANGE', "q$n", '+', '-', 'COUNT', 1) };
		push @lacking, $n if !$last || { @{ $last->[1] } }->{payload} ne $body;
	}
	return @lacking;
}

sub all_get
{
	my ($body, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql("SELECT put('q' || n, '$body') FROM generate_series(1, $servers) AS n");
	return eventually { !lacking($body) } $name;
}

all_get('first', 'each queue has its server');
eventually { sql(q{SELECT count(*) FROM outbox.server_status WHERE state = 'running'}) == $shown } 'as many as there is room for are shown';
eventually { sql(q{SELECT count(*) FROM outbox.queue_status WHERE state = 'flowing'}) == $servers } '... and all queues';
my $pid = relay_pid($node, $db);
sql("SELECT pg_terminate_backend($pid)");
another_relay($node, $db, $pid, 'another relay');
all_get('second', '... serves all');
$redis->drop_clients;
$client = $redis->client;
all_get('third', '... and again when all connections were cut');

# Room for others.
my $hidden = 's' . ($servers - 1);
my $dropped = join ',', map { "outbox_drop_queue('q$_', force => true)" } 1 .. 10;
sql("SELECT $dropped");
eventually { sql(q{SELECT count(*) FROM outbox.server_status}) == $servers - 10 } 'servers without queues go, and all others are shown';
is(sql("SELECT state FROM outbox.server_status WHERE server = '$hidden'"), 'running', "... $hidden, too");

done_testing();
