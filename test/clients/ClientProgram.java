import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** What a program on JDBC does with a server, check by check; prints one line for each. */
public class ClientProgram {
  interface Check {
    void run() throws Exception;
  }

  static final String SCHEMA = "of_jdbc";
  static Connection connection;

  public static void main(String[] arguments) throws Exception {
    check("connects without a password", () -> connect(env("OPEN_PORT"), null, "").close());
    check("connects with a password", () -> connection = connect(env("PGPORT"), env("PGPASSWORD"), ""));
    check("is refused with a wrong one", ClientProgram::wrongPassword);
    check("runs simple and prepared queries", ClientProgram::queries);
    check("has our statements in a transaction", ClientProgram::transaction);
    check("copies in and out", ClientProgram::copy);
    check("sees every field of an error", ClientProgram::errors);
    check("cancels", ClientProgram::cancel);
    check("cancels a statement of ours", ClientProgram::cancelOurs);
    check("hears notifications", ClientProgram::notifications);
    check("reads metadata", ClientProgram::metadata);
    check("reads a large result in portions", ClientProgram::portions);
    check("verifies the certificate", ClientProgram::verified);
  }

  static void check(String name, Check check) {
    try {
      check.run();
      System.out.println("ok " + name);
    } catch (Throwable error) {
      System.out.println("failed " + name + ": " + error + " at " + error.getStackTrace()[0]);
    }
  }

  static String env(String name) {
    return System.getenv(name);
  }

