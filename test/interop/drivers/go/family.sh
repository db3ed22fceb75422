# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
go_drivers()
{
	local name wants=()
	for name in pgx pgx-stdlib pq sqlx gorm bun; do
		if wanted $name; then wants+=("$name"); fi
	done
	((${#wants[@]})) || return 0
	fetched go_program || return
	for name in "${wants[@]}"; do
		program $name go/drivers "$name"
	done
}

go_program()
{
	need_go 1.25
	(cd go && go build -o drivers .) >go.log 2>&1 ||
		{ sed 's/^/# /' go.log; missing 'a module from the Go module proxy'; }
}
go_drivers
