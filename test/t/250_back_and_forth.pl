# Copyright (c) 2026, the outbox developers
#
# Promise: how far the streams of consumers were read is known for each Redis. A
# database that delivers to another one and comes back overlooks nothing that was
# returned in either of them (I2), and takes nothing twice (I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $first = OutboxTest::Redis->start;
my $second = OutboxTest::Redis->start;
my $node = new_node('main', redis => $first);
my $db = 'postgres';
install($node, $db);

sub sql { return $node->safe_psql($db, $_[0]); }

sub goes_to
{
	my ($redis) = @_;
	configure($node, 'outbox.redis_url' => $redis->url);
	return eventually { status($node, $db, 'address') eq $redis->url =~ s{^redis://}{}r } 'another Redis';
}

# Gives back with an id that the consumer's Redis makes when its clock is so many
# seconds ahead.
sub give_back_at
{
	my ($redis, $entry, $seconds) = @_;
	my $id = (1000 * (int(time) + $seconds)) . '-0';
	$redis->cmd('XADD', 'q:retry', $id, @{ $entry->{fields} }, error => 'e');
	return $id;
}

sql(q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 9, retry_delay => '0', retry_backoff => 1, consumer_retry => true)});
sql(qq{SELECT outbox_enqueue('q', '$_')}) for qw(before early late);
eventually { attempts($first, 'q', $_) eq '1' } "$_ is delivered" for qw(before early late);
my %got = map { ($_ => (deliveries($first, 'q', $_))[0]) } qw(before early late);
give_back_at($first, $got{before}, 0);
eventually { attempts($first, 'q', 'before') eq '1 2' } 'returned';

# Another Redis: what was read is further on than in the first one.
goes_to($second);
sql(q{SELECT outbox_enqueue('q', 'there')});
eventually { attempts($second, 'q', 'there') eq '1' } 'delivered there';
give_back_at($second, (deliveries($second, 'q', 'there'))[0], 1000);
eventually { attempts($second, 'q', 'there') eq '1 2' } 'returned there';
unlike(log_of($node), qr/has lost entries/, 'an empty stream of another Redis has lost nothing');

# Meanwhile something is returned to the first one: before and after that.
give_back_at($first, $got{early}, 500);
give_back_at($first, $got{late}, 1500);
goes_to($first);
eventually { attempts($first, 'q', 'late') eq '1 2' } 'what was returned meanwhile, with a greater id, is read';
eventually { attempts($first, 'q', 'early') eq '1 2' } 'and with a lesser one';
eventually { status($node, $db, 'waiting') eq '0' && waiting($node, $db) eq '0' } 'nothing waits';
is(attempts($first, 'q', 'before'), '1 2', 'what had been read is not taken again');
is(sql(q{SELECT count(DISTINCT address) || ' ' || count(*) FROM outbox.consumer_position}), '2 2', 'there is a position for each');

# And once more to the second one, which goes on where it was.
goes_to($second);
give_back_at($second, (deliveries($second, 'q', 'there'))[1], 1200);
eventually { attempts($second, 'q', 'there') eq '1 2 3' } 'the second one goes on';
unlike(log_of($node), qr/has lost entries/, 'and nothing was lost');
sql(q{SELECT outbox_drop_queue('q', true)});

done_testing();
