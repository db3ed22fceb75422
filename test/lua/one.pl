# Copyright (c) 2026, the outbox developers
#
# apply.lua, "one": a message by itself is a batch of one message.  What "apply"
# makes of that is what "one" makes of it: the same answer, the same cursor, the
# same data, whatever is there before (I2, I3, I9).

use strict;
use warnings;
use Script;
use Test::More;

# How many random cases there are, and which.
my $random = $ENV{OUTBOX_LUA_CASES} // 60;
my $seed = $ENV{OUTBOX_LUA_SEED} // time;
srand $seed;
note "OUTBOX_LUA_SEED=$seed";

# A value for what a message may have.
my @values = ('a', '', 'two words', "line\nline", '{"k": 1}', 'XADD', '0', "\x{c3}\x{a4}\x{ff}", 'x' x 3000);
sub value { return $values[ rand @values ]; }

# What a message may be: target, and the arguments that "apply" has for it.
my %form = (
	p => sub { ('stream', 'p', '0001', value(), value()) },
	tp => sub { ('stream', 'tp', '0001', value(), value(), value()) },
	kp => sub { ('stream', 'kp', '0001', value(), value(), value()) },
	tkp => sub { ('stream', 'tkp', '0001', value(), value(), value(), value()) },
	watermill => sub { ('stream', 'w', '0001', value(), value(), value()) },
	headers => sub { ('stream', 'g', '0001', 5, '*', 'id', value(), 'h:a', value()) },
	many => sub { ('stream', 'g', '0001', 85, '*', map { ("h:$_", value()) } 1 .. 42) },
	maxlen => sub { ('stream', 'g', '0001', 6, 'MAXLEN', '=', '1', '*', 'id', value()) },
	'bad maxlen' => sub { ('stream', 'g', '0001', 6, 'MAXLEN', '=', 'x', '*', 'id', value()) },
	incomplete => sub { ('stream', 'g', '0001', 2, '*', 'id') },
	list => sub { ('list', value()) },
	publish => sub { ('publish', value() =~ tr/\n/ /r) });    # heard() counts lines

# What the queue's key may be before.
my %key = (
	none => sub { },
	stream => sub { redis('XADD', 'key', '1-1', 'was', 'there') },
	'full stream' => sub { fill(0) },
	list => sub { redis('RPUSH', 'key', 'was there') },
	string => sub { redis('SET', 'key', 'was there') });

# What the cursor may be before; the batch expects pos p, seq 12 and count 3.
my @at = qw(pos p seq 12 count 3);
my %cursor = (
	expected => sub { redis('HSET', 'cursor', @at) },
	'with more in it' => sub {
		redis('HSET', 'cursor', @at, 'line', 'ours', 'owner', 'me', 's5', 'ERR no', 's13', '');
	},
	none => sub { },
	'of another position' => sub { redis('HSET', 'cursor', qw(pos o seq 12 count 3)) },
	'of another seq' => sub { redis('HSET', 'cursor', qw(pos p seq 13 count 3)) },
	'of another count' => sub { redis('HSET', 'cursor', qw(pos p seq 12 count 2)) },
	'without a count' => sub { redis('HSET', 'cursor', qw(pos p seq 12)) },
	'without a position' => sub { redis('HSET', 'cursor', qw(seq 12 count 3)) },
	'moved before' => sub { redis('HSET', 'cursor', qw(pos q seq 13 count 4)) },
	sealed => sub {
		redis('HSET', 'cursor', @at);
		script('move', ['cursor'], [ 'seal', 'p', 12, 3, 'sealed', 'elsewhere' ]);
	},
	'no hash' => sub { redis('SET', 'cursor', 'p') });

# What the batch expects; to it belongs the cursor "expected", or none.
my %expects = (
	'a cursor' => [ 'p', 12, 'q', 13, 3 ],
	'no cursor' => [ '', '', 'q', 13, 0 ]);

# What the server may be like.
my %server = (
	well => [ sub { }, sub { } ],
	full => [
		sub { redis('CONFIG', 'SET', 'maxmemory', 1) },
		sub { redis('CONFIG', 'SET', 'maxmemory', 0) } ],
	'without replicas' => [
		sub { redis('CONFIG', 'SET', 'min-replicas-to-write', 1) },
		sub { redis('CONFIG', 'SET', 'min-replicas-to-write', 0) } ]);

