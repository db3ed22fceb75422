// Copyright (c) 2026, the outbox developers
//
// pgjdbc: how parameters are set, how they are sent; and what stands on it.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.Types;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.hibernate.cfg.Configuration;
import org.jooq.DSLContext;
import org.jooq.JSONB;
import org.jooq.SQLDialect;
import org.jooq.impl.DSL;
import org.jooq.impl.SQLDataType;
import org.postgresql.util.PGobject;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.core.SqlOutParameter;
import org.springframework.jdbc.core.SqlParameter;
import org.springframework.jdbc.core.SqlParameterValue;
import org.springframework.jdbc.core.namedparam.MapSqlParameterSource;
import org.springframework.jdbc.core.namedparam.NamedParameterJdbcTemplate;
import org.springframework.jdbc.core.simple.SimpleJdbcCall;
import org.springframework.jdbc.datasource.SingleConnectionDataSource;

class Jdbc extends Cells {
	interface Setter {
		void set(PreparedStatement statement, Object value) throws Exception;
	}

	static Object object(String type, Object value) throws Exception {
		var object = new PGobject();
		object.setType(type);
		object.setValue(dumps(value));
		return object;
	}

	/** as code does that knows what it has */
	static void typed(PreparedStatement statement, Object value) throws Exception {
		var connection = statement.getConnection();
		if (value instanceof String s)
			statement.setString(2, s);
		else if (value instanceof byte[] b)
			statement.setBytes(2, b);
		else if (value instanceof Integer i)
			statement.setInt(2, i);
		else if (value instanceof Boolean b)
			statement.setBoolean(2, b);
		else if (value == null)
			statement.setNull(2, Types.VARCHAR);
		else if (value instanceof List<?> l)
			statement.setArray(2, connection.createArrayOf(l.equals(List.of(1, 2)) ? "int4" : "text", l.toArray()));
		else
			throw new NoWay();
	}

	static Call statement(Connection connection, String sql, Setter setter) {
		return (queue, value) -> {
			try (var statement = connection.prepareStatement(sql)) {
				statement.setString(1, queue);
				setter.set(statement, value);
				var result = statement.executeQuery();
				result.next();
				return result.getObject(1);
			}
		};
	}

	static void pgjdbc() throws Exception {
		client("pgjdbc", org.postgresql.Driver.class);
		for (var mode : List.of("default", "prepareThreshold=1", "simple", "stringtype=unspecified",
				"prepareThreshold=0@transaction", "simple@statement")) {
			var parameter = mode.replaceAll("@.*", "");
			var parameters = parameter.equals("simple") ? "&preferQueryMode=simple"
				: parameter.equals("default") ? "" : "&" + parameter;
			var c = DriverManager.getConnection(url(mode, parameters));
			Setter object = (s, v) -> s.setObject(2, v);
			Setter other = (s, v) -> s.setObject(2, v, Types.OTHER);
			Setter dumped = (s, v) -> s.setString(2, dumps(v));
			var ways = new LinkedHashMap<String, Call>();
			ways.put("setObject", statement(c, PLAIN, object));
			ways.put("setObject json()", statement(c, JSON, object));
			ways.put("setObject OTHER", statement(c, PLAIN, other));
			ways.put("set<Type>", statement(c, PLAIN, Jdbc::typed));
			ways.put("set<Type> json()", statement(c, JSON, Jdbc::typed));
			ways.put("dumped", statement(c, PLAIN, dumped));
			ways.put("dumped json()", statement(c, JSON, dumped));
			ways.put("dumped as jsonb", statement(c, cast("jsonb"), dumped));
			ways.put("dumped OTHER json()", statement(c, JSON, (s, v) -> s.setObject(2, dumps(v), Types.OTHER)));
			ways.put("PGobject jsonb", statement(c, PLAIN, (s, v) -> s.setObject(2, object("jsonb", v))));
			ways.put("PGobject json", statement(c, PLAIN, (s, v) -> s.setObject(2, object("json", v))));
			ways.put("PGobject jsonb json()", statement(c, JSON, (s, v) -> s.setObject(2, object("jsonb", v))));
			ways.put("as bytea", statement(c, cast("bytea"), Jdbc::typed));
			ways.put("dumped many", statement(c, MANY, (s, v) -> s.setString(2, listed(v))));
			ways.put("dumped many as jsonb", statement(c, "SELECT (outbox_enqueue_many(?, CAST(? AS jsonb)))[1]",
				(s, v) -> s.setString(2, listed(v))));
			run(mode, ways);
		}
	}

