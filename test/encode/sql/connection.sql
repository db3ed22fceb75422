-- A connection that fails while it is written to takes whatever comes and
-- drops it; the next one begins with nothing of it.
\pset format unaligned
\pset tuples_only on
SELECT connection_story();

-- Whatever is said on it, it is a reply, or waited for, or refused before memory
-- is spent on it.  The limits here: an array, 10 elements, 1000 bytes.
\pset format aligned
\pset border 0
SELECT shown, connection_hears(begins, goes_on) FROM (VALUES
	('a status', e'+OK\r\n', ''),
	('an array', e'*2\r\n:1\r\n$1\r\na\r\n', ''),
	('a nil array', e'*-1\r\n', ''),
	('nothing yet', e'*2\r\n:1\r\n', ''),
	('a string of 1000', e'$1000\r\n' || repeat('a', 1000) || e'\r\n', ''),
	('a string of 1001', e'$1001\r\n' || repeat('a', 1001) || e'\r\n', ''),
	('10 elements', e'*10\r\n' || repeat(e':1\r\n', 10), ''),
	('11 elements', e'*11\r\n', ''),
	('2^31 - 1 elements', e'*2147483647\r\n', ''),
	('2^31 - 1 elements that come', e'*2147483647\r\n', repeat(e':1\r\n', 10000)),
	('10^9 elements', e'*1000000000\r\n', ''),
	('an array in an array', e'*1\r\n*1\r\n:1\r\n', ''),
	('arrays without end', e'*1\r\n', repeat(e'*1\r\n', 10000)),
	('strings that are too much together', e'*10\r\n', repeat(e'$600\r\n' || repeat('a', 600) || e'\r\n', 10)),
	('a string of 2 GB', e'$2000000000\r\n', repeat('a', 65536)),
	('a string of 2^63 bytes', e'$9223372036854775806\r\n', repeat('a', 65536)),
	('a status without end', '+', repeat('a', 65536)),
	('an error without end', '-ERR ', repeat('a', 65536)),
	('a number without end', ':', repeat('1', 65536)),
	('a length without end', '$', repeat('1', 65536))
) AS t (shown, begins, goes_on);
-- hiredis says these in different words
SELECT shown, connection_hears(begins, goes_on) ~ '^it is taken: no, .' AS refused
FROM (VALUES
	('2^32 elements', e'*4294967296\r\n', ''),
	('-2 elements', e'*-2\r\n', ''),
	('garbage', repeat(e'\u0007\u0001', 1000), '')
) AS t (shown, begins, goes_on);
