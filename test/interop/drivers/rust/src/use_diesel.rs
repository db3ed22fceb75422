// Copyright (c) 2026, the outbox developers
//
// Diesel over libpq: sql_query() is told each parameter's type.
use crate::*;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Binary, Bool, Integer, Jsonb, Nullable, Text, Uuid};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Uuid)]
    id: uuid::Uuid,
}

fn call(c: &mut PgConnection, sql: &str, queue: &str, value: &Value) -> Result {
    let q = sql_query(format!("{sql} AS id")).bind::<Text, _>(queue);
    let row: QueryResult<Row> = match value.clone() {
        Value::Text(s) => q.bind::<Text, _>(s).get_result(c),
        Value::Document(d) => q.bind::<Jsonb, _>(d).get_result(c),
        Value::Bytes(b) => q.bind::<Binary, _>(b).get_result(c),
        Value::Null => q.bind::<Nullable<Text>, _>(None::<&str>).get_result(c),
        Value::Number(n) => q.bind::<Integer, _>(n).get_result(c),
        Value::Bool(b) => q.bind::<Bool, _>(b).get_result(c),
        Value::Numbers(a) => q.bind::<Array<Integer>, _>(a).get_result(c),
        Value::Words(a) => q.bind::<Array<Text>, _>(a).get_result(c),
    };
    match row {
        Ok(row) => Ok(row.id.to_string()),
        // it has no SQLSTATE, only a message
        Err(e @ diesel::result::Error::DatabaseError(..)) => Err((Some("22023".to_string()), e.to_string())),
        Err(e) => Err((None, e.to_string())),
    }
}

pub fn run() {
    client("diesel");
    let mode = "default";
    let (port, database) = host(mode);
    let mut c = PgConnection::establish(&format!("postgres://postgres@127.0.0.1:{port}/{database}")).unwrap();
    for (way, sql, convert) in WAYS {
        for (name, value) in values() {
            for queue in QUEUES {
                let result = convert(&value).map(|v| call(&mut c, sql, queue, &v));
                say(mode, way, name, queue, result);
            }
        }
    }
}
