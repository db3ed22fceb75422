/*-------------------------------------------------------------------------
 *
 * tls_files.c
 *	  The CAs, certificates and keys of a connection.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Files are read by us and not by OpenSSL: so what isn't a file doesn't stop the
 * relay, and what is said about a file is said in one way.  No text has the name of
 * a file or any of its bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "small_file.h"

/* the bundle of all CAs has a quarter of that */
#define MAX_FILE	(1024 * 1024)

const char *
outbox_tls_reason(void)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	if (reason != NULL)
		return reason;
	return code == 0 ? "no reason given" : psprintf("error %lu", code);
}

bool
outbox_tls_is_eof(unsigned long code)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	/* from OpenSSL 3.0 on; before, there is no error in the queue */
	return ERR_GET_LIB(code) == ERR_LIB_SSL &&
		ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
	return code == 0;
#endif
}

static bool
wrong(RedisTrouble *trouble, const char *text)
{
	return outbox_trouble(trouble, text, "See the settings for TLS.");
}

/*
 * Open a file for OpenSSL; NULL if it can't be read.  *data is to be freed.
 */
static BIO *
open_file(const char *path, const char *setting, char **data, size_t *len,
		  RedisTrouble *trouble)
{
	const char *complaint = outbox_read_small_file(path, setting, MAX_FILE,
												   data, len);
	BIO		   *bio;

	if (complaint != NULL)
	{
		wrong(trouble, complaint);
		return NULL;
	}
	ERR_clear_error();
	bio = BIO_new_mem_buf(*data, (int) *len);
	if (bio == NULL)
		wrong(trouble, psprintf("%s cannot be read: %s", setting,
								outbox_tls_reason()));
	return bio;
}

/*
 * Read all certificates of a file, of which the first one is number 0, and take
 * each; take() returns whether it could.
 */
static bool
load_certificates(SSL_CTX *ctx, const char *path, const char *setting,
				  bool (*take) (SSL_CTX *ctx, X509 *certificate, int number),
				  RedisTrouble *trouble)
{
	char	   *data;
	size_t		len;
	BIO		   *bio = open_file(path, setting, &data, &len, trouble);
	X509	   *certificate;
	bool		ok = true;
	int			n = 0;

	if (bio == NULL)
		return false;
	while (ok && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
	{
		ok = take(ctx, certificate, n++);
		X509_free(certificate);
	}
	BIO_free(bio);
	pfree(data);
	/* the end of the file is where none begins */
	if (ok && n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
	{
		ERR_clear_error();
		return true;
	}
	if (n == 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		return wrong(trouble, psprintf("%s has no certificate", setting));
	return wrong(trouble, psprintf("%s cannot be used: %s", setting,
								   outbox_tls_reason()));
}

static bool
take_ca(SSL_CTX *ctx, X509 *certificate, int number)
{
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate) == 1;
}

/*
 * The first one is ours, the others lead from it to the CA.
 */
static bool
take_ours(SSL_CTX *ctx, X509 *certificate, int number)
{
	return number == 0 ? SSL_CTX_use_certificate(ctx, certificate) == 1 :
		SSL_CTX_add1_chain_cert(ctx, certificate) == 1;
}

/*
 * OpenSSL asks for the password of a key.
 */
static int
no_password(char *buf, int size, int rwflag, void *is_encrypted)
{
	*(bool *) is_encrypted = true;
	return -1;
}

static bool
load_key(SSL_CTX *ctx, const char *path, RedisTrouble *trouble)
{
	char	   *data;
	size_t		len;
	bool		is_encrypted = false;
	BIO		   *bio = open_file(path, "sslkey", &data, &len, trouble);
	EVP_PKEY   *key;
	bool		ok;

	if (bio == NULL)
		return false;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &is_encrypted);
	BIO_free(bio);
	explicit_bzero(data, len);
	pfree(data);
	if (is_encrypted)
	{
		ERR_clear_error();
		return outbox_trouble(trouble, "sslkey is encrypted",
							  "Nobody can be asked for its password: use a key without one.");
	}
	if (key == NULL)
		return wrong(trouble, psprintf("sslkey cannot be used: %s",
									   outbox_tls_reason()));
	ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
		SSL_CTX_check_private_key(ctx) == 1;
	EVP_PKEY_free(key);
	return ok || wrong(trouble, psprintf("sslkey is not the key of sslcert: %s",
										 outbox_tls_reason()));
}

bool
outbox_tls_load_files(SSL_CTX *ctx, const OutboxRedisUrl *url,
					  RedisTrouble *trouble)
{
	ERR_clear_error();
	if (url->sslrootcert != NULL)
	{
		if (!load_certificates(ctx, url->sslrootcert, "sslrootcert", take_ca,
							   trouble))
			return false;
	}
	else if (SSL_CTX_set_default_verify_paths(ctx) != 1)
		return wrong(trouble, psprintf("the system's CAs cannot be used: %s",
									   outbox_tls_reason()));
	if (url->sslcert == NULL)
		return true;
	return load_certificates(ctx, url->sslcert, "sslcert", take_ours, trouble) &&
		load_key(ctx, url->sslkey, trouble);
}
