/* EST (RFC 7030) for a device that cannot run muster-agent: enrolls and renews, with mbedTLS alone.
 *
 *   cc -o est est-mbedtls.c -lmbedtls -lmbedx509 -lmbedcrypto
 *   est HOST PORT ROOT.pem CERT.pem KEY.pem OUT simpleenroll|simplereenroll
 *
 * Shows CERT with KEY (a birth certificate to join, a leaf to renew), makes a new P-256 key, and
 * writes OUT.key and OUT.pem. TLS 1.2 and P-256 only. Where CERT is `-`, KEY is a join token, ID:SECRET.
 *
 * What a small device needs, and how it is done here:
 * - Keys are behind a callback (sign_in_vault): mbedTLS sees the public half. Put your secure element
 *   there. In mbedTLS 2.28 as Debian builds it (without MBEDTLS_USE_PSA_CRYPTO) this is a pk_info of
 *   one's own; in 3.x it is mbedtls_pk_setup_opaque.
 * - No clock: dates of the server's chain are not looked at (forgive_dates), as in a build without
 *   MBEDTLS_HAVE_TIME_DATE. Chain, name and usage are.
 * - Buffers of 4 KiB: Debian's library has 16 KiB, which only a build of your own changes
 *   (MBEDTLS_SSL_IN_CONTENT_LEN, _OUT_). So this program counts: it fails where a record comes or goes
 *   that would not have fitted into 4 KiB.
 * - The new key is written before the request goes out. Lost answers are asked for again with it: the
 *   server then gives the same certificate.
 */
#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/pk_internal.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_csr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTENT_MAX 4096 /* MBEDTLS_SSL_IN_CONTENT_LEN of the device that this stands for */
#define RECORD_EXTRA 24  /* AES-GCM: 8 octets of nonce before, 16 of tag behind */

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context dice;

static void die(const char *what, int code) {
  char why[160] = "";
  if (code != 0) mbedtls_strerror(code, why, sizeof why);
  fprintf(stderr, "est: %s%s%s\n", what, code != 0 ? ": " : "", why);
  exit(1);
}
#define MUST(call) do { int code_ = (call); if (code_ != 0) die(#call, code_); } while (0)

/* ---- the vault: where private keys are, and the only place that has them ---- */

struct vault {
  mbedtls_ecp_keypair shown; /* the public half, which is what mbedTLS gets; has to stand first */
  mbedtls_ecp_keypair secret;
};

static int sign_in_vault(void *held, mbedtls_md_type_t md, const unsigned char *hash, size_t hash_len,
                         unsigned char *sig, size_t *sig_len,
                         int (*rng)(void *, unsigned char *, size_t), void *p_rng) {
  struct vault *vault = held;
  mbedtls_ecdsa_context with;
  mbedtls_ecdsa_init(&with);
  int code = mbedtls_ecdsa_from_keypair(&with, &vault->secret);
  if (code == 0) code = mbedtls_ecdsa_write_signature(&with, md, hash, hash_len, sig, sig_len, rng, p_rng);
  mbedtls_ecdsa_free(&with);
  return code;
}

static size_t vault_bits(const void *held) {
  return ((const struct vault *) held)->shown.grp.pbits;
}
static int vault_can(mbedtls_pk_type_t type) {
  return type == MBEDTLS_PK_ECKEY || type == MBEDTLS_PK_ECDSA;
}
static const mbedtls_pk_info_t IN_VAULT = {
  .type = MBEDTLS_PK_ECKEY, .name = "vault", .get_bitlen = vault_bits, .can_do = vault_can,
  .sign_func = sign_in_vault,
};

static void open_vault(struct vault *vault, mbedtls_pk_context *pk, const mbedtls_ecp_keypair *key) {
  mbedtls_ecp_keypair_init(&vault->shown);
  mbedtls_ecp_keypair_init(&vault->secret);
  MUST(mbedtls_ecp_group_copy(&vault->secret.grp, &key->grp));
  MUST(mbedtls_mpi_copy(&vault->secret.d, &key->d));
  MUST(mbedtls_ecp_copy(&vault->secret.Q, &key->Q));
  MUST(mbedtls_ecp_group_copy(&vault->shown.grp, &key->grp));
  MUST(mbedtls_ecp_copy(&vault->shown.Q, &key->Q));
  pk->pk_info = &IN_VAULT;
  pk->pk_ctx = vault;
}

/* ---- the wire: every record is counted ---- */

struct wire {
  mbedtls_net_context net;
  unsigned char head[5];
  size_t have, left, largest;
};

static void count(struct wire *wire, const unsigned char *buf, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (wire->left > 0) {
      size_t skip = len - i < wire->left ? len - i : wire->left;
      wire->left -= skip;
      i += skip - 1;
      continue;
    }
    wire->head[wire->have++] = buf[i];
    if (wire->have == 5) {
      wire->have = 0;
      wire->left = (size_t) wire->head[3] << 8 | wire->head[4];
      if (wire->left > wire->largest) wire->largest = wire->left;
      if (wire->left > CONTENT_MAX + RECORD_EXTRA) die("a record that does not fit into 4 KiB", 0);
    }
  }
}

