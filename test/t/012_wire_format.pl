# Copyright (c) 2026, the outbox developers
#
# Promise: what arrives is what was enqueued, byte by byte: the fields of a
# stream entry and their order, the JSON object and the raw bytes of lists and
# channels, text as UTF-8 whatever the database's encoding, bytea untouched; and
# what is one document arrives as one, however it was passed.

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
install($node, $db, 'stream');
$node->safe_psql($db, <<'EOC');
SELECT outbox_alter_queue('stream', settings => '{"payload_type": "bytea"}');
SELECT outbox_create_queue('list', 'list');
SELECT outbox_create_queue('words', 'list', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('bytes', 'list', settings => '{"payload_type": "bytea"}');
SELECT outbox_create_queue('more', 'list', settings => '{"fields": ["queue", "enqueued_at"]}');
SELECT outbox_create_queue('more entries', settings => '{"fields": ["queue", "enqueued_at"]}');
SELECT outbox_create_queue('raw list', 'list', redis_key => 'some:{other}:key', format => 'raw');
SELECT outbox_create_queue('channel', 'publish', redis_key => 'news', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('raw channel', 'publish', redis_key => 'raw news', format => 'raw');
SELECT outbox_create_queue('short', 'stream', maxlen => 200, settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('a name with "quotes" and ünï', 'stream', redis_key => E'key\nwith {tag} \u00fc');
EOC

my $id = '01234567-89ab-7cde-8f01-23456789abcd';

# Enqueue with these arguments (the queue excepted) and give what arrives.
sub entry
{
	my ($arguments) = @_;
	my $n = $redis->count('stream') + 1;
	$node->safe_psql($db, "SELECT outbox_enqueue('stream', $arguments, id => '$id')");
	eventually { $redis->count('stream') == $n } "arrived: $arguments" or return [];
	return ($redis->entries('stream'))[-1][1];
}

sub item
{
	my ($queue, $key, $arguments) = @_;
	$node->safe_psql($db, "SELECT outbox_enqueue('$queue', $arguments, id => '$id')");
	eventually { $redis->cmd('LLEN', $key) } "arrived: $arguments" or return '';
	return $redis->cmd('LPOP', $key);
}

# Streams.
is_deeply(entry(q('just text')), [ id => $id, payload => 'just text' ], 'the least');
is_deeply(
	entry(q('{"user":"alice"}'::jsonb, type => 'verify', key => 'alice', headers => '{"b":"2","a":"1","long name":""}')),
	[ id => $id, type => 'verify', key => 'alice', payload => '{"user": "alice"}',
		'h:a' => '1', 'h:b' => '2', 'h:long name' => '' ], 'everything, in this order');
is_deeply(entry(q('', type => '', key => '', headers => '{}')),
	[ id => $id, type => '', key => '', payload => '' ], 'empty is not absent');
is_deeply(entry(q('{"user":"alice"}')), [ id => $id, payload => '{"user":"alice"}' ], 'an untyped literal is text, as it is written');

my $bytes = join '', map { chr } 0 .. 255;
my $hex = unpack 'H*', $bytes;
is_deeply(entry("'\\x$hex$hex'::bytea"), [ id => $id, payload => $bytes . $bytes ], 'all bytes');
is_deeply(entry(q(decode(repeat('0d0a00ff', 200000), 'hex'))), [ id => $id, payload => "\r\n\0\xff" x 200000 ], 'many bytes, of the protocol\'s own kind');
is_deeply(
	entry(q(E'na\u00efve \U0001F600', type => E'\u00e9', key => E'\u4e2d', headers => E'{"\u00fc":"\u00df"}')),
	[ id => $id, type => "\xc3\xa9", key => "\xe4\xb8\xad", payload => "na\xc3\xafve \xf0\x9f\x98\x80",
		"h:\xc3\xbc" => "\xc3\x9f" ], 'text is UTF-8');
is_deeply(entry(q('[1, 2.50, null, "\u00e9\n"]'::jsonb)),
	[ id => $id, payload => "[1, 2.50, null, \"\xc3\xa9\\n\"]" ], 'jsonb as PostgreSQL prints it');

my $given = $node->safe_psql($db, "SELECT outbox_enqueue('stream', 'x')");
like($given, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'an id that is made is a UUID of version 7');
eventually { ($redis->entries('stream'))[-1][1][1] eq $given } 'and is the one that the function returns';

# Lists.
is(item('list', 'list', q('{"user":"alice","n":[1,2]}'::jsonb, type => 'verify', key => 'alice', headers => '{"a":"1","b":"2"}')),
	qq({"id":"$id","type":"verify","key":"alice","payload":{"n": [1, 2], "user": "alice"},"headers":{"a": "1", "b": "2"}}),
	'JSON, everything');
my $document = q('{"b" :1.0, "b":100000000000000000000, "a":"é\u0000"}');
is(item('list', 'list', $_), qq({"id":"$id","payload":) . $document =~ s/'//gr . '}', "JSON, a document as $_")
  for $document, "${document}::json", "${document}::text", "convert_to($document, 'UTF8')", "convert_to($document, 'UTF8')::text";
is(item('words', 'words', "${document}::json"), qq({"id":"$id","payload":) . $document =~ s/'//gr =~ s/(["\\])/\\$1/gr =~ s/(.*)/"$1"}/r, 'JSON, a document as text');
is(item('bytes', 'bytes', q('[1]'::jsonb)), qq({"id":"$id","payload_base64":"WzFd"}), 'JSON, a document as bytes');
is(item('words', 'words', q('text')), qq({"id":"$id","payload":"text"}), 'JSON, the least');
is(item('words', 'words', q(E'\u00e9 "\\\\"\n\t')), qq({"id":"$id","payload":"\xc3\xa9 \\"\\\\\\"\\n\\t"}), 'JSON, a string to be escaped');
is(item('bytes', 'bytes', q('\x00ff10'::bytea)), qq({"id":"$id","payload_base64":"AP8Q"}), 'JSON, bytes');
is(item('bytes', 'bytes', q('\x00'::bytea)), qq({"id":"$id","payload_base64":"AA=="}), 'JSON, one byte');
is(item('bytes', 'bytes', q(''::bytea)), qq({"id":"$id","payload_base64":""}), 'JSON, no bytes');
like(item('bytes', 'bytes', q(decode(repeat('00', 3000), 'hex'))), qr/^\{"id":"$id","payload_base64":"A{4000}"\}$/, 'JSON, base64 in one line');
is(item('raw list', 'some:{other}:key', "'\\x$hex'::bytea, type => 't', key => 'k', headers => '{\"a\":\"b\"}'"),
	$bytes, 'raw is the payload only');

$node->safe_psql($db, "SELECT outbox_enqueue('raw list', i::text) FROM generate_series(1, 500) i");
eventually { $redis->cmd('LLEN', 'some:{other}:key') == 500 } 'a list of many';
is_deeply($redis->cmd('LRANGE', 'some:{other}:key', 0, -1), [ 1 .. 500 ], 'a list is in order');

# Fields on request: when, in milliseconds, and by which queue.
my ($at) = item('more', 'more', q('{}', headers => '{"a": "b"}')) =~ /^\{"id":"$id","payload":\{\},"headers":\{"a": "b"\},"enqueued_at":(\d{13}),"queue":"more"\}$/;
cmp_ok(abs($at / 1000 - time), '<', 600, 'JSON, with fields');
$node->safe_psql($db, "SELECT outbox_enqueue('more entries', '{}', headers => '{\"a\": \"b\"}', id => '$id')");
eventually { $redis->count('more entries') == 1 } 'an entry with fields';
my @entry = @{ ($redis->entries('more entries'))[0][1] };
cmp_ok(abs($entry[5] / 1000 - time), '<', 600, 'when it was enqueued');
is_deeply([ @entry[ 0 .. 4, 6 .. 9 ] ], [ id => $id, payload => '{}', 'enqueued_at', queue => 'more entries', 'h:a' => 'b' ], 'its fields, in this order');

# Channels.
my $subscriber = $redis->client;
$subscriber->cmd('SUBSCRIBE', 'news');
$subscriber->cmd('SUBSCRIBE', 'raw news');
$node->safe_psql($db, "SELECT outbox_enqueue('channel', 'text', key => 'k', id => '$id')");
is_deeply($subscriber->reply, [ 'message', 'news', qq({"id":"$id","key":"k","payload":"text"}) ], 'a message on a channel');
$node->safe_psql($db, "SELECT outbox_enqueue('raw channel', i::text) FROM generate_series(1, 300) i");
is_deeply([ map { $subscriber->reply->[2] } 1 .. 300 ], [ 1 .. 300 ], 'many, in order, raw');

# maxlen trims roughly: whole nodes of the stream's tree, 100 entries each.
$node->safe_psql($db, "SELECT outbox_enqueue('short', i::text) FROM generate_series(1, 2000) i");
eventually { $redis->last_of('short') eq '2000' } 'a trimmed stream has the last entry';
my $length = $redis->count('short');
ok($length >= 200 && $length <= 400, "and about as many as it should ($length)");

# Queue and key names are bytes to Redis as well.
$node->safe_psql($db, q{SELECT outbox_enqueue('a name with "quotes" and ünï', '{}')});
eventually { $redis->count("key\nwith {tag} \xc3\xbc") == 1 } 'a key with a line feed, a tag and UTF-8';

# Where the cursors are: beside the data, in its slot.
my @cursors = sort grep { /:outbox:/ } @{ $redis->cmd('KEYS', '*') };
is(scalar(grep { /^\{stream\}:outbox:[^:]+:\d+$/ } @cursors), 1, 'the cursor of a key without a tag');
is(scalar(grep { /^some:\{other\}:key:outbox:[^:]+:\d+$/ } @cursors), 1, 'the cursor of a key with a tag');

# A database in another encoding.
$node->safe_psql($db, "CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('latin1', <<'EOC');
CREATE EXTENSION outbox;
SELECT outbox_create_queue('latin1', settings => '{"payload_type": "bytea"}');
SELECT outbox_create_queue('latin1 list', 'list', settings => '{"payload_type": "text"}');
SELECT outbox_create_queue('latin1 json', 'list');
SELECT outbox_create_queue('latin1 ' || chr(233), 'list', settings => '{"fields": ["queue"]}');
EOC
$node->safe_psql('latin1', <<"EOC");
SELECT outbox_enqueue('latin1', chr(233) || 't', type => chr(228), key => chr(246), headers => jsonb_build_object(chr(252), chr(223)), id => '$id');
SELECT outbox_enqueue('latin1', jsonb_build_object('k', chr(233)), id => '$id');
SELECT outbox_enqueue('latin1', '\\xe9'::bytea, id => '$id');
SELECT outbox_enqueue('latin1 list', chr(233), type => chr(228), headers => jsonb_build_object(chr(252), chr(223)), id => '$id');
SELECT outbox_enqueue('latin1 json', payload, id => '$id') FROM (VALUES (('"' || chr(233) || '"')::jsonb), (to_jsonb(chr(233)))) AS v (payload);
SELECT outbox_enqueue('latin1 json', ('"' || chr(233) || '"')::json, id => '$id');
SELECT outbox_enqueue('latin1 json', '"' || chr(233) || '"', id => '$id');
SELECT outbox_enqueue('latin1 json', convert_to('"' || chr(233) || '"', 'UTF8'), id => '$id');
SELECT outbox_enqueue('latin1 json', convert_to('"' || chr(233) || '"', 'UTF8')::text, id => '$id');
SELECT outbox_enqueue('latin1 json', '"\xe2\x82\xac"'::bytea, id => '$id');
SELECT outbox_enqueue('latin1 ' || chr(233), '1', id => '$id');
EOC
like(($node->psql('latin1', q{SELECT outbox_enqueue('latin1 json', convert_to('"' || chr(233) || '"', 'LATIN1'))}))[2], qr/payload is not valid JSON/, 'LATIN1 bytes are no document');
eventually { $redis->count('latin1') == 3 && $redis->cmd('LLEN', 'latin1 list') } 'LATIN1 arrives';
is_deeply(
	[ map { $_->[1] } $redis->entries('latin1') ],
	[
		[ id => $id, type => "\xc3\xa4", key => "\xc3\xb6", payload => "\xc3\xa9t", "h:\xc3\xbc" => "\xc3\x9f" ],
		[ id => $id, payload => "{\"k\": \"\xc3\xa9\"}" ],
		[ id => $id, payload => "\xe9" ]
	],
	'LATIN1 becomes UTF-8, bytea stays');
eventually { $redis->cmd('LLEN', 'latin1 json') == 7 && $redis->cmd('LLEN', "latin1 \xc3\xa9") } 'documents';
is_deeply($redis->cmd('LRANGE', 'latin1 json', 0, -1), [ (qq({"id":"$id","payload":"\xc3\xa9"})) x 6, qq({"id":"$id","payload":"\xe2\x82\xac"}) ], 'a document is one, whatever it was');
is($redis->cmd('LPOP', "latin1 \xc3\xa9"), qq({"id":"$id","payload":1,"queue":"latin1 \xc3\xa9"}), 'and the name of a queue');
is($redis->cmd('LPOP', 'latin1 list'), qq({"id":"$id","type":"\xc3\xa4","payload":"\xc3\xa9","headers":{"\xc3\xbc": "\xc3\x9f"}}), 'also in JSON');

done_testing();
