"""What a program on psycopg does with a server, check by check; prints one line for each."""

import os
import threading
import time

import psycopg
from psycopg.rows import dict_row

SCHEMA = "of_psycopg"
KAFKA = os.environ["KAFKA"]
CONNECTION = f"CREATE CONNECTION kafka TO KAFKA (BROKER '{KAFKA}', SECURITY PROTOCOL 'PLAINTEXT')"


def connect(**settings):
    # Host, user, password and database are in the environment, as libpq takes them.
    return psycopg.connect(**{"autocommit": True, **settings})


def same(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def column(sql, *parameters):
    return [row[0] for row in connection.execute(sql, parameters or None).fetchall()]


def refused(sql):
    try:
        connection.execute(sql)
    except psycopg.Error as error:
        return error
    raise AssertionError(f"was not refused: {sql}")


def without_password():
    connect(port=os.environ["OPEN_PORT"], password="").close()


def with_password():
    global connection
    connection = connect()


def wrong_password():
    try:
        connect(password="wrong").close()
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error), error
    else:
        raise AssertionError("was let in")


def queries():
    connection.execute(f"CREATE SCHEMA {SCHEMA}")
    connection.execute(f"SET search_path = {SCHEMA}")
    connection.execute("CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL, price numeric(10, 2))")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO items VALUES (%s, %s, %s)", [(i, f"item {i}", i / 100) for i in range(1, 101)])
        same(cursor.rowcount, 100)
    for i in range(1, 10):
        named = connection.execute("SELECT name FROM items WHERE id = %s", [i], prepare=True)
        same(named.fetchone(), (f"item {i}",))
        binary = connection.execute("SELECT id FROM items WHERE name = %s", [f"item {i}"], binary=True)
        same(binary.fetchone(), (i,))
    same(column("SELECT count(*) FROM items"), [100])


def transaction():
    with connection.transaction(force_rollback=True):
        connection.execute(CONNECTION)
        connection.execute(
            "CREATE SINK items_sink FROM items INTO KAFKA CONNECTION kafka (TOPIC 'of-psycopg')"
            " KEY (id) FORMAT JSON ENVELOPE UPSERT",
            prepare=True,
        )
        for _ in range(7):
            same(column("SHOW SINKS"), ["items_sink"])
        with connection.cursor(row_factory=dict_row) as cursor:
            shown = cursor.execute("SHOW CREATE SINK items_sink").fetchone()
            assert "INTO KAFKA CONNECTION" in shown["create_sql"], shown
    same(column("SHOW SINKS"), [])
    same(column("SHOW CONNECTIONS"), [])
    with connection.pipeline():
        connection.execute(CONNECTION)
        shown = connection.execute("SHOW CONNECTIONS")
        connection.execute("DROP CONNECTION kafka")
        counted = connection.execute("SELECT count(*) FROM items WHERE id > %s", [50])
        same([row[0] for row in shown.fetchall()], ["kafka"])
        same(counted.fetchone(), (50,))


def copy():
    connection.execute("CREATE TABLE copied (LIKE items)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY items TO STDOUT (FORMAT binary)") as out:
            data = b"".join(bytes(part) for part in out)
        with cursor.copy("COPY copied FROM STDIN (FORMAT binary)") as into:
            into.write(data)
    same(column("SELECT count(*) FROM (TABLE items EXCEPT TABLE copied) AS missing"), [0])


def errors():
    theirs = refused("SELECT missing FROM items")
    same((theirs.sqlstate, theirs.diag.statement_position), ("42703", "8"))
    connection.execute(CONNECTION)
    sink = "CREATE SINK s FROM items INTO KAFKA CONNECTION kafka (TOPIC 't', TOPPIC 'u') FORMAT JSON ENVELOPE UPSERT"
    ours = refused(sink).diag
    same((ours.sqlstate, ours.severity), ("42704", "ERROR"))
    same(ours.message_primary, 'unknown option "TOPPIC" for Kafka sinks')
    same(ours.statement_position, str(sink.index("TOPPIC") + 1))
    assert "TOPIC CONFIG" in ours.message_detail, ours.message_detail
    same(ours.message_hint, "Remove the option or check its spelling.")
    connection.execute("DROP CONNECTION kafka")


def cancel():
    other = connect()

    def when_asleep():
        asleep = "SELECT state FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%' AND pid = %s"
        deadline = time.monotonic() + 60
        while column(asleep, other.info.backend_pid) != ["active"] and time.monotonic() < deadline:
            time.sleep(0.02)
        other.cancel_safe(timeout=30)

    canceller = threading.Thread(target=when_asleep)
    canceller.start()
    try:
        other.execute("SELECT pg_sleep(120)")
        raise AssertionError("was not cancelled")
    except psycopg.errors.QueryCanceled as error:
        same(error.sqlstate, "57014")
    finally:
        canceller.join()
        other.close()


def cancel_ours():
    with connect() as other:
        pid = other.info.backend_pid
        state = "58000"
        # A broker is given up after ten seconds; on a machine so busy that this comes first, once more.
        while state == "58000":
            ended = threading.Event()

            def when_waiting():
                waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND pid = %s"
                while not ended.is_set() and column(waits, pid) == []:
                    time.sleep(0.02)
                if not ended.is_set():
                    other.cancel_safe(timeout=30)

            canceller = threading.Thread(target=when_waiting)
            canceller.start()
            try:
                other.execute("VALIDATE CONNECTION public.hole")
                state = "00000"
            except psycopg.Error as error:
                state = error.sqlstate
            ended.set()
            canceller.join()
        same(state, "57014")
        same(len(other.execute("SHOW CONNECTIONS FROM public LIKE 'hole'").fetchall()), 1)


def notifications():
    connection.execute("LISTEN of_psycopg")
    with connect() as other:
        other.execute("NOTIFY of_psycopg, 'hello'")
    same([heard.payload for heard in connection.notifies(timeout=60, stop_after=1)], ["hello"])


def metadata():
    with connection.execute("SELECT * FROM items LIMIT 0") as cursor:
        same([(item.name, item.type_display) for item in cursor.description],
             [("id", "int4"), ("name", "text"), ("price", "numeric(10,2)")])
    with connection.execute("SHOW SINKS") as cursor:
        same([item.name for item in cursor.description], ["name", "type", "cluster", "comment"])
    same(connection.info.parameter_status("client_encoding"), "UTF8")


def portions():
    with connection.transaction(), connection.cursor(name="portions") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT n, repeat('x', 100) FROM generate_series(1, 50000) AS n")
        same(sum(row[0] for row in cursor), 1_250_025_000)
        same(column("SHOW CLUSTERS"), ["quickstart"])


def verified():
    connect(sslmode="verify-full", sslrootcert=os.environ["TLS_ROOT"]).close()


CHECKS = {
    "connects without a password": without_password,
    "connects with a password": with_password,
    "is refused with a wrong one": wrong_password,
    "runs simple and prepared queries": queries,
    "has our statements in a transaction": transaction,
    "copies in and out": copy,
    "sees every field of an error": errors,
    "cancels": cancel,
    "cancels a statement of ours": cancel_ours,
    "hears notifications": notifications,
    "reads metadata": metadata,
    "reads a large result in portions": portions,
    "verifies the certificate": verified,
}

for name, check in CHECKS.items():
    try:
        check()
        print(f"ok {name}", flush=True)
    except Exception as error:  # The next check may still say something.
        print(f"failed {name}: {error!r}".replace("\n", " "), flush=True)
