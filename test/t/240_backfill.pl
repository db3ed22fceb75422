# Copyright (c) 2026, the outbox developers
#
# Promise: a backfill beside live changes keeps each row's order (I4): whoever
# applies the messages in their order has the table in the end.  So with every shape
# of messages, with partitions, rows that move to other keys, keys that are not the
# primary one, and a server that is killed meanwhile.  No writer gets an error.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP;
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my @tables = qw(plain parts keyed);
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, @tables);
run_sql($node, $db, '240_tables.sql');

sub sql { return $node->safe_psql($db, $_[0]); }

my $dir = $node->basedir;
my @pids;
begin();
eventually { $redis->count('plain') > 100 } 'there are writers';
for my $round (1 .. 3)
{
	for my $table (@tables)
	{
		my $rows = (2, 20, 1000)[ $round % 3 ];
		my ($rc, $out, $err) = $node->psql($db, "CALL outbox_backfill('$table', '$table', '{\"chunk_rows\": $rows}')");
		is($rc, 0, "round $round: $table is backfilled") or diag $err;
	}
}
finish();
is(sql("SELECT string_agg(DISTINCT state, ' ') FROM outbox.backfills"), 'finished', 'all are finished');
same($_) for @tables;

# The server is killed while both are at work; what is open then never was.
# A row that somebody holds keeps the backfill from its end.
sql("INSERT INTO parts VALUES (100000, 'z')");
for my $crash (1 .. 2)
{
	begin();
	my $holder = session($node, $db);
	$holder->query_safe("BEGIN; SELECT FROM parts WHERE code = 'z' FOR UPDATE");
	my $backfill = background("CALL outbox_backfill('parts', 'parts', '{\"chunk_rows\": 3, \"restart\": true}')");
	eventually { sql("SELECT rows FROM outbox.backfills WHERE table_name = 'parts'::regclass AND finished_at IS NULL") > 50 } 'some rows are done';
	kill_hard($node);
	$holder->quit;
	waitpid $backfill, 0;
	stop_writers();
	$node->start;
	is(sql("SELECT state FROM outbox.backfills WHERE table_name = 'parts'::regclass"), 'interrupted', 'the backfill is interrupted');
	begin();
	sql("CALL outbox_backfill('parts', 'parts')");
	finish();
	same('parts');
}
same($_) for @tables;

# no error is a backfill's
my $log = join '', map { slurp_file($_) } glob "$dir/writer.*";
unlike($log, qr/ERROR:/, 'no writer got an error');
unlike($log, qr/deadlock/, 'nor was part of a deadlock');
is(() = log_of($node) =~ /deadlock detected/g, 0, 'nobody was');

done_testing();

# Writers, until told to stop.  They outlive a crash.
sub begin
{
	unlink "$dir/stop";
	for my $mine (0 .. 2)
	{
		push @pids, shell("while [ ! -e $dir/stop ]; do psql -X -d '"
			. $node->connstr($db) . "' -c 'CALL scribble($mine)' >>$dir/writer.$mine 2>&1 || sleep 0.1; done");
	}
	return;
}

sub shell
{
	my ($script) = @_;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	exec 'sh', '-c', $script or POSIX::_exit(1);
}

sub background
{
	my ($call) = @_;
	return shell("psql -X -d '" . $node->connstr($db) . "' -c \"" . ($call =~ s/"/\\"/gr) . "\" >$dir/backfill 2>&1");
}

sub stop_writers
{
	append_to_file("$dir/stop", '');
	waitpid $_, 0 for @pids;
	@pids = ();
	return;
}

sub finish
{
	stop_writers();
	eventually { status($node, $db, 'waiting') eq '0' } 'all has arrived';
	return;
}

# What a consumer makes of the messages is the table.
sub same
{
	my ($table) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (%copy, $reads, $undone);
	my $columns = $table eq 'keyed' ? "code, 'v', v, 'w', w" : $table eq 'plain' ? "id, 'id', id, 'v', v, 'w', w" : "code || '/' || id, 'id', id, 'code', code, 'v', v, 'w', w";

	for (@{ $redis->cmd('XRANGE', $table, '-', '+') })
	{
		my %entry = @{ $_->[1] };
		my $m = JSON::PP->new->utf8->decode($entry{payload});
		my $id = sub { my ($k) = @_; return $table eq 'parts' ? "$k->{code}/$k->{id}" : $k->{code} // $k->{id} };
		my $key = $id->($m->{key});
		$reads++ if $m->{operation} eq 'read';
		delete $copy{ $id->($m->{old_key}) } if $m->{old_key};
		if ($m->{operation} eq 'delete') { delete $copy{$key}; }
		elsif ($m->{operation} eq 'update') { $copy{$key} = { %{ $copy{$key} // {} }, %{ $m->{new} } }; }
		else { $copy{$key} = $m->{new}; }
	}
	my ($k, $rest) = split /, /, $columns, 2;
	my $is = JSON::PP->new->utf8->decode(sql("SELECT jsonb_object_agg($k, jsonb_build_object($rest)) FROM $table"));
	my $text = sub { return $_[0] ? JSON::PP->new->canonical->encode($_[0]) : 'gone' };
	my @wrong = grep { $text->($copy{$_}) ne $text->($is->{$_}) } sort keys %{ { %copy, %$is } };
	is_deeply(\@wrong, [], "$table: the copy is the table");
	note "$_: copy " . $text->($copy{$_}) . ', table ' . $text->($is->{$_}) for @wrong[ 0 .. ($#wrong > 5 ? 5 : $#wrong) ];
	cmp_ok($reads, '>', 500, "$table: of which $reads rows were read");
	return;
}
