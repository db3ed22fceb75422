#!/usr/bin/perl
# Copyright (c) 2026, the outbox developers
#
# DBD::Pg: statements that the server prepares, and literals.  See ../run for
# what it prints.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types);
use JSON::PP;

binmode STDOUT, ':utf8';
print "client DBD::Pg $DBD::Pg::VERSION\n";

my $json = JSON::PP->new->allow_nonref->canonical;
my @values = (string => 'hé "llo"', digits => '123', object => { a => 1, b => 'é' }, array => [1, 2],
	words => ['a', 'b'], empty => [], bytes => "\x00\xff{", document => '{"a": 1}', null => undef,
	number => 42, true => JSON::PP::true);
my ($plain, $as_json, $many) = map { "SELECT $_" } 'outbox_enqueue(?, ?)', 'outbox_enqueue_json(?, ?)',
	'(outbox_enqueue_many(?, ?))[1]';

sub cast { "SELECT outbox_enqueue(?, ?::$_[0])" }

sub dumps
{
	my ($value, $name) = @_;
	die "no way\n" if $name eq 'bytes' || $name eq 'document';
	return $json->encode($value);
}

# a string of characters isn't bytes
sub only_bytes
{
	my ($value, $name) = @_;
	die "no way\n" unless $name eq 'bytes' || $name eq 'document';
	return $value;
}

sub listed { my ($value, $name) = @_; dumps(@_); return dumps([$value], $name) }

my @ways = (plain => [$plain], 'json()' => [$as_json], dumped => [$plain, \&dumps],
	'dumped json()' => [$as_json, \&dumps], PG_BYTEA => [$plain, \&only_bytes, PG_BYTEA],
	'dumped PG_JSONB' => [$plain, \&dumps, PG_JSONB],
	'::jsonb' => [cast('jsonb')], '::bytea' => [cast('bytea')],
	'::bytea PG_BYTEA' => [cast('bytea'), \&only_bytes, PG_BYTEA], 'dumped many' => [$many, \&listed]);

for my $mode ('prepared', 'direct', 'direct@transaction', 'direct@statement')
{
	my ($kind, $bouncer) = split /@/, $mode;
	my $port = $bouncer ? $ENV{BOUNCER_PORT} : $ENV{PGPORT};
	my $database = $bouncer || $ENV{PGDATABASE};
	my $dbh = DBI->connect("dbi:Pg:host=127.0.0.1;port=$port;dbname=$database", 'postgres', '',
		{ RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_server_prepare => $kind eq 'prepared' ? 1 : 0 });
	for (my $w = 0; $w < @ways; $w += 2)
	{
		for (my $v = 0; $v < @values; $v += 2)
		{
			cell($dbh, $mode, $ways[$w], $ways[$w + 1], @values[$v, $v + 1], $_) for qw(json text bytea);
		}
	}
}

sub cell
{
	my ($dbh, $mode, $way, $how, $name, $value, $queue) = @_;
	my ($sql, $convert, $type) = @$how;
	my @result = eval {
		my $payload = $convert ? $convert->($value, $name) : $value;
		my $sth = $dbh->prepare($sql);
		$sth->bind_param(1, $queue);
		$type ? $sth->bind_param(2, $payload, { pg_type => $type }) : $sth->bind_param(2, $payload);
		$sth->execute;
		(id => $sth->fetchrow_array);
	};
	if (my $error = $@)
	{
		my $state = ref $dbh && $dbh->err && $error =~ /failed/ ? $dbh->state : '';
		$error =~ s/\s+/ /g;
		@result = $error =~ /^no way/ ? 'none' : $state ? (server => $state, $error) : (driver => 'die', $error);
	}
	print join("\t", $mode, $way, $name, $queue, @result), "\n";
}
