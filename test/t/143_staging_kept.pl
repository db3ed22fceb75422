# Copyright (c) 2026, the outbox developers
#
# Promise: who keeps staging from being emptied is told (I6): an open transaction that
# has enqueued, a prepared one that was forgotten, somebody who reads a staging table
# or its toast table; in the log once, in status as long as it is so.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis,
	conf => "outbox.retention = 0\nmax_prepared_transactions = 5\n");
my $db = 'postgres';
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }

sub told
{
	my ($name, $by) = @_;
	eventually {
		sql("SELECT outbox_enqueue('q', 'passing by')");
		status($node, $db, 'staging_kept_by') =~ $by
	} "$name: told in status";
	like(status($node, $db, 'summary'), qr/^running; staging is not emptied because of /, "$name: and in its summary");
	eventually { status($node, $db, "staging_kept_since < now() - interval '1 s'") eq 't' } "$name: since when";
	is(scalar(() = log_of($node) =~ /WARNING:  outbox cannot empty outbox\.staging_\d: $by has used it since/g), 1, "$name: told in the log, once");
	return;
}

sub let_go
{
	my ($name) = @_;
	eventually { status($node, $db, 'staging_kept_by IS NULL AND staging_kept_since IS NULL') eq 't' } "$name: no more";
	is(status($node, $db, 'summary'), 'running', "$name: all is well");
	return;
}

my $open = session($node, $db);
my $pid = $open->query_safe('SELECT pg_backend_pid()');
$open->query_safe("SET application_name = 'forgetful'; BEGIN; SELECT put('q', 'open')");
told('an open transaction', qr/process $pid \(forgetful, idle in transaction\)/);
$open->query_safe('COMMIT');
let_go('an open transaction');

sql("BEGIN; SELECT put('q', 'prepared'); PREPARE TRANSACTION 'it''s mine'");
told('a prepared transaction', qr/prepared transaction 'it''s mine'/);
sql("COMMIT PREPARED 'it''s mine'");
let_go('a prepared transaction');

my $toast = sql(q{SELECT string_agg('(SELECT count(*) FROM ' || reltoastrelid::regclass || ')', '+')
	FROM pg_class WHERE relname IN ('staging_1', 'staging_2')});
$open->query_safe("BEGIN; SELECT $toast");
eventually {
	sql("SELECT outbox_enqueue('q', 'passing by')");
	status($node, $db, 'staging_kept_by') =~ /process $pid /
} 'a reader of toast tables: told in status';
$open->query_safe('COMMIT');
$open->quit;
let_go('a reader of toast tables');

done_testing();
