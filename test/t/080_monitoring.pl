# Copyright (c) 2026, the outbox developers
#
# Promise: test/monitoring is what it says.  Every query runs as a role that has
# pg_monitor and nothing else, whatever state the queues are in, and gives what
# the exporter can use; rules and dashboard use metrics, labels, states, columns
# and functions that exist, and every metric is used and described.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP ();
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use YAML::XS ();

my $dir = "$FindBin::RealBin/../monitoring";
my ($config, $rules, $rules_test) = map { YAML::XS::LoadFile("$dir/$_.yml") } qw(sql_exporter alerts alerts_test);
my $dashboard = JSON::PP->new->utf8->decode(slurp_file("$dir/dashboard.json"));

# What the exporter and Prometheus add by themselves.
my %exporters_own = (sql_exporter_last_scrape_failed => [qw(driver host database user sql_job query)]);
my @labels_of_all = qw(driver host database user col sql_job instance job);

# The metrics: name => its labels.
my %metric = map { ($_ => { map { ($_ => 1) } @{ $exporters_own{$_} }, qw(instance job) }) } keys %exporters_own;

# The query file itself.  The exporter passes over keys that it does not know.
my ($job) = @{ $config->{jobs} };
is_deeply([ keys %$config, scalar @{ $config->{jobs} } ], [ 'jobs', 1 ], 'the query file is one job');
is_deeply([ sort keys %$job ], [qw(connections interval keepalive name queries)], 'the exporter knows the keys of the job');
my @queries = @{ $job->{queries} };
for my $q (@queries)
{
	my $keys = join ' ', sort grep { $_ ne 'labels' } keys %$q;
	is($keys, 'allow_zero_rows help name query values', "$q->{name}: and of the query");
	like($q->{name}, qr/^outbox_(relay|queue|server)(_[a-z]+)+$/, "$q->{name}: is a name");
	ok(!$metric{"sql_$q->{name}"}, "$q->{name}: is there once");
	is(scalar @{ $q->{values} }, 1, "$q->{name}: is one value");
	$metric{"sql_$q->{name}"} = { map { ($_ => 1) } @labels_of_all, @{ $q->{labels} // [] } };
}

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'flows', 'refused', 'paused');
$node->safe_psql($db, 'CREATE ROLE watcher LOGIN IN ROLE pg_monitor');
my @as_watcher = (extra_params => [ '-U', 'watcher' ]);

# The types of a query's columns, as psql would describe it.
for my $q (@queries)
{
	my ($rc, $out, $err) = $node->psql($db, "$q->{query}\\gdesc", @as_watcher);
	my %type = map { split /\|/, $_, 2 } split /\n/, $out;
	is_deeply([ sort keys %type ], [ sort @{ $q->{labels} // [] }, @{ $q->{values} } ],
		"$q->{name}: labels and value are the columns of its query") or diag($err);
	is($type{$_}, 'text', "$q->{name}: label $_ is text") for @{ $q->{labels} // [] };
	like($type{$_} // '', qr/^(smallint|integer|bigint|numeric|double precision)$/, "$q->{name}: value $_ is a number") for @{ $q->{values} };
}

# All samples of now: "query label ..." => value.  The exporter logs an error for
# a null, and serves nothing at all if two samples have the same labels.
my $look = join "\nUNION ALL\n", map {
	my $id = join q{ || ' ' || }, "'$_->{name}'", map { qq{coalesce("$_", '(null)')} } @{ $_->{labels} // [] };
	qq{SELECT $id, coalesce("$_->{values}[0]"::text, '(null)') FROM ($_->{query}) q}
} @queries;
my (%sample, @faults, %ever, %states);

sub look
{
	my ($rc, $out, $err) = $node->psql($db, $look, @as_watcher);
	%sample = ();
	@faults = $rc == 0 ? () : $err;
	for my $line (split /\n/, $out)
	{
		my ($id, $value) = split /\|/, $line;
		my ($name) = split / /, $id;
		push @faults, "$id: $value" if $id =~ /\(null\)/ || $value !~ /^-?[0-9.]+(e[-+]?\d+)?$/;
		push @faults, "$id: twice" if exists $sample{$id};
		$sample{$id} = $value;
		$ever{"sql_$name"} = 1;
		$states{relay}{$1} = 1 if $id =~ /^outbox_relay_state (.+)/;
		$states{queue}{$1} = 1 if $id =~ /^outbox_queue_state \S+ (.+)/;
	}
	return !@faults;
}

# A test: every query runs and gives what the exporter can use, and sooner or
# later these are the samples; "> 0" is any value above it.
sub shows
{
	my ($when, %want) = @_;
	eventually {
		look() && !grep {
			my $v = $sample{$_};
			!defined $v || ($want{$_} eq '> 0' ? $v <= 0 : $v != $want{$_})
		} keys %want
	} "$when: the samples say so"
	  or diag(join "\n", @faults, map { "$_: " . ($sample{$_} // 'no sample') . ", not $want{$_}" } sort keys %want);
	return;
}

# All flows.
put($node, $db, 'flows', map { "first $_" } 1 .. 20);
put($node, $db, 'refused', 'taken');
settle($node, $db, $redis, 'flows', 'refused');
shows('all flows',
	'outbox_relay_state running' => 1,
	'outbox_relay_waiting' => 0,
	'outbox_relay_delivered_total' => 23,
	'outbox_queue_state flows flowing' => 1,
	'outbox_queue_state paused flowing' => 1,
	'outbox_queue_enqueued_total flows' => 21,
	'outbox_queue_delivered_total flows' => 21,
	'outbox_queue_waiting flows' => 0,
	'outbox_queue_dead_letters flows' => 0,
	'outbox_queue_last_success_timestamp_seconds flows' => '> 0',
	'outbox_queue_latency_seconds flows 50' => '> 0',
	'outbox_queue_latency_seconds flows 99' => '> 0');
cmp_ok(abs($sample{'outbox_queue_last_success_timestamp_seconds flows'} - time), '<', 600, 'times are Unix times');
cmp_ok($sample{'outbox_queue_latency_seconds flows 50'}, '<=', $sample{'outbox_queue_latency_seconds flows 99'}, 'p50 and p99 are not mixed up');

# One queue refused, one paused, one with a message that has a delay.
$redis->cmd('RENAME', 'refused', 'aside');
$redis->cmd('SET', 'refused', 'of another type');
$node->safe_psql($db, q{SELECT outbox_pause_queue('paused'); SELECT outbox_enqueue('flows', 'later', delay => '1 day')});
put($node, $db, $_, 'one', 'two') for 'refused', 'paused';
shows('one refused, one paused, one delayed',
	'outbox_relay_waiting' => '> 0',
	'outbox_relay_oldest_seconds' => '> 0',
	'outbox_queue_state refused blocked' => 1,
	'outbox_queue_failed_total refused' => '> 0',
	'outbox_queue_state paused paused' => 1,
	'outbox_queue_state_seconds paused paused' => '> 0',
	'outbox_queue_waiting paused' => 2,
	'outbox_queue_oldest_seconds paused' => '> 0',
	'outbox_queue_state flows flowing' => 1,
	'outbox_queue_delayed flows' => 1);

# Turned off.
$node->safe_psql($db, 'SELECT outbox_enable(false)');
shows('turned off',
	'outbox_relay_state disabled' => 1,
	'outbox_relay_state_seconds disabled' => '> 0',
	'outbox_queue_state flows disabled' => 1,
	'outbox_queue_state paused paused' => 1);
$node->safe_psql($db, 'SELECT outbox_enable(true)');

# A replica is wanted, and there is none.
configure($node, 'outbox.redis_url' => $redis->url . '&wait_replicas=1&wait_timeout=100ms');
put($node, $db, 'flows', 'not replicated');
shows('no replica',
	'outbox_relay_state running' => 1,
	'outbox_relay_replicas_behind_seconds' => '> 0');

# Redis is down.
$redis->kill9;
put($node, $db, 'flows', 'in vain');
shows('Redis down',
	'outbox_relay_state waiting for redis' => 1,
	'outbox_relay_last_error_timestamp_seconds' => '> 0',
	'outbox_queue_state flows waiting for redis' => 1);

# Nobody is there to say anything.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
shows('no relay', 'outbox_relay_state not running' => 1, 'outbox_queue_state flows not running' => 1);
is_deeply([ sort keys %ever ], [ sort grep { !$exporters_own{$_} } keys %metric ], 'every metric was seen');

# Rules and dashboard.  Expressions are looked through by their words: what is
# in quotes, then names of metrics with the selector behind them.
my %used;

sub check_expr
{
	my ($where, $expr) = @_;
	my (%labels, @faults);
	while ($expr =~ /\b(sql_\w+)\s*(?:\{([^}]*)\})?/g)
	{
		my ($name, $selector) = ($1, $2 // '');
		$used{$name} = 1;
		my $has = $metric{$name};
		if (!$has) { push @faults, "no metric $name"; next; }
		%labels = (%labels, %$has);
		while ($selector =~ /(\w+)\s*(=~|=|!=|!~)\s*"([^"]*)"/g)
		{
			my ($label, $value) = ($1, $3);
			push @faults, "$name has no label $label" unless $has->{$label};
			next unless $label eq 'state' && $value !~ /\$/;
			my ($of) = $name =~ /^sql_outbox_(\w+?)_state/;
			push @faults, "no state $_ of a $of" for grep { !$states{$of}{$_} } split /\|/, $value;
		}
	}
	while ($expr =~ /\b(?:by|on|ignoring|without)\s*\(([^)]*)\)/g)
	{
		push @faults, "no label $_" for grep { !$labels{$_} } split /\s*,\s*/, $1;
	}
	%labels = map { ($_ => 1) } split /\s*,\s*/, $1 if $expr =~ /^(?:max|sum|count) by \(([^)]*)\)/;
	push @faults, 'no metric in it' unless %labels;
	push @faults, 'a total may step back' if $expr =~ /\b(rate|irate|increase)\s*\(/;
	ok(!@faults, "$where: metrics, labels and states exist") or diag(join "\n", @faults, $expr);
	return \%labels;
}

# The states: those of the source are in the comment, in docs/reference.md, in the
# README and in the dashboard.  This test can't bring about all of them in passing.
sub states_of_source
{
	my ($file) = @_;
	my ($list) = slurp_file("$dir/../../src/api/$file") =~ /state_names\[\] = \{(.*?)\};/s;
	return sort $list =~ /"([^"]+)"/g;
}
my %source = (relay => [ states_of_source('server_status.c') ], queue => [ states_of_source('queue_status.c') ]);
is_deeply([ sort split /, /, $node->safe_psql($db, q{SELECT col_description('outbox.status'::regclass, 1)}) ],
	$source{relay}, 'the states of a relay are in the comment');
my ($in_reference) = slurp_file("$dir/../../docs/reference.md") =~ /^### States\n(.*?)^## /ms;
my @tables = map { [ sort /^\| `([^`]+)` \|/mg ] } split /outbox\.queue_status/, $in_reference;
is_deeply(\@tables, [ @source{qw(relay queue)} ], 'all states are in docs/reference.md');
$states{relay} = { map { ($_ => 1) } @{ $source{relay} } };
$states{queue} = { map { ($_ => 1) } map { @$_ } values %source };

my %functions = map { ($_ => 1) } split /\n/, $node->safe_psql($db, q{SELECT DISTINCT proname FROM pg_proc WHERE proname LIKE 'outbox\_%'});
my @alerts = map { @{ $_->{rules} } } @{ $rules->{groups} };
my %alert;
for my $rule (@alerts)
{
	my $name = $rule->{alert};
	ok(!$alert{$name}++, "$name: is there once");
	like($rule->{labels}{severity}, qr/^(info|warning|critical)$/, "$name: has a severity");
	is(join(' ', sort keys %{ $rule->{annotations} }), 'description summary', "$name: has summary and description");
	my $labels = check_expr($name, $rule->{expr});

	my $text = join "\n", values %{ $rule->{annotations} };
	my @faults;
	push @faults, map { "no label $_" } grep { !$labels->{$_} } $text =~ /\$labels\.(\w+)/g;
	push @faults, map { "no function $_" } grep { !$functions{$_} } $text =~ /\b(outbox_\w+)\(/g;
	$text =~ s/\{\{ \$labels\.\w+ \}\}/q/g;
	for my $sql ($text =~ /(SELECT [^()]*? FROM outbox\.\w+(?: WHERE \w+ = 'q')?)/g)
	{
		my ($rc, undef, $err) = $node->psql($db, "EXPLAIN $sql");
		push @faults, $err if $rc != 0;
	}
	ok(!@faults, "$name: what it says to look at and to call exists") or diag(join "\n", @faults);
}

# No state is without an alert, but those in which nothing is wrong or a queue begins.
my $all_rules = join "\n", map { $_->{expr} } @alerts;
is_deeply([ grep { my $s = $_; $s !~ /^(?:running|flowing)$/ && $all_rules !~ /state=~?"[^"]*\b\Q$s\E\b/ } map { @$_ } values %source ],
	[], 'each state has an alert');

# Their unit tests.
my %tested;
for my $t (@{ $rules_test->{tests} })
{
	check_expr("unit test: $t->{name}", $_->{series}) for @{ $t->{input_series} };
	$tested{$_} = 1 for map { $_->{labels} =~ /alertname="(\w+)"/g } map { @{ $_->{exp_samples} // [] } } @{ $t->{promql_expr_test} };
}
is_deeply([ sort keys %tested ], [ sort keys %alert ], 'every alert has a unit test');

# The dashboard.  Being used in a unit test doesn't count.
%used = ();
check_expr('rule', $_->{expr}) for @alerts;
my %variable = map { ($_->{name} => 1) } @{ $dashboard->{templating}{list} };
my @with_queries;
for my $v (grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} })
{
	my ($expr, $label) = $v->{query}{query} =~ /^label_values\((.*), (\w+)\)$/;
	my $labels = check_expr("variable $v->{name}", $expr);
	ok($labels->{$label}, "variable $v->{name}: its label exists");
	push @with_queries, $v;
}
for my $mapping (grep { /"fenced"/ } map { JSON::PP->new->canonical->encode($_) } @{ $dashboard->{panels} })
{
	my @missing = grep { $mapping !~ /"text":"\Q$_\E"/ } map { @$_ } values %source;
	is_deeply(\@missing, [], 'each state has a colour');
}
my %id;
for my $p (@{ $dashboard->{panels} })
{
	ok(!$id{ $p->{id} }++, "panel $p->{title}: has an id of its own");
	next if $p->{type} eq 'row';
	ok(scalar @{ $p->{targets} }, "panel $p->{title}: shows something");
	push @with_queries, $p, @{ $p->{targets} };
	for my $t (@{ $p->{targets} })
	{
		my $labels = check_expr("panel $p->{title}", $t->{expr});
		is(join(' ', grep { !$labels->{$_} } $t->{legendFormat} =~ /\{\{(\w+)\}\}/g), '', "panel $p->{title}: the labels of its legend exist");
	}
}
is_deeply([ grep { $_->{datasource}{uid} ne '${datasource}' } @with_queries ], [], 'the data source is a variable everywhere');
my $text = slurp_file("$dir/dashboard.json");
my %unknown = map { ($_ => 1) } grep { !$variable{$_} && !/^__/ } $text =~ /\$\{?(\w+)/g;
is(join(' ', sort keys %unknown), '', 'every variable of the dashboard is defined');

is_deeply([ sort keys %used ], [ sort keys %metric ], 'every metric is used in a rule or a panel');
my %described = map { ($_ => 1) } slurp_file("$dir/README.md") =~ /^\| `(sql_\w+)` \|/mg;
my ($labelled) = slurp_file("$dir/README.md") =~ /^\| `sql_outbox_queue_state` \|(.*)$/m;
is_deeply([ sort $labelled =~ /`([^`]+)`/g ], [ sort 'state', grep { $_ ne 'running' } keys %{ $states{queue} } ],
	'the states of a queue are described');
is_deeply([ sort keys %described ], [ sort keys %metric ], 'and described in the README, no other one is');

done_testing();
