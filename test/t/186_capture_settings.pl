# Copyright (c) 2026, the outbox developers
#
# Promise: what a captured row becomes does not depend on the writer's settings
# (I4: nor does its key), and no setting of capture's is seen by the writer or by
# other triggers.  Each type that the server has, in one row, and each setting that
# a session may change, with each of its values or its extremes.

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
install($node, $db, 'types');

sub sql { return $node->safe_psql($db, join ';', @_); }

# A value of each type, as an expression; of arrays, ranges and multiranges it is
# made of their elements' values.
run_sql($node, $db, '186_objects.sql');
my %value = (
	aclitem => "'postgres=r/postgres'", bit => "B'1'", bool => 'true', box => "'(1.1,2.2),(0.1,0.3)'", bpchar => "'a'",
	bytea => q('\x00ff5c'), char => "'c'", cid => "'7'", cidr => "'10.0.0.0/8'", circle => "'<(1.1,0.1),3.3>'", date => "'2026-02-03'",
	float4 => "'0.1'", float8 => "'0.1'::float8 + 0.2", inet => "'10.0.0.1/24'", int2 => '2', int2vector => "'1 2'", int4 => '4', int8 => '8',
	interval => "'1 year 2 mons -3 days 04:05:06.7'", json => q('{"a": 0.1}'), jsonb => q('{"a": 0.1}'), jsonpath => "'\$.a'",
	line => "'{1.1,0.1,3}'", lseg => "'[(0.1,0.2),(1.1,3)]'", macaddr => "'08:00:2b:01:02:03'", macaddr8 => "'08:00:2b:01:02:03:04:05'",
	money => "'1234567.89'", name => "'n'", numeric => "'0.10'", oid => "'7'", oid8 => "'7'", oidvector => "'1 2'", path => "'((0.1,0.2),(1.1,3))'",
	pg_lsn => "'1/2'", pg_snapshot => "'10:20:15'", point => "'(0.1,0.2)'", polygon => "'((0.1,0.2),(1.1,3),(2,0.3))'", refcursor => "'r'",
	text => "'t'", tid => "'(1,2)'", time => "'01:02:03.4'", timestamp => "'2026-02-03 04:05:06.7'", timestamptz => "'2026-02-03 04:05:06.7+00'",
	timetz => "'01:02:03.4+05'", tsquery => "'a & b'", tsvector => "'a:1 b:2'", txid_snapshot => "'10:20:15'",
	uuid => "'0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d'", varbit => "B'101'", varchar => "'v'", xid => "'7'", xid8 => "'7'", xml => "'<a>b</a>'",
	regclass => "'public.here'", regcollation => "'public.here'", regconfig => "'public.here'", regdatabase => "'postgres'", regdictionary => "'public.here'",
	regnamespace => "'public'", regoper => "'public.<<<<'", regoperator => "'public.<<<<(integer,integer)'", regproc => "'public.here'",
	regprocedure => "'public.here(integer)'", regrole => "'postgres'", regtype => "'public.mood'",
	mood => "'happy'", amount => "'0.1'", pair => "ROW(now() - now() + '1 day', 0.1, 'public.here')", named => "'2026-02-03 04:05:06+00'");
# no value of these can be written down
my %valueless = map { $_ => 1 } qw(gtsvector pg_node_tree pg_ndistinct pg_dependencies pg_mcv_list pg_brin_bloom_summary pg_brin_minmax_multi_summary);