# All that is there, but for the ids of entries.
sub everything
{
	return redis('EVAL', <<'END', 0);
local r, keys = {}, redis.call('KEYS', '*')
table.sort(keys)
for _, key in ipairs(keys) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'stream' then
    value = {}
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
      value[#value + 1] = cjson.encode(entry[2])
    end
  elseif kind == 'hash' then
    local fields = redis.call('HGETALL', key)
    value = {}
    for i = 1, #fields, 2 do
      value[#value + 1] = fields[i] .. '=' .. fields[i + 1]
    end
    table.sort(value)
  elseif kind == 'list' then
    value = redis.call('LRANGE', key, 0, -1)
  else
    value = {redis.call('GET', key)}
  end
  r[#r + 1] = key .. ' ' .. kind .. ' ' .. table.concat(value, ' ')
end
return r
END
}

my $listener = subscriber('channel');

# What a way of sending makes of a case.
sub outcome
{
	my ($way, $case, $expected, $target, @args) = @_;
	my $reply;

	redis('FLUSHALL');
	$cursor{ $case->{cursor} }->();
	$key{ $case->{key} }->();
	$server{ $case->{server} }[0]->();
	$reply = $way eq 'one' ? alone($target, $expected, @args) : apply($target, $expected, '13 ', @args);
	$server{ $case->{server} }[1]->();

	# a channel has heard it before the end of the script, or never
	redis('PUBLISH', 'channel', 'end');
	my @heard = heard($listener);
	push @heard, heard($listener) while $heard[-1] ne 'end';

	# where in the text of the script an error was raised is of no interest
	$reply =~ s/ script: \w+, on @\w+:\d+\.?//g;
	$reply =~ s/\(call to f_\w+\): @\w+:\d+: (?:@\w+: ?\d+: )?//g;
	return { reply => $reply, state => everything(), heard => "@heard" };
}

my %seen;

sub same
{
	my ($case) = @_;
	my @message = $form{ $case->{form} }->();
	my $expected = $expects{ $case->{expects} };
	my ($apply, $one) = map { outcome($_, $case, $expected, @message) } 'apply', 'one';
	my $answer = $one->{reply} =~ /^(1$|differs|stopped|.*OOM|.*NOREPLICAS|.*WRONGTYPE)/ ? $1 : $one->{reply};

	$seen{$answer}++;
	return is_deeply($one, $apply,
		"$case->{form}; cursor $case->{cursor}, key $case->{key}, server $case->{server}, expects $case->{expects}");
}

my %usual = (form => 'p', cursor => 'expected', key => 'none', server => 'well', expects => 'a cursor');

for my $form (sort keys %form)
{
	same({ %usual, form => $form, key => $_ }) for sort keys %key;
}
for my $cursor (sort keys %cursor)
{
	same({ %usual, cursor => $cursor, form => $_ }) for 'tp', 'list', 'publish';
	same({ %usual, cursor => $cursor, expects => 'no cursor' });
}
for my $server (sort keys %server)
{
	same({ %usual, server => $server, form => $_ }) for 'p', 'list', 'publish';
}

my %drawn = (form => \%form, cursor => \%cursor, key => \%key, server => \%server, expects => \%expects);
for (1 .. $random)
{
	my %case;
	for my $what (sort keys %drawn)
	{
		my @all = sort keys %{ $drawn{$what} };
		$case{$what} = rand() < 0.5 ? $usual{$what} : $all[ rand @all ];
	}
	same(\%case);
}

is_deeply([ sort keys %seen ], [ sort '1', 'differs', 'stopped', grep { /OOM|NOREPLICAS|WRONGTYPE/ } keys %seen ],
	'what was answered');
ok($seen{1} && $seen{differs} && $seen{stopped}, 'all answers were seen');
ok((grep { /$_/ } keys %seen), "$_ was seen") for 'OOM', 'NOREPLICAS', 'WRONGTYPE';

# What it is to leave, beside what "apply" leaves.
cursor_at('p', 12, 'count', 3);
is(alone('stream', [ 'p', 12, 'q', 13 ], 'tkp', '0001', 1, 2, 3, 4), 1, 'applied');
is(entries(), 'id=1 type=2 key=3 payload=4', 'the entry');
is(cursor(), 'count=4|pos=q|seq=13', 'the cursor');
is(alone('stream', [ 'p', 12, 'q', 13, 3 ], 'tkp', '0001', 1, 2, 3, 4), 'differs|q|13', 'again: differs');
is(redis('XLEN', 'key'), 1, 'nothing came twice');

# The count is exact.
cursor_at('p', 12, 'count', '9007199254740992');
is(script('apply', [ 'cursor', 'key' ], [ 'one', 'p', 12, '9007199254740992', 'q', 13, 'list', '9007199254740993', 'x' ]),
	1, 'a large count');
is(cursor(), 'count=9007199254740993|pos=q|seq=13', 'is what it was told to be');

done_testing();
