-- A snapshot as the cursor has it.  One set of transactions has one spelling, as Redis
-- compares positions as bytes; a spelling that isn't ours can't be read again.
SELECT encode_snapshot(12, '{}');
SELECT encode_snapshot(12, '{9}');
-- in whatever order they are listed
SELECT encode_snapshot(12, '{11,3,9}');
-- while a transaction is being prepared it is listed twice: for its session, and as a
-- prepared one
SELECT encode_snapshot(12, '{9,3,9}');
SELECT encode_snapshot(12, '{9,9}');