	static void spring() throws Exception {
		client("spring-jdbc", JdbcTemplate.class);
		for (var mode : List.of("default", "prepareThreshold=0@transaction")) {
			var source = new SingleConnectionDataSource(url(mode, mode.equals("default") ? "" : "&prepareThreshold=0"), true);
			var template = new JdbcTemplate(source);
			var named = new NamedParameterJdbcTemplate(source);
			var ways = new LinkedHashMap<String, Call>();
			ways.put("JdbcTemplate", (q, v) -> template.queryForObject(PLAIN, Object.class, q, v));
			ways.put("JdbcTemplate dumped", (q, v) -> template.queryForObject(PLAIN, Object.class, q, dumps(v)));
			ways.put("JdbcTemplate as jsonb", (q, v) -> template.queryForObject(cast("jsonb"), Object.class, q, dumps(v)));
			ways.put("JdbcTemplate PGobject", (q, v) -> template.queryForObject(PLAIN, Object.class, q, object("jsonb", v)));
			ways.put("Named", named(named, "SELECT outbox_enqueue(:queue, :payload)", v -> v));
			ways.put("Named dumped", named(named, "SELECT outbox_enqueue(:queue, :payload)", Cells::dumps));
			ways.put("Named json() OTHER", named(named, "SELECT outbox_enqueue_json(:queue, :payload)",
				v -> new SqlParameterValue(Types.OTHER, dumps(v))));
			ways.put("declared json()", declared(template, "outbox_enqueue_json", v -> v));
			ways.put("declared json() dumped", declared(template, "outbox_enqueue_json", Cells::dumps));
			ways.put("declared many dumped", declared(template, "outbox_enqueue_many", Cells::listed));
			ways.put("Call json()", call(template, "outbox_enqueue_json", v -> v));
			ways.put("Call json() dumped", call(template, "outbox_enqueue_json", Cells::dumps));
			ways.put("Call json() PGobject", call(template, "outbox_enqueue_json", v -> object("jsonb", v)));
			ways.put("Call many dumped", call(template, "outbox_enqueue_many", Cells::listed));
			run(mode, ways);
		}
	}

	static Call named(NamedParameterJdbcTemplate template, String sql, Convert convert) {
		return (q, v) -> template.queryForObject(sql,
			new MapSqlParameterSource().addValue("queue", q).addValue("payload", convert.of(v)), Object.class);
	}

	/** it asks the catalogue for the parameters, and passes null for those without value */
	static Call call(JdbcTemplate template, String function, Convert convert) {
		var call = new SimpleJdbcCall(template).withFunctionName(function);
		return (q, v) -> executed(call, function, q, convert.of(v));
	}

	/** it is told two parameters and passes these */
	static Call declared(JdbcTemplate template, String function, Convert convert) {
		var many = function.endsWith("many");
		var call = new SimpleJdbcCall(template).withFunctionName(function).withoutProcedureColumnMetaDataAccess();
		call.declareParameters(new SqlOutParameter("id", many ? Types.ARRAY : Types.OTHER),
			new SqlParameter("queue", Types.VARCHAR),
			new SqlParameter(many ? "payloads" : "payload", Types.OTHER));
		return (q, v) -> executed(call, function, q, convert.of(v));
	}

