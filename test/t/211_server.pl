# Copyright (c) 2026, the outbox developers
#
# Promise: a database's messages go to its foreign server outbox_default, with what
# the user mapping says, and only without such a server to outbox.redis_url.  A
# change is in force with the next message that is enqueued, templates and dumps carry
# it, what can't be used is said and delivers nowhere else, and no role but
# superusers can have the relay read a file.  No message and no log has a secret.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'SecretMarkerZQX';
my $setting = OutboxTest::Redis->start;
my $own = OutboxTest::Redis->start;
my $guarded = OutboxTest::Redis->start(requirepass => $secret);
my $node = new_node('main', redis => $setting, conf => <<'EOC');
max_worker_processes = 20
log_error_verbosity = verbose
EOC
my $db = 'postgres';
my $way = OutboxTest::Proxy->start($own->socket);
my %url = (own => 'redis://127.0.0.1:' . $way->port . '/0', guarded => $guarded->url);
my %address = ($own => '127.0.0.1:' . $way->port . '/0', map { $_ => $_->url } $setting, $guarded);
my $watched = '';
install($node, $db, 'q');

sub sql
{
	my ($database, $text) = @_;
	my ($rc, $out, $err) = $node->psql($database, $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	$watched .= $err;
	return $err;
}

# The next message arrives there, and none elsewhere.
my $number = 0;
sub goes_to
{
	my ($redis, $database, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $message = 'message ' . ++$number;
	$node->safe_psql($database, "SELECT outbox_enqueue('q', '$message')");
	my $ok = eventually { $redis->last_of('q') eq $message } "$name: it arrives";
	my @elsewhere = grep { $_ != $redis && grep { $_->[1] eq $message } $_->arrived('q') } $setting, $own, $guarded;
	is(@elsewhere, 0, "$name: and nowhere else");
	return $ok;
}

sub shows
{
	my ($database, $server, $redis, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually { status($node, $database, 'state, server, address') eq "running|$server|$address{$redis}" } "$name: status names it";
}

# No server: the setting.
goes_to($setting, $db, 'no server');
shows($db, '', $setting, 'no server');

# A server; each change is in force with the next message.
sql($db, "CREATE SERVER outbox_default FOREIGN DATA WRAPPER outbox OPTIONS (url '$url{own}')");
goes_to($own, $db, 'a server');
shows($db, 'outbox_default', $own, 'a server');
like(log_of($node), qr/LOG:  .*outbox delivers to \S+ \(server "outbox_default"\) from now on/, 'the log says it');
my $bare = $url{guarded};
sql($db, "ALTER SERVER outbox_default OPTIONS (SET url '$bare')");
eventually { status($node, $db, 'state, last_error') =~ /^waiting for redis\|.*NOAUTH/ } 'no mapping, a password is wanted';
sql($db, "CREATE USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (password 'wrong$secret')");
eventually { status($node, $db, 'last_error') =~ /WRONGPASS/ } 'a wrong password';
like(log_of($node), qr/HINT:  Check server "outbox_default" and its user mapping/, 'the hint names the server');
sql($db, "ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (SET password '$secret')");
goes_to($guarded, $db, 'a password');
shows($db, 'outbox_default', $guarded, 'a password');

# The owner's mapping comes before PUBLIC's; nobody else's is used.
sql($db, "ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (SET password 'wrong$secret'); CREATE USER MAPPING FOR CURRENT_USER SERVER outbox_default OPTIONS (user 'default', password '$secret')");
goes_to($guarded, $db, 'the mapping of the owner');
sql($db, 'CREATE ROLE plain LOGIN; CREATE USER MAPPING FOR plain SERVER outbox_default OPTIONS (password $$x$$); DROP USER MAPPING FOR CURRENT_USER SERVER outbox_default');
eventually { status($node, $db, 'state, last_error') =~ /^waiting for redis\|.*WRONGPASS/ } 'then PUBLIC, never somebody else';

# A file: what is in it is read again when Redis refuses it, and never shown.
my $file = $node->basedir . '/password';
append_to_file($file, "old$secret\n");
sql($db, "ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (DROP password, ADD password_file '$file')");
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'an old password in a file';
unlink $file;
append_to_file($file, "$secret\n");
goes_to($guarded, $db, 'a new one');

# Whoever owns the server decides where the file goes: only if that is a superuser.
sql($db, 'ALTER SERVER outbox_default OWNER TO plain');
is(sql($db, "SET ROLE plain; ALTER SERVER outbox_default OPTIONS (SET url '$url{own}')"), '', 'a plain role that owns it');
eventually { status($node, $db, 'state, address') eq 'waiting for redis|' . $address{$own} } 'has the relay connect to nobody';
is($own->calls('auth'), 0, 'the file is not sent there');
sql($db, "ALTER SERVER outbox_default OPTIONS (SET url '$bare')");
sql($db, 'CREATE ROLE boss SUPERUSER; ALTER SERVER outbox_default OWNER TO boss');
goes_to($guarded, $db, 'another superuser');
sql($db, 'ALTER ROLE boss NOSUPERUSER');
eventually { status($node, $db, 'state, why') eq 'waiting for redis|server "outbox_default" cannot be used: its owner is not a superuser, and its user mapping names a file' } 'who is no superuser any more has nothing sent';
sql($db, "GRANT USAGE ON FOREIGN DATA WRAPPER outbox TO boss; SET ROLE boss; ALTER SERVER outbox_default OPTIONS (SET url '$url{own}')");
eventually { status($node, $db, 'address') eq $address{$own} } 'the url is followed';
is($own->calls('auth'), 0, 'and the file is not sent there');
like(sql($db, "SET ROLE boss; ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (SET password_file '/etc/passwd')"), qr/42501: only superusers may name a file/, 'a file is for superusers');
like(sql($db, "SET ROLE boss; ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (ADD user 'x')"), qr/42501: only superusers may name a file/, 'also one that was there before');
sql($db, "ALTER SERVER outbox_default OWNER TO CURRENT_USER; ALTER SERVER outbox_default OPTIONS (SET url '$bare')");
goes_to($guarded, $db, 'mended');

# Files that are none.
for ([ '/', 'is not a file' ], [ '/dev/zero', 'is not a file' ], [ $node->basedir . '/none', 'cannot be read: No such file or directory' ],
	[ $node->basedir . '/empty', 'is empty' ], [ $node->basedir . '/two', 'must have one line with the password, and nothing else' ])
{
	my ($path, $fault) = @$_;
	append_to_file($path, "\n") if $path =~ /empty$/;
	append_to_file($path, "one$secret\ntwo\n") if $path =~ /two$/;
	sql($db, "ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (SET password_file '$path')");
	eventually { status($node, $db, 'why') eq "server \"outbox_default\" cannot be used: password_file $fault" } "a file that $fault";
}
sql($db, "ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (DROP password_file, ADD password '$secret')");
goes_to($guarded, $db, 'no file');

# Somebody else's wrapper: its server is none of ours.  No server: the setting again.
sql($db, 'DROP SERVER outbox_default CASCADE; CREATE FOREIGN DATA WRAPPER others');
goes_to($setting, $db, 'dropped');
sql($db, "CREATE SERVER outbox_default FOREIGN DATA WRAPPER others OPTIONS (url '$url{own}')");
goes_to($setting, $db, 'a server of another wrapper');
sql($db, 'DROP SERVER outbox_default');

# A reload goes on as before.
configure($node, 'outbox.redis_url' => $url{own});
goes_to($own, $db, 'outbox.redis_url has changed');
configure($node, 'outbox.redis_url' => $setting->url);
goes_to($setting, $db, 'and back');

# By hand, what the validator would refuse.
sql($db, "CREATE SERVER outbox_default FOREIGN DATA WRAPPER outbox OPTIONS (url '$url{own}')");
for ([ "{url=http://$secret/}", 'The URL must start with redis://, rediss:// or unix://.' ], [ '{}', 'It has no url.' ], [ "{url=redis://:$secret\@localhost}", 'its url has a password' ])
{
	sql($db, "UPDATE pg_foreign_server SET srvoptions = '$_->[0]' WHERE srvname = 'outbox_default'");
	eventually { status($node, $db, 'state, why') eq "waiting for redis|server \"outbox_default\" cannot be used: $_->[1]" } "by hand: $_->[1]";
}
sql($db, "UPDATE pg_foreign_server SET srvoptions = NULL WHERE srvname = 'outbox_default'; ALTER SERVER outbox_default OPTIONS (ADD url '$bare'); CREATE USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (password '$secret')");
goes_to($guarded, $db, 'mended');

# A copy and a restored dump name the server that they would deliver to.
my $address = $address{$guarded};
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($db) ], 'pg_dump');
$node->safe_psql($db, 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), '--exit-on-error', $dump ], 'pg_restore');
eventually { ($node->psql('restored', "CREATE DATABASE copy TEMPLATE $db"))[0] == 0 } 'a copy';
for my $copy ('restored', 'copy')
{
	eventually { status($node, $copy, 'why') =~ /^$copy: .*outbox_release\('$copy'\) delivers from here to \Q$address (server "outbox_default")\E$/ } "$copy: status says where to";
	is(status($node, $copy, 'server, address'), "outbox_default|$address", "$copy: in columns as well");
	like(sql($copy, "SELECT outbox_release('set back')"), qr/HINT:  They are held as "$copy", and go to \Q$address (server "outbox_default")\E when they are released/, "$copy: so does the hint");
	like($node->safe_psql($copy, "SELECT address FROM outbox_release('$copy')"), qr/^\Q$bare\E$/, "$copy: and what it returns");
	goes_to($guarded, $copy, "$copy: released");
	sql($copy, 'SELECT outbox_enable(false)');
	eventually { status($node, $copy, 'why') =~ / delivers what waits to \Q$address (server "outbox_default")\E$/ } "$copy: turned off, it says where to";
}
like(log_of($node), qr/HINT:  .*\Qoutbox_release('copy') delivers from here to $address (server "outbox_default")\E/, 'and the log');

