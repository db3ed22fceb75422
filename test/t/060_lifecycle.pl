# Copyright (c) 2026, the outbox developers
#
# Promise: CREATE and DROP EXTENSION start and stop a database's relay without
# a restart, several databases are served at once, each once (I3), and a relay
# stands in nobody's way: DROP DATABASE works, with FORCE and without.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my @dbs = ('one', 'two', 'three');

eventually { ask($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox launcher'") eq '1' } 'one launcher';

# A relay has to look whether there is one.
eventually { ask($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox relay'") eq '0' } 'no relay without the extension';

# Three databases deliver to the same stream.
$node->safe_psql('postgres', "CREATE DATABASE $_") for @dbs;
install($node, $_, 'q') for @dbs;
is($node->safe_psql('postgres', "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_stat_activity WHERE backend_type = 'outbox relay'"),
	'one three two', 'a relay for each, to be seen in pg_stat_activity');
eventually { status($node, 'two', 'pid') eq relay_pid($node, 'two') } 'the status has the same pid';

my @loads = map { load($node, $_, writers => 1, queues => ['q'], max_delay => 0.01) } @dbs;
eventually { $redis->count('q') > 600 } 'messages flow';
$_->stop for @loads;
settle($node, $_, $redis, 'q') for @dbs;
my %arrived;
$arrived{ $_->[0] }++ for $redis->arrived('q');
is(scalar(grep { $_ > 1 } values %arrived), 0, 'no message twice');
my %journal = map { map { ($_ => 1) } split /\n/, $node->safe_psql($_, 'SELECT id FROM journal') } @dbs;
is_deeply([ sort keys %arrived ], [ sort keys %journal ], 'the messages of all three');

# Each database has cursors of its own beside the stream.
my %before = map { ($_ => 1) } @{ $redis->cmd('KEYS', '{q}:outbox:*') };
is(scalar keys %before, 3, 'three cursors');

# DROP EXTENSION ends the relay; CREATE EXTENSION begins anew, as another
# source: a number that is used again must not look as if it were covered.
my $old = relay_pid($node, 'one');
$node->safe_psql('one', 'DROP TABLE journal CASCADE; DROP FUNCTION put, put_key, create_queue; DROP PROCEDURE writer, commits, flood; DROP EXTENSION outbox');
eventually { gone($old) && relay_pid($node, 'one') eq '' } 'DROP EXTENSION ends the relay';
eventually { 2 == grep { relay_pid($node, $_) } @dbs } 'the others have theirs';
is($node->safe_psql('one', "SELECT count(*) FROM pg_namespace WHERE nspname = 'outbox'"), 0, 'nothing is left in the database');
$redis->cmd('DEL', 'q');
install($node, 'one', 'q');
put($node, 'one', 'q', map { "anew $_" } 1 .. 10);
audit($node, 'one', $redis, ['q'], 11, 'a new extension delivers from its first message');

# In a transaction that is rolled back nothing starts and nothing stops.
$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION outbox; ROLLBACK');
$node->safe_psql('two', 'BEGIN; DROP EXTENSION outbox CASCADE; ROLLBACK');
put($node, 'two', 'q', 'after a drop that was rolled back');
settle($node, 'two', $redis, 'q');
is(scalar(grep { $_->[1] =~ /^after a drop/ } $redis->arrived('q')), 1, 'a DROP EXTENSION that is rolled back stops nothing for long');
eventually { relay_pid($node, 'postgres') eq '' } 'a CREATE EXTENSION that is rolled back starts nothing for long';

# Enqueue in the transaction that creates the extension and the queue.
$node->safe_psql('postgres', <<'EOC');
BEGIN;
CREATE SCHEMA app;
CREATE EXTENSION outbox SCHEMA app;
SELECT app.outbox_create_queue('at once');
SELECT app.outbox_enqueue('at once', '"first"');
COMMIT;
EOC
eventually { $redis->count('at once') == 1 } 'the first message may be older than the relay';

# Dropping databases, with something under way in them.
put($node, 'two', 'q', map { "on the way $_" } 1 .. 100);
eventually { $node->psql('postgres', 'DROP DATABASE two') == 0 } 'DROP DATABASE, which a relay that stays would not let through';
put($node, 'three', 'q', map { "on the way $_" } 1 .. 100);
$node->safe_psql('postgres', 'DROP DATABASE three WITH (FORCE)');
eventually { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox relay'") == 2 } 'their relays are gone, the others are not';

# The same while Redis hangs.
$node->safe_psql('postgres', 'CREATE DATABASE four');
install($node, 'four', 'q');
$redis->pause;
put($node, 'four', 'q', 'on the way');
eventually { $node->psql('postgres', 'DROP DATABASE four') == 0 } 'DROP DATABASE while Redis hangs';
$redis->resume;

# A name that is used again gets a relay of its own.
$node->safe_psql('postgres', 'CREATE DATABASE two');
$redis->cmd('DEL', 'q');
install($node, 'two', 'q');
put($node, 'two', 'q', 'hello');
audit($node, 'two', $redis, ['q'], 2, 'a database created again');

# A template gets no relay, which would be in the way of CREATE DATABASE; and
# what is made from it needs no more to begin.
$node->safe_psql('template1', 'CREATE EXTENSION outbox');
$node->safe_psql('postgres', 'CREATE DATABASE five');
$node->safe_psql('five', q{SELECT outbox_create_queue('q5'); SELECT outbox_enqueue('q5', '"hello"')});
eventually { $redis->count('q5') == 1 } 'a database made from a template that has the extension';
is($node->safe_psql('template1', 'SELECT count(*) FROM outbox.relay_state'), 0, 'which has none itself');

unlike(log_of($node), qr/PANIC|TRAP|terminated by signal (?!15)/, 'no crash on the way');

done_testing();
