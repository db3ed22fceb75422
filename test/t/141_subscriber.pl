# Copyright (c) 2026, the outbox developers
#
# Promise: a subscriber of a publication FOR ALL TABLES that has outbox as well keeps
# its own messages and settings and gets nobody else's (I1, I2); nothing is held
# there; and what its own triggers enqueue in an apply worker is delivered.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %redis = map { $_ => OutboxTest::Redis->start } 'pub', 'sub';
my %node = map {
	$_ => new_node($_, redis => $redis{$_}, streaming => 'logical', conf => "outbox.retention = 1s\n")
} 'pub', 'sub';
my $db = 'postgres';

sub pub { return $node{pub}->safe_psql($db, $_[0]); }
sub sub_ { return $node{sub}->safe_psql($db, $_[0]); }

# Both give out the same ids of queues and numbers of messages.
pub('CREATE EXTENSION outbox');
pub(qq{SELECT outbox_create_queue('$_', settings => '{"payload_type": "text"}')}) for 'other', 'd';
install($node{sub}, $db, 'own', 'd');
$_->safe_psql($db, <<'EOC') for values %node;
SELECT outbox_alter_queue('d', on_failure => 'dead_letter');
CREATE TABLE t (id int PRIMARY KEY, a text);
EOC
sub_(<<'EOC');
SELECT create_queue('changes');
SELECT outbox_capture('t', 'changes');
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
	PERFORM outbox_enqueue('changes', 'later', delay => '1 hour', id => 'bbbbbbbb-0000-7000-8000-000000000001');
	PERFORM outbox_enqueue('changes', 'never', delay => '1 hour', id => 'bbbbbbbb-0000-7000-8000-000000000002');
	PERFORM outbox_cancel('bbbbbbbb-0000-7000-8000-000000000002');
	PERFORM outbox_alter_queue('changes', maxlen => 1000);
	RETURN NULL;
END $$;
CREATE TRIGGER later AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION later();
SELECT format('ALTER TABLE t ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 't'::regclass \gexec
SELECT outbox_enqueue('own', 'late', delay => '1 hour');
EOC
$redis{sub}->cmd('SET', 'd', 'of another type');
sub_("SELECT outbox_enqueue('d', 'dead ' || i) FROM generate_series(1, 3) AS i");
eventually { ask($node{sub}, $db, 'SELECT count(*) FROM outbox.dead_letters') eq '3' } 'the subscriber has dead letters';
sub_("SELECT outbox_pause_queue('own')");
put($node{sub}, $db, 'own', map { "own $_" } 1 .. 20);
sub mine
{
	return sub_("SELECT (SELECT string_agg(q::text, ' ' ORDER BY id) FROM outbox.queue q WHERE name <> 'changes'),"
		  . " (SELECT string_agg(id::text, ' ' ORDER BY seq) FROM outbox.deferred WHERE reason = 'delayed' AND id NOT IN"
		  . " ('bbbbbbbb-0000-7000-8000-000000000001')),"
		  . " (SELECT string_agg(id::text, ' ' ORDER BY seq) FROM outbox.dead_letter),"
		  . " (SELECT string_agg(r::text, ' ') FROM outbox.relay_state r),"
		  . " (SELECT count(*) FROM outbox.deferred WHERE reason = 'restored')");
}
my $mine = mine();

# What the publisher has when the subscription begins, and what happens then.
$redis{pub}->cmd('SET', 'd', 'of another type');
sub everything
{
	my ($n) = @_;
	pub("SELECT outbox_enqueue('other', 'other', delay => '1 hour'), outbox_enqueue('d', 'dead')");
	eventually { ask($node{pub}, $db, 'SELECT count(*) FROM outbox.dead_letters') eq $n } 'the publisher has a dead letter';
	pub("INSERT INTO outbox.returned (queue, id, attempts, digest, due_at) VALUES (1, gen_random_uuid(), 1, 1, now())");
	pub("SELECT outbox_pause_queue('other')");
	pub("SELECT outbox_enqueue('other', 'other ' || i) FROM generate_series(1, 5) AS i");
	return;
}
everything(1);
pub('CREATE PUBLICATION everything FOR ALL TABLES');
sub_('CREATE SUBSCRIPTION s CONNECTION $$' . $node{pub}->connstr($db) . '$$ PUBLICATION everything');
$node{sub}->wait_for_subscription_sync($node{pub}, 's');
is(mine(), $mine, 'the first copy brings nothing');
everything(2);
pub("SELECT outbox_discard(id) FROM outbox.dead_letters LIMIT 1");
pub("SELECT outbox_resume_queue('other')");
pub("SELECT outbox_alter_queue('other', expires_after => '1 day', maxlen => 5)");
my $emptied = pub("SELECT pg_relation_filenode('outbox.staging_1')");
eventually {
	pub("SELECT outbox_enqueue('other', 'passing by')");
	ask($node{pub}, $db, "SELECT pg_relation_filenode('outbox.staging_1')") ne $emptied
} 'the publisher has emptied a table';
pub("SELECT outbox_drop_queue('other', true)");
pub("INSERT INTO t VALUES (1, 'a')");
$node{pub}->wait_for_catchup('s');
is(mine(), $mine, 'what happens then brings nothing');
eventually { status($node{sub}, $db, 'state, why') eq 'running|' } 'nothing is held';

# What is its own.
eventually { $redis{sub}->count('changes') == 1 } 'a change that came is captured';
is(sub_("SELECT reason, queue FROM outbox.deferred WHERE id::text LIKE 'bbbbbbbb%'"), 'delayed|3', 'what a trigger delayed there is delayed, what it took back is gone');
is(sub_("SELECT maxlen FROM outbox.queue WHERE name = 'changes'"), '1000', 'and what it altered is altered');
sub_("SELECT outbox_resume_queue('own')");
audit($node{sub}, $db, $redis{sub}, ['own'], 21, 'the subscriber delivers its own messages, once, and no others');
is(join(' ', sort grep { !/^\{/ } @{ $redis{sub}->cmd('KEYS', '*') }), 'changes d own', 'and to nobody else');

# A TRUNCATE by hand.
my $dead = sub_('SELECT count(*) FROM outbox.dead_letter');
pub('TRUNCATE outbox.dead_letter');
eventually { log_of($node{sub}) =~ /the publisher has truncated outbox.dead_letter/ } 'a TRUNCATE is refused';
is(sub_('SELECT count(*) FROM outbox.dead_letter'), $dead, 'and nothing is lost by it');
sub_('ALTER SUBSCRIPTION s DISABLE');
sub_('ALTER SUBSCRIPTION s SET (slot_name = NONE)');
sub_('DROP SUBSCRIPTION s');

done_testing();
