// Copyright (c) 2026, the outbox developers

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The service never talks to Redis: it does not even know where it is.
func serve(db *pgxpool.Pool, listen string) error {
	http.HandleFunc("POST /users", func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		var taken *pgconn.PgError
		switch err := signup(r.Context(), db, name); {
		case err == nil:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, "welcome, %s\n", name)
		case errors.As(err, &taken) && taken.Code == "23505":
			http.Error(w, "this name is taken", http.StatusConflict)
		default:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return http.ListenAndServe(listen, nil)
}

// signup creates the user and the task, or neither.
func signup(ctx context.Context, db *pgxpool.Pool, name string) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// First the task, so that it is plain that it goes with the transaction.
		_, err := tx.Exec(ctx, `SELECT outbox_enqueue('critical',
			jsonb_build_object('user_name', $1::text),
			type => 'task:send_verify_email')`, name)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO users (name) VALUES ($1)`, name)
		return err
	})
}
