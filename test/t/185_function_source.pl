# Copyright (c) 2026, the outbox developers
#
# Promise: no source of a function ends what is put around it (I2): what
# outbox_alter_queue() takes is the body of a function for Redis's own Lua, too, or
# is loaded by no Redis.  Random sources of Lua's tokens, with strings, comments
# and numbers in which "end" is none.

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
install($node, $db);

my $seed = $ENV{OUTBOX_TEST_SEED} // int rand 2**31;
srand $seed;
note "seed $seed";

my @statements = ('f() ', 'local a = 1 ', 'x = "end" ', "x = 'if' ", 'x = [[end]] ', 'x = [==[ end ]=] ]==] ', "-- end\n",
	'--[[ end ]] ', '--[=[ end ]] ]=] ', 'local endx = 3 ', 'x = _end ', "x = 'a\\' end' ", "x = 'a\\\nend' ", "x = 'a\\\r\nend' ",
	"--[ end\n", "-- end\r", "--[= end\n", "x = 0x1 ", 'x = 1 ..2 ', 'x = a..a ', 'x = .5 ', 'x = 3e+1 ', "x = {'}', end_ = 1} ");
my @blocks = ([ 'do ', 'end ' ], [ 'if x then ', 'end ' ], [ 'if x then f() else ', 'end ' ], [ 'while x do ', 'end ' ],
	[ 'for i = 1, 2 do ', 'end ' ], [ 'repeat ', 'until x ' ], [ 'x = function() ', 'end ' ], [ 'local function g() ', 'end ' ]);
my @tokens = ('end ', 'until x ', 'do ', 'if x then ', 'repeat ', 'function f() ', '"', "'", '[[', ']]', '--', '--[[', '[=[', ']=]', "\\",
	"\n", "\r", '3', '3end', '..', '...', '.5', '(', ')', '}', '#!', '[', 'return 1 ');

sub any { return $_[ rand @_ ]; }

sub program
{
	my ($depth) = @_;
	my $source = '';
	for (1 .. 1 + rand 3)
	{
		my $block = $depth > 0 && rand() < 0.5 ? any(@blocks) : undef;
		$source .= $block ? $block->[0] . program($depth - 1) . $block->[1] : any(@statements);
	}
	return $source;
}

# A body of a function; one that ends it, and begins another one; anything.
sub source
{
	my $kind = rand;
	return program(3) if $kind < 0.3;
	return program(2) . any('end ', 'until x ') . program(2) . any(map { $_->[0] } @blocks) . program(1) if $kind < 0.7;
	my $source = program(2);
	substr($source, rand 1 + length $source, rand 4) = any(@tokens) for 1 .. 1 + rand 3;
	return $source;
}

my @sources = map { source() } 1 .. 4000;

# What outbox says: the fault, or nothing.
$node->safe_psql($db, <<'END');
SELECT outbox_create_queue('f', 'function', options => '{"function": "return"}');
CREATE FUNCTION fault(source text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_alter_queue('f', options => jsonb_build_object('function', source));
    RAISE 'none' USING ERRCODE = 'ZZZZZ';
EXCEPTION
    WHEN invalid_parameter_value THEN RETURN sqlerrm;
    WHEN SQLSTATE 'ZZZZZ' THEN RETURN '';
END $$;
END
my $json = JSON::PP->new->ascii->encode(\@sources) =~ s/'/''/gr;
my @fault = split /\n/, $node->safe_psql($db, "SELECT fault(s) FROM jsonb_array_elements_text('$json') WITH ORDINALITY AS e (s, n) ORDER BY n"), -1;
is(scalar(@fault), scalar(@sources), 'all are judged');

# What Redis's Lua says: can it be loaded alone, and between our lines?
my (@alone, @between);
for (my $i = 0; $i < @sources; $i += 200)
{
	my @some = grep { defined } @sources[ $i .. $i + 199 ];
	my $said = $redis->cmd('EVAL', <<'END', 0, @some);
local r = {}
for i, source in ipairs(ARGV) do
  r[i] = (loadstring(source) and 'a' or '') ..
    (loadstring('return (function() local f = function(key)\n' .. source .. '\nend return f end)()') and 'b' or '')
end
return r
END
	push @alone, map { /a/ ? 1 : 0 } @$said;
	push @between, map { /b/ ? 1 : 0 } @$said;
}

my (@escapes, @missed, @false_alarms, $bodies);
for my $i (0 .. $#sources)
{
	my $vararg = $sources[$i] =~ /\.\.\./;    # may be a chunk's, never the function's
	push @escapes, $i if $between[$i] && !$alone[$i];
	push @missed, $sources[$i] if $fault[$i] eq '' && $between[$i] && !$alone[$i];
	push @false_alarms, "$sources[$i]: $fault[$i]" if $alone[$i] && $fault[$i] ne '';
	$bodies++ if $alone[$i] && $between[$i] && $fault[$i] eq '';
	push @missed, "not the same: $sources[$i]" if $fault[$i] eq '' && $alone[$i] && !$between[$i] && !$vararg;
}
cmp_ok($bodies, '>', 500, 'many are bodies of functions');
cmp_ok(scalar(@escapes), '>', 100, 'many would end the function around them');
is_deeply(\@missed, [], 'which is seen of each');
is_deeply(\@false_alarms, [], 'and no body is refused');

done_testing();
