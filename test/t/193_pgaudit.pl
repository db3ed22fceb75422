# Copyright (c) 2026, the outbox developers
#
# Promise: payload and key of a message appear in no log (I10), whatever pgaudit is told to
# log of statements and their parameters: neither those of the relay nor those of a
# session whose own statement has the message in a table.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libraries) = run_command([ $ENV{PG_CONFIG} // 'pg_config', '--pkglibdir' ]);
plan skip_all => 'there is no pgaudit for this PostgreSQL here' unless -e "$libraries/pgaudit.so";

my $secret = 'MarkerZQX';
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "shared_preload_libraries = 'outbox, pgaudit'\noutbox.retention = 1s\n");
my $db = 'postgres';
install($node, $db, 'q', 'p', 'changes');
$node->safe_psql($db, <<"EOC");
SELECT create_queue('r', on_failure => 'retry', max_attempts => 3, retry_delay => '10 ms', retry_max_delay => '10 ms');
SELECT create_queue('back', consumer_retry => true, on_failure => 'retry', retry_delay => '10 ms', retry_max_delay => '10 ms');
CREATE TABLE m (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, v text);
INSERT INTO m (v) SELECT '$secret ' || i FROM generate_series(1, 5) AS i;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT outbox_capture('t', 'changes');
CREATE EXTENSION pgaudit;
EOC
configure($node, 'pgaudit.log' => 'all', 'pgaudit.log_parameter' => 'on', 'pgaudit.log_relation' => 'on',
	'pgaudit.log_rows' => 'on', 'pgaudit.log_catalog' => 'on', 'pgaudit.log_statement' => 'on', 'pgaudit.log_client' => 'off');
my $old = relay_pid($node, $db);
$node->safe_psql($db, "SELECT pg_terminate_backend($old)");
another_relay($node, $db, $old, 'a relay that is audited');

sub sql { return $node->safe_psql($db, $_[0]); }
sub put_all { my ($queue, $more) = @_; return sql("SELECT outbox_enqueue('$queue', v, key => v, type => v, headers => jsonb_build_object('h', v)$more) FROM m"); }

# What sessions do.
sql(q{SET log_min_duration_statement = -1; PREPARE p (int) AS SELECT count(*) FROM m WHERE length(v) > $1; EXECUTE p(424242)});
like(log_of($node), qr/AUDIT:.*424242/, 'pgaudit logs parameters');
put_all('q', '');
put_all('q', q{, delay => '50 ms', id => id});
put_all('q', q{, delay => '1 hour'});
sql(q{SELECT outbox_cancel(id) FROM outbox.deferred WHERE reason = 'delayed' AND due_at > now() + interval '10 min'});
sql(q{INSERT INTO t SELECT row_number() OVER (), v FROM m; UPDATE t SET v = v || v; DELETE FROM t});
eventually { $redis->count('q') == 10 && $redis->count('changes') == 15 } 'delivered, captured';

# What the relay does: refuse and give up, copy, retry, resend, take what is returned.
$redis->cmd('SET', 'r', 'no stream');
put_all('r', '');
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.dead_letters') eq '5' } 'given up';
$redis->cmd('DEL', 'r');
sql('SELECT outbox_replay(id) FROM outbox.dead_letters LIMIT 1');
sql('SELECT outbox_discard(id) FROM outbox.dead_letters LIMIT 1');
sql(q{SELECT outbox_replay_queue('r')});
eventually { $redis->count('r') == 4 } 'replayed';
sql(q{SELECT outbox_pause_queue('p')});
put_all('p', '');
eventually { put($node, $db, 'q', 'passing by'); ask($node, $db, q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}) eq '5' } 'copied';
sql(q{SELECT outbox_resume_queue('p')});
my $arrived = $redis->count('q');
sql(q{SELECT outbox_resend('q', now() - interval '1 hour')});
put_all('back', '');
eventually { $redis->count('p') == 5 && $redis->count('q') > $arrived && $redis->count('back') == 5 } 'resumed, sent again';
for my $entry ($redis->entries('back'))
{
	my %field = @{ $entry->[1] };
	$redis->cmd('XADD', 'back:retry', '*', map { ($_ => $field{$_}) } sort keys %field);
}
eventually { $redis->count('back') == 10 } 'returned, delivered again';
like(log_of($node), qr/AUDIT:.*outbox\.deferred/, 'pgaudit has logged statements of ours');
my @lines = grep { /$secret/ } split /\n/, log_of($node);
is(scalar @lines, 0, 'and no message') or diag(join "\n", map { substr $_, 0, 600 } @lines[ 0 .. ($#lines < 4 ? $#lines : 4) ]);

done_testing();
