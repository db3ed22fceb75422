// Copyright (c) 2026, the outbox developers
//
// pgx asks the server for the types of parameters, or doesn't: that is its
// QueryExecMode, which users of PgBouncer change.
package main

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

var pgxModes = []string{
	"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol",
	"describe_exec@transaction", "exec@transaction", "simple_protocol@transaction",
	"exec@statement", "simple_protocol@statement",
}

func modeName(mode string) string {
	name, _, _ := strings.Cut(mode, "@")
	return name
}

func usePgx() {
	client("github.com/jackc/pgx/v5")
	ctx := context.Background()
	for _, mode := range pgxModes {
		c, err := pgx.Connect(ctx, url(mode, "&default_query_exec_mode="+modeName(mode)))
		check(err)
		run(mode, ways, func(sql, queue string, payload any) (id string, err error) {
			err = c.QueryRow(ctx, sql, queue, payload).Scan(&id)
			return
		})
		c.Close(ctx)
	}
}
