/*-------------------------------------------------------------------------
 *
 * tls.c
 *	  TLS on a socket that does not block.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Who is at the other end is verified always, there is no switch to turn that
 * off: the certificate must be of a CA that is trusted, and for the host that is
 * named.  Without the latter any customer of the same CA could answer, and a cloud's
 * CA signs everybody's.
 *
 * A context is made anew for each connection, and the files are read then: so a
 * certificate that was renewed is in use with the next connection.  A key that is
 * encrypted is refused, as nobody is there to be asked.
 *
 * OpenSSL says what it waits for, and that is what is waited for.  To receive may
 * need the socket to be writable, and to send may need it to be readable: both
 * when keys are changed.  Waiting for what it doesn't wait for would spin.  What it
 * has decrypted is taken before the socket is waited for; it reads no record ahead.
 *
 * A send that couldn't be finished is repeated with the same bytes, but these may
 * have moved, and there may be more of them.
 *
 * OpenSSL's queue of errors is the process's and may hold what others have left
 * there, so it is emptied before each call.  Writing to a socket whose other end is
 * gone raises SIGPIPE, which PostgreSQL's processes ignore.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "redis/tls_files.h"
#include "storage/latch.h"

/* what SSL_read() gets; a record has at most so many bytes */
#define MAX_RECORD	16384

struct RedisTls
{
	SSL_CTX    *ctx;
	SSL		   *ssl;
	char	   *name;			/* whose certificate it must be */
	bool		is_connected;	/* the handshake is done */
	int			to_receive;		/* WL_SOCKET_...: what it waits for, to ... */
	int			to_send;
};

static bool
is_address(const char *name)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, buf) == 1 ||
		inet_pton(AF_INET6, name, buf) == 1;
}

/*
 * The certificate has to be for this host.  Names are told to the server, too,
 * which may have certificates for several.
 */
static bool
set_name(RedisTls *tls)
{
	/* for OpenSSL, that would be any host */
	if (tls->name[0] == '\0')
		return false;
	if (is_address(tls->name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl),
											 tls->name) == 1;
	SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(tls->ssl, tls->name) == 1 &&
		SSL_set_tlsext_host_name(tls->ssl, tls->name) == 1;
}

static bool
set_up(RedisTls *tls, const OutboxRedisUrl *url, RedisTrouble *trouble)
{
	ERR_clear_error();
	tls->ctx = SSL_CTX_new(TLS_client_method());
	if (tls->ctx == NULL ||
		SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) != 1)
		return outbox_trouble(trouble,
							  psprintf("TLS cannot be set up: %s",
									   outbox_tls_reason()), NULL);
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(tls->ctx, 0);
	SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION);
	if (!outbox_tls_load_files(tls->ctx, url, trouble))
		return false;
	ERR_clear_error();
	tls->ssl = SSL_new(tls->ctx);
	if (tls->ssl == NULL || !set_name(tls))
		return outbox_trouble(trouble,
							  psprintf("TLS cannot be set up: %s",
									   outbox_tls_reason()), NULL);
	SSL_set_connect_state(tls->ssl);
	return true;
}

RedisTls *
outbox_tls_make(const OutboxRedisUrl *url, const OutboxRedisHost *host,
				MemoryContext context, RedisTrouble *trouble)
{
	RedisTls   *tls = MemoryContextAllocZero(context, sizeof(RedisTls));
	size_t		len;

	tls->name = MemoryContextStrdup(context, url->sslhost != NULL ?
									url->sslhost : host->name);
	/* a name that is absolute, for the resolver; no certificate has the dot */
	len = strlen(tls->name);
	if (len > 1 && tls->name[len - 1] == '.')
		tls->name[len - 1] = '\0';
	if (set_up(tls, url, trouble))
		return tls;
	outbox_tls_free(tls);
	return NULL;
}

bool
outbox_tls_attach(RedisTls *tls, pgsocket sock, RedisTrouble *trouble)
{
	ERR_clear_error();
	if (SSL_set_fd(tls->ssl, sock) == 1)
		return true;
	return outbox_trouble(trouble, outbox_tls_reason(), NULL);
}

void
outbox_tls_free(RedisTls *tls)
{
	if (tls->ssl != NULL)
		SSL_free(tls->ssl);
	if (tls->ctx != NULL)
		SSL_CTX_free(tls->ctx);
	pfree(tls->name);
	pfree(tls);
}

/*
 * The certificate was refused.
 */
