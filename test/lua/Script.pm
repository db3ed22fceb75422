# Copyright (c) 2026, the outbox developers
#
# Script: calls the scripts of src/relay/deliver by redis-cli, on the server of
# OUTBOX_REDIS_URL (test/perl/with_redis).
#
# A reply is what redis-cli prints, its elements as "one|two|three", an error as
# its text.  A cursor is shown as its fields in order: "count=2|pos=p|seq=12".

package Script;

use strict;
use warnings;
use Exporter 'import';
use File::Basename 'dirname';
use File::Temp;

our @EXPORT = qw(redis text sent script apply alone move skip_batch cursor cursor_at fill entries
  subscriber heard $user);

our $user = '';    # the source of the queue's function, if it has one

my %subscribers;
my $here = dirname(__FILE__);
my ($socket) = ($ENV{OUTBOX_REDIS_URL} // '') =~ m{^unix://(.*)\?}
  or die "to be run by test/lua/run\n";

# A command, its reply as one string.
sub redis
{
	my @args = @_;
	open my $out, '-|', 'redis-cli', '-s', $socket, @args or die "redis-cli: $!\n";
	my $reply = do { local $/; <$out> } // '';
	close $out;
	chomp $reply;
	return $reply =~ tr/\n/|/r;
}

# A script by its name, with its comments ...
sub text
{
	my ($name) = @_;
	my $text = `$here/whole $name`;
	die "there is no script $name\n" if $? || $text eq '';
	return $text;
}

# ... and as the build sends it.
sub sent
{
	my ($name) = @_;
	my $file = "$here/../../src/relay/deliver/scripts.h";
	open my $header, '<', $file or die "$file: $!\n";
	my ($lines) = join('', <$header>) =~ /^static const char ${name}_script\[\] =\n(.*?)^;$/ms;
	return join '', map { /^"(.*)\\n"$/ ? $1 =~ s/\\(.)/$1/gr . "\n" : die "not a string: $_\n" }
	  split /\n/, $lines;
}

# Call one: its keys, its arguments.  Options of redis-cli may follow.
sub script
{
	my ($name, $keys, $args, @options) = @_;
	my $file = File::Temp->new(SUFFIX => '.lua');

	if ($user ne '')
	{
		my ($before, $behind) = split /^source\(\)$/m, sent('function');
		print $file $before =~ tr/\n/ /r, "\n$user$behind";
	}
	print $file text($name);
	close $file;
	return redis(@options, '--eval', "$file", @$keys, ',', @$args);
}

# A target without a key has a channel.
sub _keys
{
	my ($target) = @_;
	return $target eq 'publish' ? ['cursor'] : [ 'cursor', 'key' ];
}

# [expected pos, seq, new pos, seq, expected count] as the scripts want it.  Without
# a count it is the one that the cursor has.
sub _moves
{
	my ($pos, $seq, $to_pos, $to_seq, $count) = @{ $_[0] };
	$count //= redis('HGET', 'cursor', 'count') || 0;
	return ($pos, $seq, $count, $to_pos, $to_seq);
}

# apply TARGET, MOVE, SEQS, ARGUMENT...
sub apply
{
	my ($target, $move, $seqs, @args) = @_;
	my $count = () = $seqs =~ /\d+/g;
	return script('apply', _keys($target),
		[ 'apply', _moves($move), $target, $target eq 'publish' ? 'channel' : '', $seqs, $count, @args ]);
}

# alone TARGET, MOVE, ARGUMENT...: the same of one message, whose seq is the new one
sub alone
{
	my ($target, $move, @args) = @_;
	my ($pos, $seq, $count, $to_pos, $to_seq) = _moves($move);
	return script('apply', _keys($target),
		[ 'one', $pos, $seq, $count, $to_pos, $to_seq, $target, ($count || 0) + 1, @args,
			$target eq 'publish' ? 'channel' : () ]);
}

# move MOVE, RUNS, SEQS THAT LEAVE THE SKIP LIST...
sub move
{
	my ($move, $line, @seqs) = @_;
	return script('apply', [ 'cursor', 'key' ], [ 'move', _moves($move), 'list', $line, '', 0, @seqs ]);
}

# skip_batch MODE, TARGET, MOVE, SEQS SKIPPED, ARGUMENT...
sub skip_batch
{
	my ($mode, $target, $move, $skipped, @args) = @_;
	return script('skip', _keys($target),
		[ $mode, _moves($move), $target, $target eq 'publish' ? 'channel' : '', $skipped, 0, @args ]);
}

# What the cursor has.
sub cursor
{
	return redis('EVAL', <<'END', 1, 'cursor');
local r, h = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #h, 2 do r[#r + 1] = h[i] .. '=' .. h[i + 1] end
table.sort(r)
return r
END
}

# An empty server but for the cursor, at pos and seq: "p 10", then more fields.
sub cursor_at
{
	my ($pos, $seq, @more) = @_;
	redis('FLUSHALL');
	redis('HSET', 'cursor', 'pos', $pos, 'seq', $seq, @more);
	return;
}

# A stream that has room for so many more entries, and then refuses.
sub fill
{
	my ($room) = @_;
	my $last = '1844674407370955' . (1615 - $room);
	redis('XADD', 'key', "18446744073709551615-$last", 'filled', 'up');
	return;
}

# The entries of the stream, but for the one of fill(): "id=1 payload=a".
sub entries
{
	return redis('EVAL', <<'END', 1, 'key');
local r = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[#fields + 1] = entry[2][i] .. '=' .. entry[2][i + 1]
  end
  if entry[2][1] ~= 'filled' then r[#r + 1] = table.concat(fields, ' ') end
end
return r
END
}

# Somebody who listens to a channel, and what is heard next.
sub subscriber
{
	my ($channel) = @_;
	my $pid = open my $out, '-|', 'redis-cli', '-s', $socket, 'SUBSCRIBE', $channel
	  or die "redis-cli: $!\n";
	$subscribers{$pid} = $out;    # closing it would wait for redis-cli
	heard($out);
	return $out;
}

sub heard
{
	my ($out) = @_;
	local $SIG{ALRM} = sub { die "nothing is heard\n" };
	alarm 30;
	my @lines = map { scalar <$out> } 1 .. 3;
	alarm 0;
	chomp @lines;
	return $lines[2];
}

END { kill 'TERM', keys %subscribers; }

1;
