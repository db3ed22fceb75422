# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
java_program()
{
	local sum path
	need java javac mvn
	sum=$(sha256sum java/pom.xml | cut -c 1-16)
	path=$OUTBOX_CACHE/classpath-$sum
	if [[ ! -s $path ]]; then
		mvn -q -B -f java/pom.xml -Dmaven.repo.local="$OUTBOX_CACHE/m2" \
			dependency:build-classpath -Dmdep.outputFile="$PWD/classpath" >mvn.log 2>&1 ||
			{ tail -n 20 mvn.log | sed 's/^/# /'; missing 'artifacts from Maven Central'; }
		cp classpath "$path"
	fi
	mkdir -p classes
	javac -nowarn -Xlint:none -cp "$(cat "$path")" -d classes java/*.java >javac.log 2>&1 ||
		{ sed 's/^/# /' javac.log; missing 'a program that compiles'; }
	echo "$PWD/classes:$(cat "$path")" >classpath
}

java_drivers()
{
	local name wants=()
	for name in pgjdbc spring jooq hibernate r2dbc vertx; do
		if wanted $name; then wants+=("$name"); fi
	done
	((${#wants[@]})) || return 0
	fetched java_program || return
	for name in "${wants[@]}"; do
		program $name java -XX:TieredStopAtLevel=1 -cp "$(cat classpath)" Cells "$name"
	done
}
java_drivers
