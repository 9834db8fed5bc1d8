/* The server's TLS context. The private key is read from a descriptor into
 * memory that is wiped, so this process needs no right to any file. */
#include "tls.h"

#include "../../rules/base/arena.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MOST (1u << 20)
#define NAMES_MOST 1000
#define CHAIN_DEPTH 4

/* All of a file; from its start, whatever the descriptor's position. NULL when it cannot be read or is larger than
 * FILE_MOST. */
static BIO *read_file(int fd)
{
	uint8_t *data = malloc(FILE_MOST);
	size_t length = 0;
	ssize_t got = data ? 1 : -1;
	while (got > 0 && length < FILE_MOST) {
		got = pread(fd, data + length, FILE_MOST - length, (off_t)length);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			length += (size_t)got;
	}
	/* A secure-memory BIO wipes what it holds when it is freed. */
	BIO *bio = got == 0 && length ? BIO_new(BIO_s_secmem()) : NULL;
	if (bio && BIO_write(bio, data, (int)length) != (int)length) {
		BIO_free(bio);
		bio = NULL;
	}
	if (data)
		OPENSSL_cleanse(data, length);
	free(data);
	return bio;
}

static bool use_certificate(SSL_CTX *context, BIO *bio)
{
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool fine = certificate && SSL_CTX_use_certificate(context, certificate) == 1;
	X509_free(certificate);
	while (fine && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		fine = SSL_CTX_add0_chain_cert(context, certificate) == 1;
		if (!fine)
			X509_free(certificate);
	}
	return fine;
}

/* A key with a passphrase cannot be asked for one here. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return 0;
}

static bool use_key(SSL_CTX *context, BIO *bio)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	bool fine = key && SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
	EVP_PKEY_free(key);
	return fine;
}

static bool use_client_ca(SSL_CTX *context, BIO *bio)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	size_t count = 0;
	X509 *certificate;
	while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		bool fine = X509_STORE_add_cert(store, certificate) == 1 &&
			    SSL_CTX_add_client_CA(context, certificate) == 1;
		X509_free(certificate);
		if (!fine)
			return false;
		count++;
	}
	return count > 0;
}

static SSL_CTX *make_context(const int fds[3], const char **ret_why)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	BIO *certificate = read_file(fds[0]), *key = read_file(fds[1]), *client_ca = read_file(fds[2]);
	const char *why = NULL;
	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1)
		why = "OpenSSL has no TLS 1.3";
	else if (!certificate || !use_certificate(context, certificate))
		why = "api.certificate is not a PEM certificate";
	else if (!key || !use_key(context, key))
		why = "api.key is not a PEM key without a passphrase, or not the certificate's";
	else if (!client_ca || !use_client_ca(context, client_ca))
		why = "api.client_ca has no PEM certificate";
	BIO_free(certificate);
	BIO_free(key);
	BIO_free(client_ca);
	ERR_clear_error();
	if (why) {
		SSL_CTX_free(context);
		*ret_why = why;
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(context, CHAIN_DEPTH);
	/* No resumption: each connection proves its certificate anew, and early data does not exist. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	return context;
}

static const char *const *read_names(struct wire_reader *reader, struct arena *arena, size_t *ret_count)
{
	size_t count = wire_get_bounded(reader, NAMES_MOST);
	const char **names = arena_array(arena, count + 1, const char *);
	for (size_t i = 0; names && i < count; i++) {
		names[i] = wire_get_text(reader, arena, ACCESS_USER_MAX);
		if (!names[i])
			reader->failed = true;
	}
	if (!names)
		reader->failed = true;
	*ret_count = count;
	return names;
}

int tls_new(const struct msg *msg, struct tls **ret_tls, const char **ret_why)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	if (tls)
		tls->arena = arena_new();
	if (!tls || !tls->arena) {
		free(tls);
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	tls->names.writers = read_names(&reader, tls->arena, &tls->names.writer_count);
	tls->names.readers = read_names(&reader, tls->arena, &tls->names.reader_count);
	int error = wire_finish(&reader);
	if (error || msg->fd_count != 3) {
		*ret_why = "the message about TLS is broken";
		tls_free(&tls);
		return -EBADMSG;
	}
	tls->context = make_context(msg->fds, ret_why);
	if (!tls->context) {
		tls_free(&tls);
		return -EINVAL;
	}
	*ret_tls = tls;
	return 0;
}

void tls_free(struct tls **tls)
{
	struct tls *old = *tls;
	*tls = NULL;
	if (!old)
		return;
	SSL_CTX_free(old->context);
	arena_free(&old->arena);
	free(old);
}
