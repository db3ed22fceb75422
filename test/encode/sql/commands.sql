-- Commands of a queue's own: for each its number of arguments, then these.
\pset tuples_only on
\pset format unaligned
SELECT encode_branch(queue('commands'));

CREATE FUNCTION expanded(commands jsonb, message DEFAULT message('p', 't', 'k', '{"a": "1", "b": "2"}'))
    RETURNS text LANGUAGE sql AS
    $$SELECT shown(batch(queue('commands', 'a:{key}', options => jsonb_build_object('commands', $1)), $2))$$;
-- arguments of one command
CREATE FUNCTION filled(VARIADIC arguments text[]) RETURNS text LANGUAGE sql AS
    $$SELECT expanded(jsonb_build_array(array_prepend('RPUSH', array_prepend('k', $1))))$$;

SELECT expanded('[["LPUSH", "{redis_key}", "{payload}"]]');
SELECT expanded('[["SADD", "queues", "{redis_key}"], ["LPUSH", "queue:{redis_key}", "{payload}"]]');
-- a batch, and by itself
SELECT shown(batch(queue('commands', options => '{"commands": [["INCR", "{type}"]]}'), message('', 'a'), message('', 'b')));
SELECT shown(alone(queue('commands', options => '{"commands": [["INCR", "{type}"]]}'), message('', 'a')));

-- every placeholder
SELECT filled('{id}', '{queue}', '{redis_key}', '{type}', '{key}', '{payload}', '{headers}', '{header.a}', '{header.b}');
SELECT filled('{attempt}', '{now_s}', '{now_ms}', '{now_ns}', '{now_iso}');
SELECT expanded('[["INCRBY", "k", "{attempt}"]]', message(attempts => n)) FROM unnest('{0,1,32767}'::integer[]) n;
-- what isn't there is empty
SELECT expanded('[["RPUSH", "{type}", "{key}", "{payload}", "{headers}", "{header.a}", "<{type}{key}>"]]', message());
SELECT expanded('[["RPUSH", "k", "{headers}", "{header.a}", "{header.b}"]]', message(headers => '{}'));
SELECT filled('{header.A}', '{header.a }', '{header.c}');
-- a header's name may have anything but a closing brace
SELECT expanded('[["RPUSH", "k", "{header.a b}", "{header.{x}", "{header.header.id}"]]',
    message(headers => '{"a b": "1", "{x": "2", "header.id": "3"}'));
-- parts of an argument
SELECT filled('rq:job:{id}', '{type}{key}', '-{type}-{key}-', '{type}:{type}');
-- braces
SELECT filled('{{', '}}', '{{}}', '{{id}}', '{{{id}}}', '{{{{id}}}}', 'a{{b}}c', '}}{{', '{type}{{', '}}{type}');
-- numbers, as they were written
SELECT expanded('[["SETEX", "k", 10, 1.50], ["ZADD", "z", -1e3, 12345678901234567890]]');
-- nothing is looked at again, and bytes are bytes
SELECT expanded('[["RPUSH", "{type}", "{payload}", "a{payload}b", "{header.a}", "{key}"]]',
    message('{id} {{ " ''', '{payload}', E'a b\nc', '{"a": "{type}"}'));
SELECT expanded('[["RPUSH", "k", "{payload}", "a{payload}b"]]', message('\x000d0a24ff7b69647d'));
-- not ASCII
SELECT filled('ü{type}€', '😀');
SELECT expanded('[["RPUSH", "k", "{type}", "{key}", "{headers}", "{header.ä}", "{queue}"]]',
    message('', 'tüp', 'ключ', '{"ä": "€"}'));
-- no argument at all, and the most there may be
SELECT filled('');
SELECT cardinality(batch(queue('commands', options => jsonb_build_object('commands',
    (SELECT jsonb_agg(array_prepend('DEL', array_fill('{id}'::text, '{999}'))) FROM generate_series(1, 100)))), message()));
SELECT shown((batch(queue('commands', options => jsonb_build_object('commands',
    (SELECT jsonb_agg(array_prepend('DEL', array_fill('{id}'::text, '{999}'))) FROM generate_series(1, 100)))), message()))[1:3]);
-- whatever case, and of modules
SELECT expanded('[["lpush", "k", "v"], ["JSON.SET", "k", "$", "{payload}"]]');