my (@columns, @expressions, @unknown);
for (split /\n/, sql("SELECT t.typname, t.typtype, format_type(t.oid, NULL), coalesce(e.typname, s.typname, ms.typname)
		FROM pg_type AS t LEFT JOIN pg_type AS e ON e.typarray = t.oid LEFT JOIN pg_range AS r ON r.rngtypid = t.oid LEFT JOIN pg_type AS s ON s.oid = r.rngsubtype
		LEFT JOIN pg_range AS m ON m.rngmultitypid = t.oid LEFT JOIN pg_type AS ms ON ms.oid = m.rngsubtype
		LEFT JOIN pg_class AS c ON c.oid IN (t.typrelid, e.typrelid) WHERE t.typtype <> 'p' AND coalesce(e.typtype, 'b') <> 'p' AND coalesce(c.relkind, 'c') = 'c'
		AND t.typnamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace) ORDER BY t.typtype DESC, t.oid"))
{
	my ($name, $kind, $type, $of) = split /\|/;
	my $element = $of && (exists $value{$of} ? $value{$of} : undef);
	next if $valueless{ $of || $name };
	my $expression = $value{$name} // (!defined $element ? undef : $name =~ /^_/ ? "ARRAY[($element)::$of]" :
			$kind eq 'r' ? "('[' || ($element)::$of || ',)')" : $kind eq 'm' ? "('{[' || ($element)::$of || ',)}')" : undef);
	$value{$name} //= $expression;
	push @unknown, $name and next unless defined $expression;
	push @columns, "c_$name $type";
	push @expressions, "($expression)::$type";
}
is_deeply(\@unknown, [], 'of each type there is a value');
cmp_ok(scalar(@columns), '>', 120, 'many types');
sql("CREATE TABLE types (id int PRIMARY KEY, by text, " . join(', ', @columns) . ")",
	"INSERT INTO types VALUES (1, 'none', " . join(', ', @expressions) . ")",
	"SELECT outbox_capture('types', 'types')",
	"CREATE TABLE keys (k1 timestamptz, k2 float8, k3 interval, k4 bytea, k5 tstzrange, k6 date, k7 regtype, by text, PRIMARY KEY (k1, k2, k3, k4, k5, k6, k7))",
	q{INSERT INTO keys VALUES ('2026-02-03 04:05:06+00', '0.1'::float8 + 0.2, '1 mon -2 days 3:00', '\xff', '[2026-02-03 04:05:06+00,)', '2026-02-03', 'public.mood')},
	"SELECT outbox_capture('keys', 'types')",
	"CREATE TABLE one (k timestamptz PRIMARY KEY, by text); INSERT INTO one VALUES ('2026-02-03 04:05:06+00')", "SELECT outbox_capture('one', 'types')",
	"CREATE TABLE two (k interval PRIMARY KEY, by text); INSERT INTO two VALUES ('1 mon -2 days 3:00')", "SELECT outbox_capture('two', 'types')");

# Each setting, with values of which some would be others than ours.
my %strings = (
	DateStyle => [ 'SQL, DMY', 'German', 'Postgres, DMY', 'ISO, YMD' ],
	TimeZone => [ 'America/St_Johns', 'Asia/Kathmandu', 'UTC' ],
	search_path => [ '', 'public', 'elsewhere, public' ],
	lc_monetary => [ grep { $_ ne '' } split /\n/, sql("SELECT collname FROM pg_collation WHERE collprovider = 'c' AND collname ~ '^(C.utf8|en_US.utf8|de_DE.utf8|C)\$'") ],
	(map { $_ => ['C'] } qw(lc_numeric lc_time lc_messages)),
	client_encoding => [ 'LATIN1', 'SQL_ASCII', 'UTF8' ],
	default_text_search_config => [ 'simple', 'german' ],
	role => ['writer'], session_authorization => ['writer'],
	timezone_abbreviations => ['India']);
