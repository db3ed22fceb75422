# Copyright (c) 2026, the outbox developers
#
# Promise: a row of staging, which is made without PostgreSQL's own function, is read by
# PostgreSQL and by the relay alike, whatever is null and however long its values are.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }

# Lengths around those where a header is short, and all remainders of an aligned length;
# behind type, key and headers of all lengths, and behind none.
sql(q{SELECT outbox_pause_queue('q');
	CREATE TABLE given AS SELECT n, t,
		CASE WHEN t > 0 THEN repeat('t', t) END AS type,
		CASE WHEN n % 3 > 0 THEN repeat('k', n % 150 + 1) END AS key,
		CASE WHEN n % 5 = 0 THEN jsonb_build_object('h', repeat('v', n % 140)) END AS headers,
		repeat(chr(97 + n % 26), n) AS payload
	FROM generate_series(0, 400) AS n, generate_series(0, 3) AS t;
	SELECT count(outbox_enqueue('q', payload, type, key, headers)) FROM given});
is(sql(q{SELECT count(*) FROM given AS g
	JOIN (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
	ON s.payload = convert_to(g.payload, 'UTF8') AND s.type IS NOT DISTINCT FROM g.type
	AND s.key IS NOT DISTINCT FROM g.key AND s.headers IS NOT DISTINCT FROM g.headers
	AND s.history IS NULL}), 401 * 4, 'PostgreSQL reads what was given');
sql(q{SELECT outbox_resume_queue('q')});
eventually { $redis->count('q') == 401 * 4 } 'all are delivered';
my %given = map { $_ => 1 } split /\n/, sql(q{SELECT concat_ws('|', n, coalesce(type, '-'), coalesce(key, '-')) FROM given});
for my $entry ($redis->entries('q'))
{
	my %field = @{ $entry->[1] };
	delete $given{ join '|', length $field{payload}, $field{type} // '-', $field{key} // '-' };
}
is(keys %given, 0, 'the relay, too') or diag(join "\n", (sort keys %given)[0 .. 5]);
done_testing();