  static Connection connect(String port, String password, String options) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", env("PGUSER"));
    if (password != null) properties.setProperty("password", password);
    String url = "jdbc:postgresql://" + env("PGHOST") + ":" + port + "/" + env("PGDATABASE");
    return DriverManager.getConnection(url + options, properties);
  }

  static void expect(boolean condition, String what) {
    if (!condition) throw new AssertionError(what);
  }

  static void same(Object actual, Object expected) {
    expect(expected.equals(actual), actual + " is not " + expected);
  }

  static void run(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  /** The first column. */
  static List<String> column(String sql) throws SQLException {
    List<String> values = new ArrayList<>();
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      while (rows.next()) values.add(rows.getString(1));
    }
    return values;
  }

  static PSQLException refused(String sql) throws SQLException {
    try {
      run(sql);
    } catch (PSQLException error) {
      return error;
    }
    throw new AssertionError("was not refused: " + sql);
  }

  static void wrongPassword() throws SQLException {
    try {
      connect(env("PGPORT"), "wrong", "").close();
      throw new AssertionError("was let in");
    } catch (PSQLException error) {
      same(error.getSQLState(), "28P01");
    }
  }

  static void queries() throws SQLException {
    run("CREATE SCHEMA " + SCHEMA);
    run("SET search_path = " + SCHEMA);
    run("CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL, price numeric(10, 2))");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO items VALUES (?, ?, ?)")) {
      for (int i = 1; i <= 100; i++) {
        insert.setInt(1, i);
        insert.setString(2, "item " + i);
        insert.setBigDecimal(3, new java.math.BigDecimal(i).movePointLeft(2));
        insert.addBatch();
      }
      same(insert.executeBatch().length, 100);
    }
    // From the sixth execution on the driver names the statement on the server.
    try (PreparedStatement select = connection.prepareStatement("SELECT name, price FROM items WHERE id = ?")) {
      for (int i = 1; i <= 10; i++) {
        select.setInt(1, i);
        try (ResultSet row = select.executeQuery()) {
          expect(row.next(), "a row");
          same(row.getString(1), "item " + i);
        }
      }
    }
    same(column("SELECT count(*) FROM items").get(0), "100");
  }

  static void transaction() throws SQLException {
    connection.setAutoCommit(false);
    run("CREATE CONNECTION kafka TO KAFKA (BROKER '" + env("KAFKA") + "', SECURITY PROTOCOL 'PLAINTEXT')");
    String sink = "CREATE SINK items_sink FROM items INTO KAFKA CONNECTION kafka (TOPIC 'of-jdbc')"
        + " KEY (id) FORMAT JSON ENVELOPE UPSERT";
    try (PreparedStatement create = connection.prepareStatement(sink)) {
      create.execute();
      expect(create.getWarnings() != null, "a notice");
    }
    same(column("SHOW SINKS"), List.of("items_sink"));
    for (int i = 0; i < 7; i++) same(column("SHOW SINKS"), List.of("items_sink"));
    try (Statement show = connection.createStatement(); ResultSet row = show.executeQuery("SHOW CREATE SINK items_sink")) {
      expect(row.next(), "a row");
      same(row.getMetaData().getColumnName(2), "create_sql");
      expect(row.getString("create_sql").contains("INTO KAFKA CONNECTION"), row.getString("create_sql"));
    }
    connection.rollback();
    connection.setAutoCommit(true);
    same(column("SHOW SINKS"), List.of());
    same(column("SHOW CONNECTIONS"), List.of());
  }

  static void copy() throws Exception {
    var copies = connection.unwrap(PGConnection.class).getCopyAPI();
    run("CREATE TABLE copied (LIKE items)");
    StringWriter text = new StringWriter();
    same(copies.copyOut("COPY items TO STDOUT", text), 100L);
    same(copies.copyIn("COPY copied FROM STDIN", new StringReader(text.toString())), 100L);
    same(column("SELECT count(*) FROM (TABLE items EXCEPT TABLE copied) AS missing").get(0), "0");
  }

  static void errors() throws SQLException {
    ServerErrorMessage theirs = refused("SELECT missing FROM items").getServerErrorMessage();
    same(theirs.getSQLState(), "42703");
    same(theirs.getPosition(), 8);
    run("CREATE CONNECTION kafka TO KAFKA (BROKER '" + env("KAFKA") + "', SECURITY PROTOCOL 'PLAINTEXT')");
    String sink = "CREATE SINK s FROM items INTO KAFKA CONNECTION kafka (TOPIC 't', TOPPIC 'u') FORMAT JSON ENVELOPE UPSERT";
    ServerErrorMessage ours = refused(sink).getServerErrorMessage();
    same(ours.getSQLState(), "42704");
    same(ours.getSeverity(), "ERROR");
    same(ours.getMessage(), "unknown option \"TOPPIC\" for Kafka sinks");
    same(ours.getPosition(), sink.indexOf("TOPPIC") + 1);
    expect(ours.getDetail().contains("TOPIC CONFIG"), ours.getDetail());
    same(ours.getHint(), "Remove the option or check its spelling.");
    run("DROP CONNECTION kafka");
  }

  static void cancel() throws Exception {
    try (Connection other = connect(env("PGPORT"), env("PGPASSWORD"), ""); Statement sleeping = other.createStatement()) {
      String pid = String.valueOf(other.unwrap(PGConnection.class).getBackendPID());
      Thread canceller = new Thread(() -> {
        try {
          String asleep = "SELECT state FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND pid = " + pid;
          long deadline = System.nanoTime() + 60_000_000_000L;
          while (!column(asleep).contains("active") && System.nanoTime() < deadline) Thread.sleep(20);
          sleeping.cancel();
        } catch (Exception error) {
          throw new RuntimeException(error);
        }
      });
      canceller.start();
      try {
        sleeping.execute("SELECT pg_sleep(120)");
        throw new AssertionError("was not cancelled");
      } catch (PSQLException error) {
        same(error.getSQLState(), "57014");
      }
      canceller.join();
    }
  }

  static void cancelOurs() throws Exception {
    try (Connection other = connect(env("PGPORT"), env("PGPASSWORD"), ""); Statement waiting = other.createStatement()) {
      String pid = String.valueOf(other.unwrap(PGConnection.class).getBackendPID());
      String waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND pid = " + pid;
      same(stateOfWaiting(waiting, () -> {
        if (column(waits).isEmpty()) return false;
        waiting.cancel();
        return true;
      }), "57014");
      waiting.setQueryTimeout(1);
      same(stateOfWaiting(waiting, () -> true), "57014");
      waiting.setQueryTimeout(0);
      try (ResultSet rows = waiting.executeQuery("SHOW CONNECTIONS FROM public LIKE 'hole'")) {
        expect(rows.next(), "the connection is gone");
      }
    }
  }

  /**
   * The state that a statement of ours ends with, which waits for a broker. On a machine so busy that the broker is given up first (after ten
   * seconds), it is run again.
   */
  static String stateOfWaiting(Statement waiting, Callable<Boolean> cancel) throws Exception {
    while (true) {
      AtomicBoolean ended = new AtomicBoolean();
      Thread canceller = new Thread(() -> {
        try {
          while (!ended.get() && !cancel.call()) Thread.sleep(20);
        } catch (Exception error) {
          throw new RuntimeException(error);
        }
      });
      canceller.start();
      String state;
      try {
        waiting.execute("VALIDATE CONNECTION public.hole");
        state = "00000";
      } catch (SQLException error) {
        state = error.getSQLState();
      }
      ended.set(true);
      canceller.join();
      if (!"58000".equals(state)) return state;
    }
  }

  static void notifications() throws SQLException {
    run("LISTEN of_jdbc");
    try (Connection other = connect(env("PGPORT"), env("PGPASSWORD"), ""); Statement statement = other.createStatement()) {
      statement.execute("NOTIFY of_jdbc, 'hello'");
    }
    var heard = connection.unwrap(PGConnection.class).getNotifications(60_000);
    same(heard.length, 1);
    same(heard[0].getParameter(), "hello");
  }

  static void metadata() throws SQLException {
    DatabaseMetaData metadata = connection.getMetaData();
    same(metadata.getDatabaseProductName(), "PostgreSQL");
    same(names(metadata.getTables(null, SCHEMA, "%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("copied", "items"));
    same(names(metadata.getColumns(null, SCHEMA, "items", "%"), "COLUMN_NAME"), List.of("id", "name", "price"));
    same(names(metadata.getColumns(null, SCHEMA, "items", "%"), "TYPE_NAME"), List.of("int4", "text", "numeric"));
    same(names(metadata.getPrimaryKeys(null, SCHEMA, "items"), "COLUMN_NAME"), List.of("id"));
    expect(names(metadata.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int4", "numeric", "jsonb")), "types");
    expect(names(metadata.getSchemas(), "TABLE_SCHEM").contains("mz_catalog"), "schemas");
    expect(names(metadata.getTables(null, "mz_internal", "mz_sink_statuses", null), "TABLE_NAME").size() == 1, "views");
  }

  static List<String> names(ResultSet rows, String column) throws SQLException {
    List<String> values = new ArrayList<>();
    while (rows.next()) values.add(rows.getString(column));
    rows.close();
    return values;
  }

  static void portions() throws SQLException {
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(1000);
      long sum = 0;
      try (ResultSet rows = statement.executeQuery("SELECT n, repeat('x', 100) FROM generate_series(1, 50000) AS n")) {
        while (rows.next()) {
          sum += rows.getLong(1);
          if (rows.getRow() == 25_000) same(column("SHOW CLUSTERS"), List.of("quickstart"));
        }
      }
      same(sum, 1_250_025_000L);
    }
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void verified() throws SQLException {
    connect(env("PGPORT"), env("PGPASSWORD"), "?sslmode=verify-full&sslrootcert=" + env("TLS_ROOT")).close();
  }
}
