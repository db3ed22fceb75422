# Copyright (c) 2026, the outbox developers
#
# Promise: whoever applies the messages of a captured table in their order has the
# table (I4), also where an application's own triggers, or cascades, change or
# delete rows of the same statement again: before and after ours, by each kind of
# statement, on rows that the statement has told already and on those that it has
# not.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP;
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'order');

sub sql { return $node->safe_psql($db, join ';', @_); }

# Each combination has rows of its own, and a trigger that is there only meanwhile.
my %nested = (
	'updates it' => 'UPDATE t SET n = n + 10 WHERE c = $1 AND id = $2',
	'updates the next' => 'UPDATE t SET n = n + 10 WHERE c = $1 AND id = $2 + 1',
	'updates the one before' => 'UPDATE t SET n = n + 10 WHERE c = $1 AND id = $2 - 1',
	'updates all' => 'UPDATE t SET n = n + 10 WHERE c = $1',
	'updates the next twice' => 'WITH u AS (UPDATE t SET n = n + 10 WHERE c = $1 AND id = $2 + 1 RETURNING id) SELECT twice($1, $2 + 1)',
	'deletes it' => 'DELETE FROM t WHERE c = $1 AND id = $2',
	'deletes the next' => 'DELETE FROM t WHERE c = $1 AND id = $2 + 1',
	'deletes the one before' => 'DELETE FROM t WHERE c = $1 AND id = $2 - 1',
	'updates the next and undoes it' => 'SELECT undone($1, $2 + 1)',
	'moves the next' => 'UPDATE t SET part = 1 - part WHERE c = $1 AND id = $2 + 1',
	'inserts another' => 'INSERT INTO t VALUES ($1, $2 + 100, 7)');
my %statement = (
	insert => 'INSERT INTO t SELECT $c, g, 0 FROM generate_series(1, 3) AS g',
	upsert => 'INSERT INTO t SELECT $c, g, 0 FROM generate_series(2, 5) AS g ON CONFLICT (c, id, part) DO UPDATE SET n = t.n + 1',
	update => 'UPDATE t SET n = n + 1 WHERE c = $c',
	delete => 'DELETE FROM t WHERE c = $c AND id <> 2',
	cascade => 'UPDATE f SET id = id + 10 WHERE c = $c');

for my $kind ('plain', 'partitioned')
{
	my $of = $kind eq 'plain' ? '' : 'PARTITION BY LIST (part)';
	sql("DROP TABLE IF EXISTS t", "CREATE TABLE t (c text, id int, n int, part int DEFAULT 0, filler text DEFAULT 'x', PRIMARY KEY (c, id, part)) $of",
		($of ? map { "CREATE TABLE t$_ PARTITION OF t FOR VALUES IN ($_)" } 0, 1 : ()), "SELECT outbox_capture('t', 'order', key => '{c,id}')");
	run_sql($node, $db, '187_triggers.sql') if $kind eq 'plain';
	my $tried = 0;
	my $script = '';
	for my $event (grep { $_ ne 'cascade' } sort keys %statement)
	{
		for my $when ('BEFORE', 'AFTER')
		{
			for my $name (' first', 'a_first', 'zz_last')
			{
				for my $nested (sort keys %nested)
				{
					next if $event eq 'delete' && $nested eq 'inserts another';
					my $c = "$kind, $event, $when, $name, $nested";
					my $on = $event eq 'upsert' ? 'INSERT OR UPDATE' : uc $event;
					my $prepare = $event eq 'insert' ? '' : $statement{insert} =~ s/\$c/'$c'/r . ';';
					$script .= "$prepare CREATE TRIGGER \"$name\" $when $on ON t FOR EACH ROW EXECUTE FUNCTION act('$nested{$nested}');"
					  . ($statement{$event} =~ s/\$c/'$c'/gr) . "; DROP TRIGGER \"$name\" ON t;\n";
					$tried++;
				}
			}
		}
	}
	# a statement that PostgreSQL refuses changes nothing
	$node->psql($db, $script, on_error_stop => 0);
	my $changed = sql("SELECT count(*) FROM t");
	cmp_ok($changed, '>', $tried, "$kind: most combinations have rows");
	same_copy($kind, "SELECT jsonb_object_agg(c || '/' || id, n) FROM t", sub { ($_[0]{c} . '/' . $_[0]{id}, $_[0]{n}) });
}

# A reference to the same table, with a cascade, needs no trigger of anybody.
sql("CREATE TABLE f (id int PRIMARY KEY, up int REFERENCES f ON UPDATE CASCADE ON DELETE CASCADE)", "SELECT outbox_capture('f', 'order')",
	'INSERT INTO f VALUES (1, 1), (2, 1), (3, 2), (4, 3)', 'UPDATE f SET id = id + 10', 'UPDATE f SET up = id WHERE id = 13', 'DELETE FROM f WHERE id = 13');
same_copy('cascade', "SELECT jsonb_object_agg(id, up) FROM f", sub { ($_[0]{id}, $_[0]{up}) });

# ... and each change is told as it was made, if the name of the trigger that makes
# the next one doesn't sort before ours.
sql("CREATE TABLE g (id int PRIMARY KEY, n int)", "SELECT outbox_capture('g', 'order')",
	q[CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n < 3 THEN UPDATE g SET n = n + 1; END IF; RETURN NULL; END'],
	'CREATE TRIGGER "A first" AFTER INSERT OR UPDATE ON g FOR EACH ROW EXECUTE FUNCTION again()', 'INSERT INTO g VALUES (1, 0)');
eventually { $redis->count('order') == 4 } 'changes of changes';
is_deeply([ map { my %e = @{ $_->[1] }; my $p = JSON::PP->new->decode($e{payload}); "$p->{operation} " . ($p->{old}{n} // '') . "->$p->{new}{n}" }
		@{ $redis->cmd('XRANGE', 'order', '-', '+') } ],
	[ 'insert ->0', 'update 0->1', 'update 1->2', 'update 2->3' ], 'are told in their order');

done_testing();

# A consumer's copy, by the messages, is the table.
sub same_copy
{
	my ($what, $table, $row) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($entries, %copy);

	sql("SELECT outbox_enqueue('order', '{\"end\": \"$what\"}'::jsonb)");
	my $arrived = sub {
		$entries = $redis->cmd('XRANGE', 'order', '-', '+');
		return @$entries && $entries->[-1][1][-1] =~ /"end": "$what"/;
	};
	eventually { $arrived->() } "$what: all have arrived";
	for (@$entries)
	{
		my %entry = @{ $_->[1] };
		next unless $entry{type};
		my $change = JSON::PP->new->utf8->decode($entry{payload});
		next if $change->{table} ne ($what eq 'cascade' ? 'f' : 't');
		if ($change->{old}) { my ($key) = $row->($change->{old}); delete $copy{$key}; }
		if ($change->{new}) { my ($key, $value) = $row->($change->{new}); $copy{$key} = $value; }
	}
	my $is = JSON::PP->new->utf8->decode(sql($table));
	my @wrong = grep { ($copy{$_} // 'gone') ne ($is->{$_} // 'gone') } sort keys %{ { %copy, %$is } };
	is_deeply(\@wrong, [], "$what: the copy is the table");
	note "$_: copy " . ($copy{$_} // 'gone') . ", table " . ($is->{$_} // 'gone') for @wrong;
	$redis->cmd('DEL', 'order');
	return;
}
