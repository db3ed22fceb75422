# Copyright (c) 2026, the outbox developers
#
# Promise: what a consumer gives back is delivered again once for each attempt,
# however often the consumer says it, with or without the attempt's number, and
# over a change of the relay (I2, I3); on time, though nothing else happens.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);

sub sql { return $node->safe_psql($db, $_[0]); }

sql(q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 5, retry_delay => '200 milliseconds',
	retry_backoff => 1, consumer_retry => true)});

# Consumers that add twice what they give back: before it goes again and after.
sql(q{SELECT outbox_enqueue('q', 'twice')});
eventually { attempts($redis, 'q', 'twice') eq '1' } 'a message';
my ($twice) = deliveries($redis, 'q', 'twice');
give_back($redis, 'q:retry', $twice, 'e') for 1 .. 20;
read_up_to($node, $db, 'q:retry', give_back($redis, 'q:retry', $twice, 'e'));
eventually { attempts($redis, 'q', 'twice') eq '1 2' } 'given back often, delivered again';
read_up_to($node, $db, 'q:retry', give_back($redis, 'q:retry', $twice, 'e'));
is(waiting($node, $db), 0, 'once');
my ($next) = grep { $_->{attempt} == 2 } deliveries($redis, 'q', 'twice');
give_back($redis, 'q:retry', $next, 'e');
eventually { attempts($redis, 'q', 'twice') eq '1 2 3' } 'the next attempt counts';

# One that doesn't copy the attempt: it counts all the same.
my @dull = (id => $twice->{id}, payload => 'twice');
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second')});
$redis->cmd('MULTI');
give_back($redis, 'q:retry', { fields => \@dull }, 'e') for 1 .. 2;
$redis->cmd('EXEC');
eventually { attempts($redis, 'q', 'twice') eq '1 2 3 4' } 'without its attempt it goes on counting';
give_back($redis, 'q:retry', { fields => \@dull }, 'e');
eventually { attempts($redis, 'q', 'twice') eq '1 2 3 4 5' } 'and is taken once while it waits';
give_back($redis, 'q:retry', { fields => \@dull }, 'e');
eventually { letters($node, $db, 'attempts') eq '5' } 'until it is given up';
is(letters($node, $db, q{jsonb_path_query_array(history, '$[*].attempt')}), '[1, 2, 3, 4, 5]', 'with all its history');

# Another relay goes on where this one was.
sql(q{SELECT outbox_alter_queue('q', retry_delay => '0'); SELECT outbox_enqueue('q', 'dull')});
eventually { attempts($redis, 'q', 'dull') eq '1' } 'a message';
@dull = (id => (deliveries($redis, 'q', 'dull'))[0]->{id}, payload => 'dull');
give_back($redis, 'q:retry', { fields => \@dull }, 'e');
eventually { attempts($redis, 'q', 'dull') eq '1 2' } 'given back without its attempt';
my $pid = relay_pid($node, $db);
sql("SELECT pg_terminate_backend($pid)");
another_relay($node, $db, $pid, 'another relay');
read_up_to($node, $db, 'q:retry', give_back($redis, 'q:retry', $twice, 'e'));
sql(q{SELECT outbox_enqueue('q', 'after dull')});
eventually { attempts($redis, 'q', 'after dull') eq '1' } 'it works';
is(attempts($redis, 'q', 'dull'), '1 2', 'and reads nothing again');
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second')});

# Delays are kept without anything else happening: ten of a tenth of a second.
# A relay that only looked once a second would need ten seconds.
sql(q{SELECT outbox_alter_queue('q', retry_delay => '100 milliseconds', max_attempts => 1000);
	SELECT outbox_enqueue('q', 'soon')});
my $attempt = 0;
at_best
{
	seconds {
		for (1 .. 10)
		{
			$attempt++;
			eventually { (deliveries($redis, 'q', 'soon')) == $attempt } "attempt $attempt";
			give_back($redis, 'q:retry', (deliveries($redis, 'q', 'soon'))[-1], 'e');
		}
	}
} 6, 'come soon';
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second', max_attempts => 5)});

# Two messages of one id.
my $same = 'aaaaaaaa-0000-7000-8000-000000000000';
sql("SELECT outbox_enqueue('q', 'this', id => '$same'), outbox_enqueue('q', 'that', id => '$same')");
eventually { attempts($redis, 'q', 'that') eq '1' } 'two messages with one id';
give_back($redis, 'q:retry', $_, 'e') for map { deliveries($redis, 'q', $_) } 'this', 'that';
eventually { attempts($redis, 'q', 'this') eq '1 2' && attempts($redis, 'q', 'that') eq '1 2' } 'are two';

# Delivered again on purpose.
sql(q{SELECT outbox_enqueue('q', 'resent')});
eventually { attempts($redis, 'q', 'resent') eq '1' } 'a message';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'resent'))[0], 'e');
eventually { attempts($redis, 'q', 'resent') eq '1 2' } 'given back';
sql(q{SELECT outbox_resend('q', now() - interval '1 hour')});
eventually { attempts($redis, 'q', 'resent') eq '1 2 1 2' } 'all is delivered again';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'resent'))[2], 'e');
eventually { attempts($redis, 'q', 'resent') eq '1 2 1 2 2' } 'and can be given back as if new';

done_testing();
