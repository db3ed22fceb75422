// Copyright (c) 2026, the outbox developers
//
// What the programs for Java share: see ../run for what they print.
import com.fasterxml.jackson.databind.ObjectMapper;
import io.r2dbc.spi.R2dbcException;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

class Cells {
	static final String PLAIN = "SELECT outbox_enqueue(?, ?)";
	static final String JSON = "SELECT outbox_enqueue_json(?, ?)";
	static final String MANY = "SELECT (outbox_enqueue_many(?, ?))[1]";
	static final Map<String, Object> VALUES = new LinkedHashMap<>();
	static final ObjectMapper MAPPER = new ObjectMapper();

	static {
		var object = new LinkedHashMap<String, Object>();
		object.put("a", 1);
		object.put("b", "é");
		VALUES.put("string", "hé \"llo\"");
		VALUES.put("digits", "123");
		VALUES.put("object", object);
		VALUES.put("array", List.of(1, 2));
		VALUES.put("words", List.of("a", "b"));
		VALUES.put("empty", List.of());
		VALUES.put("bytes", new byte[] {0, -1, '{'});
		VALUES.put("document", "{\"a\": 1}".getBytes(StandardCharsets.UTF_8));
		VALUES.put("null", null);
		VALUES.put("number", 42);
		VALUES.put("true", true);
	}

	static class NoWay extends Exception {
	}

	/** returns the message's id */
	interface Call {
		Object enqueue(String queue, Object value) throws Exception;
	}

	interface Convert {
		Object of(Object value) throws Exception;
	}

	static String cast(String type) {
		return "SELECT outbox_enqueue(?, CAST(? AS " + type + "))";
	}

	static String dumps(Object value) throws Exception {
		if (value instanceof byte[])
			throw new NoWay();
		return MAPPER.writeValueAsString(value);
	}

	static String listed(Object value) throws Exception {
		dumps(value);
		return MAPPER.writeValueAsString(new Object[] {value});
	}

	static String port(String mode) {
		return System.getenv(mode.contains("@") ? "BOUNCER_PORT" : "PGPORT");
	}

	static String database(String mode) {
		return mode.contains("@") ? mode.split("@")[1] : System.getenv("PGDATABASE");
	}

	static String url(String mode, String parameters) {
		return "jdbc:postgresql://127.0.0.1:" + port(mode) + "/" + database(mode) + "?user=postgres" + parameters;
	}

	static String sqlstate(Throwable error) {
		for (var e = error; e != null; e = e.getCause()) {
			if (e instanceof org.postgresql.util.PSQLException p)
				return p.getServerErrorMessage() == null ? null : p.getSQLState();
			if (e instanceof R2dbcException r)
				return r.getSqlState();
			if (e instanceof io.vertx.pgclient.PgException p)
				return p.getSqlState();
		}
		return null;
	}

	static void run(String mode, Map<String, Call> ways) {
		for (var way : ways.entrySet())
			for (var value : VALUES.entrySet())
				for (var queue : List.of("json", "text", "bytea"))
					System.out.println(String.join("\t", mode, way.getKey(), value.getKey(), queue,
						result(way.getValue(), queue, value.getValue())));
	}

	static String result(Call call, String queue, Object value) {
		try {
			return "id\t" + call.enqueue(queue, value);
		} catch (NoWay e) {
			return "none";
		} catch (Throwable e) {
			var state = sqlstate(e);
			var said = String.valueOf(e.getMessage()).replaceAll("\\s+", " ");
			return (state == null ? "driver\t" + e.getClass().getName() : "server\t" + state) + "\t" + said;
		}
	}

	public static void main(String[] names) throws Exception {
		System.setOut(new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8));
		switch (names[0]) {
			case "pgjdbc" -> Jdbc.pgjdbc();
			case "spring" -> Jdbc.spring();
			case "jooq" -> Jdbc.jooq();
			case "hibernate" -> Jdbc.hibernate();
			case "r2dbc" -> Reactive.r2dbc();
			case "vertx" -> Reactive.vertx();
			default -> throw new IllegalArgumentException(names[0]);
		}
		System.exit(0);
	}

	static void client(String name, Class<?> of) {
		var path = of.getProtectionDomain().getCodeSource().getLocation().getPath();
		System.out.println("client " + name + " " + path.replaceAll(".*/", "").replaceAll("^[a-z0-9-]*?-([0-9].*)[.]jar$", "$1"));
	}
}
