# Copyright (c) 2026, the outbox developers
#
# Promise: with too few background workers the status of a database without a relay
# says so, and the log once; the one that has waited longest gets the next worker.
# Relays start all at once, and databases without the extension are in nobody's way.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;

# PostgreSQL's launcher for logical replication, ours, and two.  Workers of autovacuum
# would look like relays that start.
my $node = new_node('main', redis => $redis, conf => "max_worker_processes = 4\nautovacuum = off\n");
my @with = map { "db$_" } 1 .. 5;
my $admin = session($node, 'postgres');

sub relays
{
	return $admin->query_safe("SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity WHERE backend_type = 'outbox relay'");
}

# A database with a queue of its own name.
sub make
{
	my ($db) = @_;
	$admin->query_safe("CREATE DATABASE $db");
	$node->safe_psql($db, "CREATE EXTENSION outbox; SELECT outbox_create_queue('$db'); SELECT outbox_enqueue('$db', '1')");
	return;
}

make($_) for @with[ 0, 1 ];
eventually { relays() eq 'db1 db2' } 'two relays';
my $lack = qr/^not running\|no background worker is free, "max_worker_processes" is 4\|t$/;
for my $db (@with[ 2 .. 4 ])
{
	make($db);
	eventually { status($node, $db, 'state, why, since IS NOT NULL') =~ $lack } "$db has none, and the status says why";
	like(status($node, $db, 'summary'), qr/^not running since .*: no background worker/, 'the summary, too');
	is($node->safe_psql($db, 'SELECT why FROM outbox.queue_status') =~ /no background worker/, 1, 'and the queue');
}
eventually { relays() eq 'db1 db2' && $redis->count('db1') == 1 && $redis->count('db2') == 1 } 'the others are served';

# The log tells it once for each, however often it is tried.
my $told = qr/WARNING:  no background worker is free for an outbox relay in database "(db\d)"/;
eventually { my @n = log_of($node) =~ /$told/g; @n >= 3 } 'the log says it';
for my $i (1 .. 3)
{
	$node->safe_psql('db3', "SELECT outbox_enqueue('db3', '2')");
	make("other$i");
}
eventually { status($node, 'other3', 'state, why, since IS NOT NULL') =~ $lack } 'one more';
is(join(' ', sort grep { /^db/ } log_of($node) =~ /$told/g), 'db3 db4 db5', 'once for each');

# Whoever has waited longest is next: first those that never had one, then the one
# whose relay was ended.
sub end_relay { my ($db) = @_; return $admin->query_safe("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND datname = '$db'"); }

is(relays(), 'db1 db2', 'still');
end_relay('db1');
eventually { relays() eq 'db2 db3' } 'db3 is next';
eventually { $redis->count('db3') == 4 } 'all that was staged meanwhile is delivered';
eventually { status($node, 'db1', 'state, why, since IS NOT NULL') =~ $lack } 'db1 has none now';
$admin->query_safe('DROP DATABASE db2');
eventually { relays() eq 'db3 db4' } 'db4 is next, not db1';
end_relay('db3');
eventually { relays() eq 'db4 db5' } 'then db5';
$admin->query_safe("DROP DATABASE other$_") for 1 .. 3;
end_relay('db4');
eventually { relays() eq 'db1 db5' } 'then db1';
$admin->query_safe('DROP DATABASE db1');
eventually { relays() eq 'db3 db5' } 'then db3';
$admin->query_safe('DROP DATABASE db3');
eventually { relays() eq 'db4 db5' } 'and db4 again';

# Many databases without the extension, and the two with it, after a restart.
$admin->query_safe("CREATE DATABASE plain$_") for 1 .. 8;
$admin->quit;
$node->restart;
$admin = session($node, 'postgres');
eventually { relays() eq 'db4 db5' } 'both get their relays';
$node->safe_psql($_, "SELECT outbox_enqueue('$_', '3')") for 'db4', 'db5';
eventually { $redis->count('db4') == 2 && $redis->count('db5') == 2 } 'and deliver';
$node->safe_psql('db4', 'DROP EXTENSION outbox');
$node->safe_psql('plain8', "CREATE EXTENSION outbox; SELECT outbox_create_queue('late'); SELECT outbox_enqueue('late', '1')");
eventually { $redis->count('late') == 1 } 'one of the many begins late';
$node->safe_psql('plain8', 'DROP EXTENSION outbox');

# All start at once.  They sleep while they start, so that this can be seen.
sub set_workers
{
	my ($n) = @_;
	$admin->quit if $admin;
	undef $admin;
	$node->append_conf('postgresql.conf', "max_worker_processes = $n");
	$node->restart;
	return;
}
set_workers(16);
$admin = session($node, 'postgres');
make("more$_") for 1 .. 6;
eventually { relays() eq 'db5 more1 more2 more3 more4 more5 more6' } 'seven relays';
$admin->query_safe('SET client_min_messages = error');    # a relay may be gone already
$admin->query_safe('ALTER SYSTEM SET post_auth_delay = 3');
$admin->query_safe('SELECT pg_reload_conf()');
my $most = 0;
ok((wait_for {
	$admin->query_safe("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay'");
	my $n = $admin->query_safe(q{SELECT count(*) FROM pg_locks AS l WHERE classid = 1262 AND granted
		AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = l.pid)});
	$most = $n if $n > $most;
	$most >= 7;
}), 'all seven are starting at the same time');
$admin->query_safe('ALTER SYSTEM RESET post_auth_delay');
$admin->query_safe('SELECT pg_reload_conf()');
eventually { relays() eq 'db5 more1 more2 more3 more4 more5 more6' } 'and run';

# Not even one relay, and not even the launcher.
set_workers(2);
eventually { status($node, 'db5', 'why') eq 'no background worker is free, "max_worker_processes" is 2' } 'room for the launcher only';
for my $n (1, 0)
{
	set_workers($n);
	eventually { status($node, 'db5', 'why') =~ /^the outbox launcher is not running/ } "$n: nor for that";
}
put_in('db5', 'waits');
set_workers(8);
eventually { $redis->count('db5') == 3 } 'what was staged meanwhile is delivered';

sub put_in { my ($db, $body) = @_; return $node->safe_psql($db, "SELECT outbox_enqueue('$db', '\"$body\"')"); }

done_testing();
