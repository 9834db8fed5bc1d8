/* Identities from peer credentials (SO_PEERCRED, SO_PEERGROUPS: unix(7) and
 * net/core/sock.c) and from client certificates. Decides nothing about single
 * requests: that is the route table's. */
#include "access.h"

#include <errno.h>
#include <grp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NO_GROUP ((gid_t)-1)
#define GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */

/* The gid of both groups; NO_GROUP for one that does not exist. */
static void find_groups(gid_t *ret_write, gid_t *ret_read)
{
	*ret_write = *ret_read = NO_GROUP;
	FILE *file = fopen("/etc/group", "re");
	if (!file)
		return;
	char line[16384]; /* a group with many members is long: only the head of the line counts */
	bool start = true;
	while (fgets(line, sizeof(line), file)) {
		bool whole = strchr(line, '\n');
		char name[64];
		unsigned int gid;
		if (start && sscanf(line, "%63[^:]:%*[^:]:%u", name, &gid) == 2) {
			if (!strcmp(name, ACCESS_GROUP_WRITE))
				*ret_write = gid;
			if (!strcmp(name, ACCESS_GROUP_READ))
				*ret_read = gid;
		}
		start = whole;
	}
	fclose(file);
}

static void name_user(uid_t uid, char *ret_user)
{
	char user[ACCESS_USER_MAX];
	snprintf(user, sizeof(user), "uid %u", uid);
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd entry, *found;
	char buffer[4096];
	while (file && !fgetpwent_r(file, &entry, buffer, sizeof(buffer), &found))
		if (entry.pw_uid == uid) {
			snprintf(user, sizeof(user), "%s", entry.pw_name);
			break;
		}
	if (file)
		fclose(file);
	for (char *at = user; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	memcpy(ret_user, user, sizeof(user));
}

static enum right right_of_group(gid_t gid, gid_t write, gid_t read)
{
	if (gid == NO_GROUP)
		return RIGHT_NONE;
	if (gid == write)
		return RIGHT_WRITE;
	return gid == read ? RIGHT_READ : RIGHT_NONE;
}

/* The peer's supplementary groups, to be freed. NULL with 0 groups or on failure. */
static gid_t *peer_groups(int fd, size_t *ret_count)
{
	socklen_t length = 0;
	*ret_count = 0;
	/* With no room the kernel says how much it needs. */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) || errno != ERANGE ||
	    length > GROUPS_MAX * sizeof(gid_t))
		return NULL;
	gid_t *groups = malloc(length);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) {
		free(groups);
		return NULL;
	}
	*ret_count = length / sizeof(gid_t);
	return groups;
}

int access_of_socket(int fd, struct identity *ret_identity)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return -errno;
	struct identity identity = {.right = RIGHT_NONE};
	name_user(peer.uid, identity.user);
	if (peer.uid == 0) {
		identity.right = RIGHT_WRITE;
		*ret_identity = identity;
		return 0;
	}

	gid_t write, read;
	find_groups(&write, &read);
	identity.right = right_of_group(peer.gid, write, read);
	size_t count;
	gid_t *groups = peer_groups(fd, &count);
	for (size_t i = 0; i < count; i++) {
		enum right right = right_of_group(groups[i], write, read);
		if (right > identity.right)
			identity.right = right;
	}
	free(groups);
	*ret_identity = identity;
	return 0;
}

static bool listed(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

/* The one common name, printable and without tricks (two names, a NUL inside). */
static int common_name(X509 *certificate, char *ret_name, size_t size)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return -EACCES;
	unsigned char *text = NULL;
	int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	bool fine = length > 0 && (size_t)length < size;
	for (int i = 0; fine && i < length; i++)
		fine = text[i] >= 0x20 && text[i] != 0x7f;
	if (fine) {
		memcpy(ret_name, text, (size_t)length);
		ret_name[length] = '\0';
	}
	OPENSSL_free(text);
	return fine ? 0 : -EACCES;
}

int access_of_certificate(const SSL *ssl, const struct access_names *names, struct identity *ret_identity)
{
	X509 *certificate = SSL_get1_peer_certificate(ssl);
	if (!certificate)
		return -EACCES;
	char name[ACCESS_USER_MAX - 4];
	int error = SSL_get_verify_result(ssl) == X509_V_OK ? common_name(certificate, name, sizeof(name)) : -EACCES;
	X509_free(certificate);
	if (error)
		return error;
	struct identity identity = {.right = RIGHT_NONE};
	snprintf(identity.user, sizeof(identity.user), "tls:%s", name);
	if (listed(name, names->writers, names->writer_count))
		identity.right = RIGHT_WRITE;
	else if (listed(name, names->readers, names->reader_count))
		identity.right = RIGHT_READ;
	*ret_identity = identity;
	return 0;
}
