# Copyright (c) 2026, the outbox developers
#
# Promise: what a dump of the schema alone, or of the data alone, leaves out is said by
# docs/backup.md and by the errors, with what to do; nothing is lost or sent by that (I2,
# I3); and what has been restored is dropped with the extension, without CASCADE.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'original';
my $base = $node->basedir;
$node->safe_psql('postgres', "CREATE DATABASE $db; CREATE ROLE app LOGIN");

sub sql { return $node->safe_psql($db, $_[0]); }
sub error_of { my ($rc, undef, $err) = $node->psql($db, $_[0]); return $err; }
sub dump_to { my ($file, @options) = @_; command_ok([ 'pg_dump', '-f', "$base/$file", @options, $node->connstr($db) ], "pg_dump @options"); return; }
sub restore { my ($file) = @_; command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', "$base/$file", $node->connstr($db) ], "$file is restored"); return; }
sub database { ($db) = @_; $node->safe_psql('postgres', "CREATE DATABASE $db"); return; }

sql(<<'EOC');
CREATE EXTENSION outbox;
SELECT outbox_create_queue('q', 'stream', 'k', maxlen => 100, settings => '{"payload_type": "text"}'), outbox_create_queue('b', 'list', format => 'raw');
SELECT outbox_grant('app', 'q');
SELECT outbox_pause_queue('q'), outbox_enqueue('q', 'waits');
EOC
dump_to('schema', '-s');
dump_to('queues', '-a', '-t', 'outbox.queue', '-t', 'outbox.queue_id');
dump_to('data', '-a', '--disable-triggers');

# The schema alone: views with their grants, and no queues.
database('schema_only');
restore('schema');
is(sql('SELECT count(*) FROM outbox.queue'), 0, 'there is no queue');
like(error_of(q{SELECT outbox_enqueue('q', 'x')}), qr/queue "q" does not exist\nHINT:  .*restore of the schema alone.*docs\/backup/, 'the error says where it has remained');
like(error_of(q{SELECT outbox_enqueue('none', 'x')}), qr/queue "none" does not exist\nHINT:  Create it with outbox_create_queue\(\)\./, 'another one was never there');
is(error_of('DROP EXTENSION outbox'), '', 'the extension is dropped with the views');
is(sql(q{SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'outbox%'}), 0, 'nothing is left');

# With its queues.
database('with_queues');
restore('schema');
restore('queues');
is(sql(q{SELECT queue, redis_key, maxlen, payload_type, view FROM outbox.queue_settings ORDER BY queue}), "b|b||bytea|outbox_queues.b\nq|k|100|text|outbox_queues.q", 'the queues are as they were');
is(sql(q{SET ROLE app; SELECT outbox_enqueue('q', 'from a copy') IS NOT NULL}), 't', 'and so are the rights');
eventually { status($node, $db, 'state') eq 'running' } 'no message came along, so nothing is held';
is(error_of('DROP EXTENSION outbox'), '', 'the extension is dropped with all this');

# One queue made again by hand has the rights that were restored, whatever its payloads are.
database('by_hand');
restore('schema');
sql(q{SELECT outbox_create_queue('q')});
is(sql(q{SET ROLE app; SELECT outbox_enqueue('q', '{}') IS NOT NULL}), 't', 'a queue that is created again has its rights');

# The data alone, with triggers disabled: queues without views.
database('data_only');
sql('CREATE EXTENSION outbox');
restore('data');
eventually { status($node, $db, 'state') eq 'held' } 'messages are held';
eventually { status($node, $db, 'summary') =~ /; 1 message held$/ } 'the summary counts them';
is(sql('SELECT count(*) FROM outbox.queue_settings WHERE view IS NULL'), 2, 'there are no views');
like(error_of(q{SET ROLE app; SELECT outbox_enqueue('q', 'x')}), qr/permission denied/, 'nor rights');
is(sql(q{SELECT outbox_grant('app', 'q'); SET ROLE app; SELECT outbox_enqueue('q', 'x') IS NOT NULL}), "\nt", 'a grant makes the view');
is(error_of('DROP EXTENSION outbox'), '', 'the extension is dropped');

done_testing();
