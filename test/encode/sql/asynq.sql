-- A task of asynq: its state, its id, its message in protocol buffers, a time,
-- and as far as they are needed its group, its lock and the lock's life.
\pset tuples_only on
\pset format unaligned

-- the protocol buffers of a task, and in a batch all of its arguments
CREATE FUNCTION task(message, redis_key text DEFAULT 'default') RETURNS text LANGUAGE sql AS
    $$SELECT encode((batch(queue('asynq', redis_key), $1))[4], 'hex')$$;

SELECT encode_branch(queue('asynq'));

-- the vector of the format's description, 83 bytes, and with a header
SELECT task(message('{"user_id":42}', 'email:welcome'))
     = '0a0d656d61696c3a77656c636f6d65120e7b22757365725f6964223a34327d1a2430313930663361322d37633165'
       '2d376233612d396435352d336630633261316234633564220764656661756c74281940880e';
SELECT length(task(message('{"user_id":42}', 'email:welcome'))) / 2;
SELECT task(message('{"user_id":42}', 'email:welcome', headers => '{"trace": "abc"}'))
     = task(message('{"user_id":42}', 'email:welcome')) || '7a0c0a0574726163651203616263';

-- pending, with the nanoseconds; the key of the message is not sent
SELECT shown(batch(queue('asynq'), message('{}', 't', 'a key')));
-- two in a batch
SELECT shown(batch(queue('asynq'), message('{}', 't'), message('[]', 'u')));
-- alone it is the same
SELECT alone(queue('asynq'), message('{}', 't')) = batch(queue('asynq'), message('{}', 't'));

-- states: scheduled; in a group; with both it is scheduled; a time that has
-- come is none
CREATE FUNCTION states(options jsonb) RETURNS text LANGUAGE sql AS
    $$SELECT shown(batch(queue('asynq', 'Q'), message('p', 't', options => $1)))$$;
SELECT states('{"process_at": 1795381201}');
SELECT states('{"process_at": 1795381200}');
SELECT states('{"process_at": 1795381199}');
SELECT states('{"group": "g"}');
SELECT states('{"group": "g", "process_at": 1795381201}');
-- locks: the life counts from when the task is due
SELECT states('{"unique_ttl": 60, "unique_key": "u"}');
SELECT states('{"unique_ttl": 60, "unique_key": "u", "process_at": 1795381300}');
SELECT states('{"unique_ttl": 60, "unique_key": "u", "process_at": 1795381100}');
SELECT states('{"unique_ttl": 60, "unique_key": "u", "group": "g"}');
SELECT states('{"unique_ttl": 60, "unique_key": "u", "group": "g", "process_at": 1795381300}');
-- of a task without payload no key
SELECT states('{"unique_ttl": 60}');
-- a key may have what separates: it is not taken apart again
SELECT states('{"unique_ttl": 1, "unique_key": "a:b:{c}"}');

-- every field, and the number of bytes of integers
SELECT task(message('p', 't', headers => '{"b": "2", "a": "1"}', options => '{"max_retry": 10, "timeout": 30,
    "deadline": 1795381200, "retention": 3600, "unique_ttl": 60, "unique_key": "u", "group": "g"}'));
CREATE FUNCTION with_options(options jsonb) RETURNS text LANGUAGE sql AS
    $$SELECT substr(task(message('', 't', options => $1), 'Q'), 89)$$;
SELECT with_options(NULL);
SELECT n, with_options(jsonb_build_object('max_retry', n))
FROM unnest('{0,1,24,25,26,127,128,129,16383,16384,2097151,2097152,268435455,268435456,2147483647}'::bigint[]) n;
SELECT n, with_options(jsonb_build_object('timeout', n))
FROM unnest('{0,1,127,128,1800,2147483647,2147483648,4294967295,4294967296,31622400000}'::bigint[]) n;
SELECT n, with_options(jsonb_build_object('retention', n))
FROM unnest('{0,1,127,128,31622400000}'::bigint[]) n;
-- a deadline stands for the timeout that would be there without it
SELECT n, with_options(jsonb_build_object('deadline', n)) FROM unnest('{1,127,128,63244800000}'::bigint[]) n;
SELECT with_options('{"deadline": 128, "timeout": 1}');
SELECT with_options('{"group": "g"}');

-- empty payload, all bytes, lengths around 128 and 16384
SELECT task(message('', 't'));
SELECT task(message(string_agg(set_byte('\x00', 0, n), '' ORDER BY n), 't')) FROM generate_series(0, 255) n;
CREATE FUNCTION bytes_of_payload(n integer) RETURNS text LANGUAGE sql AS
    $$SELECT encode(substr((batch(queue('asynq'), message(convert_to(repeat('x', $1), 'UTF8'), 't')))[4], 4, 5), 'hex')$$;
SELECT n, bytes_of_payload(n) FROM unnest('{1,127,128,16383,16384,2097151,2097152}'::integer[]) n;
-- the same of a type and of a group
SELECT n, substr(task(message('', repeat('t', n))), 1, 8) FROM unnest('{127,128}'::integer[]) n;
SELECT n, substr(with_options(jsonb_build_object('group', repeat('g', n))), 11, 8) FROM unnest('{127,128}'::integer[]) n;

-- headers: none, empty ones, and entries around 128 bytes
SELECT task(message('', 't', headers => '{}')) = task(message('', 't'));
CREATE FUNCTION with_headers(headers jsonb) RETURNS text LANGUAGE sql AS
    $$SELECT substr(task(message('', 't', headers => $1), 'Q'), 99)$$;
SELECT with_headers('{"": ""}');
SELECT with_headers('{"a": ""}');
SELECT with_headers('{"": "a"}');
SELECT with_headers('{"ü": "€\n😀"}');
SELECT n, substr(with_headers(jsonb_build_object('a', repeat('v', n))), 1, 18), length(with_headers(jsonb_build_object('a', repeat('v', n)))) / 2
FROM unnest('{122,123,127,128}'::integer[]) n;
SELECT n, substr(with_headers(jsonb_build_object(repeat('n', n), 'v')), 1, 12)
FROM unnest('{127,128}'::integer[]) n;
SELECT with_headers(jsonb_object_agg(n, n::text)) = (SELECT string_agg('7a060a01' || x || '1201' || x, '' ORDER BY x)
FROM generate_series(0, 9) m, LATERAL (SELECT encode(m::text::bytea, 'hex')) AS t (x)) FROM generate_series(0, 9) n;

-- not ASCII
SELECT task(message('ü', 'tüp:€', headers => '{"é": "ß"}', options => '{"group": "Größe", "unique_ttl": 1, "unique_key": "ключ"}'), 'очередь');
SELECT shown(batch(queue('asynq', 'очередь'), message('', 'tüp', options => '{"group": "Größe", "unique_ttl": 1, "unique_key": "ключ"}')));
