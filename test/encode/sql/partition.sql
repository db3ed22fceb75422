-- Where a message with a key goes must not change while messages of the key wait: these
-- are for ever.  Behind the colon is the checksum, CRC16 as XMODEM has it: that of
-- 123456789 is 0x31C3.
\pset tuples_only on
\pset format unaligned
SET client_encoding = 'UTF8';

SELECT key, n, partition_of(n, key)
FROM unnest('{"",a,123456789,alice,user:4711,äöü,€,😀}'::text[]) AS key, unnest('{1,2,3,16,1000,1024}'::integer[]) AS n;
SELECT partition_of(1024, repeat('key ', 10000));
-- without a key by the digits of the number
SELECT seq, n, partition_of(n, NULL, seq)
FROM unnest('{1,2,10,4711,9223372036854775807}'::bigint[]) AS seq, unnest('{2,16,1024}'::integer[]) AS n;
SELECT min(c), max(c) FROM (SELECT partition_of(16, NULL, 2 * seq) ~ '^(\d+)' AS ok,
    split_part(partition_of(16, NULL, 2 * seq), ':', 1) AS p, count(*) AS c
    FROM generate_series(1, 16000) AS seq GROUP BY 1, 2) AS s;
-- its key in Redis has the number in the hash tag, and that makes the slot
SELECT partition_key(key, 16, n) FROM unnest(ARRAY['orders', '{orders}', '{orders}:events', 'shop:{orders}:{events}', 'straße']) AS key,
    unnest('{0,1,15}'::integer[]) AS n;
SELECT partition_key(key, 1, 0) FROM unnest(ARRAY['orders', '{orders}', '{}', '123456789', 'foo{}{bar}', 'foo{{bar}}zap']) AS key;