	static Object executed(SimpleJdbcCall call, String function, String queue, Object payload) throws Exception {
		var name = function.endsWith("many") ? "payloads" : "payload";
		var result = call.executeFunction(Object.class,
			new MapSqlParameterSource().addValue("queue", queue).addValue(name, payload));
		return result instanceof java.sql.Array a ? ((Object[]) a.getArray())[0] : result;
	}

	static void jooq() throws Exception {
		client("jooq", DSL.class);
		System.setProperty("org.jooq.no-logo", "true");
		System.setProperty("org.jooq.no-tips", "true");
		for (var mode : List.of("default", "prepareThreshold=0@transaction")) {
			var c = DriverManager.getConnection(url(mode, mode.equals("default") ? "" : "&prepareThreshold=0"));
			var dsl = DSL.using(c, SQLDialect.POSTGRES);
			var ways = new LinkedHashMap<String, Call>();
			ways.put("plain", (q, v) -> dsl.fetchValue(PLAIN, q, v));
			ways.put("dumped", (q, v) -> dsl.fetchValue(PLAIN, q, dumps(v)));
			ways.put("JSONB", (q, v) -> dsl.fetchValue(PLAIN, q, JSONB.jsonb(dumps(v))));
			ways.put("JSON", (q, v) -> dsl.fetchValue(PLAIN, q, org.jooq.JSON.json(dumps(v))));
			ways.put("JSONB json()", (q, v) -> dsl.fetchValue(JSON, q, JSONB.jsonb(dumps(v))));
			ways.put("function", (q, v) -> function(dsl, "outbox_enqueue", q, v));
			ways.put("function JSONB", (q, v) -> function(dsl, "outbox_enqueue", q, JSONB.jsonb(dumps(v))));
			ways.put("many JSONB", (q, v) -> dsl.fetchValue(MANY, q, JSONB.jsonb(listed(v))));
			run(mode, ways);
		}
	}

	static Object function(DSLContext dsl, String name, String queue, Object value) {
		return dsl.select(DSL.function(name, SQLDataType.UUID, DSL.val(queue), DSL.val(value))).fetchOne().value1();
	}

	static void hibernate() throws Exception {
		client("hibernate-core", Configuration.class);
		java.util.logging.Logger.getLogger("org.hibernate").setLevel(java.util.logging.Level.OFF);
		for (var mode : List.of("default", "prepareThreshold=0@transaction")) {
			var configuration = new Configuration()
				.setProperty("hibernate.connection.url", url(mode, mode.equals("default") ? "" : "&prepareThreshold=0"))
				.setProperty("hibernate.connection.autocommit", "true");
			var factory = configuration.buildSessionFactory();
			var ways = new LinkedHashMap<String, Call>();
			Convert same = v -> v;
			ways.put("native", nativeQuery(factory, "SELECT outbox_enqueue(:queue, :payload)", same));
			ways.put("native dumped", nativeQuery(factory, "SELECT outbox_enqueue(:queue, :payload)", Cells::dumps));
			ways.put("native json()", nativeQuery(factory, "SELECT outbox_enqueue_json(:queue, :payload)", same));
			ways.put("native as jsonb", nativeQuery(factory,
				"SELECT outbox_enqueue(:queue, CAST(:payload AS jsonb))", Cells::dumps));
			ways.put("native as bytea", nativeQuery(factory,
				"SELECT outbox_enqueue(:queue, CAST(:payload AS bytea))", same));
			ways.put("dumped many as jsonb", nativeQuery(factory,
				"SELECT (outbox_enqueue_many(:queue, CAST(:payload AS jsonb)))[1]", Cells::listed));
			run(mode, ways);
		}
	}

	static Call nativeQuery(org.hibernate.SessionFactory factory, String sql, Convert convert) {
		return (q, v) -> {
			var payload = convert.of(v);
			return factory.fromTransaction(session -> session.createNativeQuery(sql, Object.class)
				.setParameter("queue", q).setParameter("payload", payload).getSingleResult());
		};
	}
}
