-- Copyright (c) 2026, the outbox developers
--
-- How an application's test looks at what it has enqueued, see docs/testing.md.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS outbox;
SELECT plan(5);

SELECT outbox_create_queue('signup mails');
SELECT outbox_create_queue('signup jobs', 'celery', redis_key => 'celery');

-- the code under test
CREATE FUNCTION pg_temp.sign_up(name text) RETURNS void LANGUAGE sql AS $$
	SELECT outbox_enqueue('signup mails', jsonb_build_object('to', name), type => 'welcome');
	SELECT outbox_enqueue('signup jobs', outbox_celery_task('crm.add', jsonb_build_array(name)));
$$;
SELECT pg_temp.sign_up('alice');

SELECT results_eq(
	$$SELECT type, payload ->> 'to' FROM outbox.messages WHERE queue = 'signup mails'$$,
	$$VALUES ('welcome', 'alice')$$, 'a mail');
SELECT ok((SELECT payload::jsonb @> '{"task": "crm.add", "args": ["alice"]}' FROM outbox.messages WHERE queue = 'signup jobs'),
	'a job');
SELECT results_eq(
	$$SELECT c[1:2], c[3]::json -> 'headers' ->> 'task' FROM outbox.messages AS m, outbox_preview(m.id) AS c WHERE m.queue = 'signup jobs'$$,
	$$VALUES ('{LPUSH,celery}'::text[], 'crm.add')$$, 'as Celery gets it');

SAVEPOINT s;
SELECT pg_temp.sign_up('bob');
ROLLBACK TO s;
SELECT is_empty($$SELECT FROM outbox.messages WHERE payload::text LIKE '%bob%'$$, 'nothing is left of what is rolled back');
SELECT set_eq($$SELECT DISTINCT state FROM outbox.messages WHERE queue LIKE 'signup%'$$, ARRAY['waiting'], 'they wait');

SELECT * FROM finish();
ROLLBACK;
