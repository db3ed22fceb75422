// Copyright (c) 2026, the outbox developers
//
// Drivers under database/sql, and what stands on them.
package main

import (
	"context"
	"database/sql"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
	"gorm.io/datatypes"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func open(driver, mode, parameters string) *sql.DB {
	db, err := sql.Open(driver, url(mode, parameters))
	check(err)
	db.SetMaxOpenConns(1)
	return db
}

func overDB(db *sql.DB) enqueue {
	return func(sql, queue string, payload any) (id string, err error) {
		err = db.QueryRow(sql, queue, payload).Scan(&id)
		return
	}
}

func useStdlib() {
	client("github.com/jackc/pgx/v5")
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol", "exec@transaction"} {
		run(mode, ways, overDB(open("pgx", mode, "&default_query_exec_mode="+modeName(mode))))
	}
}

func usePq() {
	client("github.com/lib/pq")
	own := append([]way{{"pq.Array", plain, func(value any) (any, error) {
		switch value.(type) {
		case []int, []string:
			return pq.Array(value), nil
		}
		return nil, errNoWay
	}}}, ways...)
	for _, mode := range []string{"default", "binary_parameters", "binary_parameters@transaction",
		"binary_parameters@statement"} {
		parameters := ""
		if strings.HasPrefix(mode, "binary") {
			parameters = "&binary_parameters=yes"
		}
		run(mode, own, overDB(open("postgres", mode, parameters)))
	}
}

func useSqlx() {
	client("github.com/jmoiron/sqlx")
	for _, mode := range []string{"pgx", "pq"} {
		driver := map[string]string{"pgx": "pgx", "pq": "postgres"}[mode]
		db := sqlx.NewDb(open(driver, mode, ""), driver)
		run(mode, ways, func(sql, queue string, payload any) (id string, err error) {
			err = db.Get(&id, sql, queue, payload)
			return
		})
		run(mode, named(), func(sql, queue string, payload any) (id string, err error) {
			rows, err := db.NamedQuery(sql, map[string]any{"queue": queue, "payload": payload})
			if err != nil {
				return "", err
			}
			defer rows.Close()
			for rows.Next() {
				err = rows.Scan(&id)
			}
			if err == nil {
				err = rows.Err()
			}
			return
		})
	}
}

func named() []way {
	sql := strings.NewReplacer("$1", ":queue", "$2", ":payload")
	return []way{
		{"named", sql.Replace(plain), same}, {"named dumped", sql.Replace(plain), dumped},
		{"named json()", sql.Replace(jsonb), same}, {"named Marshal", sql.Replace(plain), marshal},
		{"named Marshal cast", strings.Replace(sql.Replace(plain), ":payload", "CAST(:payload AS jsonb)", 1), marshal},
	}
}

// question turns the placeholders into those of GORM and bun
func question(ways []way) (result []way) {
	for _, w := range ways {
		w.sql = strings.NewReplacer("$1", "?", "$2", "?").Replace(w.sql)
		result = append(result, w)
	}
	return
}

func useGorm() {
	client("gorm.io/gorm")
	client("gorm.io/driver/postgres")
	own := append([]way{{"datatypes.JSON", plain, func(value any) (any, error) {
		b, err := marshal(value)
		if err != nil {
			return nil, err
		}
		return datatypes.JSON(b.([]byte)), nil
	}}, {"JSONMap json()", jsonb, func(value any) (any, error) {
		if m, is := value.(map[string]any); is {
			return datatypes.JSONMap(m), nil
		}
		return nil, errNoWay
	}}}, ways...)
	for _, mode := range []string{"default", "PreferSimpleProtocol", "PreferSimpleProtocol@transaction"} {
		db, err := gorm.Open(postgres.New(postgres.Config{DSN: url(mode, ""),
			PreferSimpleProtocol: mode != "default"}), &gorm.Config{Logger: logger.Discard})
		check(err)
		run(mode, question(own), func(sql, queue string, payload any) (id string, err error) {
			err = db.Raw(sql, queue, payload).Row().Scan(&id)
			return
		})
	}
}

func useBun() {
	client("github.com/uptrace/bun")
	ctx := context.Background()
	for _, mode := range []string{"pgdriver", "pgx", "pgdriver@transaction", "pgdriver@statement"} {
		var db *bun.DB
		if mode == "pgx" {
			db = bun.NewDB(open("pgx", mode, ""), pgdialect.New())
		} else {
			db = bun.NewDB(sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url(mode, "")))), pgdialect.New())
		}
		run(mode, question(ways), func(sql, queue string, payload any) (id string, err error) {
			err = db.NewRaw(sql, queue, payload).Scan(ctx, &id)
			return
		})
	}
}