# What is refused.
my %refused = (
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox" => qr/HV002: a server needs the option url/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://:$secret\@host')" => qr/HV024: the url of a server must not have a user or a password.*\n.*\nHINT:  Use CREATE USER MAPPING/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://$secret\@host')" => qr/HV024: the url of a server must not have/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'http://$secret')" => qr/HV024: invalid value for option "url"/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://host', password '$secret')" => qr/HV00D: invalid option "password"\nHINT:  Options of a server are url/,
	"ALTER SERVER outbox_default OPTIONS (DROP url)" => qr/HV002/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (ADD passwort '$secret')" => qr/HV00D: invalid option "passwort"\nHINT:  Options of a user mapping are/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (ADD password_file '/$secret')" => qr/HV024: a user mapping has either/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (DROP password, ADD password_file '$secret')" => qr/HV024: password_file must be an absolute path/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (DROP password, ADD user '$secret')" => qr/HV002: a user mapping with a user needs/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (SET password '')" => qr/HV024: user and password must not be empty/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis+sentinel://host/m?sentinel_password=$secret')" => qr/HV024: the url of a server must not have/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (ADD sentinel_user '$secret')" => qr/HV002: a user mapping with sentinel_user needs sentinel_password/,
	"ALTER USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (ADD sentinel_password '')" => qr/HV024: user and password must not be empty/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'rediss://host?sslrootcert=/$secret')" => qr/HV024: the url of a server must not have parameters that are options/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'rediss://host?password_file=/$secret')" => qr/HV024: the url of a server must not have parameters that are options/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://host', sslhost '$secret')" => qr/HV024: options for TLS need a url of rediss/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'rediss://host', sslhost '')" => qr/HV024: sslhost must not be empty/,
	"CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'rediss://host', sslrootcert '$secret')" => qr/HV024: sslrootcert must be an absolute path/,
	"CREATE USER MAPPING FOR CURRENT_USER SERVER outbox_default OPTIONS (sslcert '/$secret')" => qr/HV002: a user mapping has sslcert and sslkey, or neither/,
	"BEGIN; GRANT USAGE ON FOREIGN DATA WRAPPER outbox TO plain; SET LOCAL ROLE plain; CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'rediss://host', sslrootcert '/$secret')" => qr/42501: only superusers may name a file/,
	"BEGIN; GRANT USAGE ON FOREIGN SERVER outbox_default TO plain; SET LOCAL ROLE plain; CREATE USER MAPPING FOR plain SERVER outbox_default OPTIONS (sslcert '/$secret', sslkey '/$secret')" => qr/42501: only superusers may name a file/,
	"ALTER FOREIGN DATA WRAPPER outbox OPTIONS (url '$secret')" => qr/HV00D: invalid option "url"/,
	"SET ROLE plain; CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://host')" => qr/42501: permission denied for foreign-data wrapper outbox/);
for my $statement (sort keys %refused)
{
	like(sql($db, $statement), $refused{$statement}, "refused: $statement");
}
goes_to($guarded, $db, 'at the end');

# psql repeats a statement, PostgreSQL logs one that has failed in a way of its own: not in these.
$watched =~ s/^LINE \d+:.*//mg;
unlike($watched, qr/\Q$secret/, 'no secret in a message');
is(join("\n", grep { /\Q$secret/ } split /\n/, log_of($node)), '', 'no secret in the log');
is($node->safe_psql($db, "SET ROLE pg_monitor; SELECT count(*) FROM outbox.status s WHERE s::text LIKE '%$secret%'"), '0', 'nor in the status');

done_testing();
