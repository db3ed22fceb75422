# Copyright (c) 2026, the outbox developers
"""tls: what TLS costs.

A backlog as in delivery drains to the same Redis by TCP, and by TCP with TLS.  The
limit of each is what pipeline.c reaches by the same transport, with up to 10,000
XADDs unanswered, in records of up to 16 kB, as the relay writes them.  Client and
server share the machine's cores, so encryption is paid for twice.
"""

import socket
import subprocess

import delivery
from report import column, compare, in_turns
from servers import TEXT, BenchError

STREAM = "bench_tls"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificates(directory):
    """A CA in ca.crt, and the server's certificate."""
    def openssl(*words):
        done = subprocess.run(["openssl", *words], cwd=directory, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise BenchError(f"openssl: {done.stdout}")

    with open(f"{directory}/san", "w") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    for name in ("ca", "server"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-out", "ca.crt")
    openssl("req", "-new", "-key", "server.key", "-subj", "/CN=server", "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-set_serial", "1", "-extfile", "san", "-out", "server.crt")


def open_ports(bench):
    directory = bench.new_directory("tls")
    make_certificates(directory)
    plain, tls = free_port(), free_port()
    bench.redis.command("CONFIG", "SET", "bind", "127.0.0.1", "port", plain)
    bench.redis.command("CONFIG", "SET", "tls-cert-file", f"{directory}/server.crt",
                        "tls-key-file", f"{directory}/server.key",
                        "tls-ca-cert-file", f"{directory}/ca.crt",
                        "tls-auth-clients", "no", "tls-port", tls)
    return f"{directory}/ca.crt", plain, tls


def run(bench):
    messages = 10_000 if bench.quick else 100_000
    ca, plain, tls = open_ports(bench)
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT})")
    url = bench.postgres.redis_url

    def drain(url):
        delivery.pile_up(bench, [STREAM], messages)
        bench.postgres.redis_url = url
        return delivery.drain(bench, [STREAM], messages)

    def limit(server):
        return delivery.plain(bench, messages, "full", server=server)

    runs = in_turns(bench.rounds(8), {
        "plain": lambda: drain(f"redis://127.0.0.1:{plain}"),
        "tls": lambda: drain(f"rediss://127.0.0.1:{tls}?sslrootcert={ca}"),
        "limit": lambda: limit(f"127.0.0.1:{plain}"),
        "tls limit": lambda: limit(f"127.0.0.1:{tls}{ca}")})
    bench.postgres.redis_url = url
    bench.join_redis()

    def lines(name, ours, theirs, goal):
        return delivery.compare_drains(name, runs[ours], runs[theirs], goal)

    return (lines("drain by TLS, XADD full pipe by TLS", "tls", "tls limit", 0.7)
            + lines("drain by TLS, drain by TCP", "tls", "plain", 0.7)
            + [compare(name, column(runs[ours], "rate"), column(runs[theirs], "rate"), "msg/s")
               for name, ours, theirs in (
                   ("drain by TCP, XADD full pipe by TCP", "plain", "limit"),
                   ("XADD full pipe by TLS, by TCP", "tls limit", "limit"))]), []