static bool
refused(const RedisTls *tls, long result, RedisTrouble *trouble)
{
	const char *hint = NULL;
	const char *why = X509_verify_cert_error_string(result);

	switch (result)
	{
		case X509_V_ERR_HOSTNAME_MISMATCH:
		case X509_V_ERR_IP_ADDRESS_MISMATCH:
			why = psprintf("it is not for \"%s\"", tls->name);
			hint = "If its name is another one than the host's, set sslhost.";
			break;
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
			hint = "Set sslrootcert to a file with the CA; without it those of the system are trusted.";
			break;
		case X509_V_ERR_CERT_HAS_EXPIRED:
		case X509_V_ERR_CERT_NOT_YET_VALID:
			hint = "Renew the certificate of the server or its CA, or correct the clock.";
			break;
		default:
			hint = "Check the certificate of the server and sslrootcert.";
	}
	return outbox_trouble(trouble,
						  psprintf("the server's certificate is refused: %s",
								   why), hint);
}

/*
 * OpenSSL has failed with an error of its own.
 */
static bool
failed(const RedisTls *tls, RedisTrouble *trouble)
{
	unsigned long code = ERR_peek_error();
	const char *reason;
	const char *hint = NULL;
	bool		is_ssl = ERR_GET_LIB(code) == ERR_LIB_SSL;

	if (is_ssl && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return refused(tls, SSL_get_verify_result(tls->ssl), trouble);
	reason = outbox_tls_reason();
	if (!is_ssl)
		return outbox_trouble(trouble, psprintf("TLS has failed: %s", reason),
							  NULL);
	switch (ERR_GET_REASON(code))
	{
		case SSL_R_WRONG_VERSION_NUMBER:
		case SSL_R_PACKET_LENGTH_TOO_LONG:
			if (!tls->is_connected)
				return outbox_trouble(trouble, "the server does not speak TLS",
									  OUTBOX_HINT_NO_TLS);
			break;
		case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
		case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
		case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
		case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
			hint = "The server may want a client certificate that its CA has signed: set sslcert and sslkey.";
			break;
		case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
		case SSL_R_UNSUPPORTED_PROTOCOL:
			hint = "TLS 1.2 or later is needed.";
			break;
	}
	return outbox_trouble(trouble, psprintf("TLS has failed: %s", reason), hint);
}

/*
 * A call has not done what it should.  Returns true, with the event of the socket
 * that it waits for, if it has not failed.
 */
static bool
not_done(RedisTls *tls, int result, int error, int *event,
		 RedisTrouble *trouble)
{
	switch (SSL_get_error(tls->ssl, result))
	{
		case SSL_ERROR_WANT_READ:
			*event = WL_SOCKET_READABLE;
			return true;
		case SSL_ERROR_WANT_WRITE:
			*event = WL_SOCKET_WRITEABLE;
			return true;
		case SSL_ERROR_SSL:
			if (!outbox_tls_is_eof(ERR_peek_error()))
				return failed(tls, trouble);
			break;
		case SSL_ERROR_SYSCALL:
			if (result < 0 && error != 0)
				return outbox_trouble(trouble, strerror(error), NULL);
			break;
	}
	if (tls->is_connected)
		return outbox_trouble(trouble, "Server closed the connection", NULL);
	return outbox_trouble(trouble,
						  "the server closed the connection in the TLS handshake",
						  OUTBOX_HINT_NO_TLS);
}

bool
outbox_tls_handshake(RedisTls *tls, bool *done, RedisTrouble *trouble)
{
	int			result;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(tls->ssl);
	*done = tls->is_connected = result == 1;
	tls->to_receive = WL_SOCKET_READABLE;
	tls->to_send = WL_SOCKET_WRITEABLE;
	return *done || not_done(tls, result, errno, &tls->to_receive, trouble);
}

ssize_t
outbox_tls_send(RedisTls *tls, const char *data, size_t len,
				RedisTrouble *trouble)
{
	int			result;

	tls->to_send = WL_SOCKET_WRITEABLE;
	ERR_clear_error();
	errno = 0;
	result = SSL_write(tls->ssl, data, (int) Min(len, PG_INT32_MAX));
	if (result > 0)
		return result;
	return not_done(tls, result, errno, &tls->to_send, trouble) ? 0 : -1;
}

ssize_t
outbox_tls_receive(RedisTls *tls, char *buf, size_t size,
				   RedisTrouble *trouble)
{
	int			result;

	tls->to_receive = WL_SOCKET_READABLE;
	ERR_clear_error();
	errno = 0;
	result = SSL_read(tls->ssl, buf, (int) Min(size, MAX_RECORD));
	if (result > 0)
		return result;
	return not_done(tls, result, errno, &tls->to_receive, trouble) ? 0 : -1;
}

bool
outbox_tls_has_more(const RedisTls *tls)
{
	return SSL_pending(tls->ssl) > 0;
}

int
outbox_tls_events(const RedisTls *tls, bool to_send)
{
	return tls->to_receive | (to_send ? tls->to_send : 0);
}
