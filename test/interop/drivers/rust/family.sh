# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
rust_program()
{
	need cargo rustc
	CARGO_HOME=$OUTBOX_CACHE/cargo CARGO_TARGET_DIR=$OUTBOX_CACHE/target \
		cargo build --quiet --locked --manifest-path rust/Cargo.toml >cargo.log 2>&1 ||
		{ tail -n 20 cargo.log | sed 's/^/# /'; missing 'crates, or a compiler that is new enough for them'; }
}

rust_drivers()
{
	local name wants=()
	for name in tokio-postgres rust-sqlx diesel; do
		if wanted $name; then wants+=("$name"); fi
	done
	((${#wants[@]})) || return 0
	fetched rust_program || return
	for name in "${wants[@]}"; do
		program $name "$OUTBOX_CACHE/target/debug/drivers" "$name"
	done
}
rust_drivers
