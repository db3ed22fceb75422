# Copyright (c) 2026, the outbox developers
#
# Promise: a server that starts with a malformed outbox.redis_url delivers to
# nobody, least of all to the default, and says so where the operator looks; a
# reload with a good one is enough.  Guards check_redis_url() in guc.c and
# begin_link() in relay/link_life.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');

for my $url ('redis//typo', 'http://localhost', '')
{
	my $delivered = $redis->count('q');
	my $log = -s $node->logfile;
	$node->stop;
	$node->append_conf('postgresql.auto.conf', "outbox.redis_url = '$url'");
	$node->start;
	eventually {
		$node->safe_psql($db, 'SELECT state, why FROM outbox.status') =~ /^waiting for redis\|outbox\.redis_url cannot be used: The URL must/
	} "'$url': status says so";
	like(slurp_file($node->logfile, $log), qr/WARNING:  invalid value for parameter "outbox.redis_url"/, "'$url': so does the log");
	is($node->safe_psql($db, 'SHOW outbox.redis_url'), '', "'$url': no other one is shown");
	put($node, $db, 'q', "with <$url>");
	configure($node, 'outbox.redis_url' => $redis->url);
	eventually { $redis->count('q') == $delivered + 1 } "'$url': what waited is delivered after a reload with a good one";
}
audit($node, $db, $redis, ['q'], 3, 'all, each once');

done_testing();