static int wire_recv(void *held, unsigned char *buf, size_t len) {
  struct wire *wire = held;
  int got = mbedtls_net_recv(&wire->net, buf, len);
  if (got > 0) count(wire, buf, (size_t) got);
  return got;
}
static int wire_send(void *held, const unsigned char *buf, size_t len) {
  if (len > 5 + CONTENT_MAX + RECORD_EXTRA) die("what we send does not fit into 4 KiB", 0);
  return mbedtls_net_send(&((struct wire *) held)->net, buf, len);
}

/* Dates need a clock. Everything else that was found wrong stays wrong. */
static int forgive_dates(void *held, mbedtls_x509_crt *crt, int depth, uint32_t *flags) {
  (void) held, (void) crt, (void) depth;
  *flags &= ~(uint32_t) (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
  return 0;
}

static int say(mbedtls_ssl_context *ssl, const char *text, size_t len) {
  while (len > 0) {
    int done = mbedtls_ssl_write(ssl, (const unsigned char *) text, len);
    if (done < 0) return done;
    text += done;
    len -= (size_t) done;
  }
  return 0;
}

/* Reads one answer into `text`; its status, and where the body begins. */
static int hear(mbedtls_ssl_context *ssl, char *text, size_t max, char **body) {
  size_t have = 0, want = 0;
  *body = NULL;
  while (*body == NULL || have < want) {
    if (have + 1 >= max) die("the answer is too large", 0);
    int got = mbedtls_ssl_read(ssl, (unsigned char *) text + have, max - 1 - have);
    if (got <= 0) die("the answer breaks off", got);
    have += (size_t) got;
    text[have] = 0;
    if (*body == NULL && (*body = strstr(text, "\r\n\r\n")) != NULL) {
      *body += 4;
      want = (size_t) (*body - text);
      for (char *line = text; line < *body; line = strstr(line, "\r\n") + 2)
        if (strncasecmp(line, "content-length:", 15) == 0) want += (size_t) atol(line + 15);
    }
  }
  return atoi(text + 9);
}

/* The first certificate of a certs-only message (RFC 5652 section 5): SignedData, certificates [0]. */
static void first_certificate(unsigned char *p, size_t len, mbedtls_x509_crt *found) {
  const unsigned char *end = p + len;
  const int seq = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  const int zero = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_CONTEXT_SPECIFIC;
  size_t n;
  MUST(mbedtls_asn1_get_tag(&p, end, &n, seq));
  MUST(mbedtls_asn1_get_tag(&p, end, &n, MBEDTLS_ASN1_OID));
  p += n;
  MUST(mbedtls_asn1_get_tag(&p, end, &n, zero));
  MUST(mbedtls_asn1_get_tag(&p, end, &n, seq));
  MUST(mbedtls_asn1_get_tag(&p, end, &n, MBEDTLS_ASN1_INTEGER));
  p += n;
  MUST(mbedtls_asn1_get_tag(&p, end, &n, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET));
  p += n;
  MUST(mbedtls_asn1_get_tag(&p, end, &n, seq));
  p += n;
  MUST(mbedtls_asn1_get_tag(&p, end, &n, zero));
  MUST(mbedtls_x509_crt_parse_der(found, p, n));
}

/* Down to the disk, and for nobody else to read. */
static void write_file(const char *front, const char *back, const char *text) {
  char name[512];
  snprintf(name, sizeof name, "%s%s", front, back);
  FILE *file = fopen(name, "w");
  if (file == NULL || fchmod(fileno(file), 0600) != 0 || fputs(text, file) < 0 || fflush(file) != 0 ||
      fsync(fileno(file)) != 0 || fclose(file) != 0)
    die("a file cannot be written", 0);
}

int main(int argc, char **argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: est HOST PORT ROOT CERT KEY OUT simpleenroll|simplereenroll\n");
    return 2;
  }
  const char *host = argv[1], *port = argv[2], *out = argv[6], *operation = argv[7];
  const int by_token = strcmp(argv[4], "-") == 0;
  static char text[CONTENT_MAX], answer[8192];
  static unsigned char der[4096];
  size_t len;

  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&dice);
  MUST(mbedtls_ctr_drbg_seed(&dice, mbedtls_entropy_func, &entropy, NULL, 0));

  /* What is shown, its key in the vault. */
  mbedtls_x509_crt root, own;
  mbedtls_pk_context file, shown;
  struct vault held, made;
  mbedtls_x509_crt_init(&root);
  mbedtls_x509_crt_init(&own);
  mbedtls_pk_init(&file);
  mbedtls_pk_init(&shown);
  MUST(mbedtls_x509_crt_parse_file(&root, argv[3]));
  char basic[256] = "";
  if (by_token) {
    size_t at = (size_t) sprintf(basic, "Authorization: Basic ");
    MUST(mbedtls_base64_encode((unsigned char *) basic + at, sizeof basic - at - 2, &len,
                               (const unsigned char *) argv[5], strlen(argv[5])));
    strcpy(basic + at + len, "\r\n");
  } else {
    MUST(mbedtls_x509_crt_parse_file(&own, argv[4]));
    MUST(mbedtls_pk_parse_keyfile(&file, argv[5], NULL));
    open_vault(&held, &shown, mbedtls_pk_ec(file));
  }

  /* A new key, durable before its request goes out. */
  mbedtls_pk_context fresh, asking;
  mbedtls_pk_init(&fresh);
  mbedtls_pk_init(&asking);
  MUST(mbedtls_pk_setup(&fresh, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
  MUST(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(fresh), mbedtls_ctr_drbg_random, &dice));
  MUST(mbedtls_pk_write_key_pem(&fresh, (unsigned char *) text, sizeof text));
  write_file(out, ".key", text);
  open_vault(&made, &asking, mbedtls_pk_ec(fresh));

  /* The request: the server takes names from its registry, so it needs none. */
  mbedtls_x509write_csr csr;
  mbedtls_x509write_csr_init(&csr);
  mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
  mbedtls_x509write_csr_set_key(&csr, &asking);
  MUST(mbedtls_x509write_csr_set_subject_name(&csr, "CN=device"));
  int csr_len = mbedtls_x509write_csr_der(&csr, der, sizeof der, mbedtls_ctr_drbg_random, &dice);
  if (csr_len < 0) die("no request", csr_len);
  static unsigned char base64[2048];
  MUST(mbedtls_base64_encode(base64, sizeof base64, &len, der + sizeof der - csr_len, (size_t) csr_len));

  /* TLS 1.2, P-256, one suite; records of 4 KiB, where the server heeds RFC 6066. */
  static const int suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0};
  static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};
  mbedtls_ssl_config conf;
  mbedtls_ssl_context ssl;
  struct wire wire = {0};
  mbedtls_ssl_config_init(&conf);
  mbedtls_ssl_init(&ssl);
  mbedtls_net_init(&wire.net);
  MUST(mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                   MBEDTLS_SSL_PRESET_DEFAULT));
  mbedtls_ssl_conf_min_version(&conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
  mbedtls_ssl_conf_ciphersuites(&conf, suites);
  mbedtls_ssl_conf_curves(&conf, curves);
  mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &dice);
  mbedtls_ssl_conf_authmode(&conf, MBEDTLS_SSL_VERIFY_REQUIRED);
  mbedtls_ssl_conf_ca_chain(&conf, &root, NULL);
  mbedtls_ssl_conf_verify(&conf, forgive_dates, NULL);
  MUST(mbedtls_ssl_conf_max_frag_len(&conf, MBEDTLS_SSL_MAX_FRAG_LEN_4096));
  if (!by_token) MUST(mbedtls_ssl_conf_own_cert(&conf, &own, &shown));
  MUST(mbedtls_ssl_setup(&ssl, &conf));
  MUST(mbedtls_ssl_set_hostname(&ssl, host));
  MUST(mbedtls_net_connect(&wire.net, host, port, MBEDTLS_NET_PROTO_TCP));
  mbedtls_ssl_set_bio(&ssl, &wire, wire_send, wire_recv, NULL);
  MUST(mbedtls_ssl_handshake(&ssl));

  int head = snprintf(text, sizeof text,
                      "POST /.well-known/est/%s HTTP/1.1\r\nHost: %s:%s\r\n%s"
                      "Content-Type: application/pkcs10\r\nContent-Length: %zu\r\n\r\n%s",
                      operation, host, port, basic, len, base64);
  MUST(say(&ssl, text, (size_t) head));
  char *body;
  int status = hear(&ssl, answer, sizeof answer, &body);
  if (status != 200) {
    fprintf(stderr, "est: refused (%d): %s", status, body);
    return 1;
  }

  /* The leaf is for the key that asked, or it is none. */
  MUST(mbedtls_base64_decode(der, sizeof der, &len, (unsigned char *) body, strlen(body)));
  mbedtls_x509_crt leaf;
  mbedtls_x509_crt_init(&leaf);
  first_certificate(der, len, &leaf);
  if (mbedtls_ecp_point_cmp(&mbedtls_pk_ec(leaf.pk)->Q, &made.shown.Q) != 0)
    die("the certificate is for another key", 0);
  MUST(mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                leaf.raw.p, leaf.raw.len, (unsigned char *) text, sizeof text, &len));
  write_file(out, ".pem", text);
  printf("mbedTLS %s, %s, %s: a leaf; the largest record had %zu octets\n", MBEDTLS_VERSION_STRING,
         mbedtls_ssl_get_version(&ssl), mbedtls_ssl_get_ciphersuite(&ssl), wire.largest);
  mbedtls_ssl_close_notify(&ssl);
  return 0;
}
