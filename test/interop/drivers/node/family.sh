# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
node_drivers()
{
	local name wants=()
	for name in pg postgres knex drizzle-orm sequelize typeorm kysely pg-promise; do
		if wanted $name; then wants+=("$name"); fi
	done
	((${#wants[@]})) || return 0
	fetched need node npm || return
	fetched modules pg@8.23.1 postgres@3.4.9 knex@3.3.0 drizzle-orm@0.45.4 sequelize@6.37.8 \
		typeorm@1.1.1 reflect-metadata@0.2.2 kysely@0.29.9 pg-promise@12.7.1 || return
	for name in "${wants[@]}"; do
		program $name node "node/$name.mjs"
	done
}
node_drivers
