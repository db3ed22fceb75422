# Copyright (c) 2026, the outbox developers
"""Sessions with PostgreSQL: the few functions of libpq that the harness needs.

A writer has to know how a commit went when its server dies under it: was the
answer an error (it is rolled back), or did the connection end (nobody knows)?
libpq says so, psql does not.  It comes with the server, so that nothing else
has to be installed.  A call lets other threads run while it waits.
"""
import ctypes
import ctypes.util

_lib = ctypes.CDLL(ctypes.util.find_library('pq') or 'libpq.so.5')


def _declare(name, result, *arguments):
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, arguments
    return function


_p, _s, _i = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_connect = _declare('PQconnectdb', _p, _s)
_finish = _declare('PQfinish', None, _p)
_status = _declare('PQstatus', _i, _p)
_pid = _declare('PQbackendPID', _i, _p)
_message = _declare('PQerrorMessage', _s, _p)
_exec = _declare('PQexec', _p, _p, _s)
_exec_params = _declare('PQexecParams', _p, _p, _s, _i, _p, _p, _p, _p, _i)
_result_status = _declare('PQresultStatus', _i, _p)
_field = _declare('PQresultErrorField', _s, _p, _i)
_rows = _declare('PQntuples', _i, _p)
_columns = _declare('PQnfields', _i, _p)
_value = _declare('PQgetvalue', _s, _p, _i, _i)
_null = _declare('PQgetisnull', _i, _p, _i, _i)
_clear = _declare('PQclear', None, _p)
_set_processor = _declare('PQsetNoticeProcessor', _p, _p, _p, _p)
_silence = ctypes.CFUNCTYPE(None, _p, _s)(lambda _arg, _text: None)

_DONE = (1, 2)    # PGRES_COMMAND_OK, PGRES_TUPLES_OK
_SQLSTATE = ord('C')


class Refused(Exception):
    """The server answered with an error; sqlstate says which."""

    def __init__(self, text, sqlstate):
        super().__init__(text)
        self.sqlstate = sqlstate


class Lost(Exception):
    """The connection ended, or there is none: nobody knows what became of it."""


class Session:
    """A connection.  Not to be used by two threads at a time."""

    def __init__(self, conninfo):
        self._connection = _connect(conninfo.encode())
        if _status(self._connection) != 0:
            text = _message(self._connection).decode(errors='replace').strip()
            self.close()
            raise Lost(text)
        _set_processor(self._connection, _silence, None)
        self.pid = _pid(self._connection)

    def close(self):
        if self._connection:
            _finish(self._connection)
        self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, sql, *values):
        """The rows, as lists of text (or None)."""
        if not self._connection:
            raise Lost('closed')
        if values:
            array = (ctypes.c_char_p * len(values))(
                *(None if v is None else str(v).encode() for v in values))
            result = _exec_params(self._connection, sql.encode(), len(values), None,
                                  ctypes.cast(array, _p), None, None, 0)
        else:
            result = _exec(self._connection, sql.encode())
        try:
            return self._take(result)
        finally:
            if result:
                _clear(result)

    def value(self, sql, *values):
        """The first row's first column, or None."""
        rows = self.run(sql, *values)
        return rows[0][0] if rows else None

    def _take(self, result):
        if not result or _result_status(result) not in _DONE:
            text = _message(self._connection).decode(errors='replace').strip()
            state = (_field(result, _SQLSTATE) or b'').decode() if result else ''
            # What ends the session (57P01 and its like) is an answer, too, but
            # one that leaves open what became of a commit.
            if _status(self._connection) != 0 or not state or state.startswith(('57P', '08')):
                raise Lost(text)
            raise Refused(text, state)
        return [[None if _null(result, r, c) else _value(result, r, c).decode()
                 for c in range(_columns(result))] for r in range(_rows(result))]