-- a cursor is no argument, wherever it came from; what only looks like one is
CREATE FUNCTION of_key(key text) RETURNS text LANGUAGE sql AS
    $$SELECT expanded('[["INCR", "k"], ["DEL", "{key}"]]', message('', 't', $1))$$;
SELECT of_key(k) FROM unnest('{
    "{k}:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:7", ":outbox:FFFFFFFF-7c1e-7b3a-9d55-3f0c2a1b4c5d:1234567890",
    "outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:7", "k:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:",
    "k:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:7 ", "k:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d7",
    "k:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5dx7", "k:outbox:0190f3a2-7c1e-7b3a-9d55x3f0c2a1b4c5d:7",
    "k:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4cxd:7", "k:outboy:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:7",
    7, :7, 0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:7}'::text[]) k;
SELECT expanded('[["DEL", "x{key}:{type}"]]', message('', '7', ':outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d'));

-- times: before and after the seconds' end
SELECT shown(encode_messages(queue('commands', options => '{"commands": [["RPUSH", "k", "{now_s}", "{now_ms}", "{now_ns}", "{now_iso}"]]}'),
    t::timestamptz, false, ARRAY[message()]))
FROM unnest('{2000-01-01 00:00:00+00,1999-12-31 23:59:59.999999+00,2028-02-29 12:34:56.000001+00}'::text[]) t;

-- refused
\set VERBOSITY terse
CREATE FUNCTION refused(commands jsonb) RETURNS void LANGUAGE sql AS
    $$SELECT encode_check_options('commands', jsonb_build_object('commands', $1))$$;
SELECT encode_check_options('commands', NULL);
SELECT encode_check_options('commands', '[]');
SELECT encode_check_options('commands', '{}');
SELECT encode_check_options('commands', '{"commands": [["INCR", "k"]], "a": 1}');
SELECT encode_check_options('commands', '{"Commands": [["INCR", "k"]]}');
SELECT refused('[["INCR", "k"]]');
SELECT refused(NULL);
SELECT refused('[]');
SELECT refused('"INCR"');
SELECT refused('{"INCR": "k"}');
SELECT refused('["INCR", "k"]');
SELECT refused('[{"INCR": "k"}]');
SELECT refused('[[]]');
SELECT refused('[[["INCR"], "k"]]');
SELECT refused('[["INCR", ["k"]]]');
SELECT refused('[["INCR", null]]');
SELECT refused('[["INCR", true]]');
SELECT refused('[["INCR", {}]]');
SELECT refused('[[1, "k"]]');
SELECT refused('[["", "k"]]');
SELECT refused('[["SET k", "v"]]');
SELECT c, refused(jsonb_build_array(jsonb_build_array(c, 'k')))
FROM unnest('{GET,HEXPIRE,VADD,JSON.SET,_FT.CONFIG,MULTI,lpush-x}'::text[]) c;
SELECT refused('[["INCR", "k"], ["select", 1]]');
SELECT refused('[["SwapDB", 0, 1]]');
SELECT refused('[["FLUSHDB"]]');
SELECT refused('[["FlushAll"]]');
SELECT refused('[["CLUSTER", "FLUSHSLOTS"]]');
SELECT refused('[["TRIMSLOTS"]]');
SELECT refused('[["{type}", "k"]]');
SELECT refused('[["IN{type}", "k"]]');
SELECT refused('[["INCR", "k"], ["INCR", "{nothing}"]]');
SELECT refused('[["INCR", "{ID}"]]');
SELECT refused('[["INCR", "{}"]]');
SELECT refused('[["INCR", "{ id}"]]');
SELECT refused('[["INCR", "{header.}"]]');
SELECT refused('[["INCR", "{id"]]');
SELECT refused('[["INCR", "id}"]]');
SELECT refused('[["INCR", "{"]]');
SELECT refused('[["INCR", "}"]]');
SELECT refused('[["INCR", "{{id}"]]');
SELECT refused('[["INCR", "{id}}"]]');
SELECT refused(jsonb_build_array(array_prepend('DEL', array_fill('k'::text, '{1000}'))));
SELECT refused((SELECT jsonb_agg('["INCR", "k"]'::jsonb) FROM generate_series(1, 101)));
SELECT refused((SELECT jsonb_agg('["INCR", "k"]'::jsonb) FROM generate_series(1, 100)));
