// Copyright (c) 2026, the outbox developers
//
// A signup service that creates a user and enqueues a mail task in one
// transaction, and the worker of that task.
//
//	signup serve    POST /users?name=alice on $LISTEN
//	signup worker   an asynq server
//
// PostgreSQL is where PGHOST and its like say, Redis at $REDIS_ADDR.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	db, err := pgxpool.New(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve(db, os.Getenv("LISTEN"))
	case len(os.Args) == 2 && os.Args[1] == "worker":
		err = work(db, os.Getenv("REDIS_ADDR"))
	default:
		err = fmt.Errorf("usage: signup serve|worker")
	}
	if err != nil {
		log.Fatal(err)
	}
}
