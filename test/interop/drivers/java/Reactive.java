// Copyright (c) 2026, the outbox developers
//
// Two drivers that don't stand on JDBC.
import io.r2dbc.postgresql.PostgresqlConnectionConfiguration;
import io.r2dbc.postgresql.PostgresqlConnectionFactory;
import io.r2dbc.postgresql.api.PostgresqlConnection;
import io.r2dbc.postgresql.codec.Json;
import io.vertx.core.Vertx;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import io.vertx.pgclient.PgConnectOptions;
import io.vertx.pgclient.PgConnection;
import io.vertx.sqlclient.Tuple;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

class Reactive extends Cells {
	static Call bound(PostgresqlConnection c, String sql, Convert convert) {
		var text = sql.replaceFirst("\\?", "\\$1").replaceFirst("\\?", "\\$2");
		return (q, v) -> {
			var payload = convert.of(v);
			var statement = c.createStatement(text).bind("$1", q);
			if (payload == null)
				statement.bindNull("$2", String.class);
			else
				statement.bind("$2", payload);
			return statement.execute().flatMap(r -> r.map((row, meta) -> row.get(0))).blockLast();
		};
	}

	static void r2dbc() {
		client("r2dbc-postgresql", Json.class);
		for (var mode : List.of("default", "uncached@transaction")) {
			var c = new PostgresqlConnectionFactory(PostgresqlConnectionConfiguration.builder()
				.host("127.0.0.1").port(Integer.parseInt(port(mode))).database(database(mode)).username("postgres")
				.preparedStatementCacheQueries(mode.equals("default") ? -1 : 0).build()).create().block();
			Convert list = v -> v instanceof List<?> l ? l.toArray(l.equals(List.of(1, 2)) ? new Integer[0] : new String[0]) : v;
			var ways = new LinkedHashMap<String, Call>();
			ways.put("plain", bound(c, PLAIN, list));
			ways.put("json()", bound(c, JSON, list));
			ways.put("dumped", bound(c, PLAIN, Cells::dumps));
			ways.put("dumped json()", bound(c, JSON, Cells::dumps));
			ways.put("dumped as jsonb", bound(c, cast("jsonb"), Cells::dumps));
			ways.put("Json", bound(c, PLAIN, v -> Json.of(dumps(v))));
			ways.put("Json json()", bound(c, JSON, v -> Json.of(dumps(v))));
			ways.put("many Json", bound(c, MANY, v -> Json.of(listed(v))));
			run(mode, ways);
		}
	}

	static Call prepared(PgConnection c, String sql, Convert convert) {
		var text = sql.replaceFirst("\\?", "\\$1").replaceFirst("\\?", "\\$2");
		return (q, v) -> {
			var rows = c.preparedQuery(text).execute(Tuple.of(q, convert.of(v))).toCompletionStage().toCompletableFuture();
			try {
				return rows.get(10, TimeUnit.SECONDS).iterator().next().getValue(0);
			} catch (java.util.concurrent.ExecutionException e) {
				throw e.getCause() instanceof Exception x ? x : e;
			}
		};
	}

	/** what Vert.x has for JSON and for bytes */
	@SuppressWarnings("unchecked")
	static Object own(Object value) {
		if (value instanceof Map<?, ?> m)
			return new JsonObject((Map<String, Object>) m);
		if (value instanceof List<?> l)
			return new JsonArray(l);
		return value instanceof byte[] b ? io.vertx.core.buffer.Buffer.buffer(b) : value;
	}

	static void vertx() throws Exception {
		client("vertx-pg-client", PgConnection.class);
		var vertx = Vertx.vertx();
		for (var mode : List.of("default", "cached", "default@transaction")) {
			var options = new PgConnectOptions().setHost("127.0.0.1").setPort(Integer.parseInt(port(mode)))
				.setDatabase(database(mode)).setUser("postgres").setCachePreparedStatements(mode.equals("cached"));
			if (mode.contains("@"))
				options.setUseLayer7Proxy(true);
			var c = PgConnection.connect(vertx, options).toCompletionStage().toCompletableFuture().get(10, TimeUnit.SECONDS);
			var ways = new LinkedHashMap<String, Call>();
			ways.put("plain", prepared(c, PLAIN, Reactive::own));
			ways.put("json()", prepared(c, JSON, Reactive::own));
			ways.put("dumped", prepared(c, PLAIN, Cells::dumps));
			ways.put("dumped json()", prepared(c, JSON, Cells::dumps));
			ways.put("dumped as jsonb", prepared(c, cast("jsonb"), Cells::dumps));
			ways.put("as jsonb", prepared(c, cast("jsonb"), Reactive::own));
			ways.put("as bytea", prepared(c, cast("bytea"), Reactive::own));
			ways.put("many", prepared(c, MANY, v -> {
				dumps(v);
				var list = new java.util.ArrayList<Object>();
				list.add(own(v));
				return new JsonArray(list);
			}));
			run(mode, ways);
		}
	}
}
