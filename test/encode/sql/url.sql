-- URLs of Redis, taken apart.
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' -> '
SELECT url, url_parts(url) FROM unnest(ARRAY[
	'redis://h', 'redis://h/', 'redis://h:1', 'redis://h:65535/3', 'redis://10.0.0.1:6379/0', 'redis://[::1]', 'redis://[fe80::1%eth0]:7/2',
	'redis://:p@h', 'redis://u:p@h:1/2', 'redis://u:@h', 'redis://:@h', 'redis://u%40x:p%3Aw%2F%3F%25@h', 'redis://:a@b@h', 'redis://:a/b@h/1', 'redis://:a:b@h', 'redis://:a#b@h',
	'rediss://u:p@h:1/2', 'rediss://h?sslhost=other', 'rediss://h/4?sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k%26.pem',
	'redis://h?password_file=/p', 'redis://u@h?password_file=/p', 'rediss://u@h/1?password_file=/a%40b&sslhost=x',
	'unix:///s', 'unix:///a/b.sock?db=5', 'unix://:p@/s', 'unix://u:p@/s@x?db=1', 'unix:///a%3Fb', 'unix:///s?db=2&password_file=/p',
	'redis://h?wait_replicas=2', 'redis://h?wait_replicas=100&wait_timeout=100', 'unix:///s?wait_replicas=0&wait_timeout=60s',
	'redis+sentinel://s1/m', 'redis+sentinel://s1:1,s2,[::1]:3/my.master/2', 'rediss+sentinel://u:p@a,b/m?sentinel_user=x&sentinel_password=y&sslhost=z', 'redis+sentinel://a/m%20m/',
	'redis+cluster://a:1,b:2', 'redis+cluster://a:1,b:2/', 'rediss+cluster://u:p@a,b,c?sslrootcert=/ca'
]) url;

-- none of these quotes anything of the URL
SELECT url, url_parts(url) FROM unnest(ARRAY[
	'', 'redis', 'redis:/h', 'redis//h', 'REDIS://h', 'http://h', 'redis+x://h', 'redisss://h',
	'redis://', 'redis:///0', 'redis://:1', 'redis://u:p@', 'redis://h:', 'redis://h:0', 'redis://h:65536', 'redis://h:x', 'redis://h:1x', 'redis://h:-1',
	'redis://h/x', 'redis://h/-1', 'redis://h/1/2', 'redis://h/99999999999', 'redis://[::1', 'redis://[::1]x', 'redis://::1', 'redis://[]',
	'redis://a,b', 'redis://a,', 'redis://,a', 'redis://a b', 'redis://h#x',
	'redis://u@h', 'redis://:p%@h', 'redis://:p%zz@h', 'redis://:p%00@h', 'redis://:p?x@h', 'redis://h?sslcert=/a@b',
	'redis://h?', 'redis://h?db', 'redis://h?db=', 'redis://h?db=1', 'redis://h?x=1', 'redis://h?password_file=p', 'redis://h?password_file=/p%', 'redis://:p@h?password_file=/p',
	'redis://h?sslhost=x', 'rediss://h?sslhost=x&sslhost=y', 'rediss://h?sslhost=x&', 'rediss://h?sslcert=/c', 'rediss://h?sslkey=/c', 'rediss://h?sslrootcert=ca', 'rediss://h?sentinel_user=x', 'rediss://h?sslmode=disable',
	'redis://h?wait_replicas=101', 'redis://h?wait_replicas=-1', 'redis://h?wait_replicas=1x', 'redis://h?wait_replicas=9999999', 'redis://h?wait_timeout=99', 'redis://h?wait_timeout=61s', 'redis://h?wait_timeout=1min', 'redis://h?wait_timeout=999999s',
	'unix://s', 'unix://', 'unix://h/s', 'unix:///s?db=x', 'unix:///s?x=1', 'unix:///s?sslhost=x', 'unix:///s%',
	'redis+sentinel://a', 'redis+sentinel://a/', 'redis+sentinel://a//1', 'redis+sentinel://a/m/x', 'redis+sentinel://a/m%', 'redis+sentinel:///m', 'redis+sentinel://a/m?sentinel_user=x',
	'redis+cluster://a/0', 'redis+cluster://a/m', 'redis+cluster://', 'redis+cluster://a?sentinel_user=x',
	'redis+cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q'
]) url;

-- as it is shown, and as an address
SELECT url, url_shown(url), url_address(url) FROM unnest(ARRAY[
	'redis://h', 'redis://:p@h:1/2', 'redis://u:p@[::1]:1/2', 'redis://u%40:a@b/c@h', 'redis://u@h?password_file=/p', 'unix:///s?db=3', 'unix://:p@/s', 'unix:///a@b',
	'rediss://u:p@h?sslhost=x', 'rediss+sentinel://u:p@a,[::1]:2/m/3?sentinel_user=x&sentinel_password=secret&sslhost=z', 'redis+sentinel://a/m?sentinel_password=secret', 'redis+cluster://:p@a,b:7'
]) url;

-- what cannot be used yet
SELECT url, coalesce(url_is_usable(url), 'usable') FROM unnest(ARRAY[
	'redis://u:p@h', 'unix:///s', 'redis://h?password_file=/p', 'rediss://h', 'redis+sentinel://h/m', 'rediss+cluster://h', 'nothing'
]) url;
