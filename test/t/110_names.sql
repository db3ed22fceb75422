-- Copyright (c) 2026, the outbox developers
--
-- Captures with names that have to be quoted wherever they stand.

SELECT create_queue('it''s "odd"', redis_key => 'odd');
CREATE SCHEMA "sch ema";
CREATE TABLE "sch ema"."t'\""" (id int PRIMARY KEY, "c,{""" text);
SELECT outbox_capture('"sch ema"."t''\"""', 'it''s "odd"', columns => ARRAY['c,{"'], key => '{id}', condition => $$NEW."c,{""" <> '\'$$,
	operations => '{insert}');
SELECT outbox_capture('"sch ema"."t''\"""', 'changes');