my @tried = ([ 'none', 'none' ]);
for (split /\n/, sql("SELECT name, vartype, setting, min_val, max_val, array_to_string(enumvals, ',') FROM pg_settings WHERE context IN ('user', 'superuser') ORDER BY name"))
{
	my ($name, $type, $setting, $min, $max, $enum) = split /\|/, $_, -1;
	next if $name eq 'debug_discard_caches';    # slow, and that is all
	push @tried, map { [ $name, $_ ] } $type eq 'bool' ? $setting eq 'on' ? 'off' : 'on' : $type eq 'enum' ? split /,/, $enum :
		$type eq 'string' ? @{ $strings{$name} // [] } : ($min, $max);
}
cmp_ok(scalar(@tried), '>', 250, 'many settings');
my $n = 0;
my $script = '';
for (@tried)
{
	my ($name, $value) = @$_;
	my $label = $n++;
	my $set = $name eq 'none' ? '' : $name eq 'search_path' ? "SET LOCAL search_path = " . ($value eq '' ? "''" : $value) . ';' :
		$name eq 'session_authorization' ? "SET LOCAL SESSION AUTHORIZATION $value;" : "SET LOCAL \"$name\" = '$value';";
	$script .= "BEGIN; $set UPDATE public.types SET by = '$label'; UPDATE public.keys SET by = '$label'; UPDATE public.one SET by = '$label'; UPDATE public.two SET by = '$label'; COMMIT;\n";
}
$node->psql($db, $script, on_error_stop => 0);
sql("UPDATE $_ SET by = 'end'") for qw(types keys one two);

# All messages of a table are the same but for that column.
my @entries;
sub last_has_come
{
	@entries = @{ $redis->cmd('XRANGE', 'types', '-', '+') };
	my %last = @entries ? @{ $entries[-1][1] } : return 0;
	return $last{type} eq 'two.update' && $last{payload} =~ /"by":"end".*"by":/;
}
eventually { last_has_come() } 'all have arrived';
my (%first, %others, %seen);
for (@entries)
{
	my %entry = @{ $_->[1] };
	my ($by) = $entry{payload} =~ /"new":\{.*?"by":"(\w+)"/;
	my $same = "$entry{key} " . $entry{payload} =~ s/"by":("\w+"|null)//gr;
	$seen{ $entry{type} }++;
	next if $by eq 'end';
	$first{ $entry{type} } //= $same;
	$others{"$entry{type} $tried[$by][0] = $tried[$by][1]"} = $same if $same ne $first{ $entry{type} };
}
is_deeply(\%others, {}, 'no setting changes what is captured')
  or diag(join "\n", map { my ($type) = /^(\S+)/; $first{$type} } (sort keys %others)[ 0 .. 0 ]);
cmp_ok($seen{"$_.update"}, '>', 230, "$_: most of the settings let a session write") for qw(types keys one two);

# It is what to_json() writes in a session with these settings, and readable.
my $expected = sql("SET search_path = pg_catalog, pg_temp; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; SET lc_monetary = 'C'",
	"SELECT to_json(t) FROM public.types AS t");
my ($new) = $first{'types.update'} =~ /"new":(\{.*?\}),"old":/s;
my $want = $expected =~ s/"by":"end"//r;
is($new =~ s/\s//gr, $want =~ s/\s//gr, 'it is what to_json() writes');

# The writer has the settings it had: afterwards, after an error, and in its own
# triggers meanwhile.
my @names = qw(DateStyle TimeZone IntervalStyle bytea_output extra_float_digits lc_monetary quote_all_identifiers search_path);
my $hostile = join ';', "SET DateStyle = 'German, DMY'", "SET TimeZone = 'Asia/Kathmandu'", "SET IntervalStyle = 'sql_standard'", "SET bytea_output = 'escape'",
	"SET extra_float_digits = -3", "SET quote_all_identifiers = on", "SET search_path = elsewhere, public";
my $show = 'SELECT concat_ws($$ $$, ' . join(', ', map { "current_setting('$_')" } @names) . ')';
my $mine = sql($hostile, $show);
sql("CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN EXECUTE \$q\$INSERT INTO public.noted \$q\$ || \$q\$$show\$q\$; RETURN NULL; END \$f\$",
	"CREATE TABLE noted (s text)", map { "CREATE TRIGGER \"$_\" AFTER UPDATE ON types FOR EACH ROW EXECUTE FUNCTION note()" } ' first', 'last');
is(sql($hostile, "UPDATE types SET by = 'x'", $show), $mine, 'after a statement');
is(sql('SELECT DISTINCT s FROM noted'), $mine, 'in other triggers');
is(sql('SELECT count(*) FROM noted'), 2, '... before and after');
is($node->safe_psql($db, "$hostile; BEGIN; SAVEPOINT s;\n\\set ON_ERROR_STOP 0\nUPDATE types SET by = repeat('x', 2000000);\n\\set ON_ERROR_STOP 1\nROLLBACK TO s; $show; COMMIT"), $mine, 'after an error, in a transaction');
sql("CREATE TYPE raising AS ENUM ('x')", "CREATE FUNCTION raise(raising) RETURNS json LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION \$\$no\$\$; END'", "CREATE CAST (raising AS json) WITH FUNCTION raise(raising)",
	"CREATE TABLE raises (id int PRIMARY KEY, x raising)", "SELECT outbox_capture('raises', 'types')");
is($node->safe_psql($db, "$hostile; DO 'BEGIN INSERT INTO raises VALUES (1, \$\$x\$\$); EXCEPTION WHEN raise_exception THEN NULL; END'; $show"), $mine, 'after an error while the row was written');
is(sql('SELECT count(*) FROM raises'), 0, '... which there was');

done_testing();
